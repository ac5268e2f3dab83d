// SPDX-License-Identifier: Apache-2.0
// A config as people have it: one worker, a setup project that logs in, a teardown, retries.
const { defineConfig } = require('@playwright/test');

process.env.FROM_CONFIG = 'yes';

module.exports = defineConfig({
	testDir: './tests',
	fullyParallel: true,
	workers: 1,
	retries: 1,
	reporter: [['list'], ['junit', { outputFile: 'out/junit.xml' }], ['html', { open: 'never' }]],
	webServer: { name: 'shop', command: 'exec node server.js', url: 'http://localhost:' + (process.env.SHOP_PORT || 4444) + '/', env: { MODE: 'e2e' } },
	projects: [
		{ name: 'setup', testMatch: /.*\.setup\.js/, teardown: 'cleanup' },
		{ name: 'cleanup', testMatch: /.*\.teardown\.js/ },
		{ name: 'main', testMatch: /.*\.spec\.js/, dependencies: ['setup'] },
	],
});
