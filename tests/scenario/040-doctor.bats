#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Causes are made for real: in an outer user namespace, with limits, with filters. `run` and `doctor` must say the same.
load helpers

# doctor STATUS [WRAPPER…]: runs doctor under a wrapper (a command that ends in one to run), checks its JSON against the
# schema, and leaves it in $output.
doctor() {
	local want=$1 schemas
	shift
	run "$@" "$SBX" doctor --format json
	printf '$ %s sbx doctor\n%s\n-> %s, wanted %s\n' "$*" "$output" "$status" "$want"
	[[ $status -eq $want ]] || return 1
	printf '%s' "$output" >"$BATS_TEST_TMPDIR/doctor.json"
	schemas=$BATS_TEST_DIRNAME/schema
	[[ -d $schemas ]] || schemas=$BATS_TEST_DIRNAME/../../scripts/schema
	"$BATS_TEST_DIRNAME/check-schema" "$schemas/doctor.json" <"$BATS_TEST_TMPDIR/doctor.json"
}

# row STEP [OBJECT]: that row of doctor's JSON, as STATE|CAUSE|REMEDY.
row() {
	jq -r --arg step "$1" --arg object "${2:-}" '.steps[] | select(.step == $step and
		($object == "" or .object == $object)) | "\(.state)|\(.cause)|\(.remedy)"' "$BATS_TEST_TMPDIR/doctor.json"
}

# Whether the writable layers go to disk here, as doctor said last: then no worker can be without a state directory.
is_on_disk() {
	[[ $(row "make the writable layer" "in memory") != "ok|"* ]]
}

# refused WRAPPER… -- WORD…: `run` (or what $verb holds) under the wrapper ends with 125 and says each of the words.
refused() {
	local wrapper=() command
	read -ra command <<<"${verb:-run}"
	while [[ $1 != -- ]]; do
		wrapper+=("$1")
		shift
	done
	shift
	run "${wrapper[@]}" "$SBX" "${command[@]}" -- true
	printf '$ %s sbx %s -- true\n%s\n-> %s, wanted 125\n' "${wrapper[*]}" "${command[*]}" "$output" "$status"
	[[ $status -eq 125 ]] || return 1
	for word; do
		assert_has "$output" "$word" || return 1
	done
}

# outside SCRIPT COMMAND…: the command inside an outer user, mount and PID namespace, whose root prepares it by SCRIPT.
outside() {
	local script=$1
	shift
	unshare -Urmpf --mount-proc sh -c "$script"' && exec "$@"' outside "$@"
}

@test "doctor: on this machine a plain run works, and the JSON follows the schema" {
	doctor 0
	[[ $(jq '[.steps[] | select(.state == "missing")] | length' <<<"$output") -eq 0 ]]
	[[ $(row "run a command") == "ok|null|null" ]]
	run_sbx 0 doctor
	assert_has "$output" "sbx run works on this machine."
	assert_has "$output" "user mnt pid net ipc uts cgroup"
	[[ $output != *$'\e'* ]]
	FORCE_COLOR=1 run_sbx 0 doctor
	assert_has "$output" $'\e[32mok'
}

@test "doctor: leaves nothing in the tree, and no process" {
	run_sbx 0 doctor
	assert_same "" "$(ls -A)"
	run pgrep -f "^$SBX doctor"
	assert_same "" "$output"
}

@test "doctor: a failure of its own is 125" {
	run_sbx 125 doctor --tree=/no/such/tree
	assert_has "$output" "cannot open the tree '/no/such/tree'"
	run_sbx 125 doctor --format yaml
}

