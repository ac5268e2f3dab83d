// SPDX-License-Identifier: Apache-2.0
const { test: setup } = require('@playwright/test');
const { record } = require('../record');

for (const who of ['customer', 'admin']) {
	setup(`log in as ${who}`, async ({}, info) => {
		process.env.FROM_SETUP = 'token';
		record(info);
	});
}
