#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2034,SC2154 # for the inner shell; set by the helpers
# Blame: what each test left behind, files and rows; and what no file and no row shows.
load workers

setup() {
	tree=$(mktemp -d "$BATS_TMPDIR/tree.XXXXXX")
	XDG_STATE_HOME=$(mktemp -d "$BATS_TMPDIR/state.XXXXXX")
	export XDG_STATE_HOME
	unset XDG_RUNTIME_DIR
	PATH=$(dirname "$SBX"):$PATH
	runs=()
	cd "$tree" || return 1
	sqlite3 shop.db 'CREATE TABLE Orders(Id INTEGER PRIMARY KEY, Item TEXT)'
}

use_suite() {
	cp -r "$RUNNERS/blame/." .
	ln -s "$RUNNERS/node_modules" node_modules
}

# left_by TITLE: the lines that say what it left, without the first.
left_by() {
	printf '%s\n' "$output" | sed -n "/left behind by .*$1 (w[0-9]*):/,/^[^ ]/p" | grep '^  ' || true
}

@test "test --blame: a row and a file are blamed on the test that left them, and on no other" {
	use_suite
	for workers in 2 1; do
		run_sbx 1 test --blame --keep=never -n "$workers" -- npx playwright test
		# Its red test begins a new test process, in the same world.
		assert_same "  shop.db Orders: 1 inserted (Id=1)" "$(left_by 'leaves a row')"
		assert_same $'  A uploads\n  A uploads/1.png' "$(left_by 'leaves a file')"
		assert_same $'  shop.db Orders: 1 updated (Id=1)\n  C uploads/1.png' "$(left_by 'changes the row and the file of others')"
		assert_has "$output" "left behind by tests/leaks.spec.js:9 leaves a row (w0):"
		assert_same 3 "$(printf '%s\n' "$output" | grep -c 'left behind by')"
	done
	# For programs.
	events=$(find "$XDG_STATE_HOME" -name events.jsonl | tail -n 1)
	assert_same 6 "$(grep -c '"type":"left"' "$events")"
	grep '"type":"left"' "$events" | /usr/bin/python3 -c '
import json, sys
for line in map(json.loads, sys.stdin):
	for database in line["left"]["databases"]:
		for table in database["tables"]:
			print(line["sequence"], table["name"], [(row["change"], row["after"]["Item"]) for row in table["rows"]])
' >rows
	assert_same "1 Orders [('inserted', 'left')]
5 Orders [('updated', 'changed')]" "$(cat rows)"
}

@test "test --blame --retry-fresh: what only a server's memory holds is in no list; who was there and left nothing is named" {
	use_suite
	run_sbx 1 test --blame --retry-fresh --keep=never -n 2 -- npx playwright test
	assert_same "" "$(left_by 'leaves a mode in memory')"
	assert_has "$output" "passes only when fresh: tests/leaks.spec.js:33 meets the mode"
	# Who left something there is told with what it left, rows as well.
	assert_has "$output" "suspected: tests/leaks.spec.js:28 changes the row and the file of others, which left shop.db Orders: 1 updated (Id=1), C uploads/1.png"
	assert_has "$output" "or: tests/leaks.spec.js:9 leaves a row, which left shop.db Orders: 1 inserted (Id=1)"
	assert_has "$output" "or the memory of a server, changed by one that left nothing to be seen: tests/leaks.spec.js:24 leaves a mode in memory, tests/leaks.spec.js:13 tidies up; sbx test --why tells more"
	# The same on the page, and in the JSON of another machine's shard.
	run_sbx 0 report --format json -o report.json
	"$BATS_TEST_DIRNAME/check-schema" "$BATS_TEST_DIRNAME/schema/report.json" <report.json
	run_sbx 0 report report.json -o page.html
	python3 - page.html <<-'EOF'
		import html.parser, sys
		class Page(html.parser.HTMLParser):
		    sections, at = {}, None
		    def handle_starttag(self, tag, attributes):
		        if tag == 'section':
		            self.at = dict(attributes).get('id', self.at)
		    def handle_data(self, data):
		        self.sections[self.at] = self.sections.get(self.at, '') + ' ' + data.strip()
		page = Page()
		page.feed(open(sys.argv[1]).read())
		for section, part in (('left', 'shop.db Orders: 1 inserted (Id=1)'), ('left', 'A uploads/1.png'), ('left', 'leaves a file'),
		                      ('fresh', 'meets the mode'), ('fresh', 'changes the row and the file of others'), ('fresh', 'leaves a mode in memory')):
		    assert part in page.sections[section], (section, part, page.sections[section])
		assert 'leaves a mode in memory' not in page.sections['left']
	EOF
}

@test "test --blame: of items each command, under the name of its item; what nobody left is said" {
	run_sbx 0 test --blame -n 2 --items 'seq 5' -- sh -c 'case {} in 2) sqlite3 shop.db "INSERT INTO Orders VALUES (7, 0)";; 4) echo >made;; esac'
	assert_same "  shop.db Orders: 1 inserted (Id=7)" "$(left_by 'item . 2')"
	assert_same "  A made" "$(left_by 'item . 4')"
	assert_same 2 "$(printf '%s\n' "$output" | grep -c 'left behind by')"
	run_sbx 0 test --blame -n 2 --items 'seq 3' -- true {}
	assert_has "$output" "no test left a file or a row behind"
}

@test "test --blame: schema, blobs, a database that is made or removed; names of any bytes" {
	run_sbx 0 test --blame -n 1 --items 'seq 4' -- sh -c 'case {} in
		1) sqlite3 shop.db "CREATE TABLE Late(a); INSERT INTO Late VALUES (zeroblob(100000))" ;;
		2) sqlite3 other.db "CREATE TABLE t(a)" ;;
		3) rm other.db ;;
		4) touch "$(printf "a\033[31m\n\377")" ;;
	esac'
	assert_has "$(left_by 'item 1 1')" "shop.db table Late: made"
	assert_has "$(left_by 'item 1 1')" "shop.db Late: 1 inserted (_rowid_=1)"
	assert_has "$(left_by 'item 2 2')" "other.db table t: made"
	assert_has "$(left_by 'item 3 3')" "other.db table t: dropped"
	assert_has "$(left_by 'item 4 4')" 'A a\x1b[31m\n\xff'
}