@test "finding 16: each limit on namespaces that is used up is named, with its line" {
	for kind in user mnt pid net ipc uts cgroup; do
		doctor 1 outside "echo 0 >/proc/sys/user/max_${kind}_namespaces"
		assert_same "missing|user.max_${kind}_namespaces is 0: such namespaces are switched off|sudo sysctl user.max_${kind}_namespaces=65536" \
			"$(row "create the namespaces" "$kind")"
		refused outside "echo 0 >/proc/sys/user/max_${kind}_namespaces" -- \
			"cannot create the namespaces: user.max_${kind}_namespaces is 0" "sudo sysctl user.max_${kind}_namespaces=65536"
	done
	doctor 0 outside "echo 3 >/proc/sys/user/max_net_namespaces"
	assert_has "$(row "create the namespaces" net)" "degraded|user.max_net_namespaces is 3: no more workers than that"
}

@test "up and test name the cause that run does, whoever of them makes the world" {
	local mask="mount --bind /dev/null /proc/version"
	for verb in "up -d" "test -n 2"; do
		refused outside "echo 0 >/proc/sys/user/max_pid_namespaces" -- \
			"cannot create the namespaces: user.max_pid_namespaces is 0" "sudo sysctl user.max_pid_namespaces=65536"
		refused outside "$mask" -- "parts of /proc are covered (/proc/version)"
	done
}

@test "finding 16: a masked /proc is told by what lies over it" {
	local mask="mount --bind /dev/null /proc/version"
	doctor 1 outside "$mask"
	assert_has "$(row "mount a fresh /proc")" "missing|parts of /proc are covered (/proc/version)"
	refused outside "$mask" -- "cannot mount a fresh /proc '/proc': parts of /proc are covered (/proc/version)"
}

@test "a container's lacking flags are told as its runtime spells them" {
	local mask="mount -t tmpfs none /run && : >/run/.containerenv && mount --bind /dev/null /proc/version"
	refused outside "$mask" -- "start the container with: --security-opt unmask=ALL"
	doctor 1 outside "$mask"
	assert_same "degraded|it was started without flags that worlds need|start it with: --security-opt unmask=ALL" \
		"$(row "run in this container")"
	refused outside "$mask" "$TOOLS/refuse" ENOSYS clone3 -- "clone3(2)" "filter of the container" \
		"--security-opt seccomp=unconfined --security-opt unmask=ALL"
}

@test "a required call that the kernel lacks is refused by name" {
	for call in openat2 clone3 open_tree move_mount mount_setattr close_range; do
		refused "$TOOLS/refuse" ENOSYS $call -- "$call(2) is missing in kernel $(uname -r), or refused by the seccomp filter"
		doctor 1 "$TOOLS/refuse" ENOSYS $call
		assert_has "$(row "make the system calls" $call)" "missing|$call(2) is missing"
	done
	refused "$TOOLS/refuse" ENOSYS openat2,close_range -- "openat2(2), close_range(2) are missing"
}

@test "an optional call that the kernel lacks is done without" {
	local calls=landlock_create_ruleset,landlock_add_rule,landlock_restrict_self,statx,memfd_create,keyctl
	run "$TOOLS/refuse" ENOSYS $calls "$SBX" run -- sh -c 'echo inside'
	assert_has "$output" inside
	[[ $status -eq 0 ]]
	doctor 0 "$TOOLS/refuse" ENOSYS $calls
	assert_has "$(row "make the system calls" landlock_create_ruleset)" "degraded|"
	assert_has "$(row "confine with Landlock")" "degraded|"
}

@test "a filter that refuses keyctl, or mount, is told" {
	refused "$TOOLS/refuse" EPERM keyctl -- "cannot leave the caller's keyring" "seccomp"
	refused "$TOOLS/refuse" EACCES mount -- "cannot mount the scratch"
}

# An AppArmor host as far as a process can see: finding 26.
apparmor() {
	local before=$1
	shift
	outside "mkdir /tmp/fake-$$ && cd /tmp/fake-$$ && mkdir -p module/apparmor/parameters kernel etc &&
		echo Y >module/apparmor/parameters/enabled && echo 1 >kernel/apparmor_restrict_unprivileged_userns &&
		echo \"\${LABEL:-unconfined}\" >label &&
		$before &&
		mount --bind module /sys/module && mount --bind kernel /proc/sys/kernel && mount --bind etc /etc/apparmor.d &&
		mount --bind label /proc/\$\$/attr/current && cd '$tree'" "$@"
}

