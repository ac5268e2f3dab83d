// SPDX-License-Identifier: Apache-2.0
// Tests side by side that write snapshots, coverage and files that nobody asked for.
const config = require('./playwright.config.js');

module.exports = { ...config, testMatch: /.*\.snap\.js/, fullyParallel: true, use: {} };
