import { expect, test } from '@playwright/test';
import { addOrder, resetData, totals } from '../support';

test.beforeEach(async ({ page, request }) => {
  await resetData(request);
  await page.goto('/orders');
  await expect(page.getByTestId('count')).toHaveText('0');
  await expect(page.getByTestId('hub')).toHaveText('live');
});

for (const [person, product, quantity, total] of [
  ['Alice', 'Notebook', '2', '€ 9.00'],
  ['Bob', 'Pencil', '10', '€ 12.00'],
  ['Carol', 'Desk lamp', '1', '€ 39.00'],
]) {
  test(`${person} orders ${quantity} × ${product}, and sees it processed`, async ({ page, request }) => {
    await page.getByLabel('Number').fill('A-1001');
    await page.getByLabel('Person').selectOption(person);
    await page.getByLabel('Product').selectOption(product);
    await page.getByLabel('Quantity').fill(quantity);
    await page.getByRole('button', { name: 'Order' }).click();
    const row = page.getByRole('row', { name: 'A-1001' });
    await expect(row.getByRole('cell')).toContainText(['A-1001', person, 'Processed', total]);
    expect(await totals(request)).toMatchObject({ orders: 1, auditEntries: 1 });
  });
}

test('A number that is taken is told', async ({ page, request }) => {
  await addOrder(request, 'A-1001');
  await expect(page.getByTestId('count')).toHaveText('1');
  await page.getByLabel('Number').fill('A-1001');
  await page.getByRole('button', { name: 'Order' }).click();
  await expect(page.getByRole('alert')).toContainText('taken already');
  await expect(page.getByTestId('count')).toHaveText('1');
});

test('A quantity of 0 is told', async ({ page }) => {
  await page.getByLabel('Number').fill('A-1001');
  await page.getByLabel('Quantity').fill('0');
  await page.getByRole('button', { name: 'Order' }).click();
  await expect(page.getByRole('alert')).toContainText('not valid');
});

test('What was cancelled elsewhere shows so', async ({ page, request }) => {
  const order = await addOrder(request, 'A-1001');
  const cancelled = (await request.post(`http://localhost:5555/api/orders/${order.id}/cancel`)).status() === 204;
  const row = page.getByRole('row', { name: 'A-1001' });
  await expect(row).toContainText(cancelled ? 'Cancelled' : 'Processed');
});
