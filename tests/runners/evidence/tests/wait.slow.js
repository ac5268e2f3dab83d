// SPDX-License-Identifier: Apache-2.0
const { test } = require('@playwright/test');
const fs = require('node:fs');

test('a quick one', async ({}, info) => {
	fs.mkdirSync(info.outputDir, { recursive: true });
	fs.writeFileSync(info.outputPath('quick.txt'), 'done');
});

test('a slow one', async ({}, info) => {
	console.log('waiting');
	await new Promise(resolve => setTimeout(resolve, 60000));
});
