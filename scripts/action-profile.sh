#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Step of action.yml: where the image takes capabilities in user namespaces from programs without an AppArmor profile
# (Ubuntu 23.10 and newer), sbx gets one. The restriction stays on for all others: no setting of the kernel is changed.
set -euo pipefail
cd "$(dirname "$0")/.."
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
if [ "$(cat /proc/sys/kernel/apparmor_restrict_unprivileged_userns 2>/dev/null || echo 0)" != 1 ]; then
	echo "no AppArmor profile is needed: this image does not restrict user namespaces by it"
	exit 0
fi
"${as_root[@]}" install -D -m 644 scripts/apparmor/sbx /etc/apparmor.d/sbx
"${as_root[@]}" apparmor_parser --replace /etc/apparmor.d/sbx
echo "loaded the AppArmor profile /etc/apparmor.d/sbx, which lets /usr/local/bin/sbx alone make user namespaces"
