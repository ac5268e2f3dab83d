#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # for the inner shell; each test is a process; set by the helpers
# Bundles: a worker in one file, and built again by another user, with another HOME, over another checkout.
load workers

# Where the other user lives: an ordinary one, where this suite runs as root; else the same with another HOME.
setup() {
	umask 022
	base=$(mktemp -d /var/tmp/sbx-bundle.XXXXXX)
	chmod 755 "$base"
	mkdir -p "$base/alice/shop" "$base/bob" "$base/checkout"
	tree=$base/alice/shop
	export HOME=$base/alice
	unset XDG_RUNTIME_DIR XDG_STATE_HOME
	cp "$SBX" "$base/sbx"
	SBX=$base/sbx
	runs=()
	XDG_STATE_HOME=$base/alice/.state
	export XDG_STATE_HOME
	mkdir "$XDG_STATE_HOME"
	cd "$tree" || return 1
}

teardown() {
	"$SBX" rm --all --force
	wait "${runs[@]}"
	cd / && rm -rf "$base"
}

# elsewhere STATUS WORD…: sbx as the other user, in the other checkout.
elsewhere() {
	local wanted=$1 got=0
	shift
	local who=()
	if [[ $(id -u) = 0 ]]; then
		chown -R nobody:nogroup "$base/bob" "$base/checkout"
		who=(setpriv --reuid nobody --regid nogroup --clear-groups)
	fi
	output=$(cd "$base/checkout" && "${who[@]}" env -i PATH="$PATH" HOME="$base/bob" TERM=dumb LC_ALL=C.UTF-8 SHELL=/bin/sh \
		${SBX_UPPER:+SBX_UPPER="$SBX_UPPER"} "$SBX" "$@" 2>&1) || got=$?
	printf '$ sbx %s\n%s\n' "$*" "$output"
	assert_same "$wanted" "$got"
}

# keep NAME SCRIPT: a kept worker.
keep() {
	run_sbx 0 run --keep --name "$1" -- sh -c "$2"
}

@test "bundle: what a worker changed is there again at its paths, for another user, HOME and checkout" {
	echo old >changed; echo gone >removed; mkdir opaque; echo below >opaque/below; mkdir kept; echo kept >kept/kept
	sqlite3 TestDb.db 'CREATE TABLE Orders(Id INTEGER PRIMARY KEY, Item TEXT)'
	cp -r . "$base/checkout/"
	keep red '
		echo new >changed; rm removed; rm -r opaque; mkdir opaque; echo above >opaque/above
		mkdir -p deep/er; echo x >deep/er/x; chmod 750 deep; printf "#!/bin/sh\n" >run.sh; chmod 755 run.sh
		ln -s deep/er link; echo one >one; ln one two; mkfifo pipe; truncate -s 300M sparse; echo end >>sparse
		python3 -c "import os; os.setxattr(\"one\", \"user.note\", b\"of the worker\"); os.mkdir(b\"odd\\xff\\n\"); open(b\"odd\\xff\\n/f\", \"w\").write(\"odd\")"
		touch -d 2001-02-03T04:05:06.123456789Z one; mkdir closed; echo c >closed/c; chmod 0 closed
		sqlite3 TestDb.db "INSERT INTO Orders(Item) VALUES (\"of the worker\")"
		echo cache >"$HOME/.cache-of-it"'
	run_sbx 0 bundle red "$base/red.sbx"
	chmod 644 "$base/red.sbx"
	run sqlite3 "$base/red.sbx" -At
	assert_has "$output" "files$tree/deep/er/x"
	assert_has "$output" "logs/main"
	rm -rf "$base/alice/shop" # nothing of it is needed
	elsewhere 0 replay "$base/red.sbx" -- sh -ec '
		pwd; echo "$HOME"; cat changed; ls opaque removed || true; cat kept/kept deep/er/x; stat -c "%n %a" deep run.sh closed
		readlink link; stat -c "%n %h %y" one; test -p pipe; stat -c %s sparse; test "$(stat -c %b sparse)" -lt 100; tail -c 4 sparse
		python3 -c "import os; print(os.getxattr(\"one\", \"user.note\").decode(), open(b\"odd\\xff\\n/f\").read())"
		chmod 700 closed; cat closed/c; sqlite3 TestDb.db "SELECT Item FROM Orders"; cat "$HOME/.cache-of-it"'
	assert_same "$tree
$base/alice
new
ls: cannot access 'removed': No such file or directory
opaque:
above
kept
x
deep 750
run.sh 755
closed 0
deep/er
one 2 2001-02-03 04:05:06.123456789 +0000
$((300 * 1024 * 1024 + 4))
end
of the worker odd
c
of the worker
cache" "$(grep -v '^\$ sbx\|^sbx: what was run' <<<"$output")"
	assert_same .local "$(find "$base/bob" -mindepth 1 -maxdepth 1 -printf '%P\n')"
	assert_same "" "$(find "$base/bob/.local/state/sbx/uppers" "$base/bob/.local/state/sbx/run" -mindepth 1 2>/dev/null)"
}

@test "bundle: the same worker makes the same bytes, as large as what was changed" {
	head -c 20M /dev/urandom >large
	keep red 'echo small >small'
	run_sbx 0 bundle red "$base/a.sbx"
	run_sbx 0 bundle red "$base/b.sbx"
	cmp "$base/a.sbx" "$base/b.sbx"
	[[ $(stat -c %s "$base/a.sbx") -lt 100000 ]]
}

@test "bundle: rows of a live worker's write-ahead log are in it" {
	sqlite3 TestDb.db 'PRAGMA journal_mode=WAL; CREATE TABLE Orders(Item TEXT)'
	start_worker api -- sh -c 'sqlite3 TestDb.db "INSERT INTO Orders VALUES (1)" ".shell touch ready; exec sleep 60"'
	wait_for "$SBX" exec api test -e ready
	run_sbx 0 bundle api "$base/api.sbx"
	run_sbx 0 kill api
	cp -r . "$base/checkout/"
	elsewhere 0 replay "$base/api.sbx" -- sqlite3 TestDb.db 'SELECT count(*) FROM Orders; PRAGMA integrity_check'
	assert_has "$output" $'1\nok'
}

