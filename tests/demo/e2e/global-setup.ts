import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { request } from '@playwright/test';
import { ADMIN, API, gitStatus, resetData, ROOT } from './support';

/** An empty database, and the administrator logged in. */
export default async function globalSetup(): Promise<void> {
  const api = await request.newContext({ baseURL: API });
  await resetData(api, []);
  const login = await api.post('/api/auth/login', { data: ADMIN });
  if (!login.ok()) {
    throw new Error(`The administrator cannot log in: ${login.status()}`);
  }
  await api.storageState({ path: ADMIN.state });
  await api.dispose();
  writeFileSync(path.join(ROOT, 'e2e/.auth/git-status.txt'), gitStatus());
}