apparmor_end() {
	rm -rf "/tmp/fake-$$"
}

@test "finding 26: AppArmor's signature is told, and which of three remedies it needs" {
	[[ -d /etc/apparmor.d ]] || skip "/etc/apparmor.d: there is nothing to mount over"
	[[ ! -e /proc/sys/kernel/apparmor_restrict_unprivileged_userns ]] || skip "this machine has the real one"
	refused apparmor : "$TOOLS/refuse" EACCES mount -- "has no profile for sbx" "sudo tee /etc/apparmor.d/sbx" \
		"sudo apparmor_parser -r /etc/apparmor.d/sbx" "sudo install '$SBX' /usr/local/bin/sbx"
	apparmor_end
	refused apparmor ": >etc/sbx" "$TOOLS/refuse" EACCES mount -- "this binary is not at the profile's path" \
		"sudo install '$SBX' /usr/local/bin/sbx, then start it from there"
	apparmor_end
	LABEL="docker-default (enforce)" refused apparmor : "$TOOLS/refuse" EACCES mount -- \
		"the AppArmor profile 'docker-default (enforce)' on this process refuses it"
	apparmor_end
}

@test "RLIMIT_NPROC and RLIMIT_NOFILE that are too low are named" {
	if [[ $(id -u) -ne 0 ]]; then # it does not bind for root (finding 56)
		refused bash -c 'ulimit -u 1; exec "$@"' low -- "(RLIMIT_NPROC)" "limits.conf"
	fi
	refused bash -c 'ulimit -n 4; exec "$@"' low -- "this process may not open more files (RLIMIT_NOFILE)" "ulimit -n"
	doctor 0 bash -c 'ulimit -n 512; exec "$@"' low
	assert_has "$(row "open files")" "degraded|.NET needs more than 300 open files"
}

@test "the state directory: a file, a symlink, another's, read-only: degraded, and run works" {
	local step="use the directory" want=0
	doctor 0
	! is_on_disk || want=1
	mkdir file link own
	: >file/sbx
	ln -s "$tree/own" link/sbx
	doctor $want env XDG_STATE_HOME="$tree/file"
	assert_has "$(row "$step")" "degraded|it is not a directory|remove it"
	doctor $want env XDG_STATE_HOME="$tree/link"
	assert_has "$(row "$step")" "degraded|it is a symbolic link|remove it"
	if [[ $(id -u) -ne 0 ]]; then
		doctor $want env XDG_STATE_HOME=/usr
		assert_has "$(row "$step")" "degraded|it belongs to another user|set HOME"
		chmod 500 own
		doctor $want env XDG_STATE_HOME="$tree/own"
		assert_has "$(row "make the directory")" "degraded|its place cannot be written|set XDG_STATE_HOME"
	fi
	for state in file link own; do
		[[ $state != own || $(id -u) -ne 0 ]] || want=0 # root writes there all the same
		XDG_STATE_HOME=$tree/$state run_sbx $((want * 125)) run -- true
	done
	chmod 700 own
}

@test "the state directory: noexec, full: degraded" {
	local place="mount -t tmpfs -o mode=0700,size=64k,OPTIONS none $BATS_TEST_TMPDIR/state"
	mkdir "$BATS_TEST_TMPDIR/state"
	doctor 0 outside "${place/OPTIONS/noexec}" env XDG_STATE_HOME="$BATS_TEST_TMPDIR/state"
	assert_has "$(row "use the state directory")" "degraded|it is mounted noexec"
	doctor 0 outside "${place/OPTIONS/exec} && mkdir -m 700 $BATS_TEST_TMPDIR/state/sbx && ! cat /dev/zero >$BATS_TEST_TMPDIR/state/full 2>/dev/null" \
		env XDG_STATE_HOME="$BATS_TEST_TMPDIR/state"
	assert_has "$(row "use the state directory")" "degraded|No space left on device|sbx prune"
}

