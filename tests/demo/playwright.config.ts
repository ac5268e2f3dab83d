import { defineConfig, devices } from '@playwright/test';

export default defineConfig({
  testDir: 'e2e',
  outputDir: 'test-results',
  // One database, one pair of ports: the tests cannot run side by side.
  workers: 1,
  timeout: 20_000,
  expect: { timeout: 8_000 },
  forbidOnly: !!process.env.CI,
  globalSetup: './e2e/global-setup.ts',
  reporter: [
    ['list'],
    ['html', { outputFolder: 'playwright-report' }],
    ['junit', { outputFile: 'reports/junit.xml' }],
  ],
  use: {
    baseURL: 'http://localhost:4444',
    trace: 'retain-on-failure',
    launchOptions: { executablePath: '/usr/bin/chromium' },
  },
  projects: [
    { name: 'setup', testMatch: 'accounts.setup.ts', teardown: 'cleanup' },
    { name: 'cleanup', testMatch: 'accounts.teardown.ts' },
    {
      name: 'api',
      testDir: 'e2e/api',
      dependencies: ['setup'],
      use: { baseURL: 'http://localhost:5555', storageState: 'e2e/.auth/tester.json' },
    },
    {
      name: 'browser',
      testDir: 'e2e/browser',
      dependencies: ['setup'],
      use: { ...devices['Desktop Chrome'], storageState: 'e2e/.auth/tester.json' },
    },
  ],
  webServer: [
    {
      name: 'API',
      command: 'dotnet App.dll',
      cwd: 'publish',
      env: { ASPNETCORE_ENVIRONMENT: 'E2E' },
      url: 'http://localhost:5555/health',
      gracefulShutdown: { signal: 'SIGTERM', timeout: 5_000 },
    },
    {
      name: 'Web',
      command: 'npx sirv browser --single --quiet --host localhost --port 4444',
      cwd: 'web/dist/web',
      port: 4444,
    },
  ],
});
