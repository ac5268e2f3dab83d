import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { expect, type APIRequestContext } from '@playwright/test';

export const API = 'http://localhost:5555';
export const ROOT = path.resolve(__dirname, '..');
export const SERVER = path.join(ROOT, 'publish');
export const DATABASE = path.join(SERVER, 'TestDb.db');

export const ADMIN = { userName: 'admin', password: 'admin', state: 'e2e/.auth/admin.json' };
export const TESTER = { userName: 'tester', password: 'test-1234', state: 'e2e/.auth/tester.json' };
export const NOBODY = { cookies: [], origins: [] };

export interface Role { id: number; name: string; people: number }
export interface Person { id: number; name: string; email: string; roleId: number; role: string; orders: number; expiresAt: string | null }
export interface Product { id: number; name: string; priceCents: number }
export interface Line { productId: number; quantity: number }
export interface Order { id: number; number: string; personId: number; status: string; totalCents: number | null; lines: Line[] }
export interface Upload { id: number; fileName: string; contentType: string; size: number; personId: number | null }
export interface Audit { action: string; details: string }
export type Totals = Record<
  'roles' | 'people' | 'users' | 'products' | 'orders' | 'orderLines' | 'uploads' | 'auditEntries', number>;

/** Back to three people, three roles, three products; the next of each gets id 4. */
export async function resetData(api: APIRequestContext, keepUsers = [TESTER.userName]): Promise<void> {
  const answer = await api.post(`${API}/api/testing/reset`, { data: { keepUsers } });
  expect(answer.status(), 'reset of the data').toBe(204);
}

export async function get<T>(api: APIRequestContext, url: string): Promise<T> {
  const answer = await api.get(API + url);
  expect(answer.status(), `GET ${url}`).toBe(200);
  return answer.json();
}

export async function create<T>(api: APIRequestContext, url: string, data: object): Promise<T> {
  const answer = await api.post(API + url, { data });
  expect(answer.status(), `POST ${url}: ${await answer.text()}`).toBe(201);
  return answer.json();
}

export const people = (api: APIRequestContext, search = '') =>
  get<Person[]>(api, `/api/people?search=${encodeURIComponent(search)}`);
export const roles = (api: APIRequestContext) => get<Role[]>(api, '/api/roles');
export const orders = (api: APIRequestContext) => get<Order[]>(api, '/api/orders');
export const uploads = (api: APIRequestContext) => get<Upload[]>(api, '/api/uploads');
export const totals = (api: APIRequestContext) => get<Totals>(api, '/api/totals');
export const audit = (api: APIRequestContext) => get<Audit[]>(api, '/api/audit');

export const addPerson = (api: APIRequestContext, name: string, more: Partial<Person> = {}) =>
  create<Person>(api, '/api/people', { name, email: `${name.toLowerCase()}@example.com`, roleId: 3, ...more });
export const addRole = (api: APIRequestContext, name: string) => create<Role>(api, '/api/roles', { name });
export const addOrder = (api: APIRequestContext, number: string, lines: Line[] = [{ productId: 1, quantity: 1 }], personId = 1) =>
  create<Order>(api, '/api/orders', { number, personId, lines });

export async function upload(api: APIRequestContext, name: string, content: string | Buffer, mimeType = 'text/plain'): Promise<Upload> {
  const file = { name, mimeType, buffer: Buffer.from(content) };
  const answer = await api.post(`${API}/api/uploads`, { multipart: { file } });
  expect(answer.status(), `upload of ${name}`).toBe(201);
  return answer.json();
}

/** Waits for the recurring job to have processed the order. */
export async function processed(api: APIRequestContext, id: number): Promise<Order> {
  await expect.poll(async () => (await get<Order>(api, `/api/orders/${id}`)).status).toBe('Processed');
  return get<Order>(api, `/api/orders/${id}`);
}

/** What `sqlite3 TestDb.db` answers, one line a row. */
export function sql(query: string, database = DATABASE): string[] {
  const text = execFileSync('sqlite3', ['-readonly', '-cmd', '.timeout 5000', database, query], { encoding: 'utf8' });
  return text.split('\n').filter((line) => line !== '');
}

/** What git says of the project; no repository is an answer, too. */
export function gitStatus(): string {
  try {
    return execFileSync('git', ['status', '--porcelain'], { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return 'not a repository';
  }
}