@test "finding 37: a mount below HOME, and one below the tree, are named" {
	mkdir -p "$HOME/mounted" mounted
	doctor 0 outside "mount -t tmpfs none $HOME/mounted"
	assert_has "$(row "open the directory")" "degraded|$HOME/mounted below HOME is a mount"
	rmdir "$HOME/mounted"
}

@test "HOME that is missing: degraded, and run works" {
	local want=0
	doctor 0
	# HOME is then that of /etc/passwd, where one is there: the layers go to it.
	! is_on_disk || [[ -w $(getent passwd "$(id -u)" | cut -d : -f 6) ]] || want=1
	doctor $want env HOME=/no/such/home
	HOME=/no/such/home run_sbx $((want * 125)) run -- true
}

@test "finding 23: a small budget of inotify instances says for how many workers it is enough" {
	doctor 0 outside "echo 9 >/proc/sys/user/max_inotify_instances"
	assert_has "$(row "watch files")" "degraded|all workers and programs of this user share one budget"
	assert_has "$(row "watch files")" "sudo sysctl fs.inotify.max_user_instances=1024"
}

@test "inside a worker: sbx says that it is one, and how to nest" {
	doctor 0
	run_sbx 125 run -- /proc/self/exe run -- true
	if is_on_disk; then # it comes first
		assert_has "$output" "--scratch DIR"
		return
	fi
	assert_has "$output" "this is a worker of sbx"
	assert_has "$output" "sbx run --allow-userns"
}

@test "doctor --tree: other owners, unreadable directories, databases and their state" {
	if [[ $(id -u) -ne 0 ]]; then
		mkdir closed && chmod 000 closed
	else
		mkdir foreign && chown 12345 foreign
	fi
	sqlite3 app.db 'create table __EFMigrationsLock(Id integer primary key, Timestamp text); insert into __EFMigrationsLock values (1, "x")'
	sqlite3 plain.db 'create table t(a)'
	printf 'SQLite format 3\0' >broken.db
	run "$SBX" doctor --tree --format json
	printf '%s\n' "$output" | tee "$BATS_TEST_TMPDIR/doctor.json"
	[[ $status -eq 1 ]]
	assert_has "$(row "copy the database" "$tree/app.db")" "degraded|__EFMigrationsLock holds a row"
	assert_has "$(row "copy the database" "$tree/plain.db")" "ok|"
	assert_has "$(jq -r '.steps[] | select(.object // "" | endswith("/broken.db")) | .state' "$BATS_TEST_TMPDIR/doctor.json")" missing
	if [[ $(id -u) -ne 0 ]]; then
		assert_has "$(row "look through the tree" "$tree/closed")" "degraded|it cannot be read by this user"
		chmod 700 closed
	else
		assert_has "$(row "look through the tree" "$tree/foreign")" "degraded|it belongs to somebody"
	fi
	assert_has "$(row "look through the tree" "$tree")" "degraded|workers will trip over"
	rm broken.db
	run_sbx 0 doctor "--tree=$tree"
}

@test "doctor --tree: a hot journal is told, and the source does not change" {
	sqlite3 hot.db 'create table t(a); insert into t values (1)'
	printf '%s\n' 'PRAGMA cache_size=1; BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<5000)
		INSERT INTO t SELECT i FROM n;
.system kill -9 $PPID' | sqlite3 hot.db || true
	[[ -s hot.db-journal ]] || skip "sqlite3 left no journal"
	local before
	before=$(cat hot.db hot.db-journal | sha256sum)
	run_sbx 0 doctor --tree
	assert_has "$output" "hot journal"
	assert_same "$before" "$(cat hot.db hot.db-journal | sha256sum)"
}
