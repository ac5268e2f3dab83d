import { defineConfig } from '@playwright/test';
import base from './playwright.config';

// Tests that lean on each other's rows, file after file. They only pass in their order.
export default defineConfig({
  ...base,
  testDir: 'e2e/order',
  reporter: 'list',
  projects: [
    { name: 'order', use: { baseURL: 'http://localhost:5555', storageState: 'e2e/.auth/admin.json' } },
  ],
});
