// SPDX-License-Identifier: Apache-2.0
import { test } from 'vitest';
import { check } from '../fixed.cjs';

test('is alone', () => check('four'));
