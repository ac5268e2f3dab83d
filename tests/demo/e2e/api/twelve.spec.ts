import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from '@playwright/test';
import {
  addOrder, addPerson, audit, get, gitStatus, people, processed, resetData, ROOT, SERVER, sql, totals, upload,
} from '../support';

// What this suite must be able to rely on, however it is run. The other half is in browser/twelve.spec.ts.

const migrations = ['InitialCreate', 'AddOrders', 'AddUploadsAndCleanup', 'AddOrderProcessing', 'RequirePositiveQuantity'];
const tables = ['AuditEntries', 'OrderLines', 'Orders', 'People', 'Products', 'Roles', 'Uploads', 'Users'];

test.beforeEach(({ request }) => resetData(request));

test('(1) migrations at start, model untouched', async ({ request }) => {
  const schema = await get<{ applied: string[]; pending: string[]; modelChanged: boolean; tables: string[] }>(
    request, '/api/testing/schema');
  expect(schema.applied.map((migration) => migration.replace(/^\d+_/, ''))).toEqual(migrations);
  expect(schema).toMatchObject({ pending: [], modelChanged: false, tables });
});

test('(2) foreign keys and cascades', async ({ request }) => {
  const dora = await addPerson(request, 'Dora', { roleId: 2 });
  await addOrder(request, 'A-1001', [{ productId: 1, quantity: 1 }, { productId: 2, quantity: 2 }], dora.id);
  expect((await request.delete('/api/roles/2')).status()).toBe(409);
  expect((await request.delete('/api/products/2')).status()).toBe(409);
  expect((await request.delete(`/api/people/${dora.id}`)).status()).toBe(204);
  expect(await totals(request)).toMatchObject({ people: 3, orders: 0, orderLines: 0, roles: 3, products: 3 });
  expect(sql('PRAGMA foreign_key_check')).toEqual([]);
});

test('(5) the background service touches only these rows', async ({ request }) => {
  await addPerson(request, 'Emil', { expiresAt: '2099-01-01T00:00:00Z' });
  await addPerson(request, 'Dora', { expiresAt: '2020-01-01T00:00:00Z' });
  await expect.poll(async () => (await people(request)).map((person) => person.name)).toEqual(['Alice', 'Bob', 'Carol', 'Emil']);
  expect(await audit(request)).toMatchObject([{ action: 'PersonExpired', details: '5 Dora' }]);
});

test('(6) the recurring job and the health check', async ({ request }) => {
  const order = await addOrder(request, 'A-1001', [{ productId: 3, quantity: 2 }]);
  expect(await processed(request, order.id)).toMatchObject({ id: 1, totalCents: 7_800 });
  expect(await audit(request)).toMatchObject([{ action: 'OrderProcessed', details: 'A-1001' }]);
  expect((await request.get('/health')).status()).toBe(200);
});

test('(7) plain tables answer plain questions', async ({ request }) => {
  await addPerson(request, 'Dora');
  expect(sql("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE '\\_\\_%' ESCAPE '\\' ORDER BY name"))
    .toEqual(tables);
  expect(sql('SELECT count(*) FROM People')).toEqual(['4']);
  expect(sql('SELECT Roles.Name, count(*) FROM People JOIN Roles ON Roles.Id = RoleId GROUP BY Roles.Id ORDER BY Roles.Id'))
    .toEqual(['Administrator|1', 'Editor|1', 'Reader|2']);
});

test('(8) the rows of this test can be opened', async ({ request }) => {
  await addPerson(request, 'Dora');
  await upload(request, 'report.csv', 'evidence');
  expect(sql('SELECT Id, Name FROM People')).toEqual(['1|Alice', '2|Bob', '3|Carol', '4|Dora']);
  const [stored] = sql('SELECT StoredName FROM Uploads');
  expect(readFileSync(path.join(SERVER, 'uploads', stored), 'utf8')).toBe('evidence');
  expect(sql('PRAGMA integrity_check')).toEqual(['ok']);
});

test('(10) a hundred writers, and no "database is locked"', async ({ request }) => {
  const writers = Array.from({ length: 100 }, (_, index) =>
    index % 2 === 0 ? addPerson(request, `Person-${index}`) : addOrder(request, `A-${index}`));
  await Promise.all(writers);
  expect(await totals(request)).toMatchObject({ people: 53, orders: 50, orderLines: 50 });
});

test('(11) sixteen simultaneous starts with migrations', async () => {
  test.setTimeout(90_000);
  const root = mkdtempSync(path.join(os.tmpdir(), 'starts-'));
  const starts = Array.from({ length: 16 }, async () => {
    const cwd = mkdtempSync(path.join(root, 'server-'));
    const env = { ...process.env, ASPNETCORE_CONTENTROOT: SERVER };
    await promisify(execFile)('dotnet', [path.join(SERVER, 'App.dll'), 'migrate'], { cwd, env });
    return sql('SELECT count(*) FROM __EFMigrationsHistory; SELECT count(*) FROM People', path.join(cwd, 'TestDb.db'));
  });
  expect(await Promise.all(starts)).toEqual(Array(16).fill([String(migrations.length), '3']));
  rmSync(root, { recursive: true });
});

test('(12) not a line of app, tests or configuration knows of workers', async () => {
  const files = ['e2e', 'web/src', 'api'].flatMap((folder) =>
    readdirSync(path.join(ROOT, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.(ts|cs|json|html)$/.test(entry.name) && !/\b(bin|obj)\b/.test(entry.parentPath))
      .map((entry) => path.join(entry.parentPath, entry.name)));
  expect(files.length).toBeGreaterThan(50);
  const word = /(parallel|worker)[-_ ]?(index|id)/i;
  expect(files.filter((file) => word.test(readFileSync(file, 'utf8')))).toEqual([]);
  expect(gitStatus()).toBe(readFileSync(path.join(ROOT, 'e2e/.auth/git-status.txt'), 'utf8'));
});
