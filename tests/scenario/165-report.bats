#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2154 # for the inner shell; set by the helpers
# What sbx report makes of test runs, looked at by a real browser.
load workers

setup() {
	tree=$(mktemp -d "$BATS_TMPDIR/tree.XXXXXX")
	XDG_STATE_HOME=$(mktemp -d "$BATS_TMPDIR/state.XXXXXX")
	export XDG_STATE_HOME
	unset XDG_RUNTIME_DIR
	PATH=$(dirname "$SBX"):$PATH
	# shellcheck disable=SC2034 # the end of each test waits for them
	runs=()
	cd "$tree" || return 1
	cp -r "$RUNNERS/evidence/." .
	ln -s "$RUNNERS/node_modules" node_modules
	sqlite3 shop.db 'CREATE TABLE Orders(Id INTEGER PRIMARY KEY, Item TEXT)'
}

# report_json PYTHON [OPERAND…]: of the document d that sbx report --format json writes, which fits its schema.
report_json() {
	"$SBX" report "${@:2}" --format json >"$XDG_STATE_HOME/report.json"
	"$BATS_TEST_DIRNAME/check-schema" "$BATS_TEST_DIRNAME/schema/report.json" <"$XDG_STATE_HOME/report.json" || return 1
	python3 -c "import json, sys; d = json.load(open(sys.argv[1])); print($1)" "$XDG_STATE_HOME/report.json"
}

# look FILE SCRIPT: opens it in Chromium with a page that tells each console message, error and request; what the script
# returns is printed.
look() {
	local chromium
	chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || skip "Chromium is missing"
	cat >look.js <<-'LOOK'
		const { chromium } = require('@playwright/test');
		(async () => {
			const [executablePath, file, script] = process.argv.slice(2);
			const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
			const page = await browser.newPage({ viewport: { width: 390, height: 844 } });
			const told = [];
			page.on('console', message => told.push(`console: ${message.text()}`));
			page.on('pageerror', error => told.push(`error: ${error.message}`));
			page.on('dialog', dialog => { told.push('a dialog'); dialog.dismiss(); });
			page.on('request', request => decodeURIComponent(request.url()) === `file://${file}` || told.push(`request: ${request.url()}`));
			await page.goto(require('node:url').pathToFileURL(file).href);
			const result = await new Function('page', `return (async () => { ${script} })()`)(page);
			if (told.length)
				throw new Error(told.join('\n'));
			console.log(typeof result === 'string' ? result : JSON.stringify(result));
			await browser.close();
		})().catch(error => { console.log(error); process.exit(1); });
	LOOK
	run timeout 120 node look.js "$chromium" "$1" "$2"
	echo "$output"
	[[ $status -eq 0 ]]
}

@test "report: the newest run of the tree, a page in the run's directory that needs nothing and holds a red test's own log, rows and files" {
	run_sbx 1 test -n 2 -- npx playwright test
	run_sbx 0 report
	[[ $output == "$XDG_STATE_HOME"/sbx/runs/*/report.html ]]
	look "$output" '
		const text = name => page.locator(name).innerText();
		const red = page.locator("details.red");
		const all = await red.innerText();
		for (const part of ["a red one", "tests/rows.spec.js:6", "w0", "Expected: 2", "sbx shell ", "sbx db shell ", "shop: /red", "left-behind", "Item=red"])
			if (!all.includes(part))
				throw new Error(`lacks ${part}: ${all}`);
		if (all.includes("shop: /next"))
			throw new Error("has the log of another test");
		const lane = await page.locator(".lane").count();
		return [await text("h1"), await red.count(), lane > 2].join("; ");'
	assert_same "1 failed, 1 passed; 1; true" "$output"
	# As it was pasted from the page.
	local shell
	shell=$(report_json 'd["runs"][0]["tests"][0]["tries"][0]["kept"]')
	assert_same "red" "$(echo 'SELECT Item FROM Orders;' | "$SBX" db shell "$shell")"
	[[ -z $(find . -name 'report*.html') ]]
}

@test "report: a real run's worlds start, get ready, run tests, are reset and crash: all of it is on the page" {
	# The test after the red one ends the server.
	sed -i "s|response.end|if (request.url === '/next') process.exit(3); response.end|" server.js
	sed -i "s|await visit('next')|await visit('next').catch(() => {})|" tests/rows.spec.js
	run_sbx 1 test -n 2 --reset worker --keep=never -- npx playwright test
	assert_same "['crash', 'freeze', 'idle', 'lease', 'reset', 'start']" \
		"$(report_json 'sorted({s["kind"] for w in d["runs"][0]["workers"] for s in w["spans"]})')"
	run_sbx 0 report -o page.html
	look "$PWD/page.html" '
		const drawn = [];
		for (const kind of ["start", "ready", "idle", "passed", "failed", "reset", "crash"])
			if (await page.locator(`.timeline .lane rect.${kind}`).count() && await page.locator(`.legend rect.${kind}`).count() === 1)
				drawn.push(kind);
		return drawn.join(" ");'
	assert_same "start ready idle passed failed reset crash" "$output"
}

@test "report: a test's trace is linked, and the link leads to it" {
	run_sbx 1 test -n 2 -- npx playwright test
	mkdir "out of the way"
	run_sbx 0 report -o "out of the way/page.html"
	look "$PWD/out of the way/page.html" '
		const href = await page.locator("details.red a[href$=\"trace.zip\"]").evaluate(link => link.href);
		return decodeURIComponent(new URL(href).pathname);'
	[[ $output == "$tree"/test-results/*/trace.zip && -s $output ]]
}

