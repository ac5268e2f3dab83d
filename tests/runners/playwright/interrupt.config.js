// SPDX-License-Identifier: Apache-2.0
const { defineConfig } = require('@playwright/test');

module.exports = defineConfig({ testDir: './tests', testMatch: /.*\.interrupt\.js/, workers: 1, timeout: 0, fullyParallel: true });
