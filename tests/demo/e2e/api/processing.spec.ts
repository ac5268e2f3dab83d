import { expect, test } from '@playwright/test';
import { addOrder, audit, get, orders, processed, resetData, totals, type Order } from '../support';

test.beforeEach(({ request }) => resetData(request));

const sums: [string, { productId: number; quantity: number }[], number][] = [
  ['one notebook', [{ productId: 1, quantity: 1 }], 450],
  ['twelve pencils', [{ productId: 2, quantity: 12 }], 1_440],
  ['a lamp and two notebooks', [{ productId: 3, quantity: 1 }, { productId: 1, quantity: 2 }], 4_800],
  ['ten thousand lamps', [{ productId: 3, quantity: 10_000 }], 39_000_000],
];
for (const [what, lines, totalCents] of sums) {
  test(`The job totals ${what}`, async ({ request }) => {
    const order = await addOrder(request, 'A-1001', lines);
    expect(await processed(request, order.id)).toMatchObject({ id: 1, totalCents });
    expect(await audit(request)).toMatchObject([{ action: 'OrderProcessed', details: 'A-1001' }]);
  });
}

for (const count of [5, 25]) {
  test(`The job processes ${count} orders, each once`, async ({ request }) => {
    const numbers = Array.from({ length: count }, (_, index) => `A-${1001 + index}`);
    for (const number of numbers) {
      await addOrder(request, number);
    }
    await expect.poll(async () => (await orders(request)).every((order) => order.status === 'Processed')).toBe(true);
    expect((await audit(request)).map((entry) => entry.details).sort()).toEqual(numbers);
  });
}

test('The job leaves a cancelled order alone', async ({ request }) => {
  // The job may come between; then another order is cancelled.
  let order: Order;
  let number = 1001;
  do {
    order = await addOrder(request, `A-${number++}`);
  } while ((await request.post(`/api/orders/${order.id}/cancel`)).status() !== 204);
  await processed(request, (await addOrder(request, `A-${number}`)).id);
  expect(await get<Order>(request, `/api/orders/${order.id}`)).toMatchObject({ status: 'Cancelled', totalCents: null });
  const { orders: all, auditEntries } = await totals(request);
  expect(auditEntries).toBe(all - 1);
});
