#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Step of action.yml: sbx at the path that its AppArmor profile names. Built from this checkout of the action, unless the
# cache has it: $RUNNER_TEMP/sbx-built.
set -euo pipefail
cd "$(dirname "$0")/.."
built=$RUNNER_TEMP/sbx-built/sbx
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
if [ ! -x "$built" ]; then
	echo "::group::build sbx"
	./scripts/install-dependencies
	make --jobs="$(nproc)" WERROR= BUILD="$RUNNER_TEMP/sbx-build" "$RUNNER_TEMP/sbx-build/sbx"
	echo "::endgroup::"
	install -D -m 755 "$RUNNER_TEMP/sbx-build/sbx" "$built"
fi
"${as_root[@]}" install -D -m 755 "$built" /usr/local/bin/sbx
echo "installed $("$built" version) at /usr/local/bin/sbx"
