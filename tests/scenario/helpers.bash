# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154,SC2034 # output and status are bats' own; places is the tests'

# Where the writable layer can lie on this machine: in memory only where tmpfs takes user attributes, since kernel 6.6
# (finding 35). Elsewhere all scenarios have it on disk, by name, so that no notice mixes with what they look at.
places="tmpfs disk"
IFS=.- read -r kernel_major kernel_minor _ </proc/sys/kernel/osrelease
if ((kernel_major < 6 || (kernel_major == 6 && kernel_minor < 6))); then
	places=disk
	export SBX_UPPER=${SBX_UPPER:-disk}
fi

setup() {
	tree=$(mktemp -d "$BATS_TMPDIR/tree.XXXXXX")
	cd "$tree" || return 1
}

teardown() {
	cd / || return 1
	# bats sets it at the end of a test that came there.
	if [[ -n ${SBX_TEST_KEEP:-} && -z ${BATS_TEST_COMPLETED:-} ]]; then
		echo "kept: $tree"
	else
		rm -rf "$tree"
	fi
}

# run_sbx STATUS ARGUMENT…: runs sbx, shows what a user would have seen, and fails unless it returned STATUS.
run_sbx() {
	local want=$1
	shift
	run "$SBX" "$@"
	printf '$ sbx %s\n%s\n-> %s, wanted %s\n' "$*" "$output" "$status" "$want"
	[[ $status -eq $want ]]
}

assert_same() {
	if [[ $1 != "$2" ]]; then
		printf 'wanted: %s\ngot:    %s\n' "$1" "$2"
		return 1
	fi
}

assert_has() {
	if [[ $1 != *"$2"* ]]; then
		printf 'wanted, somewhere: %s\ngot: %s\n' "$2" "$1"
		return 1
	fi
}

# wait_for COMMAND…: until it succeeds, for 20 seconds at most.
wait_for() {
	local end=$((SECONDS + 20))
	until "$@"; do
		[[ $SECONDS -lt $end ]] || return 1
		sleep 0.01
	done
}
