// SPDX-License-Identifier: Apache-2.0
const { execFileSync } = require('node:child_process');

exports.order = item => execFileSync('sqlite3', ['-cmd', '.timeout 5000', 'shop.db', `INSERT INTO Orders(Item) VALUES ('${item}')`]);
exports.visit = page => fetch(`http://localhost:4444/${page}`).then(answer => answer.text());
