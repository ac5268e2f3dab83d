import { readdirSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from '@playwright/test';
import { resetData, SERVER, upload, uploads } from '../support';

const stored = () => readdirSync(path.join(SERVER, 'uploads'));

test.beforeEach(({ request }) => resetData(request));

for (const size of [1, 2, 100, 4_096, 65_536, 1_000_000]) {
  test(`report.csv of ${size} bytes comes back byte for byte`, async ({ request }) => {
    const content = Buffer.from(Array.from({ length: size }, (_, index) => (index * 31 + size) % 256));
    expect(await upload(request, 'report.csv', content)).toMatchObject({ id: 1, fileName: 'report.csv', size });
    expect((await (await request.get('/api/uploads/1')).body()).equals(content)).toBe(true);
    expect(stored()).toHaveLength(1);
  });
}

const types: [string, string][] = [
  ['report.csv', 'text/csv'], ['report.json', 'application/json'], ['photo.png', 'image/png'],
  ['letter.pdf', 'application/pdf'], ['notes.txt', 'text/plain'], ['data.bin', 'application/octet-stream'],
];
for (const [name, type] of types) {
  test(`${name} keeps its type ${type}`, async ({ request }) => {
    await upload(request, name, 'content', type);
    const answer = await request.get('/api/uploads/1');
    expect(answer.headers()['content-type']).toBe(type);
    expect(answer.headers()['content-disposition']).toContain(name);
  });
}

for (const name of ['Übersicht.csv', '報告.csv', 'with space.csv', 'semi;colon.csv']) {
  test(`A file may be called ${name}`, async ({ request }) => {
    expect(await upload(request, name, 'content')).toMatchObject({ id: 1, fileName: name });
  });
}

test('A name with folders in it loses them', async ({ request }) => {
  expect((await upload(request, '../../TestDb.db', 'content')).fileName).toBe('TestDb.db');
  expect(stored()).toHaveLength(1);
});

test('Two files of one name are two files', async ({ request }) => {
  await upload(request, 'report.csv', 'first');
  await upload(request, 'report.csv', 'second');
  expect(await (await request.get('/api/uploads/1')).text()).toBe('first');
  expect(await (await request.get('/api/uploads/2')).text()).toBe('second');
  expect(stored()).toHaveLength(2);
});

test('A removed file leaves nothing in the folder', async ({ request }) => {
  await upload(request, 'report.csv', 'first');
  expect((await request.delete('/api/uploads/1')).status()).toBe(204);
  expect((await request.get('/api/uploads/1')).status()).toBe(404);
  expect(stored()).toEqual([]);
});

test('Of three files the middle one is removed', async ({ request }) => {
  for (const content of ['a', 'b', 'c']) {
    await upload(request, `${content}.txt`, content);
  }
  expect((await request.delete('/api/uploads/2')).status()).toBe(204);
  expect((await uploads(request)).map((file) => file.fileName)).toEqual(['a.txt', 'c.txt']);
  expect(stored()).toHaveLength(2);
});

test('A part of a file can be asked for', async ({ request }) => {
  await upload(request, 'report.csv', '0123456789');
  const answer = await request.get('/api/uploads/1', { headers: { Range: 'bytes=2-4' } });
  expect(answer.status()).toBe(206);
  expect(await answer.text()).toBe('234');
});

test('A form without a file is refused', async ({ request }) => {
  expect((await request.post('/api/uploads', { multipart: { personId: '1' } })).status()).toBe(400);
  expect(stored()).toEqual([]);
});

test('A file for a person who is not there is refused and leaves nothing', async ({ request }) => {
  const file = { name: 'report.csv', mimeType: 'text/csv', buffer: Buffer.from('content') };
  expect((await request.post('/api/uploads', { multipart: { file, personId: '4' } })).status()).toBe(409);
  expect(stored()).toEqual([]);
});

test('A file belongs to its person, and outlives her', async ({ request }) => {
  const file = { name: 'report.csv', mimeType: 'text/csv', buffer: Buffer.from('content') };
  expect((await request.post('/api/uploads', { multipart: { file, personId: '2' } })).status()).toBe(201);
  expect(await uploads(request)).toMatchObject([{ id: 1, personId: 2 }]);
  expect((await request.delete('/api/people/2')).status()).toBe(204);
  expect(await uploads(request)).toMatchObject([{ id: 1, personId: null }]);
});
