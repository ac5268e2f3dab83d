#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The action for GitHub: each shell step of action.yml, as a runner starts it; and what a validator says of it and of the
# workflows. Nothing is installed: sudo is a stand-in that notes what it is asked for.
load helpers

setup() {
	tree=$(mktemp -d "$BATS_TMPDIR/tree.XXXXXX")
	cd "$tree" || return 1
	export RUNNER_TEMP=$tree/temp LOG=$tree/log PLACE=$tree/root
	mkdir -p bin temp/sbx-built root/usr/local/bin
	# The cache has it: building takes a minute, and CI's own action job does it.
	cp "$SBX" temp/sbx-built/sbx
	stand_in id 'echo 1001'
	stand_in sudo 'echo "$*" >>"$LOG"; [[ $1 != install ]] || exec install "${@:2:$#-2}" "$PLACE${*: -1}"'
	PATH=$tree/bin:$PLACE/usr/local/bin:$PATH
	context inputs.shard "" strategy.job-index 0 strategy.job-total 1 runner.temp "$RUNNER_TEMP"
}

# stand_in NAME TEXT: a program of that name that comes first.
stand_in() {
	printf '#!/bin/bash\n%s\n' "$2" >"bin/$1"
	chmod +x "bin/$1"
}

# context NAME VALUE…: what the expressions stand for.
context() {
	jq -n '[$ARGS.positional | _nwise(2) | { (.[0]): .[1] }] | add' --args "$@" >context.json
}

# run_action STATUS: all steps.
run_action() {
	run "$BATS_TEST_DIRNAME/run-action" "$ACTION" "$tree/context.json"
	printf '%s\n-> %s, wanted %s\n' "$output" "$status" "$1"
	[[ $status -eq $1 ]]
}

@test "action: installs sbx where its profile names it, and says what it did" {
	run_action 0
	cmp "$SBX" root/usr/local/bin/sbx
	assert_has "$(<log)" "install -D -m 755 $RUNNER_TEMP/sbx-built/sbx /usr/local/bin/sbx"
	assert_has "$output" "installed $("$SBX" version) at /usr/local/bin/sbx"
	assert_has "$output" "no matrix, so no shard"
	assert_has "$output" "== output version: $("$SBX" version)"
	assert_has "$(<temp/github_step_summary)" "each step of a sandbox works on this runner"
	grep -qE '== uses actions/cache@v5: .*"key": "sbx-[a-z0-9_]+-linux-[0-9a-f]{16}"' <<<"$output"
	if [[ -z $(PATH=/usr/bin:/bin command -v pasta) ]]; then
		assert_has "$(<log)" "apt-get install -y -qq --no-install-recommends passt"
	else
		assert_has "$output" "pasta is there"
	fi
}

@test "action: loads the profile where the image restricts user namespaces, and changes no setting of the kernel" {
	stand_in cat '[[ $* != */apparmor_restrict_unprivileged_userns ]] || { echo 1; exit; }; exec /bin/cat "$@"'
	run_action 0
	assert_has "$(<log)" "install -D -m 644 scripts/apparmor/sbx /etc/apparmor.d/sbx"
	assert_has "$(<log)" "apparmor_parser --replace /etc/apparmor.d/sbx"
	assert_has "$output" "loaded the AppArmor profile /etc/apparmor.d/sbx"
	[[ $(<log) != *sysctl* && $(<log) != */proc/sys* ]]
	# Its path is the one that sbx is installed at.
	grep -q '^profile sbx /usr/{local/,}bin/sbx ' root/etc/apparmor.d/sbx
}

@test "action: a matrix's job is a shard, one that the workflow names is stronger, and one that is none is refused" {
	context inputs.shard "" strategy.job-index 2 strategy.job-total 4 runner.temp "$RUNNER_TEMP"
	run_action 0
	assert_has "$(<temp/github_env)" "SBX_SHARD=3/4"
	context inputs.shard 1/2 strategy.job-index 2 strategy.job-total 4 runner.temp "$RUNNER_TEMP"
	run_action 0
	assert_same "SBX_SHARD=1/2" "$(tail -n 1 temp/github_env)"
	context inputs.shard one strategy.job-index 2 strategy.job-total 4 runner.temp "$RUNNER_TEMP"
	run_action 1
	assert_has "$output" "::error title=sbx::shard: 'one' is not I/N"
}

@test "action: fails where a sandbox cannot be made, with what doctor says in log and summary" {
	rm temp/sbx-built/sbx
	printf '#!/bin/sh\n[ "$1" != doctor ] || { echo "user namespace: refused"; exit 1; }\necho sbx 0\n' >temp/sbx-built/sbx
	chmod +x temp/sbx-built/sbx
	run_action 1
	assert_has "$output" "::error title=sbx::a sandbox cannot be made on this runner"
	assert_has "$(<temp/github_step_summary)" "user namespace: refused"
}

@test "action: it and the workflows are valid, says a validator of their schemas, and so does GitHub's own parser" {
	parser() {
		"$BATS_TEST_DIRNAME/check-workflow" "$RUNNERS/node_modules" "$@"
	}
	for file in "$ACTION"/action.yml "$ACTION"/scripts/examples/github-*.yml "$ACTION"/.github/workflows/*.yml; do
		run "$RUNNERS/node_modules/.bin/action-validator" "$file"
		echo "$file: $output"
		[[ $status -eq 0 ]]
	done
	# ... which finds mistakes.
	mkdir broken
	sed 's/using: composite/uses: composite/' "$ACTION/action.yml" >broken/action.yml
	run "$RUNNERS/node_modules/.bin/action-validator" broken/action.yml
	[[ $status -ne 0 ]]
	run parser "$ACTION"/action.yml "$ACTION"/scripts/examples/github-*.yml "$ACTION"/.github/workflows/*.yml
	echo "$output"
	[[ $status -eq 0 ]]
	# A context that this place lacks, a job that is none.
	sed 's/strategy.job-total/secrets.job-total/' "$ACTION/action.yml" >broken/action.yml
	sed 's/needs: e2e/needs: e2f/' "$ACTION/scripts/examples/github-shards.yml" >broken/shards.yml
	run parser broken/action.yml broken/shards.yml
	assert_has "$output" "Unrecognized named-value: 'secrets'"
	assert_has "$output" "Job 'report' depends on unknown job 'e2f'"
	[[ $status -eq 1 ]]
}
