import { expect, test } from '@playwright/test';
import { addOrder, addPerson, resetData } from '../support';

test.beforeEach(({ request }) => resetData(request));

test.describe('The live events', () => {
  test.beforeEach(async ({ page }) => {
    await page.goto('/events');
    await expect(page.getByText('hub connected')).toBeVisible();
    await expect(page.getByText('stream connected')).toBeVisible();
  });

  for (const road of ['hub', 'stream']) {
    test(`come over the ${road}: a person`, async ({ page, request }) => {
      await addPerson(request, 'Dora');
      await expect(page.getByRole('listitem').filter({ hasText: road }).filter({ hasText: 'person-created' })).toContainText('4');
    });

    test(`come over the ${road}: an order, made and processed`, async ({ page, request }) => {
      await addOrder(request, 'A-1001');
      const events = page.getByRole('listitem').filter({ hasText: road }).filter({ hasText: 'order-' });
      await expect(events).toHaveText([/order-processed\s*1/, /order-created\s*1/]);
    });
  }

  test('show who expired', async ({ page, request }) => {
    await addPerson(request, 'Dora', { expiresAt: '2020-01-01T00:00:00Z' });
    await expect(page.getByRole('listitem').filter({ hasText: 'stream' }).filter({ hasText: 'person-expired' })).toContainText('4');
  });
});

test('The dashboard counts without a refresh', async ({ page, request }) => {
  await page.goto('/dashboard');
  await expect(page.getByTestId('hub')).toHaveText('live');
  await expect(page.getByTestId('people')).toContainText('3');
  await addPerson(request, 'Dora');
  await addOrder(request, 'A-1001');
  await expect(page.getByTestId('people')).toContainText('4');
  await expect(page.getByTestId('orders')).toContainText('1');
  await expect(page.getByTestId('auditEntries')).toContainText('1');
});
