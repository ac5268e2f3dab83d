import { expect, test } from '@playwright/test';
import { addRole, resetData } from '../support';

test.beforeEach(async ({ page, request }) => {
  await resetData(request);
  await addRole(request, 'Guest');
  await page.goto('/roles');
  await expect(page.getByTestId('count')).toHaveText('4');
});

test('A role is added', async ({ page }) => {
  await page.getByLabel('New role').fill('Auditor');
  await page.getByRole('button', { name: 'Add' }).click();
  await expect(page.getByRole('row', { name: 'Auditor' })).toBeVisible();
  await expect(page.getByTestId('count')).toHaveText('5');
});

test('A role is not added twice', async ({ page }) => {
  await page.getByLabel('New role').fill('Guest');
  await page.getByRole('button', { name: 'Add' }).click();
  await expect(page.getByRole('alert')).toContainText('taken already');
  await expect(page.getByTestId('count')).toHaveText('4');
});

test('A role is renamed', async ({ page }) => {
  await page.getByRole('button', { name: 'Rename Guest' }).click();
  await page.getByLabel('New name').fill('Visitor');
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByRole('row', { name: 'Visitor' })).toBeVisible();
  await expect(page.getByRole('row', { name: 'Guest' })).toHaveCount(0);
});

test('A role that nobody has is removed', async ({ page }) => {
  await page.getByRole('button', { name: 'Remove Guest' }).click();
  await expect(page.getByTestId('count')).toHaveText('3');
});

test('A role that somebody has stays', async ({ page }) => {
  await page.getByRole('button', { name: 'Remove Editor' }).click();
  await expect(page.getByRole('alert')).toContainText('something else still needs it');
  await expect(page.getByTestId('count')).toHaveText('4');
});
