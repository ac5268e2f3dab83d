// SPDX-License-Identifier: Apache-2.0
// An ES module in TypeScript, in a folder of its own, with a globalSetup; its one file would leave one worker with work.
import { defineConfig } from '@playwright/test';

export default defineConfig({
	testDir: '.',
	globalSetup: './global-setup.ts',
	workers: 1,
	reporter: [['line'], ['blob'], ['json', { outputFile: 'out/report.json' }]],
});
