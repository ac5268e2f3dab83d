// SPDX-License-Identifier: Apache-2.0
// The same suite, with a test that is still at it when the run is ended from outside.
const config = require('./playwright.config.js');

module.exports = { ...config, testMatch: /.*\.slow\.js/, timeout: 0 };
