// SPDX-License-Identifier: Apache-2.0
// A suite that writes into one database and one log, for what stays after a run.
const { defineConfig } = require('@playwright/test');

module.exports = defineConfig({
	testDir: './tests',
	workers: 1,
	reporter: [['list'], ['junit', { outputFile: 'out/junit.xml' }], ['html']],
	use: { trace: 'on' },
	webServer: { name: 'shop', command: 'exec node server.js', url: 'http://localhost:4444/' },
});
