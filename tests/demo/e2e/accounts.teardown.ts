import { rm } from 'node:fs/promises';
import path from 'node:path';
import { expect, test as teardown } from '@playwright/test';
import { API, ROOT, get, resetData } from './support';

teardown('the accounts of the tests are gone', async ({ request }) => {
  await resetData(request, []);
  expect(await get<{ users: number }>(request, '/api/totals')).toMatchObject({ users: 1, people: 3 });
  expect((await request.get(`${API}/api/auth/me`)).status()).toBe(401);
  await rm(path.join(ROOT, 'e2e/.auth'), { recursive: true, force: true });
});
