// SPDX-License-Identifier: Apache-2.0
const { test, expect } = require('@playwright/test');
const { record } = require('../record');

test.describe.serial('an order', () => {
	let placed = null;

	test('is placed', async ({}, info) => {
		record(info);
		placed = process.pid;
	});

	test('is paid', async ({}, info) => {
		record(info);
		expect(placed).toBe(process.pid);
	});
});
