# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154 # output and status are bats' own
# For tests that run as root in a machine of their own: they change it, and run sbx as $SBX_USER.
load helpers

setup() {
	tree=$(mktemp -d "$BATS_TMPDIR/tree.XXXXXX")
	chown "$SBX_USER:$SBX_USER" "$tree"
	cd "$tree" || return 1
}

# What a test changed is put back in any case, for the next one: $setting by sysctl, $profile taken out of the kernel.
teardown() {
	if [[ -n ${setting:-} ]]; then
		sysctl -q "$setting"
	fi
	if [[ -n ${profile:-} ]]; then
		apparmor_parser --config-file=/dev/null --remove <<<"$profile"
	fi
	cd / && rm -rf "$tree"
}

# as_user STATUS PROGRAM ARGUMENT…: as $SBX_USER; shows what a user would have seen, and fails unless it returned STATUS.
as_user() {
	local want=$1
	shift
	run setpriv --reuid "$SBX_USER" --regid "$SBX_USER" --clear-groups env -i PATH="$PATH" HOME="/home/$SBX_USER" "$@"
	printf '$ %s\n%s\n-> %s, wanted %s\n' "$*" "$output" "$status" "$want"
	[[ $status -eq $want ]]
}
