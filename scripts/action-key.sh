#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Step of action.yml: a key that is another for each change of what sbx is built from, and for each image.
set -euo pipefail
cd "$(dirname "$0")/.."
sources=$(find Makefile base netns overlay sandbox scripts/install-dependencies -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c 1-16)
key=sbx-$(uname -m)-${ImageOS:-linux}-$sources
echo "key=$key" >>"$GITHUB_OUTPUT"
echo "$key"
