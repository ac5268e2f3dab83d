import { expect, test } from '@playwright/test';
import { addPerson, API, create, NOBODY, people, resetData, TESTER } from '../support';

// What this suite must be able to rely on, however it is run. The other half is in api/twelve.spec.ts.

test.beforeEach(({ request }) => resetData(request));

test('(3) refresh, redirect and new tab see the same rows', async ({ page, context, request }) => {
  await addPerson(request, 'Dora');
  await page.goto('/people');
  await expect(page.getByTestId('count')).toHaveText('4');
  await page.reload();
  await expect(page.getByTestId('count')).toHaveText('4');

  await page.goto('/no/such/page');
  await expect(page).toHaveURL('/dashboard');
  await expect(page.getByTestId('people')).toContainText('4');

  await page.goto(`${API}/dashboard`);
  await expect(page.getByRole('row', { name: 'people' })).toContainText('4');
  await context.clearCookies();
  await page.goto(`${API}/dashboard`);
  await expect(page).toHaveURL(`${API}/login.html?ReturnUrl=%2Fdashboard`);
  await page.getByPlaceholder('User').fill(TESTER.userName);
  await page.getByPlaceholder('Password').fill(TESTER.password);
  await page.getByRole('button', { name: 'Log in' }).click();
  await expect(page.getByRole('row', { name: 'people' })).toContainText('4');

  await page.goto('/people');
  const [tab] = await Promise.all([
    context.waitForEvent('page'),
    page.getByRole('link', { name: 'Dora' }).click({ modifiers: ['Control'] }),
  ]);
  await expect(tab).toHaveURL('/people/4');
  await expect(tab.getByRole('heading', { level: 1 })).toHaveText('Dora');
});

test('(4) static files and the service worker', async ({ page, context }) => {
  const loaded: string[] = [];
  page.on('response', (response) => loaded.push(`${response.status()} ${new URL(response.url()).pathname.replace(/-\w{8}\./, '.')}`));
  await page.goto('/people');
  await expect(page.getByTestId('count')).toHaveText('3');
  expect(loaded).toEqual(expect.arrayContaining(['200 /people', '200 /main.js', '200 /styles.css', '200 /logo.png']));

  // The application registers it; from then on it answers without a network.
  await page.evaluate(() => navigator.serviceWorker.ready);
  await expect.poll(() => page.evaluate(async () => (await caches.keys()).some((name) => name.includes(':app:cache')))).toBe(true);
  await page.reload();
  expect(await page.evaluate(() => navigator.serviceWorker.controller?.scriptURL)).toBe('http://localhost:4444/ngsw-worker.js');
  await context.setOffline(true);
  await page.reload();
  await expect(page.getByText('People and orders')).toBeVisible();
  await context.setOffline(false);
});

test('(4) WebSocket and EventSource', async ({ page, request }) => {
  const socket = page.waitForEvent('websocket');
  await page.goto('/events');
  expect((await socket).url()).toMatch(/^ws:\/\/localhost:5555\/hub/);
  await expect(page.getByText('hub connected')).toBeVisible();
  await expect(page.getByText('stream connected')).toBeVisible();
  await addPerson(request, 'Dora');
  const events = page.getByRole('listitem').filter({ hasText: 'person-created' });
  await expect(events).toHaveCount(2);
  await expect(events).toContainText(['4', '4']);
});

test('(6) the hub broadcasts to every page, and only to them', async ({ page, context }) => {
  const other = await context.newPage();
  for (const one of [page, other]) {
    await one.goto('/events');
    await expect(one.getByText('hub connected')).toBeVisible();
  }
  await page.getByLabel('Message to all').fill('hello from the first');
  await page.getByRole('button', { name: 'Send' }).click();
  for (const one of [page, other]) {
    await expect(one.getByRole('listitem').filter({ hasText: 'said' })).toHaveText([/tester: hello from the first/]);
  }
});

test('(9) a cookie for each browser', async ({ browser, page, request }) => {
  await create(request, '/api/auth/register', { userName: 'frida', password: 'secret' });
  const context = await browser.newContext({ storageState: NOBODY });
  const other = await context.newPage();
  await other.goto('http://localhost:4444/login');
  await other.getByLabel('User').fill('frida');
  await other.getByLabel('Password').fill('secret');
  await other.getByRole('button', { name: 'Log in' }).click();
  await expect(other.getByTestId('user')).toHaveText('frida');

  await page.goto('/people');
  await expect(page.getByTestId('user')).toHaveText(TESTER.userName);
  await other.getByRole('button', { name: 'Log out' }).click();
  await expect(other).toHaveURL('http://localhost:4444/login');
  await page.getByRole('button', { name: 'Remove Carol' }).click();
  await expect(page.getByTestId('count')).toHaveText('2');
  expect(await people(request)).toHaveLength(2);
  await context.close();
});
