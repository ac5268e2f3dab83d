import { expect, test } from '@playwright/test';
import { NOBODY, resetData, TESTER, totals } from '../support';

test.use({ storageState: NOBODY });
test.beforeEach(({ request }) => resetData(request));

// Who only comes and goes changes nothing.
test.afterEach(async ({ request }) => {
  expect(await totals(request)).toMatchObject({ people: 3, roles: 3, users: 2, orders: 0, uploads: 0, auditEntries: 0 });
});

for (const page of ['dashboard', 'people', 'people/1', 'roles', 'orders', 'files', 'events']) {
  test(`The page ${page} asks for a login first, and comes back`, async ({ page: browser }) => {
    await browser.goto(`/${page}`);
    await expect(browser).toHaveURL(`/login?returnUrl=${encodeURIComponent('/' + page)}`);
    await browser.getByLabel('User').fill(TESTER.userName);
    await browser.getByLabel('Password').fill(TESTER.password);
    await browser.getByRole('button', { name: 'Log in' }).click();
    await expect(browser).toHaveURL(`/${page}`);
    await expect(browser.getByTestId('user')).toHaveText(TESTER.userName);
  });
}

for (const [what, userName, password] of [
  ['A wrong password', TESTER.userName, 'guess'],
  ['An unknown user', 'nobody', 'secret'],
  ['An empty form', '', ''],
]) {
  test(`${what} is told so`, async ({ page }) => {
    await page.goto('/login');
    await page.getByLabel('User').fill(userName);
    await page.getByLabel('Password').fill(password);
    await page.getByRole('button', { name: 'Log in' }).click();
    await expect(page.getByRole('alert')).toBeVisible();
    await expect(page).toHaveURL('/login');
  });
}

test.describe('Who is logged in', () => {
  test.use({ storageState: TESTER.state });

  test('can log out, and is out after a refresh', async ({ page }) => {
    await page.goto('/people');
    await page.getByRole('button', { name: 'Log out' }).click();
    await expect(page).toHaveURL('/login');
    await page.goto('/people');
    await expect(page).toHaveURL('/login?returnUrl=%2Fpeople');
  });
});
