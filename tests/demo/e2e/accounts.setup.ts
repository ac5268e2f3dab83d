import { expect, test as setup } from '@playwright/test';
import { TESTER } from './support';

setup('the tester has an account and is logged in', async ({ page }) => {
  const account = { userName: TESTER.userName, password: TESTER.password };
  const registered = await page.request.post('http://localhost:5555/api/auth/register', { data: account });
  expect(registered.status()).toBe(201);

  await page.goto('/login');
  await page.getByLabel('User').fill(TESTER.userName);
  await page.getByLabel('Password').fill(TESTER.password);
  await page.getByRole('button', { name: 'Log in' }).click();
  await expect(page.getByTestId('user')).toHaveText(TESTER.userName);
  await page.context().storageState({ path: TESTER.state });
});