@test "bundle: variables that may be credentials are left out and named, and come back with -e" {
	run_sbx 0 run --keep --name red -e SHOP_PASSWORD=hunter2 -e COLOUR=blue -- true
	run_sbx 0 bundle red "$base/red.sbx"
	assert_has "$output" "SHOP_PASSWORD"
	run sqlite3 "$base/red.sbx" "SELECT sqlar_uncompress(data, sz) FROM sqlar WHERE name = 'bundle.json'"
	[[ $output != *hunter2* ]]
	assert_has "$output" '"environment_filtered":["SHOP_PASSWORD"]'
	elsewhere 0 replay "$base/red.sbx" -e SHOP_PASSWORD=other -- sh -c 'echo "$COLOUR $SHOP_PASSWORD $HOME"'
	assert_has "$output" "blue other $base/alice"
}

@test "replay: its own command again without another, its status, --shell, and what contradicts" {
	keep red 'echo again; exit 0'
	run_sbx 0 bundle red "$base/red.sbx"
	elsewhere 0 replay "$base/red.sbx"
	assert_has "$output" "again"
	elsewhere 7 replay "$base/red.sbx" -- sh -c 'exit 7'
	elsewhere 3 replay --shell "$base/red.sbx" <<<'exit 3'
	elsewhere 125 replay "$base/red.sbx" --check -- true
	elsewhere 125 replay "$base/nothing.sbx"
	assert_has "$output" "No such file"
}

@test "replay: a bundle gets nothing from the host: no volume, no network, nothing of the user's credentials" {
	mkdir -p "$base/bob/.ssh" "$base/bob/.config/gh" "$base/out"
	chmod 777 "$base/out"
	echo secret >"$base/bob/.ssh/id"; echo secret >"$base/bob/.config/gh/hosts.yml"; echo secret >"$base/bob/visible"
	run_sbx 0 run --keep --name red -v "$base/out:$base/out:rw" --seccomp off -- sh -c 'mkdir -p ~/.ssh ~/.config/gh; echo x >~/.ssh/x; echo x >~/.config/gh/x'
	run_sbx 0 bundle red "$base/red.sbx"
	# As somebody would make it who wants to see them.
	python3 - "$base/red.sbx" "files$base/alice" <<'PYTHON'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
for name in '.ssh', '.config', '.config/gh':
    db.execute("INSERT OR IGNORE INTO sqlar VALUES (?, 16877, 0, 0, NULL)", (f"{sys.argv[2]}/{name}",))
    db.execute("INSERT OR IGNORE INTO sbx_entry VALUES (?, 'directory', 0, 0, NULL, 0)", (f"{sys.argv[2]}/{name}",))
db.commit()
PYTHON
	elsewhere 0 replay "$base/red.sbx" -- sh -c "cat ~/visible; cat ~/.ssh/id ~/.config/gh/hosts.yml $base/bob/.ssh/id; echo x >$base/out/x; grep Seccomp: /proc/self/status"
	assert_same 1 "$(grep -c secret <<<"$output")"
	assert_has "$output" "not taken from the bundle; -v DIR:TARGET:O has a directory of yours there: the volume at $base/out"
	assert_has "$output" "Seccomp:	2"
	[[ ! -e $base/out/x ]]
}

@test "replay: credentials stay hidden where symbolic links lead, and in a tree that is HOME, even without a HOME" {
	mkdir -p "$base/bob/dot/ssh" "$base/bob/dot/config/gh" "$base/bob/.aws"
	echo secret >"$base/bob/dot/ssh/id"; echo secret >"$base/bob/dot/config/gh/hosts.yml"; echo secret >"$base/bob/.aws/credentials"
	echo seen >"$base/bob/seen"
	ln -s "$base/bob/dot/ssh" "$base/bob/.ssh"
	ln -s "$base/bob/dot/config" "$base/bob/.config"
	keep red true
	run_sbx 0 bundle red "$base/red.sbx"
	elsewhere 0 replay "$base/red.sbx" -- sh -c "cat ~/seen; cat ~/dot/ssh/* ~/dot/config/gh/* ~/.aws/* ~/.ssh/* $base/bob/dot/ssh/*; true"
	assert_has "$output" "seen"
	assert_same 0 "$(grep -c ^secret <<<"$output")"
	elsewhere 0 replay -C "$base/bob" "$base/red.sbx" -- sh -c "cat seen; cat dot/ssh/* dot/config/gh/* .aws/*; true"
	assert_has "$output" "seen"
	assert_same 0 "$(grep -c ^secret <<<"$output")"
	# As somebody would make it who wants to see them.
	python3 - "$base/red.sbx" "$base/alice" <<'PYTHON'
import sqlite3, sys, zlib
db = sqlite3.connect(sys.argv[1])
data, size = db.execute("SELECT data, sz FROM sqlar WHERE name = 'bundle.json'").fetchone()
data = data if len(data) == size else zlib.decompress(data)
home = b'"home":"%s"' % sys.argv[2].encode()
assert home in data
data = data.replace(home, b'"home":null')
db.execute("UPDATE sqlar SET data = ?, sz = ? WHERE name = 'bundle.json'", (data, len(data)))
db.execute("UPDATE sbx_entry SET size = ? WHERE name = 'bundle.json'", (len(data),))
db.commit()
PYTHON
	elsewhere 0 replay -C "$base/bob" "$base/red.sbx" -- sh -c "cat seen; cat dot/ssh/* dot/config/gh/* .aws/*; true"
	assert_has "$output" "seen"
	assert_same 0 "$(grep -c ^secret <<<"$output")"
	elsewhere 125 replay -C / "$base/red.sbx" -- true
	assert_has "$output" "the root directory cannot be a tree"
}

