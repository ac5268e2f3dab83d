#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Machines that refuse what a world needs, made for real.
load machine

@test "P7: unprivileged user namespaces switched off by sysctl: refused with cause and remedy, and works once they are back" {
	setting=kernel.unprivileged_userns_clone=1
	sysctl -q kernel.unprivileged_userns_clone=0
	as_user 125 "$SBX" run -- touch ran
	assert_has "$output" "cannot create the namespaces"
	assert_has "$output" "kernel.unprivileged_userns_clone is 0"
	assert_has "$output" "sudo sysctl kernel.unprivileged_userns_clone=1"
	[[ ! -e ran ]]
	as_user 1 "$SBX" doctor
	assert_has "$output" "sudo sysctl kernel.unprivileged_userns_clone=1"

	sysctl -q "$setting"
	as_user 0 "$SBX" run -- true
	as_user 0 "$SBX" doctor
}

@test "P7: no user namespace is left to make: the limit is named" {
	setting=user.max_user_namespaces=$(sysctl -n user.max_user_namespaces)
	sysctl -q user.max_user_namespaces=0
	as_user 125 "$SBX" run -- touch ran
	assert_has "$output" "cannot create the namespaces"
	assert_has "$output" "user.max_user_namespaces"
	as_user 1 "$SBX" doctor
	assert_has "$output" "user.max_user_namespaces"
}

# A namespace has no path: for AppArmor it is / that is opened.
#
# confine_sbx RULE…: a profile that grants all but capabilities and mounts, as Ubuntu 24.04's for each program that has none of its
# own and makes a user namespace. RULE gives some back.
confine_sbx() {
	profile="abi <abi/3.0>,
	profile sbx-confined $SBX flags=(attach_disconnected) {
		file rwlkm /**,
		/ r,
		/** pix,
		network,
		unix,
		signal,
		ptrace,
$(printf '%s,\n' "$@")
	}"
	apparmor_parser --config-file=/dev/null --skip-cache --replace <<<"$profile"
}

# sbx says what refuses, in a line of its own what helps, and has run nothing.
assert_apparmor_is_named() {
	assert_has "$output" "AppArmor"
	[[ $output == *$'\n  '* && ! -e ran ]]
}

@test "P7, finding 26: AppArmor gives sbx no capability: refused with cause and remedy" {
	confine_sbx "deny capability"
	as_user 125 "$SBX" run -- touch ran
	assert_has "$output" "cannot create the namespaces"
	assert_apparmor_is_named
}

# Ubuntu's kernel confines the child alone, at clone3(2), which therefore succeeds. Debian's has no such rule: so the child is
# stopped at its first act after clone3(2), and the profile replaced.
@test "P7, finding 26: AppArmor takes the capabilities at clone, as on Ubuntu 24.04: refused with cause and remedy" {
	confine_sbx "capability sys_admin"
	install -o "$SBX_USER" /dev/null trace
	refused() {
		as_user 125 timeout --signal=KILL 60 strace -f -o trace -P /proc/self/uid_map -e inject=openat:signal=SIGSTOP "$SBX" run -- touch ran &&
			assert_has "$output" "cannot write the id map" && assert_apparmor_is_named
	}
	refused 3>&- &
	child_is_stopped() { grep -q 'stopped by SIGSTOP' trace; }
	wait_for child_is_stopped
	confine_sbx "deny capability"
	kill -CONT "$(awk '/stopped by SIGSTOP/ { print $1; exit }' trace)"
	wait $!
}

@test "P7, finding 26: AppArmor refuses the settings of the namespace: refused with cause and remedy" {
	confine_sbx "capability sys_admin" "capability net_admin"
	as_user 125 "$SBX" run -- touch ran
	assert_has "$output" "cannot forbid nested user namespaces"
	assert_apparmor_is_named
}

@test "P7, finding 26: AppArmor refuses network addresses: refused with cause and remedy" {
	confine_sbx "capability sys_admin" "capability sys_resource"
	as_user 125 "$SBX" run -- touch ran
	assert_has "$output" "cannot bring up loopback"
	assert_apparmor_is_named
}

@test "P7, finding 26: AppArmor refuses the network namespace that was made: refused with cause and remedy" {
	confine_sbx capability mount umount remount pivot_root "deny / r"
	as_user 125 "$SBX" run -- touch ran
	assert_has "$output" "cannot open the network namespace"
	assert_apparmor_is_named
}

@test "P7, finding 26: AppArmor refuses mounts: refused with cause and remedy" {
	confine_sbx capability
	as_user 125 "$SBX" run -- touch ran
	assert_apparmor_is_named
}

@test "finding 26: a profile that allows user namespaces, as the remedy's, lets sbx run" {
	confine_sbx capability mount umount remount pivot_root
	as_user 0 "$SBX" run -- true
}
