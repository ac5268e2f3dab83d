// SPDX-License-Identifier: Apache-2.0
// Under the names of Jest's files: what a channel to a test process has to carry, and how each of its ends is seen.
const { fork } = require('node:child_process');
const net = require('node:net');
const path = require('node:path');
const assert = require('node:assert');

const entry = path.join(__dirname, '../../jest-worker/build/processChild.js');
const initial = [0, false, '/jest-runner/build/testWorker.js', []]; // as jest-worker sends it, right after the fork
const next = (child, event) => new Promise(resolve => child.once(event, (...values) => resolve(values)));
const options = { serialization: 'advanced', stdio: ['pipe', 'pipe', 'pipe', 'ipc', 'pipe'], execArgv: ['--no-warnings'] };

(async () => {
	const child = fork(entry, ['an argument'], options);
	let output = '';

	child.send(initial);
	child.stdout.on('data', chunk => { output += chunk; });
	child.stdio[4].on('data', chunk => { output += `fd4:${chunk}`; });
	child.send({ echo: new Map([['big', 2n ** 70n]]), bytes: Buffer.alloc(8 << 20, 7) });
	const [{ echo, bytes, argv, execArgv }] = await next(child, 'message');
	assert.strictEqual(echo.get('big'), 2n ** 70n);
	assert.ok(Buffer.from(bytes).equals(Buffer.alloc(8 << 20, 7)));
	assert.deepStrictEqual(argv, ['an argument']);
	assert.deepStrictEqual(execArgv, ['--no-warnings']);

	const server = net.createServer().listen(0, '127.0.0.1');
	await next(server, 'listening');
	child.send({ handle: true }, server);
	await next(child, 'message');
	const { port } = server.address();
	server.close();
	const answer = await new Promise(resolve => net.connect(port, '127.0.0.1').on('data', data => resolve(String(data))));
	assert.strictEqual(answer, 'from the test process');

	child.send({ say: 'hello' });
	child.disconnect();
	const ended = Promise.all([next(child.stdout, 'end'), next(child.stdio[4], 'end')]);
	assert.deepStrictEqual(await next(child, 'exit'), [9, null]);
	await ended;
	assert.match(output, /hello/);
	assert.match(output, /fd4:and there/);

	const dying = fork(entry, options);
	dying.send(initial);
	dying.send({ die: 'SIGSEGV' });
	assert.deepStrictEqual(await next(dying, 'exit'), [null, 'SIGSEGV']);
	const killed = fork(entry, options);
	killed.send(initial);
	await next(killed, 'spawn');
	killed.kill('SIGTERM');
	assert.deepStrictEqual(await next(killed, 'exit'), [null, 'SIGTERM']);
	console.log('all arrived');
})();
