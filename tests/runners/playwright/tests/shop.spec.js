// SPDX-License-Identifier: Apache-2.0
const { test, expect } = require('@playwright/test');
const { setTimeout: pause } = require('node:timers/promises');
const fs = require('node:fs');
const { record } = require('../record');

// Four at once prove that four run: each waits until the others have arrived.
for (let i = 1; i <= 4; i++) {
	test(`together ${i}`, async ({}, info) => {
		record(info);
		fs.writeFileSync(`${process.env.RECORD}.together.${i}`, '');
		await expect.poll(() => [1, 2, 3, 4].filter(j => fs.existsSync(`${process.env.RECORD}.together.${j}`)).length, { timeout: 20000 }).toBe(4);
	});
}

test('red at first, green on retry', async ({}, info) => {
	record(info);
	console.log('said on stdout');
	expect(info.retry).toBe(1);
});

test('its process dies at first', async ({}, info) => {
	record(info);
	if (info.retry === 0)
		process.exit(7);
});

test('its process is killed at first', async ({}, info) => {
	record(info);
	if (info.retry === 0) {
		process.kill(process.pid, 'SIGKILL');
		await pause(10000);
	}
});

test('the server answers', async ({}, info) => {
	record(info);
	expect(await (await fetch(`http://127.0.0.1:${process.env.SHOP_PORT || 4444}/`)).text()).toBe('shop');
});
