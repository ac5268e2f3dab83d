// SPDX-License-Identifier: Apache-2.0
const { record } = require('./record');

test('is in a world', () => record());
