import { expect, test } from '@playwright/test';
import { addOrder, create, get, resetData, type Product } from '../support';

test.describe('What is allowed', () => {
  test.beforeEach(({ request }) => resetData(request));

  for (const priceCents of [0, 1, 99, 12_345, 100_000_000]) {
    test(`A product may cost ${priceCents} cents`, async ({ request }) => {
      const product = await create<Product>(request, '/api/products', { name: 'Stapler', priceCents });
      expect(product).toEqual({ id: 4, name: 'Stapler', priceCents });
      expect(await get<Product[]>(request, '/api/products')).toHaveLength(4);
    });
  }

  for (const [id, name] of [[1, 'Notebook'], [2, 'Pencil'], [3, 'Desk lamp']] as const) {
    test(`There is one ${name} only`, async ({ request }) => {
      expect((await request.post('/api/products', { data: { name, priceCents: 1 } })).status()).toBe(409);
    });

    test(`${name} can be removed before anybody ordered it`, async ({ request }) => {
      expect((await request.delete(`/api/products/${id}`)).status()).toBe(204);
      expect(await get<Product[]>(request, '/api/products')).toHaveLength(2);
    });

    test(`${name} cannot be removed once it was ordered`, async ({ request }) => {
      await addOrder(request, 'A-1001', [{ productId: id, quantity: 1 }]);
      expect((await request.delete(`/api/products/${id}`)).status()).toBe(409);
      expect(await get<Product[]>(request, '/api/products')).toHaveLength(3);
    });
  }

  test('A product can be removed again when its last order is gone', async ({ request }) => {
    const order = await addOrder(request, 'A-1001', [{ productId: 2, quantity: 1 }]);
    expect((await request.delete(`/api/orders/${order.id}`)).status()).toBe(204);
    expect((await request.delete('/api/products/2')).status()).toBe(204);
  });
});

test.describe('What is refused, and changes nothing', () => {
  test.beforeAll(({ request }) => resetData(request));

  for (const priceCents of [-1, 100_000_001, 1.5]) {
    test(`A product cannot cost ${priceCents} cents`, async ({ request }) => {
      expect((await request.post('/api/products', { data: { name: 'Stapler', priceCents } })).status()).toBe(400);
      expect(await get<Product[]>(request, '/api/products')).toHaveLength(3);
    });
  }
});
