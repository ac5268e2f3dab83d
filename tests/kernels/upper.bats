#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The writable layer on kernels whose tmpfs takes no user xattrs (before 6.6) and on those whose does.
load machine

# In tree and HOME: what an overlay can do only with opaque marks and whiteouts, which it keeps in user xattrs.
changes='
	set -e
	rmdir empty
	mkdir empty
	[ -z "$(ls -A empty)" ]
	rm -r full
	[ ! -e full ]
	mkdir full
	[ -z "$(ls -A full)" ]
	mkdir new
	mv new renamed
	echo worker >full/file
	mv full/file renamed/file
	[ "$(cat renamed/file)" = worker ]
	[ -z "$(ls -A full)" ]
	rm -r renamed full
	[ "$(ls)" = empty ]'

@test "finding 35: directories of the host are removed and made again, new ones renamed, in the tree and in HOME" {
	home=/home/$SBX_USER/upper
	for place in "$tree" "$home"; do
		mkdir -p "$place/empty" "$place/full/deep"
		echo host >"$place/full/file"
		echo host >"$place/full/deep/file"
		chown -R "$SBX_USER:$SBX_USER" "$place"
		before=$(find "$place" -printf '%P %y %m %U %T@\n' | LC_ALL=C sort)
		as_user 0 "$SBX" run -w "$place" -- sh -c "$changes"
		assert_same "$before" "$(find "$place" -printf '%P %y %m %U %T@\n' | LC_ALL=C sort)"
	done
	rm -r "$home"
}

@test "finding 35: where tmpfs takes no user xattrs the layer lies on disk, which is said once; else nothing is said" {
	as_user 0 "$SBX" run -- true
	if [[ $places == tmpfs* ]]; then
		assert_same "" "$output"
	else
		assert_same 1 "${#lines[@]}"
		assert_has "$output" "sbx: degraded: disk upper: this kernel's tmpfs takes no user attributes"
		as_user 125 "$SBX" run --size 1g -- true
		assert_has "$output" "cannot hold the limit '--size'"
		as_user 125 "$SBX" run --inodes 1000 -- true
		assert_has "$output" "cannot hold the limit '--inodes'"
	fi
	as_user 0 "$SBX" doctor
	assert_same "" "$(find "/home/$SBX_USER/.local/state/sbx/uppers" "/home/$SBX_USER/.local/state/sbx/trash" -mindepth 1 2>/dev/null)"
}
