import { expect, test } from '@playwright/test';
import { addOrder, addPerson, addRole, people, resetData } from '../support';

test.beforeEach(async ({ page, request }) => {
  await resetData(request);
  await page.goto('/people');
  await expect(page.getByTestId('count')).toHaveText('3');
});

for (const [name, role] of [['Dora', 'Reader'], ['Emil', 'Editor'], ['Zoë', 'Administrator']]) {
  test(`${name} is added as ${role}`, async ({ page, request }) => {
    await page.getByLabel('Name').fill(name);
    await page.getByLabel('Email').fill('new@example.com');
    await page.getByLabel('Role').selectOption(role);
    await page.getByRole('button', { name: 'Add' }).click();
    const row = page.getByRole('row', { name });
    await expect(row.getByRole('cell')).toContainText([name, 'new@example.com', role, '0']);
    await expect(page.getByTestId('count')).toHaveText('4');
    expect(await people(request)).toHaveLength(4);
  });
}

test('An address that is taken is told', async ({ page }) => {
  await page.getByLabel('Name').fill('Alice again');
  await page.getByLabel('Email').fill('alice@example.com');
  await page.getByRole('button', { name: 'Add' }).click();
  await expect(page.getByRole('alert')).toContainText('taken already');
  await expect(page.getByTestId('count')).toHaveText('3');
});

test('An address that is none is told', async ({ page }) => {
  await page.getByLabel('Name').fill('Dora');
  await page.getByLabel('Email').fill('dora');
  await page.getByRole('button', { name: 'Add' }).click();
  await expect(page.getByRole('alert')).toContainText('not valid');
});

for (const name of ['Alice', 'Bob', 'Carol']) {
  test(`${name} is removed`, async ({ page, request }) => {
    await page.getByRole('button', { name: `Remove ${name}` }).click();
    await expect(page.getByTestId('count')).toHaveText('2');
    await expect(page.getByRole('link', { name, exact: true })).toHaveCount(0);
    expect((await people(request)).map((person) => person.name)).not.toContain(name);
  });
}

for (const [term, count] of [['ali', 1], ['o', 3], ['nobody', 0]] as const) {
  test(`The search for "${term}" shows ${count}`, async ({ page }) => {
    await page.getByLabel('Search').fill(term);
    await expect(page.getByTestId('count')).toHaveText(String(count));
  });
}

test('Who is added elsewhere appears by itself', async ({ page, request }) => {
  await expect(page.getByTestId('hub')).toHaveText('live');
  await addPerson(request, 'Dora');
  await expect(page.getByRole('link', { name: 'Dora' })).toBeVisible();
});

test('A new role can be chosen', async ({ page, request }) => {
  await addRole(request, 'Guest');
  await page.reload();
  await expect(page.getByLabel('Role').getByRole('option')).toHaveText(['Administrator', 'Editor', 'Reader', 'Guest']);
});

test('The name leads to the person and her orders', async ({ page, request }) => {
  await addOrder(request, 'A-1001', [{ productId: 3, quantity: 2 }], 2);
  await page.getByRole('link', { name: 'Bob' }).click();
  await expect(page).toHaveURL('/people/2');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Bob');
  await expect(page.getByRole('row', { name: 'A-1001' })).toContainText('€ 78.00');
});

test('A person who is not there is told', async ({ page }) => {
  await page.goto('/people/4');
  await expect(page.getByRole('alert')).toHaveText('It is not there any more.');
});

test('The table is as it was (snapshot)', async ({ page }) => {
  await expect(page.getByRole('table')).toMatchAriaSnapshot({ name: 'people.aria.yml' });
});