@test "replay: --copy and databases beside tree and HOME are there again, and a volume over a directory of one's own" {
	local outside
	outside=$(mktemp -d /var/tmp/sbx-outside.XXXXXX)
	mkdir -p copied/a "$base/over" "$base/bob/over"
	chmod 755 "$outside"
	echo one >copied/a/f; echo theirs >"$base/over/lower"; echo mine >"$base/bob/over/lower"
	sqlite3 "$outside/far.db" 'CREATE TABLE t(x)'
	cp -r . "$base/checkout/"
	run_sbx 0 run --keep --name red --copy copied -v "$base/over:/mnt:O" --db "$outside/far.db" -- sh -c "
		mv copied/a copied/b; echo changed >/mnt/changed; sqlite3 $outside/far.db 'INSERT INTO t VALUES (7)'"
	run_sbx 0 bundle red "$base/red.sbx"
	sqlite3 "$outside/far.db" 'INSERT INTO t VALUES (8)'
	elsewhere 0 replay "$base/red.sbx" -- sh -ec "ls copied; cat copied/b/f; mv copied/b copied/c; sqlite3 $outside/far.db 'INSERT INTO t VALUES (9); SELECT group_concat(x) FROM t'; ls -A $outside; ls /mnt"
	assert_has "$output" "b
one
7,9
far.db"
	[[ $output != *"volume at copied"* && $output != *$'\nchanged'* ]]
	assert_has "$output" "the volume at /mnt"
	elsewhere 0 replay "$base/red.sbx" -v "$base/bob/over:/mnt:O" -- sh -c 'cat /mnt/lower /mnt/changed'
	assert_has "$output" "mine
changed"
	[[ $output != *"volume at /mnt"* ]]
	assert_same lower "$(ls "$base/bob/over")"
	assert_same 8 "$(sqlite3 "$outside/far.db" 'SELECT * FROM t')"
	rm -rf "$outside"
	elsewhere 0 replay "$base/red.sbx" -- sqlite3 "$outside/far.db" 'SELECT x FROM t'
	assert_has "$output" 7
}

@test "replay: a world of a bundle is not put back to the tree" {
	keep red true
	run_sbx 0 bundle red "$base/red.sbx"
	"$SBX" replay "$base/red.sbx" -- sleep 60 &
	runs+=($!)
	wait_for "$SBX" exec replay-red true
	run_sbx 125 reset replay-red
	assert_has "$output" "the files of a bundle"
}

@test "reset: more databases than it has notes for are refused" {
	local i databases=()
	sqlite3 d1 'CREATE TABLE t(x)'
	for ((i = 1; i <= 130; i++)); do
		[[ -e d$i ]] || cp d1 "d$i"
		databases+=(--db "d$i")
	done
	"$SBX" run --name many "${databases[@]}" -- sleep 60 &
	runs+=($!)
	wait_for "$SBX" exec many true
	run_sbx 125 reset many
	assert_has "$output" "more than 64 databases"
}

@test "bundle: nothing that the tree brings along runs on the host" {
	mkdir "$base/bin"
	printf '#!/bin/sh\n[ ! -e global.json ] || touch "%s"\necho 10.0.100\n' "$base/evil-sdk" >"$base/bin/dotnet"
	chmod 755 "$base/bin/dotnet"
	export GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=user.name GIT_CONFIG_VALUE_0=test GIT_CONFIG_KEY_1=user.email GIT_CONFIG_VALUE_1=test@localhost
	git init -q; echo '{}' >global.json; echo >app.csproj; git add -A; git commit -qm one
	keep red true
	printf '#!/bin/sh\ntouch "%s"\n' "$base/evil-hook" >.git/hooks/post-index-change
	chmod 755 .git/hooks/post-index-change
	git config core.fsmonitor "touch $base/evil-monitor; false"
	touch -d 2001-01-01 global.json
	PATH=$base/bin:$PATH run_sbx 0 bundle red "$base/red.sbx"
	assert_same "" "$(find "$base" -name 'evil*')"
}

@test "bundle, replay --check: no filter, helper or transport that the tree's git names runs on the host" {
	unset SSH_AUTH_SOCK
	export GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=user.name GIT_CONFIG_VALUE_0=test GIT_CONFIG_KEY_1=user.email GIT_CONFIG_VALUE_1=test@localhost
	git init -q
	local name
	for name in one two three four; do echo "$name" >"$name.txt"; done
	echo lost >lost.txt
	git add -A; git commit -qm one
	evil() { printf 'sh -c "touch %s; exit 1"' "$base/evil-$1"; }
	printf '%s\n' 'one.txt filter=a' 'two.txt filter=b' 'three.txt filter=c=d' 'four.txt diff=e' 'lost.txt text=auto' >.git/info/attributes
	git config filter.a.clean "$(evil clean)"; git config filter.a.smudge "$(evil smudge)"; git config filter.a.required true
	git config filter.b.process "$(evil process)"; git config filter.b.required true
	printf '[filter "c=d"]\n\tclean = touch %s\n' "$base/evil-equals" >>.git/config
	git config diff.e.textconv "$(evil textconv)"; git config diff.e.command "$(evil command)"; git config diff.external "$(evil external)"
	git config core.pager "$(evil pager)"; git config core.editor "$(evil editor)"; git config core.askPass "$base/bin/ask"
	git config core.sshCommand "$(evil ssh)"; git config remote.origin.url ssh://localhost/none; git config remote.origin.promisor true
	git config remote.origin.uploadpack "$(evil upload)"; git config extensions.partialClone origin; git config core.repositoryFormatVersion 1
	git config status.submoduleSummary true; git config core.autocrlf input
	mkdir "$base/hooks"; git config core.hooksPath "$base/hooks"
	printf '#!/bin/sh\ntouch "%s"\n' "$base/evil-hook" >"$base/hooks/post-index-change"; chmod 755 "$base/hooks/post-index-change"
	# Same size, other time, one of them without its object: git has to look into each.
	for name in one two three four lost; do touch -d 2001-01-01 "$name.txt"; done
	name=$(git rev-parse HEAD:lost.txt)
	rm -f ".git/objects/${name:0:2}/${name:2}"
	printf 'tsol\n' >lost.txt
	keep red true
	run_sbx 0 bundle red "$base/red.sbx"
	run_sbx 0 replay "$base/red.sbx" --check
	assert_same "" "$(find "$base" -name 'evil*')"
	# What is asked for is there all the same.
	run sqlite3 "$base/red.sbx" "SELECT sqlar_uncompress(data, sz) FROM sqlar WHERE name = 'bundle.json'"
	assert_has "$output" '"changed":["lost.txt"]'
	# And it is these filters that git would run.
	git status >/dev/null 2>&1 </dev/null || true
	[[ -n $(find "$base" -name 'evil*') ]]
}

