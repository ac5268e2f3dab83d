import { readFileSync } from 'node:fs';
import { expect, test } from '@playwright/test';
import { resetData, upload, uploads } from '../support';

const report = { name: 'report.csv', mimeType: 'text/csv', buffer: Buffer.from('a,b\n1,2\n') };

test.beforeEach(async ({ page, request }) => {
  await resetData(request);
  await page.goto('/files');
  await expect(page.getByTestId('count')).toHaveText('0');
});

test('A file is uploaded', async ({ page, request }) => {
  await page.getByLabel('Upload a file').setInputFiles(report);
  await expect(page.getByRole('row', { name: 'report.csv' }).getByRole('cell')).toContainText(['report.csv', 'text/csv', '8']);
  expect(await uploads(request)).toMatchObject([{ id: 1, fileName: 'report.csv', size: 8 }]);
});

test('A file of the same name is another file', async ({ page }) => {
  await page.getByLabel('Upload a file').setInputFiles(report);
  await expect(page.getByTestId('count')).toHaveText('1');
  await page.getByLabel('Upload a file').setInputFiles(report);
  await expect(page.getByTestId('count')).toHaveText('2');
  await expect(page.getByRole('link', { name: 'report.csv' })).toHaveCount(2);
});

test('A file is downloaded as it was', async ({ page, request }) => {
  await upload(request, 'report.csv', 'what was sent');
  await page.reload();
  const download = page.waitForEvent('download');
  await page.getByRole('link', { name: 'report.csv' }).click();
  expect((await download).suggestedFilename()).toBe('report.csv');
  expect(readFileSync(await (await download).path(), 'utf8')).toBe('what was sent');
});

test('A file is removed', async ({ page, request }) => {
  await page.getByLabel('Upload a file').setInputFiles(report);
  await page.getByRole('button', { name: 'Remove report.csv' }).click();
  await expect(page.getByTestId('count')).toHaveText('0');
  expect(await uploads(request)).toEqual([]);
});
