import { expect, test } from '@playwright/test';
import { addOrder, addPerson, audit, people, resetData, totals, upload, uploads } from '../support';

const past = '2020-01-01T00:00:00Z';
const future = '2099-01-01T00:00:00Z';

test.beforeEach(({ request }) => resetData(request));

for (const name of ['Dora', 'Zoë', "O'Brien"]) {
  test(`${name}, whose time is over, is removed and written down`, async ({ request }) => {
    await addPerson(request, name, { email: 'gone@example.com', expiresAt: past });
    await expect.poll(async () => (await people(request)).length).toBe(3);
    expect(await audit(request)).toMatchObject([{ action: 'PersonExpired', details: `4 ${name}` }]);
  });
}

test('Who has time left stays', async ({ request }) => {
  await addPerson(request, 'Emil', { expiresAt: future });
  await addPerson(request, 'Dora', { expiresAt: past });
  await expect.poll(async () => (await people(request)).length).toBe(4);
  expect((await people(request)).map((person) => person.name)).toEqual(['Alice', 'Bob', 'Carol', 'Emil']);
});

test('The orders of who is removed go as well, the files stay', async ({ request }) => {
  const dora = await addPerson(request, 'Dora');
  await addOrder(request, 'A-1001', [{ productId: 1, quantity: 1 }, { productId: 2, quantity: 1 }], dora.id);
  await upload(request, 'report.csv', 'kept');
  await request.put(`/api/people/${dora.id}`, {
    data: { name: 'Dora', email: 'dora@example.com', roleId: 3, expiresAt: past },
  });
  await expect.poll(async () => (await people(request)).length).toBe(3);
  expect(await totals(request)).toMatchObject({ orders: 0, orderLines: 0, uploads: 1 });
  expect(await uploads(request)).toMatchObject([{ id: 1, fileName: 'report.csv' }]);
});

const moments: [string, string][] = [
  ['2099-06-01T12:00:00Z', '2099-06-01T12:00:00'],
  ['2099-06-01T12:00:00+02:00', '2099-06-01T10:00:00'],
  ['2099-12-31T23:00:00-08:00', '2100-01-01T07:00:00'],
];
for (const [given, kept] of moments) {
  test(`The end ${given} is kept in UTC`, async ({ request }) => {
    const person = await addPerson(request, 'Dora', { expiresAt: given });
    expect(person.id).toBe(4);
    expect(person.expiresAt).toContain(kept);
  });
}
