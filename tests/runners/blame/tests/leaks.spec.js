// SPDX-License-Identifier: Apache-2.0
const { test, expect } = require('@playwright/test');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');

const sql = statement => String(execFileSync('sqlite3', ['-cmd', '.timeout 5000', 'shop.db', statement])).trim();
const ask = path => fetch(`http://localhost:4444/${path}`).then(answer => answer.text());

test('leaves a row', () => {
	sql(`INSERT INTO Orders(Item) VALUES ('left')`);
});

test('tidies up', () => {
	sql(`INSERT INTO Orders(Item) VALUES ('gone'); DELETE FROM Orders WHERE Item = 'gone'`);
	fs.writeFileSync('gone', '');
	fs.rmSync('gone');
});

test('leaves a file', () => {
	fs.mkdirSync('uploads');
	fs.writeFileSync('uploads/1.png', 'picture');
});

test('leaves a mode in memory', async () => {
	expect(await ask('mode/special')).toBe('special');
});

test('changes the row and the file of others', () => {
	sql(`UPDATE Orders SET Item = 'changed'`);
	fs.appendFileSync('uploads/1.png', ' and more');
});

test('meets the mode', async () => {
	expect(await ask('')).toBe('usual');
});
