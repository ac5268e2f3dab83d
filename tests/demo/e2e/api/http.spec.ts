import { HubConnectionBuilder, LogLevel } from '@microsoft/signalr';
import { expect, test } from '@playwright/test';
import { addOrder, addPerson, API, NOBODY, resetData, totals } from '../support';

test.beforeEach(({ request }) => resetData(request));

test.describe('Only asked', () => {
  test.afterEach(async ({ request }) => {
    expect(await totals(request)).toMatchObject({ people: 3, roles: 3, users: 2, orders: 0, uploads: 0, auditEntries: 0 });
  });

  test('The API is healthy', async ({ request }) => {
    expect(await (await request.get('/health')).text()).toBe('Healthy');
  });

  for (const method of ['GET', 'POST', 'PUT', 'DELETE']) {
    test(`The front end may ${method}`, async ({ request }) => {
      const answer = await request.fetch('/api/people', {
        method: 'OPTIONS',
        headers: { 'Origin': 'http://localhost:4444', 'Access-Control-Request-Method': method },
      });
      expect(answer.status()).toBe(204);
      expect(answer.headers()['access-control-allow-origin']).toBe('http://localhost:4444');
      expect(answer.headers()['access-control-allow-credentials']).toBe('true');
    });
  }

  test('A stranger\'s page may not', async ({ request }) => {
    const answer = await request.get('/api/people', { headers: { Origin: 'http://localhost:6666' } });
    expect(answer.headers()['access-control-allow-origin']).toBeUndefined();
  });

  for (const [file, type] of [['/site.css', 'text/css'], ['/site.js', 'text/javascript'], ['/logo.png', 'image/png'], ['/', 'text/html']]) {
    test(`The API's own ${file} is served as ${type}`, async ({ request }) => {
      const answer = await request.get(file);
      expect(answer.status()).toBe(200);
      expect(answer.headers()['content-type']).toContain(type);
    });
  }

  for (const url of ['/api/nothing', '/api/people/abc', '/appsettings.json', '/TestDb.db']) {
    test(`${url} is not found`, async ({ request }) => {
      expect((await request.get(url)).status()).toBe(404);
    });
  }
});

test.describe('Without a login', () => {
  test.use({ storageState: NOBODY });

  test('the dashboard sends to the login and remembers', async ({ request }) => {
    const answer = await request.get('/dashboard', { maxRedirects: 0 });
    expect(answer.status()).toBe(302);
    expect(answer.headers()['location']).toContain('/login.html?ReturnUrl=%2Fdashboard');
  });

  test('the hub stays closed', async ({ request }) => {
    expect((await request.post('/hub/negotiate?negotiateVersion=1')).status()).toBe(401);
  });
});

test('The event stream tells of a new person', async ({ request }) => {
  const stop = new AbortController();
  const stream = await fetch(`${API}/api/events`, { signal: stop.signal });
  const reader = stream.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  const readUntil = async (end: string) => {
    while (!text.includes(end)) {
      text += (await reader.read()).value ?? '';
    }
  };
  await readUntil('event: hello\n');
  await addPerson(request, 'Dora');
  await readUntil('event: person-created\ndata: 4\n');
  stop.abort();
});

test('The hub tells of a new order, and of nothing else', async ({ request }) => {
  const { cookies } = await request.storageState();
  const told: string[] = [];
  const hub = new HubConnectionBuilder()
    .withUrl(`${API}/hub`, { headers: { Cookie: cookies.map(({ name, value }) => `${name}=${value}`).join('; ') } })
    .configureLogging(LogLevel.None)
    .build();
  hub.on('Changed', (type: string, id: number) => told.push(`${type} ${id}`));
  await hub.start();
  await addOrder(request, 'A-1001');
  await expect.poll(() => told).toEqual(['order-created 1', 'order-processed 1']);
  await hub.stop();
});
