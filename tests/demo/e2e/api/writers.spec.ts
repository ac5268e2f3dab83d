import { expect, test } from '@playwright/test';
import { addOrder, addPerson, orders, people, resetData, totals, upload, uploads } from '../support';

test.beforeEach(({ request }) => resetData(request));

for (const count of [2, 4, 8, 16, 32]) {
  test(`${count} people are added at once`, async ({ request }) => {
    const added = await Promise.all(Array.from({ length: count }, (_, index) => addPerson(request, `Person-${index}`)));
    const ids = added.map((person) => person.id).sort((left, right) => left - right);
    expect(ids).toEqual(Array.from({ length: count }, (_, index) => 4 + index));
    expect(await people(request)).toHaveLength(3 + count);
  });
}

for (const count of [2, 10]) {
  test(`Of ${count} who want one address at once, one gets it`, async ({ request }) => {
    const data = { name: 'Dora', email: 'dora@example.com', roleId: 3 };
    const answers = await Promise.all(Array.from({ length: count }, () => request.post('/api/people', { data })));
    const statuses = answers.map((answer) => answer.status()).sort();
    expect(statuses).toEqual([201, ...Array(count - 1).fill(409)]);
    expect(await people(request)).toHaveLength(4);
  });
}

test('Ten orders are made at once', async ({ request }) => {
  await Promise.all(Array.from({ length: 10 }, (_, index) => addOrder(request, `A-${1001 + index}`)));
  expect(new Set((await orders(request)).map((order) => order.number)).size).toBe(10);
});

test('Ten files of one name arrive at once', async ({ request }) => {
  await Promise.all(Array.from({ length: 10 }, (_, index) => upload(request, 'report.csv', `content ${index}`)));
  expect((await uploads(request)).map((file) => file.id)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test('Three people are removed at once, twice', async ({ request }) => {
  const answers = await Promise.all([1, 2, 3, 1, 2, 3].map((id) => request.delete(`/api/people/${id}`)));
  expect(answers.map((answer) => answer.status()).sort()).toEqual([204, 204, 204, 404, 404, 404]);
  expect(await totals(request)).toMatchObject({ people: 0 });
});
