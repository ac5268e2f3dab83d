// SPDX-License-Identifier: Apache-2.0
const { check } = require('../fixed.cjs');

test('is alone', () => check('one'));