@test "report: the filter and the keyboard" {
	run_sbx 1 test -n 2 -- npx playwright test
	run_sbx 0 report -o page.html
	look "$PWD/page.html" '
		const rows = () => page.locator(".row:visible").count();
		const seen = [await rows()];
		await page.keyboard.press("/");
		await page.keyboard.type("NEXT w");
		seen.push(await rows(), await page.locator("details.red:visible").count(), await page.innerText("#count"));
		await page.keyboard.press("Escape");
		seen.push(await rows());
		await page.getByLabel("passed 1").uncheck();
		seen.push(await rows());
		await page.keyboard.press("/");
		await page.keyboard.type("there is no such test");
		seen.push(await rows(), await page.isVisible("#none"));
		// A link of the timeline shows what the filter hides.
		await page.evaluate(() => { location.hash = document.querySelector(".lane a").getAttribute("href"); });
		await page.locator(".row").first().waitFor();
		seen.push(await rows());
		await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
		await page.goto(page.url().split("#")[0]);
		await page.keyboard.press("Tab");
		seen.push(await page.evaluate(() => document.activeElement.className));
		return seen;'
	assert_same '[2,1,0,"1 of 2 tests",2,1,0,true,2,"skip"]' "$output"
}

@test "report: what tests and servers wrote is text in the page, whatever it is" {
	cat >tests/rows.spec.js <<-'EOF'
		const { test, expect } = require('@playwright/test');
		test('</script><img src=x onerror=alert(1)> \u001b[31m & "q"', async () => {
			await fetch('http://localhost:4444/%3Cscript%3Ealert(2)');
			expect('<b>\u001b]0;x\u0007').toBe('</pre><script>alert(3)</script>');
		});
	EOF
	sed -i 's|console.log(.*|process.stdout.write(Buffer.from("log <script>alert(4)</script> \\xff\\x1b[2J\\0\\n", "latin1"));|' server.js
	run_sbx 1 test -n 2 -- npx playwright test
	run_sbx 0 report -o page.html
	look "$PWD/page.html" '
		if (await page.locator("img, main script").count())
			throw new Error("markup of a test");
		return (await page.locator("pre.log").innerText()).trim();'
	assert_has "$output" "log <script>alert(4)</script> "
	run grep -c $'\e' page.html
	assert_same 0 "$output"
	run_sbx 0 report --format junit -o junit.xml
	python3 -c 'import xml.etree.ElementTree as e; print(e.parse("junit.xml").getroot().attrib["failures"])'
	assert_same 1 "$(report_json 'd["runs"][0]["outcomes"]["failed"]')"
}

