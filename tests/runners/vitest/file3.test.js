// SPDX-License-Identifier: Apache-2.0
import { test } from 'vitest';
import { record } from './record.js';

test('is in a world', () => record());
