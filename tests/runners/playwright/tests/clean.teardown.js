// SPDX-License-Identifier: Apache-2.0
const { test: teardown } = require('@playwright/test');
const { record } = require('../record');

teardown('clean up', async ({}, info) => record(info));
