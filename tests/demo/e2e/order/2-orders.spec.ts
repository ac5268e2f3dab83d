import { expect, test } from '@playwright/test';
import { addOrder, totals } from '../support';

test('Alice orders', async ({ request }) => {
  await addOrder(request, 'A-1001');
  expect(await totals(request)).toMatchObject({ orders: 1 });
});

// Needs "Dora joins" of the file before, and says so nowhere: what suites on one worker grow.
test('Dora orders', async ({ request }) => {
  expect(await addOrder(request, 'A-1002', undefined, 4)).toMatchObject({ personId: 4 });
});
