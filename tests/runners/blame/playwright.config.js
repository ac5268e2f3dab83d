// SPDX-License-Identifier: Apache-2.0
// A suite with three leaks: a row, a file, and something that only the server's memory holds.
const { defineConfig } = require('@playwright/test');

module.exports = defineConfig({
	testDir: './tests',
	workers: 1,
	retries: Number(process.env.RETRIES ?? 0),
	reporter: [['list']],
	webServer: { name: 'shop', command: 'exec node server.js', url: 'http://localhost:4444/' },
});