@test "replay --check: what differs here, the most important first" {
	export GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=user.name GIT_CONFIG_VALUE_0=test GIT_CONFIG_KEY_1=user.email GIT_CONFIG_VALUE_1=test@localhost
	git init -q; echo '{}' >package-lock.json; git add -A; git commit -qm one
	keep red true
	run_sbx 0 bundle red "$base/red.sbx"
	run_sbx 0 replay "$base/red.sbx" --check
	assert_same "nothing differs that is known to matter" "$output"
	echo '{ }' >package-lock.json
	run_sbx 1 replay "$base/red.sbx" --check
	assert_has "$output" "tree: here are changes that are not committed: package-lock.json"
	assert_has "$output" "file: package-lock.json is another one here"
	git commit -qam two
	run_sbx 1 replay "$base/red.sbx" --check
	[[ ${lines[0]:-$output} == "tree: it was commit"* ]]
}

@test "replay --check: bundles that lie in the checkout are no change of it" {
	export GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=user.name GIT_CONFIG_VALUE_0=test GIT_CONFIG_KEY_1=user.email GIT_CONFIG_VALUE_1=test@localhost
	git init -q; echo one >one; git add -A; git commit -qm one
	keep red true
	run_sbx 0 bundle red red.sbx
	mkdir sbx-bundles
	run_sbx 0 bundle red sbx-bundles/again.sbx
	run_sbx 0 replay red.sbx --check
	assert_same "nothing differs that is known to matter" "$output"
	echo two >sbx-bundles/two
	run_sbx 1 replay red.sbx --check
	assert_same "tree: here are changes that are not committed: sbx-bundles/" "$output"
	sqlite3 -A -c -f other.sbx one # an archive of somebody else
	run_sbx 1 replay red.sbx --check
	assert_has "$output" "other.sbx"
}

@test "bundle: the commit is that of the worker's beginning, and what was written later is told" {
	export GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=user.name GIT_CONFIG_VALUE_0=test GIT_CONFIG_KEY_1=user.email GIT_CONFIG_VALUE_1=test@localhost
	git init -q; echo one >one; echo two >two; git add -A
	GIT_COMMITTER_DATE='2020-01-01T00:00:00Z' git commit -qm one
	local first
	first=$(git rev-parse HEAD)
	keep red true
	echo later >two
	GIT_COMMITTER_DATE='2090-01-01T00:00:00Z' git commit -qam two
	run_sbx 0 bundle red "$base/red.sbx"
	run sqlite3 "$base/red.sbx" "SELECT sqlar_uncompress(data, sz) FROM sqlar WHERE name = 'bundle.json'"
	assert_has "$output" "\"commit\":\"$first\""
	assert_has "$output" "\"commit_bundled\":\"$(git rev-parse HEAD)\""
	assert_has "$output" '"changed_later":["two"]'
	run_sbx 1 replay "$base/red.sbx" --check
	assert_has "$output" "tree: it was commit ${first:0:12}, here is"
	assert_has "$output" "it went from commit ${first:0:12} to"
	assert_has "$output" "written there after the worker began, so it may have seen others: two"
}

# text_of BUNDLE NAME: of a file in it.
text_of() {
	sqlite3 "$1" "SELECT CAST(sqlar_uncompress(data, sz) AS TEXT) FROM sqlar WHERE name = '$2'"
}

@test "bundle: the events of a world and its tests are in it, and nothing of other worlds" {
	printf '%s\n' one two three four >list
	run_sbx 1 test -n 2 --items 'cat list' -- sh -c 'echo x >left-$0; [ $0 != two ]' {}
	local name
	name=$(sed -n 's/^  sbx shell //p' <<<"$output")
	run_sbx 0 bundle "$name" "$base/a.sbx"
	run_sbx 0 bundle "$name" "$base/b.sbx"
	cmp "$base/a.sbx" "$base/b.sbx" # though the run went on after it was kept
	text_of "$base/a.sbx" events.jsonl >"$base/events"
	python3 - "$base/events" <<'PYTHON'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1]) if line.strip()]
kinds = [(line["type"], line.get("event", line.get("line", {}).get("event"))) for line in lines]
assert kinds[0] == ("run", "begin"), kinds
for wanted in ("world", "freeze"), ("world", "ready"), ("world", "lease"), ("runner", "end"), ("changes", None):
    assert wanted in kinds, (wanted, kinds)
red = [line["line"] for line in lines if line["type"] == "runner" and line["line"]["title"] == "two"]
assert len(red) == 1 and not red[0]["ok"], red
world = red[0]["slot"]
assert {line.get("worker", line.get("line", {}).get("slot", world)) for line in lines} <= {-1, world}, lines
assert all("left-two" in json.dumps(line) or line["test"] != red[0]["id"] for line in lines if line["type"] == "changes")
PYTHON
	# A worker that is of no run has none, and is a bundle all the same.
	keep alone true
	run_sbx 0 bundle alone "$base/alone.sbx"
	assert_same "" "$(sqlite3 "$base/alone.sbx" "SELECT name FROM sqlar WHERE name LIKE 'events%'")"
	elsewhere 0 replay "$base/a.sbx" -- cat left-two
}

