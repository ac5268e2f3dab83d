import { expect, test } from '@playwright/test';
import { addPerson, addRole, get, NOBODY, people, resetData, type Person } from '../support';

const names = [
  'Dora', 'Emil', 'Frida', 'Gustav', 'X', 'Anne-Marie', "O'Brien", 'Łukasz', 'Zoë', 'Ада', 'أمل', '李雷',
];

test.describe('A new person', () => {
  test.beforeEach(({ request }) => resetData(request));

  for (const [index, name] of names.entries()) {
    test(`${name} is number 4`, async ({ request }) => {
      const person = await addPerson(request, name, { email: 'new@example.com', roleId: 1 + (index % 3) });
      expect(person).toMatchObject({ id: 4, name, roleId: 1 + (index % 3), orders: 0 });
      const all = await people(request);
      expect(all.map((one) => one.name)).toEqual(['Alice', 'Bob', 'Carol', name]);
    });
  }

  for (const count of [2, 5, 10]) {
    test(`and ${count - 1} more get the next numbers`, async ({ request }) => {
      const ids: number[] = [];
      for (let index = 0; index < count; index++) {
        ids.push((await addPerson(request, `Person-${index}`)).id);
      }
      expect(ids).toEqual(Array.from({ length: count }, (_, index) => 4 + index));
      expect(await people(request)).toHaveLength(3 + count);
    });
  }

  test('has the name of its role', async ({ request }) => {
    const role = await addRole(request, 'Guest');
    const person = await addPerson(request, 'Dora', { roleId: role.id });
    expect(person.role).toBe('Guest');
  });
});

// What is refused changes nothing: one clean start is enough for all of them.
test.describe('A new person who is refused', () => {
  test.beforeAll(({ request }) => resetData(request));

  for (const email of ['alice@example.com', 'bob@example.com', 'carol@example.com']) {
    test(`cannot have the address ${email}, which is taken`, async ({ request }) => {
      const answer = await request.post('/api/people', { data: { name: 'Double', email, roleId: 3 } });
      expect(answer.status()).toBe(409);
      expect((await answer.json()).detail).toContain('People.Email');
      expect(await people(request)).toHaveLength(3);
    });
  }

  const refused = {
    'without a name': { name: '', email: 'new@example.com', roleId: 3 },
    'with a name of 129 letters': { name: 'x'.repeat(129), email: 'new@example.com', roleId: 3 },
    'without an address': { name: 'Dora', email: '', roleId: 3 },
    'with no @ in its address': { name: 'Dora', email: 'new.example.com', roleId: 3 },
    'with an address of 260 letters': { name: 'Dora', email: `${'x'.repeat(248)}@example.com`, roleId: 3 },
    'with nothing at all': {},
  };
  for (const [what, data] of Object.entries(refused)) {
    test(`${what} is refused`, async ({ request }) => {
      expect((await request.post('/api/people', { data })).status()).toBe(400);
      expect(await people(request)).toHaveLength(3);
    });
  }

  for (const roleId of [0, 4, 999]) {
    test(`cannot have role ${roleId}, which is not there`, async ({ request }) => {
      const answer = await request.post('/api/people', { data: { name: 'Dora', email: 'dora@example.com', roleId } });
      expect(answer.status()).toBe(409);
      expect((await answer.json()).detail).toContain('FOREIGN KEY');
      expect(await people(request)).toHaveLength(3);
    });
  }
});

test.describe('A person', () => {
  test.beforeEach(({ request }) => resetData(request));

  for (const [id, name] of [[1, 'Alice'], [2, 'Bob'], [3, 'Carol']] as const) {
    test(`${id} is ${name}`, async ({ request }) => {
      const person = await get<Person>(request, `/api/people/${id}`);
      expect(person).toMatchObject({ id, name, email: `${name.toLowerCase()}@example.com`, roleId: id, orders: 0 });
    });

    test(`${name} can be removed, and the others stay`, async ({ request }) => {
      expect((await request.delete(`/api/people/${id}`)).status()).toBe(204);
      expect((await people(request)).map((one) => one.id)).toEqual([1, 2, 3].filter((other) => other !== id));
    });
  }

  test('cannot be removed twice', async ({ request }) => {
    expect((await request.delete('/api/people/2')).status()).toBe(204);
    expect((await request.delete('/api/people/2')).status()).toBe(404);
  });

  const bob = { name: 'Bob', email: 'bob@example.com', roleId: 2 };
  const changes = {
    'name': { ...bob, name: 'Robert' },
    'address': { ...bob, email: 'robert@example.com' },
    'role': { ...bob, roleId: 1 },
  };
  for (const [what, data] of Object.entries(changes)) {
    test(`gets another ${what}`, async ({ request }) => {
      expect((await request.put('/api/people/2', { data })).status()).toBe(204);
      expect(await get<Person>(request, '/api/people/2')).toMatchObject(data);
      expect(await people(request)).toHaveLength(3);
    });
  }

  test('cannot take the address of another', async ({ request }) => {
    const answer = await request.put('/api/people/2', { data: { ...bob, email: 'alice@example.com' } });
    expect(answer.status()).toBe(409);
    expect(await get<Person>(request, '/api/people/2')).toMatchObject(bob);
  });

  test('that is not there cannot be changed', async ({ request }) => {
    expect((await request.put('/api/people/4', { data: bob })).status()).toBe(404);
  });
});

test.describe('Search', () => {
  test.beforeAll(({ request }) => resetData(request));

  for (const id of [0, 4, 2147483647]) {
    test(`by the number ${id} finds nobody`, async ({ request }) => {
      expect((await request.get(`/api/people/${id}`)).status()).toBe(404);
    });
  }

  const found: [string, string[]][] = [
    ['', ['Alice', 'Bob', 'Carol']],
    ['Alice', ['Alice']],
    ['alice', ['Alice']],
    ['o', ['Alice', 'Bob', 'Carol']],
    ['ob', ['Bob']],
    ['@example.com', ['Alice', 'Bob', 'Carol']],
    ['nobody', []],
    ['%', []],
    ["'; DROP TABLE People; --", []],
  ];
  for (const [term, expected] of found) {
    test(`for "${term}" finds ${expected.join(', ') || 'nobody'}`, async ({ request }) => {
      expect((await people(request, term)).map((person) => person.name)).toEqual(expected);
      expect(await people(request)).toHaveLength(3);
    });
  }
});

test.describe('Without a login', () => {
  test.use({ storageState: NOBODY });
  test.beforeAll(({ request }) => resetData(request));

  test('people can be seen', async ({ request }) => {
    expect(await people(request)).toHaveLength(3);
  });
});
