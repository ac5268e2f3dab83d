import { expect, test } from '@playwright/test';
import { addPerson, addRole, resetData, roles } from '../support';

test.describe('What is allowed', () => {
  test.beforeEach(({ request }) => resetData(request));

  for (const name of ['Guest', 'Auditor', 'Owner', 'Gäste', '管理者']) {
    test(`A new role ${name} is number 4 and nobody has it`, async ({ request }) => {
      expect(await addRole(request, name)).toEqual({ id: 4, name, people: 0 });
      expect(await roles(request)).toHaveLength(4);
    });
  }

  for (const [id, name] of [[1, 'Administrator'], [2, 'Editor'], [3, 'Reader']] as const) {
    test(`Role ${name} can be renamed`, async ({ request }) => {
      expect((await request.put(`/api/roles/${id}`, { data: { name: 'Renamed' } })).status()).toBe(204);
      expect((await roles(request)).map((role) => role.name)).toContain('Renamed');
      expect((await roles(request)).map((role) => role.name)).not.toContain(name);
    });

    test(`Role ${name} cannot be removed while somebody has it`, async ({ request }) => {
      expect((await request.delete(`/api/roles/${id}`)).status()).toBe(409);
      expect(await roles(request)).toHaveLength(3);
    });

    test(`Role ${name} can be removed when its person is gone`, async ({ request }) => {
      expect((await request.delete(`/api/people/${id}`)).status()).toBe(204);
      expect((await request.delete(`/api/roles/${id}`)).status()).toBe(204);
      expect(await roles(request)).toHaveLength(2);
    });

    test(`Role ${name} counts its people`, async ({ request }) => {
      await addPerson(request, 'Dora', { roleId: id });
      await addPerson(request, 'Emil', { roleId: id });
      expect((await roles(request)).map((role) => role.people)).toEqual([1, 2, 3].map((other) => (other === id ? 3 : 1)));
    });
  }

  test('A removed role leaves its number unused', async ({ request }) => {
    expect((await addRole(request, 'Guest')).id).toBe(4);
    expect((await request.delete('/api/roles/4')).status()).toBe(204);
    expect((await addRole(request, 'Guest')).id).toBe(5);
  });
});

test.describe('What is refused, and changes nothing', () => {
  test.beforeAll(({ request }) => resetData(request));

  for (const name of ['Administrator', 'Editor', 'Reader']) {
    test(`There is one role ${name} only`, async ({ request }) => {
      expect((await request.post('/api/roles', { data: { name } })).status()).toBe(409);
      expect(await roles(request)).toHaveLength(3);
    });
  }

  for (const [what, name] of [['no name', ''], ['a blank name', '   '], ['a name of 65 letters', 'x'.repeat(65)]]) {
    test(`A role with ${what} is refused`, async ({ request }) => {
      expect((await request.post('/api/roles', { data: { name } })).status()).toBe(400);
      expect(await roles(request)).toHaveLength(3);
    });
  }

  test('A role cannot take the name of another', async ({ request }) => {
    expect((await request.put('/api/roles/2', { data: { name: 'Reader' } })).status()).toBe(409);
    expect((await roles(request)).map((role) => role.name)).toEqual(['Administrator', 'Editor', 'Reader']);
  });

  test('A role that is not there cannot be renamed', async ({ request }) => {
    expect(await roles(request)).toHaveLength(3);
    expect((await request.put('/api/roles/4', { data: { name: 'Ghost' } })).status()).toBe(404);
  });
});
