// SPDX-License-Identifier: Apache-2.0
// One line for each test that ran: where it was.
const fs = require('node:fs');

exports.record = info => {
	const { SBX_WORKER, TEST_PARALLEL_INDEX, TEST_WORKER_INDEX, FROM_CONFIG, FROM_SETUP, NODE_OPTIONS, SBX_LEASE, SBX_WORKERS, PW_TEST_REPORTER } = process.env;

	fs.appendFileSync(process.env.RECORD, JSON.stringify({
		title: info.title, project: info.project.name, retry: info.retry, pid: process.pid, SBX_WORKER, TEST_PARALLEL_INDEX,
		TEST_WORKER_INDEX, FROM_CONFIG, FROM_SETUP, NODE_OPTIONS, SBX_LEASE, SBX_WORKERS, PW_TEST_REPORTER,
	}) + '\n');
};
