// SPDX-License-Identifier: Apache-2.0
const { test, expect } = require('@playwright/test');
const fs = require('node:fs');
const { order, visit } = require('../shop');

test('a red one', async () => {
	order('red');
	fs.writeFileSync('left-behind', 'by the red one');
	await visit('red');
	expect(1).toBe(2);
});

test('the next one', async () => {
	order('next');
	fs.writeFileSync('left-behind', 'by the next one');
	await visit('next');
});
