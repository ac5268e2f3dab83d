// SPDX-License-Identifier: Apache-2.0
'use strict';
const assert = require('node:assert');
const fs = require('node:fs');
const http = require('node:http');

exports.check = async name => {
	const server = http.createServer((request, response) => response.end(name));
	await new Promise((resolve, reject) => server.on('error', reject).listen(4444, '127.0.0.1', resolve));
	try {
		fs.writeFileSync('ledger', name);
		await new Promise(resolve => setTimeout(resolve, 200));
		assert.strictEqual(fs.readFileSync('ledger', 'utf8'), name);
		assert.strictEqual(await (await fetch('http://127.0.0.1:4444')).text(), name);
	} finally {
		server.closeAllConnections();
		server.close();
	}
};
