import { expect, test, type APIRequestContext } from '@playwright/test';
import { create, NOBODY, resetData, TESTER, totals } from '../support';

const register = (request: APIRequestContext, userName: string, password = 'secret') =>
  create<{ id: number; userName: string }>(request, '/api/auth/register', { userName, password });
const login = async (request: APIRequestContext, userName: string, password = 'secret') =>
  (await request.post('/api/auth/login', { data: { userName, password } })).status();

test.use({ storageState: NOBODY });

test.describe('What is allowed', () => {
  test.beforeEach(({ request }) => resetData(request));

  for (const userName of ['frida', 'jo', 'x'.repeat(64), 'Łukasz', 'frida@example.com']) {
    test(`${userName} registers as number 3 and logs in`, async ({ request }) => {
      expect(await register(request, userName)).toMatchObject({ id: 3, userName });
      expect(await login(request, userName)).toBe(200);
      expect(await (await request.get('/api/auth/me')).json()).toEqual({ id: 3, userName });
      expect(await totals(request)).toMatchObject({ users: 3 });
    });
  }

  test('A wrong password is refused', async ({ request }) => {
    await register(request, 'frida');
    expect(await login(request, 'frida', 'guess')).toBe(401);
    expect((await request.get('/api/auth/me')).status()).toBe(401);
  });

  test('An unknown user is refused', async ({ request }) => {
    expect(await login(request, 'nobody')).toBe(401);
  });

  test('A name is the same in capitals', async ({ request }) => {
    await register(request, 'frida');
    expect(await login(request, 'FRIDA')).toBe(200);
  });

  test('Who logs out is out', async ({ request }) => {
    await register(request, 'frida');
    await login(request, 'frida');
    expect((await request.post('/api/auth/logout')).status()).toBe(200);
    expect((await request.get('/api/auth/me')).status()).toBe(401);
  });

  test('The cookie is not for scripts', async ({ request }) => {
    await register(request, 'frida');
    await login(request, 'frida');
    const { cookies } = await request.storageState();
    expect(cookies).toMatchObject([{ name: 'auth', httpOnly: true, sameSite: 'Lax' }]);
  });
});

test.describe('What is refused, and changes nothing', () => {
  test.beforeAll(({ request }) => resetData(request));

  for (const userName of ['admin', 'ADMIN', TESTER.userName]) {
    test(`The name ${userName} is taken`, async ({ request }) => {
      expect((await request.post('/api/auth/register', { data: { userName, password: 'secret' } })).status()).toBe(409);
      expect(await totals(request)).toMatchObject({ users: 2 });
    });
  }

  const refused: Record<string, object> = {
    'no name': { userName: '', password: 'secret' },
    'a name of one letter': { userName: 'x', password: 'secret' },
    'a name of 65 letters': { userName: 'x'.repeat(65), password: 'secret' },
    'no password': { userName: 'frida', password: '' },
    'a password of three letters': { userName: 'frida', password: 'abc' },
    'a password of 129 letters': { userName: 'frida', password: 'x'.repeat(129) },
  };
  for (const [what, data] of Object.entries(refused)) {
    test(`An account with ${what} is refused`, async ({ request }) => {
      expect((await request.post('/api/auth/register', { data })).status()).toBe(400);
      expect(await totals(request)).toMatchObject({ users: 2 });
    });
  }
});
