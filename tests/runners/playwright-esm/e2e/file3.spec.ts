// SPDX-License-Identifier: Apache-2.0
import { test, expect } from '@playwright/test';
import { appendFileSync } from 'node:fs';

test('is in a world', async ({}, info) => {
	const { SBX_WORKER, FROM_GLOBAL_SETUP } = process.env;

	appendFileSync(process.env.RECORD!, JSON.stringify({ SBX_WORKER, FROM_GLOBAL_SETUP, index: info.parallelIndex }) + '\n');
	expect(1).toBe(1);
});