@test "report: shards of several machines make one page, from directories and from JSON" {
	printf "const { test } = require('@playwright/test');\ntest('one more', () => {});\n" >tests/z.spec.js
	run_sbx 1 test -n 1 --shard 1/2 -- npx playwright test
	run_sbx 0 report --format json -o first.json
	# As it was copied from another machine, whose state is not here.
	cp -r "$XDG_STATE_HOME/sbx/runs" "$tree/copied"
	run_sbx 0 test -n 2 --shard 2/2 -- npx playwright test
	cp -r "$XDG_STATE_HOME"/sbx/runs/* "$tree/copied/"
	export XDG_STATE_HOME=$tree/elsewhere
	mkdir "$XDG_STATE_HOME"
	local directories=(copied/*)
	assert_same 2 "${#directories[@]}"
	assert_same "[['1/2', 2], ['2/2', 1]]" "$(report_json '[[r["shard"], len(r["tests"])] for r in d["runs"]]' first.json "${directories[1]}")"
	run_sbx 0 report first.json "${directories[1]}" -o page.html
	look "$PWD/page.html" 'return [await page.innerText("h1"), await page.locator(".run").count()];'
	assert_same '["1 failed, 2 passed",2]' "$output"
	run_sbx 125 report
	assert_has "$output" "there is none"
	run_sbx 125 report no-such-run
	assert_has "$output" "sbx report --list"
	run_sbx 125 report tests
	assert_has "$output" "events.jsonl"
	run_sbx 125 report package.json
}

@test "report: runs are listed, also killed ones, and prune removes the old" {
	run_sbx 1 test -n 2 -- npx playwright test
	run_sbx 0 report --list
	assert_has "$output" "ended"
	run_sbx 0 report --list --format json
	assert_fits report-list
	assert_same "[1, 1, 1]" "$(json '[d[0]["exit_code"], d[0]["passed"], d[0]["failed"]]')"
	local id
	id=$(json 'd[0]["id"]')
	# Its journal ends in the middle of a line.
	sed -i '/"type":"end"/,$d' "$XDG_STATE_HOME/sbx/runs/$id/events.jsonl"
	printf '{"at_ns":17956' >>"$XDG_STATE_HOME/sbx/runs/$id/events.jsonl"
	run_sbx 0 report --list --format json
	assert_same "killed" "$(json 'd[0]["status"]')"
	run_sbx 0 report "${id:0:6}" -o page.html
	run_sbx 0 prune --format json
	assert_same 0 "$(json 'len([r for r in d if r["kind"] == "run"])')"
	touch -d "31 days ago" "$XDG_STATE_HOME/sbx/runs/$id/events.jsonl"
	run_sbx 0 prune --dry-run --format json
	assert_fits prune
	assert_same "$id" "$(json '[r["id"] for r in d if r["kind"] == "run"][0]')"
	run_sbx 0 prune --format json
	assert_same True "$(json '[r["removed"] for r in d if r["kind"] == "run"][0]')"
	run_sbx 0 report --list --format json
	assert_same 0 "$(json 'len(d)')"
}

# times: how many files with the times of items there are.
times() {
	find "$XDG_STATE_HOME/sbx/times" -type f | wc -l
}

@test "prune: how long items took is forgotten with the last run of their tree, or with the tree" {
	mkdir "$tree.other"
	run_sbx 0 test -n 1 --items 'seq 2' -- true {}
	assert_has "$("$SBX" report --list)" "--items seq 2 -- true {}"
	run_sbx 0 test -n 1 --items 'seq 3' -- true {}
	(cd "$tree.other" && run_sbx 0 test -n 1 --items 'seq 2' -- true {})
	assert_same 3 "$(times)"
	run_sbx 0 prune
	assert_same 3 "$(times)"
	rmdir "$tree.other"
	run_sbx 0 prune --dry-run --format json
	assert_fits prune
	assert_same 1 "$(json 'len([r for r in d if r["kind"] == "times" and not r["removed"]])')"
	run_sbx 0 prune
	assert_same 2 "$(times)"
	run_sbx 0 prune --force --dry-run --format json
	assert_same 2 "$(json 'len([r for r in d if r["kind"] == "times"])')"
	assert_same 2 "$(times)"
	run_sbx 0 prune --force
	assert_same 0 "$(times)"
}

@test "report: 3,000 tests are shown and filtered in a moment" {
	mkdir big
	python3 - >big/events.jsonl <<-'EOF'
		import json
		def tell(ms, **line):
		    print(json.dumps({'at_ns': (1795650000000 + ms) * 1000000, **line}))
		tell(0, type='run', event='begin', id='2qa0000001', tree='/srv', command=['npx'], workers=4)
		for i in range(3000):
		    for event in ({'event': 'begin'}, {'event': 'end', 'ok': i % 100 > 0, 'status': 'x'}):
		        tell(i * 100 + 90 * (event['event'] == 'end'), type='runner', line={'type': 'test', 'id': str(i), 'title': f'number {i}', 'file': f'/srv/{i // 50}.js', 'slot': i % 4, 'retry': 0, **event})
		tell(300000, type='run', event='end', exit_code=1)
	EOF
	run_sbx 0 report big -o page.html
	# Work that grows with what is to be seen, not with what there is: of 60 lists few are laid out.
	look "$PWD/page.html" '
		await page.locator("#tests").scrollIntoViewIfNeeded();
		const skipped = await page.evaluate(() => [...document.querySelectorAll("ol.chunk")].filter(list => !list.firstElementChild.checkVisibility({ contentVisibilityAuto: true })).length);
		const wide = await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
		await page.fill("#words", "number 2999");
		return [skipped > 40, wide, await page.locator(".row:visible").count()];'
	assert_same '[true,true,1]' "$output"
}

@test "report: the bundle of a red test's world, and the command that replays it" {
	run_sbx 1 test -n 2 --bundle=failed --bundle-dir bundles -- npx playwright test
	local bundle
	bundle=$(report_json 'd["runs"][0]["tests"][0]["tries"][0]["bundle"]')
	[[ $bundle == "$tree/bundles/"* && -s $bundle ]]
	run_sbx 0 report -o page.html
	run grep -c "sbx replay $tree/bundles/" page.html
	assert_same 1 "$output"
}
