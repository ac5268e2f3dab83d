import { expect, test } from '@playwright/test';
import { addOrder, addPerson, get, orders, processed, resetData, totals, type Line, type Order } from '../support';

test.describe('What is allowed', () => {
  test.beforeEach(({ request }) => resetData(request));

  const baskets: Record<string, Line[]> = {
    'one notebook': [{ productId: 1, quantity: 1 }],
    'three pencils': [{ productId: 2, quantity: 3 }],
    'ten thousand pencils': [{ productId: 2, quantity: 10_000 }],
    'a notebook and a pencil': [{ productId: 1, quantity: 1 }, { productId: 2, quantity: 1 }],
    'one of each': [{ productId: 1, quantity: 1 }, { productId: 2, quantity: 1 }, { productId: 3, quantity: 1 }],
    'the same product twice': [{ productId: 1, quantity: 1 }, { productId: 1, quantity: 2 }],
    'twenty lines': Array.from({ length: 20 }, (_, index) => ({ productId: 1 + (index % 3), quantity: 1 + index })),
  };
  for (const [what, lines] of Object.entries(baskets)) {
    test(`An order of ${what} is number 1`, async ({ request }) => {
      const order = await addOrder(request, 'A-1001', lines);
      expect(order).toMatchObject({ id: 1, number: 'A-1001', personId: 1 });
      expect(order.lines).toHaveLength(lines.length);
      expect(await totals(request)).toMatchObject({ orders: 1, orderLines: lines.length });
    });
  }

  test('There is one order A-1001 only', async ({ request }) => {
    await addOrder(request, 'A-1001');
    const again = { number: 'A-1001', personId: 2, lines: [{ productId: 1, quantity: 1 }] };
    expect((await request.post('/api/orders', { data: again })).status()).toBe(409);
    expect(await orders(request)).toHaveLength(1);
  });

  test('Orders come in the order of their making', async ({ request }) => {
    for (const number of ['C', 'A', 'B']) {
      await addOrder(request, number);
    }
    expect((await orders(request)).map((order) => `${order.id} ${order.number}`)).toEqual(['1 C', '2 A', '3 B']);
  });

  test('An order is counted with its person', async ({ request }) => {
    const dora = await addPerson(request, 'Dora');
    await addOrder(request, 'A-1001', undefined, dora.id);
    await addOrder(request, 'A-1002', undefined, dora.id);
    expect(await get(request, `/api/people/${dora.id}`)).toMatchObject({ orders: 2 });
  });

  test('An order can be removed with its lines', async ({ request }) => {
    const order = await addOrder(request, 'A-1001', baskets['one of each']);
    expect((await request.delete(`/api/orders/${order.id}`)).status()).toBe(204);
    expect(await totals(request)).toMatchObject({ orders: 0, orderLines: 0 });
  });

  test('An order that is not there cannot be removed', async ({ request }) => {
    expect((await request.delete('/api/orders/1')).status()).toBe(404);
  });

  test('An order that is not there cannot be cancelled', async ({ request }) => {
    expect((await request.post('/api/orders/1/cancel')).status()).toBe(409);
  });

  test('A processed order cannot be cancelled', async ({ request }) => {
    const order = await processed(request, (await addOrder(request, 'A-1001')).id);
    expect((await request.post(`/api/orders/${order.id}/cancel`)).status()).toBe(409);
  });
});

test.describe('What is refused, and changes nothing', () => {
  test.beforeAll(({ request }) => resetData(request));

  const refused: Record<string, object> = {
    'no lines': { number: 'A-1001', personId: 1, lines: [] },
    'a quantity of 0': { number: 'A-1001', personId: 1, lines: [{ productId: 1, quantity: 0 }] },
    'a quantity of -1': { number: 'A-1001', personId: 1, lines: [{ productId: 1, quantity: -1 }] },
    'a quantity of 10001': { number: 'A-1001', personId: 1, lines: [{ productId: 1, quantity: 10_001 }] },
    'no number': { number: '', personId: 1, lines: [{ productId: 1, quantity: 1 }] },
    'a number of 33 letters': { number: 'x'.repeat(33), personId: 1, lines: [{ productId: 1, quantity: 1 }] },
    'a product that is not there': { number: 'A-1001', personId: 1, lines: [{ productId: 4, quantity: 1 }] },
  };
  for (const [what, data] of Object.entries(refused)) {
    test(`An order with ${what} is refused`, async ({ request }) => {
      expect((await request.post('/api/orders', { data })).status()).toBe(400);
      expect(await totals(request)).toMatchObject({ orders: 0, orderLines: 0 });
    });
  }

  for (const personId of [0, 4]) {
    test(`Person ${personId} is not there and cannot order`, async ({ request }) => {
      const data = { number: 'A-1001', personId, lines: [{ productId: 1, quantity: 1 }] };
      expect((await request.post('/api/orders', { data })).status()).toBe(409);
      expect(await totals(request)).toMatchObject({ orders: 0, orderLines: 0 });
    });
  }
});

test.describe('With an order each', () => {
  test.beforeAll(async ({ request }) => {
    await resetData(request);
    for (const owner of [1, 2, 3]) {
      await addOrder(request, `A-100${owner}`, undefined, owner);
    }
  });

  for (const [personId, name] of [[1, 'Alice'], [2, 'Bob'], [3, 'Carol']] as const) {
    test(`${name} sees only her own orders`, async ({ request }) => {
      const own = await get<Order[]>(request, `/api/orders?personId=${personId}`);
      expect(own.map((order) => order.number)).toEqual([`A-100${personId}`]);
      expect(await orders(request)).toHaveLength(3);
    });
  }
});
