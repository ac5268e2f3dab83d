#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Step of action.yml: pasta, by which worlds reach out with sbx --net outbound. Where the image has no such package that
# is said, and all else works.
set -euo pipefail
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
export DEBIAN_FRONTEND=noninteractive
if command -v pasta >/dev/null; then
	echo "pasta is there: $(command -v pasta)"
elif "${as_root[@]}" apt-get update -qq && "${as_root[@]}" apt-get install -y -qq --no-install-recommends passt >/dev/null; then
	echo "installed pasta (package passt)"
else
	echo "::notice title=sbx::no package passt for this image, so sbx --net outbound is not to be had here"
fi
