// SPDX-License-Identifier: Apache-2.0
process.on('message', (message, handle) => {
	if (message.echo)
		process.send({ ...message, argv: process.argv.slice(2), execArgv: process.execArgv });
	if (message.handle) {
		handle.on('connection', connection => connection.end('from the test process', () => handle.close()));
		process.send({});
	}
	if (message.say) {
		console.log(message.say);
		require('node:fs').writeSync(4, 'and there');
	}
	if (message.die)
		process.kill(process.pid, message.die);
});
process.on('disconnect', () => process.exit(9));
