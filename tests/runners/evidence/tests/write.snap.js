// SPDX-License-Identifier: Apache-2.0
const { test, expect } = require('@playwright/test');
const fs = require('node:fs');

for (const number of [1, 2, 3, 4])
	test(`writes ${number}`, async ({}, info) => {
		fs.mkdirSync('reports/raw', { recursive: true });
		fs.writeFileSync(`reports/raw/${number}.json`, '{}');
		fs.mkdirSync('coverage/tmp', { recursive: true });
		fs.writeFileSync(`coverage/tmp/${number}.json`, '{}');
		fs.writeFileSync(`notes-${number}.txt`, 'a note');
		expect('the same everywhere').toMatchSnapshot('same.txt');
		expect(`of test ${number}`).toMatchSnapshot(`own-${number}.txt`);
		// One file, and each world has its own idea of it.
		expect(`in world ${info.parallelIndex}`).toMatchSnapshot('different.txt');
	});
