// SPDX-License-Identifier: Apache-2.0
// As npx and its like: starts the runner in its own process group, and dies of a signal while that goes on.
require('node:child_process').spawn('npx', ['playwright', 'test', ...process.argv.slice(2)], { stdio: 'inherit' });
