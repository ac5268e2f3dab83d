// SPDX-License-Identifier: Apache-2.0
const { test } = require('@playwright/test');
const { record } = require('../record');

// Long enough to be interrupted. Not endless: a worker that is stopped between its start and its test's start runs the test
// to its end, with Playwright alone as well.
for (let i = 0; i < 3; i++)
	test(`waits ${i}`, async ({}, info) => {
		record(info);
		await new Promise(resolve => setTimeout(resolve, 4000));
	});