@test "bundle: a worker that began from a seed is whole elsewhere, and diff tells what came after the seed" {
	sqlite3 TestDb.db 'CREATE TABLE Orders(Id INTEGER PRIMARY KEY, Item TEXT)'
	echo of-the-tree >shared; echo gone >gone; mkdir kept; echo kept >kept/kept
	cp -r . "$base/checkout/"
	run_sbx 0 seed create ready -- sh -c '
		echo of-the-seed >shared; rm gone; echo seeded >seeded; echo other >dropped; head -c 3000000 /dev/urandom >large
		sqlite3 TestDb.db "INSERT INTO Orders(Item) VALUES (1)"; echo h >~/of-home; mkdir -p deep/er; echo d >deep/er/d'
	run_sbx 0 run --keep --name red --seed ready -- sh -c '
		echo of-the-worker >shared; rm dropped; echo new >new; sqlite3 TestDb.db "INSERT INTO Orders(Item) VALUES (2)"'
	run_sbx 0 diff red
	local wanted=$output
	run_sbx 0 bundle red "$base/red.sbx"
	# What is in it twice takes its room once.
	[[ $(stat -c %s "$base/red.sbx") -lt 4000000 ]]
	run_sbx 0 bundle red "$base/again.sbx"
	cmp "$base/red.sbx" "$base/again.sbx"
	run_sbx 0 seed rm ready
	chmod 644 "$base/red.sbx"
	elsewhere 0 replay "$base/red.sbx" -- sh -c '
		cat shared seeded new ~/of-home deep/er/d kept/kept; ls gone dropped; stat -c %s large
		sqlite3 TestDb.db "SELECT group_concat(Item) FROM Orders"'
	assert_has "$output" "of-the-worker
seeded
new
h
d
kept
ls: cannot access 'gone': No such file or directory
ls: cannot access 'dropped': No such file or directory
3000000
1,2"
	"$SBX" replay "$base/red.sbx" -- sleep 60 &
	runs+=($!)
	wait_for "$SBX" exec replay-red true
	run_sbx 0 diff replay-red
	assert_same "$wanted" "$output"
	assert_has "$output" "C $tree/shared"
	[[ $output != *seeded* && $output != *large* && $output != *gone* ]]
	run_sbx 0 db diff replay-red
	assert_has "$output" "2"
	assert_has "$output" "1 inserted, 0 updated, 0 deleted (against the seed)"
	# And a bundle of that is one of the same.
	run_sbx 0 bundle replay-red "$base/third.sbx"
	kill "$!"
	wait "$!" || true
	"$SBX" replay "$base/third.sbx" -- sleep 60 &
	runs+=($!)
	wait_for "$SBX" exec replay-replay-red true
	run_sbx 0 diff replay-replay-red
	assert_same "$wanted" "$output"
}

@test "bundle: a file that is there is not written over without --force" {
	keep red 'echo x >x'
	echo mine >red.sbx
	run_sbx 125 bundle red red.sbx
	assert_has "$output" "cannot write the bundle 'red.sbx': there is a file of that name"
	assert_has "$output" "--force"
	assert_same mine "$(<red.sbx)"
	ln -s nowhere link.sbx
	run_sbx 125 bundle red link.sbx
	assert_same nowhere "$(readlink link.sbx)"
	assert_same "" "$(find . -name '.sbx-*')"
	run_sbx 0 bundle red red.sbx --force
	assert_same "SQLite format 3" "$(head -c 15 red.sbx)"
}

# refused NAME SQL CAUSE: a bundle changed in this way is refused, by name, and nothing is written anywhere else.
refused() {
	cp "$base/good.sbx" "$base/bad.sbx"
	sqlite3 "$base/bad.sbx" "$2"
	echo "--- $1"
	elsewhere 125 replay "$base/bad.sbx" -- true
	assert_has "$output" "$3"
	assert_same "" "$(find "$base" -name 'evil*' ! -path '*/good.sbx')"
	assert_same "" "$(find "$base/bob/.local/state/sbx/uppers" -mindepth 1 2>/dev/null)"
}

@test "replay: a bundle that is not as sbx makes them is refused by name, and nothing is written outside" {
	keep red 'echo f >f; mkdir d; ln -s / l; head -c 100 /dev/zero >z; truncate -s 1M sparse; echo >>sparse'
	run_sbx 0 bundle red "$base/good.sbx"
	local f="files$tree/f" prefix="files$tree"
	insert() {
		echo "INSERT INTO sqlar VALUES ('$1', $2, 0, ${4:-0}, ${5:-NULL}); INSERT INTO sbx_entry VALUES ('$1', '$3', 0, ${4:-0}, ${6:-NULL}, 0);"
	}
	refused dots "$(insert "$prefix/../../../../../evil" 33188 file 0 "x''")" "leads out of the bundle"
	refused absolute "$(insert "$base/evil" 33188 file 0 "x''")" "leads out of the bundle"
	refused empty "$(insert "$prefix//evil" 33188 file 0 "x''")" "leads out of the bundle"
	refused symlink "$(insert "$prefix/l$base/evil" 33188 file 0 "x''")" "no directory"
	refused into-file "$(insert "$prefix/f/evil" 33188 file 0 "x''")" "no directory"
	refused device "$(insert "$prefix/evil" 25008 file 0 "x''")" "it is a device"
	refused character "$(insert "$prefix/evil" 8630 file 0 "x''")" "it is a device"
	refused setuid "UPDATE sqlar SET mode = 35309 WHERE name = '$f'" "setuid"
	refused setgid "UPDATE sqlar SET mode = 34285 WHERE name = '$f'" "setuid or setgid"
	refused two-types "UPDATE sqlar SET mode = 16877 WHERE name = '$f'" "two types"
	refused foreign-row "INSERT INTO sqlar VALUES ('$prefix/evil', 33188, 0, 0, x'')" "not said what it is"
	refused huge "UPDATE sbx_entry SET size = 1 << 50 WHERE name = '$prefix/sparse'" "64 GiB"
	refused outside-piece "UPDATE sbx_piece SET offset = 1 << 40" "elsewhere than in it"
	refused bomb "UPDATE sqlar SET sz = 60000000 WHERE name = '$prefix/z'" "not as large as it says"
	refused liar "UPDATE sqlar SET sz = 60000000 WHERE name = '$prefix/z'; UPDATE sbx_entry SET size = 60000000 WHERE name = '$prefix/z'" "not as large as it says"
	refused attribute "INSERT INTO sbx_attribute VALUES ('$prefix/d', 'user.overlay.redirect', x'2f')" "attribute"
	refused trusted "INSERT INTO sbx_attribute VALUES ('$f', 'security.capability', x'01')" "attribute"
	refused hard-link "$(insert "$prefix/evil" 33188 same 0 NULL "'../../etc/passwd'")" "is no name"
	refused hard-link-through "$(insert "$prefix/zz" 33188 same 0 NULL "'$prefix/l/etc/passwd'")" "not there"
	refused number "UPDATE sqlar SET mtime = 'never' WHERE name = '$f'" "numbers"
	refused trigger "CREATE TRIGGER t AFTER INSERT ON sqlar BEGIN SELECT 1; END" "tables, views or triggers"
	refused view "DROP TABLE sbx_piece; CREATE VIEW sbx_piece AS SELECT name, 0 AS offset, 1 AS sz, data FROM sqlar" "tables, views or triggers"
	refused column "ALTER TABLE sqlar ADD COLUMN evil" "tables, views or triggers"
	# SQLite takes a blob for SQL as well.
	refused blob "CREATE INDEX evil ON sqlar(data, sz); PRAGMA writable_schema = on; UPDATE sqlite_schema SET sql = CAST(sql AS BLOB) WHERE name = 'evil'" "tables, views or triggers"
	refused table "CREATE TABLE evil(x)" "tables, views or triggers"
	refused newer "PRAGMA user_version = 99" "newer version of sbx"
	refused other "PRAGMA application_id = 1" "no bundle of sbx"
	refused wal "PRAGMA journal_mode = wal; PRAGMA user_version = 1" "header is none of a bundle"
	refused no-description "DELETE FROM sqlar WHERE name = 'bundle.json'" "bundle.json"
	refused bad-description "UPDATE sqlar SET data = x'7b', sz = 1 WHERE name = 'bundle.json'; UPDATE sbx_entry SET size = 1 WHERE name = 'bundle.json'" "cannot"
	local path
	for path in / /proc /usr /etc/x relative; do
		refused "tree $path" "UPDATE sqlar SET data = CAST(replace(CAST(sqlar_uncompress(data, sz) AS TEXT), '\"tree\":\"$tree\"', '\"tree\":\"$path\"') AS BLOB) WHERE name = 'bundle.json'; UPDATE sqlar SET sz = length(data) WHERE name = 'bundle.json'; UPDATE sbx_entry SET size = (SELECT sz FROM sqlar WHERE name = 'bundle.json') WHERE name = 'bundle.json'" "such a path"
	done
	local size
	for size in 0 50 5000 12288; do
		head -c "$size" "$base/good.sbx" >"$base/bad.sbx"
		elsewhere 125 replay "$base/bad.sbx" -- true
		assert_has "$output" "cannot read the bundle"
	done
	elsewhere 0 replay "$base/good.sbx" -- cat f
}

