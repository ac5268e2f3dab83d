import { expect, test } from '@playwright/test';
import { ADMIN, NOBODY, resetData, TESTER, totals } from '../support';

test.beforeAll(({ request }) => resetData(request));

const closed: ['get' | 'post' | 'put' | 'delete', string][] = [
  ['get', '/api/auth/me'], ['get', '/api/audit'], ['get', '/api/orders'], ['get', '/api/uploads'],
  ['post', '/api/people'], ['post', '/api/roles'], ['post', '/api/products'], ['post', '/api/orders'], ['post', '/api/uploads'],
  ['put', '/api/people/1'],
  ['delete', '/api/people/1'], ['delete', '/api/orders/1'],
];
test.describe('Nobody in particular', () => {
  test.use({ storageState: NOBODY });

  for (const [method, url] of closed) {
    test(`may not ${method.toUpperCase()} ${url}`, async ({ request }) => {
      expect((await request[method](url)).status()).toBe(401);
      expect(await totals(request)).toMatchObject({ people: 3, roles: 3, products: 3, orders: 0, uploads: 0 });
    });
  }
});

test('The login of the setup project is the tester\'s', async ({ request }) => {
  expect(await (await request.get('/api/auth/me')).json()).toMatchObject({ userName: TESTER.userName });
});

test.describe('The administrator', () => {
  test.use({ storageState: ADMIN.state });

  test('is logged in by the global setup', async ({ request }) => {
    expect(await (await request.get('/api/auth/me')).json()).toEqual({ id: 1, userName: ADMIN.userName });
  });

  test('may remove Alice', async ({ request }) => {
    expect((await request.delete('/api/people/1')).status()).toBe(204);
    expect(await totals(request)).toMatchObject({ people: 2 });
  });
});
