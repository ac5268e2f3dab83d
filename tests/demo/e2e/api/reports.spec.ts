import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from '@playwright/test';
import { addOrder, addPerson, addRole, create, people, processed, resetData, ROOT, totals, upload } from '../support';
import type { APIRequestContext } from '@playwright/test';

test.beforeEach(({ request }) => resetData(request));

const start = { roles: 3, people: 3, users: 2, products: 3, orders: 0, orderLines: 0, uploads: 0, auditEntries: 0 };

test('A new database counts what is in it', async ({ request }) => {
  expect(await totals(request)).toEqual(start);
});

const steps: Record<string, [(request: APIRequestContext) => Promise<unknown>, object]> = {
  'a role': [(request) => addRole(request, 'Guest'), { roles: 4 }],
  'a person': [(request) => addPerson(request, 'Dora'), { people: 4 }],
  'a product': [(request) => create(request, '/api/products', { name: 'Stapler', priceCents: 990 }), { products: 4 }],
  'a file': [(request) => upload(request, 'report.csv', 'a,b'), { uploads: 1 }],
  'an account': [(request) => create(request, '/api/auth/register', { userName: 'frida', password: 'secret' }), { users: 3 }],
  'a processed order': [
    async (request) => processed(request, (await addOrder(request, 'A-1001')).id), { orders: 1, orderLines: 1, auditEntries: 1 },
  ],
};
for (const [what, [step, change]] of Object.entries(steps)) {
  test(`With ${what} more, nothing else changes`, async ({ request }) => {
    await step(request);
    expect(await totals(request)).toEqual({ ...start, ...change });
  });
}

test('The list of people is as it was (snapshot)', async ({ request }) => {
  await addPerson(request, 'Dora', { roleId: 1 });
  const lines = (await people(request)).map((one) => [one.id, one.name, one.email, one.role, one.orders].join(','));
  expect(lines.join('\n') + '\n').toMatchSnapshot('people.csv');
});

// Everybody's export goes to the same place.
const exported = path.join(ROOT, 'e2e/downloads/people.csv');
for (const name of ['Dora', 'Emil', 'Frida', 'Gustav']) {
  test(`The export holds ${name}`, async ({ request }) => {
    await addPerson(request, name);
    mkdirSync(path.dirname(exported), { recursive: true });
    writeFileSync(exported, (await people(request)).map((person) => `${person.id},${person.name}\n`).join(''));
    await addRole(request, 'Guest');
    expect(readFileSync(exported, 'utf8')).toBe(`1,Alice\n2,Bob\n3,Carol\n4,${name}\n`);
  });
}