@test "bundle: what a killed one left beside is removed by the next, what another is writing is not" {
	keep red true
	: >.sbx-1.part
	: >.sbx-2.part
	mkdir -p "$XDG_STATE_HOME/sbx/uppers/2qb9a1ddsk"
	(
		flock -n 9
		run_sbx 0 bundle red red.sbx
		assert_same ".sbx-2.part" "$(find . -name '.sbx-*' -printf '%P\n')"
	) 9<.sbx-2.part
	assert_same "" "$(find "$XDG_STATE_HOME/sbx/uppers" -mindepth 1)"
}

# points COMMAND…: its system calls in their order, as "NAME COUNT": the first, second, … of that name. A sample of them that
# differs from time to time (its seed is printed; SBX_KILL_SEED=N repeats it), all of them with SBX_KILL_ALL=1.
points() {
	local step=${SBX_KILL_ALL:+1} seed=${SBX_KILL_SEED:-$RANDOM}
	strace -qq -o "$base/calls" "$@" >/dev/null 2>&1
	step=${step:-$(($(wc -l <"$base/calls") / 25 + 1))}
	printf '# seed %s\n' "$seed" >&3
	awk -v step="$step" -v first=$((seed % step)) '
		{ sub(/\(.*/, "") } !/^[a-z0-9_]+$/ { next } { count[$0]++ }
		$0 !~ /^(execve|exit_group|exit)$/ && n++ % step == first { print $0, count[$0] }' "$base/calls"
}

# nothing_half: what was killed left nothing that is taken for a bundle, and the next command removes the rest.
nothing_half() {
	local file
	for file in "$base"/out/*.sbx; do
		[[ ! -e $file ]] || cmp "$file" "$base/whole.sbx"
	done
	rm -f "$base"/out/*.sbx
}

@test "bundle: killed at its system calls, it leaves nothing that is taken for a bundle, and the next removes the rest" {
	sqlite3 TestDb.db 'CREATE TABLE Orders(Item TEXT)'
	keep red 'sqlite3 TestDb.db "INSERT INTO Orders VALUES (1)"; echo new >new; mkdir d; echo x >d/x'
	run_sbx 0 bundle red "$base/whole.sbx"
	mkdir "$base/out"
	local name count
	points "$SBX" bundle red "$base/out/first.sbx" >"$base/points"
	nothing_half
	[[ $(wc -l <"$base/points") -ge 15 ]]
	while read -r name count; do
		run strace -qq -o /dev/null -e "inject=$name:signal=KILL:when=$count" "$SBX" bundle red "$base/out/killed.sbx"
		echo "$name $count: $status"
		nothing_half
	done <"$base/points"
	# Its world ends by itself, and with it whoever is in the kept worker.
	wait_for "$SBX" bundle --force red "$base/out/last.sbx"
	cmp "$base/out/last.sbx" "$base/whole.sbx"
	assert_same last.sbx "$(ls -A "$base/out")"
	assert_same "" "$(find "$XDG_STATE_HOME/sbx/uppers" "$XDG_STATE_HOME/sbx/run" -mindepth 1 2>/dev/null)"
}

@test "replay: killed at its system calls, it leaves the bundle as it was, and the next removes the rest" {
	keep red 'echo new >new; mkdir d; echo x >d/x'
	run_sbx 0 bundle red "$base/whole.sbx"
	mkdir "$base/out"
	cp "$base/whole.sbx" "$base/out/red.sbx"
	local name count
	points "$SBX" replay "$base/out/red.sbx" -- true >"$base/points"
	[[ $(wc -l <"$base/points") -ge 15 ]]
	while read -r name count; do
		run strace -qq -o /dev/null -e "inject=$name:signal=KILL:when=$count" "$SBX" replay "$base/out/red.sbx" -- true
		echo "$name $count: $status"
		cmp "$base/out/red.sbx" "$base/whole.sbx"
	done <"$base/points"
	is_clean() {
		"$SBX" replay "$base/out/red.sbx" -- cat new &&
			[[ -z $(find "$XDG_STATE_HOME/sbx/uppers" "$XDG_STATE_HOME/sbx/run" -mindepth 1 2>/dev/null) ]]
	}
	wait_for is_clean
	assert_same red.sbx "$(ls -A "$base/out")"
	[[ ! -e new ]]
}

@test "bundle, replay: a full disk is told by name, wherever it is met, and nothing is left" {
	sqlite3 TestDb.db 'CREATE TABLE Orders(Item TEXT)'
	keep red 'head -c 3000000 /dev/urandom >large; sqlite3 TestDb.db "INSERT INTO Orders VALUES (1)"'
	run_sbx 0 bundle red "$base/whole.sbx"
	mkdir "$base/out"
	full() {
		local call=$1 when=$2
		shift 2
		run strace -f -qq -o "$base/calls" -e "trace=$call" -e "inject=$call:error=ENOSPC:when=$when" "$SBX" "$@"
		printf '%s %s: %s %s\n' "$call" "$when" "$status" "$output"
		grep -q INJECTED "$base/calls"
		assert_same 125 "$status"
		[[ $output == *"cannot "*"no space is left"* || $output == *"cannot "*"No space left"* || $output == *"cannot "*"layer is full"* ]]
		assert_same "" "$(ls -A "$base/out")"
		assert_same "" "$(find "$XDG_STATE_HOME/sbx/uppers" "$XDG_STATE_HOME/sbx/run" -mindepth 1 2>/dev/null)"
	}
	full pwrite64 5 bundle red "$base/out/red.sbx"
	full pwrite64 40+ bundle red "$base/out/red.sbx"
	full fsync 1 bundle red "$base/out/red.sbx"
	# Where files are copied out of the world.
	run bash -c 'ulimit -f 2000; exec "$@"' - "$SBX" bundle red "$base/out/red.sbx"
	assert_same 125 "$status"
	assert_has "$output" "large': File too large"
	assert_same "" "$(ls -A "$base/out")"
	assert_same "" "$(find "$XDG_STATE_HOME/sbx/uppers" "$XDG_STATE_HOME/sbx/run" -mindepth 1 2>/dev/null)"
	# With layers on disk files are cloned or copied by the kernel.
	full pwrite64,copy_file_range 1+ replay "$base/whole.sbx" -- true
	SBX_UPPER=tmpfs run_sbx 125 replay "$base/whole.sbx" --size 1m -- true
	assert_has "$output" "layer is full: it holds 1.0 MiB"
	SBX_UPPER=tmpfs run_sbx 0 replay "$base/whole.sbx" --size 8m -- true
	mkdir "$base/scratch"
	run_sbx 0 replay "$base/whole.sbx" --scratch "$base/scratch" -- true
	assert_same "" "$(ls -A "$base/scratch")"
	run bash -c 'ulimit -f 2000; trap "" XFSZ; exec "$@"' - "$SBX" replay "$base/whole.sbx" -- true
	assert_same 125 "$status"
	assert_has "$output" "large': File too large"
	assert_same "" "$(find "$XDG_STATE_HOME/sbx/uppers" "$XDG_STATE_HOME/sbx/run" -mindepth 1 2>/dev/null)"
}

@test "bundle: a target that cannot be written leaves nothing, and the file before it stays" {
	keep red true
	run_sbx 125 bundle red "$base/none/red.sbx"
	mkdir "$base/is-a-directory.sbx"
	run_sbx 125 bundle red "$base/is-a-directory.sbx"
	assert_same "" "$(find "$base" -maxdepth 1 -name '.sbx-*')"
	assert_same "" "$(find "$XDG_STATE_HOME/sbx/uppers" -mindepth 1)"
	run_sbx 125 bundle nobody-of-that-name "$base/x.sbx"
	[[ ! -e $base/x.sbx ]]
}

@test "replay: of a list the red item alone, in its directory, with what it failed on" {
	mkdir sub
	printf '#!/bin/sh\necho "item $1 of $PWD"\n[ "$1" != b ] || [ -e fixed ]\n' >sub/check
	chmod 755 sub/check
	cp -r . "$base/checkout/"
	run_sbx 1 test -w "$tree/sub" -n 2 --bundle=failed --bundle-dir "$base/bundles" --items 'printf "a\nb\nc\n"' -- ./check {}
	assert_has "$output" "sbx replay '$base/bundles/item-2.sbx'"
	[[ $output != *"item-2.sbx' --shell"* ]]
	chmod -R a+rX "$base/bundles"
	elsewhere 1 replay "$base/bundles/item-2.sbx"
	assert_has "$output" "running: ./check b"
	assert_has "$output" "item b of $tree/sub"
	[[ $output != *"item a"* ]]
	elsewhere 0 replay "$base/bundles/item-2.sbx" -- sh -c "cd $tree/sub && touch fixed && ./check b"
}

@test "replay: of Jest and Vitest the red test alone, with what earlier ones left" {
	mkdir jest vitest
	echo '{}' >package.json
	# The second test is red by the first one's row, which global setup would do away with.
	cat >rows.cjs <<'ROWS'
const fs = require('node:fs');
exports.define = test => {
	test('leaves a row', () => fs.appendFileSync('rows', 'row\n'));
	test('finds (none)', () => { if (fs.existsSync('rows')) throw new Error('there are rows'); });
};
ROWS
	echo "require('../rows.cjs').define(test);" >jest/rows.test.js
	echo "test('is fine', () => {});" >jest/fine.test.js
	echo "import { test } from 'vitest'; import rows from '../rows.cjs'; rows.define(test);" >vitest/rows.test.js
	echo "import { test } from 'vitest'; test('is fine', () => {});" >vitest/fine.test.js
	echo "module.exports = () => require('node:fs').rmSync('rows', { force: true });" >setup.cjs
	cp -r "$RUNNERS/node_modules" node_modules
	cp -r . "$base/checkout/"
	run_sbx 1 test -n 2 --bundle=failed --bundle-dir "$base/jest" -- npx jest jest --globalSetup ./setup.cjs
	assert_has "$output" "sbx replay '$base/jest/jest-rows.test.js.sbx'"
	[[ $output != *"the end of the run"* ]]
	chmod -R a+rX "$base/jest"
	elsewhere 1 replay "$base/jest/jest-rows.test.js.sbx"
	assert_has "$output" "--runTestsByPath $tree/jest/rows.test.js"
	assert_has "$output" "there are rows"
	assert_has "$output" "Tests:       1 failed, 1 skipped, 2 total"
	elsewhere 0 replay "$base/jest/jest-rows.test.js.sbx" -- sh -c "rm rows && npx jest --runTestsByPath jest/rows.test.js -t finds"
	run_sbx 1 test -n 2 --bundle=failed --bundle-dir "$base/vitest" -- npx vitest run --pool=forks --dir vitest
	chmod -R a+rX "$base/vitest"
	NO_COLOR=1 elsewhere 1 replay "$base/vitest/vitest-rows.test.js.sbx"
	assert_has "$output" "--no-file-parallelism"
	assert_has "$output" "there are rows"
	[[ $output == *"1 failed"*"1 skipped"* && $output != *"fine.test.js"* ]]
}

@test "replay: Jest of one world, whose tests nobody hears, runs its files one at a time" {
	mkdir jest
	echo '{}' >package.json
	# Which of two meet in one world, fail.
	echo "const fs = require('node:fs'); exports.check = async () => { fs.mkdirSync('busy'); await new Promise(done => setTimeout(done, 300)); fs.rmdirSync('busy'); if (fs.existsSync('red')) throw new Error('it is red'); };" >alone.cjs
	for name in one two three; do
		echo "const { check } = require('../alone.cjs'); test('$name', check);" >"jest/$name.test.js"
	done
	cp -r "$RUNNERS/node_modules" node_modules
	cp -r . "$base/checkout/"
	: >red
	run_sbx 1 test -n 1 --bundle=failed --bundle-dir "$base/jest" -- npx jest jest -w 1
	chmod -R a+rX "$base/jest"
	elsewhere 0 replay "$base/jest/the-end.sbx"
	assert_has "$output" "--runInBand"
	assert_has "$output" "3 passed"
}

# write_suite: a suite whose second test fails only because of the rows that the first one leaves.
write_suite() {
	mkdir tests
	cat >playwright.config.js <<'CONFIG'
const { defineConfig } = require('@playwright/test');
module.exports = defineConfig({
	testDir: './tests', workers: 1, reporter: 'list', use: { trace: 'on' }, globalSetup: './setup.js', projects: [{ name: 'the shop' }],
	webServer: { name: 'shop', command: 'exec node server.js', url: 'http://localhost:4444/' },
});
CONFIG
	cat >setup.js <<'SETUP'
const { execFileSync } = require('node:child_process');
module.exports = () => execFileSync('sqlite3', ['shop.db', 'DELETE FROM Orders']);
SETUP
	cat >server.js <<'SERVER'
const { execFileSync } = require('node:child_process');
require('node:http').createServer((request, response) => {
	const sql = request.method === 'POST' ? "INSERT INTO Orders(Item) VALUES('x')" : 'SELECT count(*) FROM Orders';
	response.end(execFileSync('sqlite3', ['-cmd', '.timeout 5000', 'shop.db', sql]));
}).listen(4444, '127.0.0.1');
SERVER
	cat >tests/orders.spec.js <<'SPEC'
const { test, expect } = require('@playwright/test');
const ask = method => fetch('http://localhost:4444/orders', { method }).then(answer => answer.text());
test('orders something', async () => { await ask('POST'); await ask('POST'); });
test('nothing is ordered yet', async () => { expect((await ask('GET')).trim()).toBe('0'); });
test('another one', async () => { await ask('POST'); });
SPEC
	sqlite3 shop.db 'CREATE TABLE Orders(Id INTEGER PRIMARY KEY, Item TEXT)'
	cp -r "$RUNNERS/node_modules" node_modules
}

@test "replay: a test that fails by rows of earlier ones fails the same way elsewhere, and passes without them" {
	write_suite
	cp -r . "$base/checkout/"
	run_sbx 1 test -n 2 --bundle=failed --bundle-dir "$base/bundles" -- npx playwright test
	local bundle=$base/bundles/tests-orders.spec.js-4.sbx
	assert_has "$output" "sbx replay '$bundle'"
	chmod -R a+rX "$base/bundles"
	# Its servers are noted, and open in the kept world as well.
	"$SBX" open "$(sed -n 's/^  sbx shell //p' <<<"$output")" >"$base/open" 2>&1 </dev/null 3>&- &
	runs+=("$!")
	wait_for grep -q http: "$base/open"
	assert_same 2 "$(curl -s "$(grep -o 'http://[^ ]*' "$base/open")/")"
	kill "${runs[@]}"
	rm -rf "$tree/tests" "$tree/node_modules" "$tree/server.js"
	elsewhere 1 replay "$bundle"
	assert_has "$output" 'Received: "2"'
	assert_has "$output" "1 failed"
	assert_has "$output" "Running 1 test using 1 worker"
	# What runs it alone is told, and the trace.
	assert_has "$output" "its trace: sqlite3 $bundle -Ax "
	local line
	elsewhere 0 replay "$bundle" --shell <<<'exit'
	line=$(sed -n 's/^sbx: what was run: //p' <<<"$output")
	elsewhere 0 replay "$bundle" --shell <<<"sqlite3 shop.db 'DELETE FROM Orders' && $line"
	assert_has "$output" "1 passed"
	(cd "$base/bob" && eval "$(sed -n 's/^sbx: its trace: //p' <<<"$output")" && python3 - "files$tree"/test-results/*/trace.zip <<'PYTHON')
import json, sys, zipfile
trace = zipfile.ZipFile(sys.argv[1])
assert trace.testzip() is None
events = [json.loads(line) for name in trace.namelist() if name.endswith(".trace") for line in trace.read(name).splitlines()]
assert any(event.get("type") == "context-options" for event in events), events[:2]
PYTHON
}
