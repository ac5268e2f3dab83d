// SPDX-License-Identifier: Apache-2.0
const fs = require('node:fs');

exports.record = () => {
	const { SBX_WORKER, NODE_OPTIONS } = process.env;
	fs.appendFileSync(process.env.RECORD, JSON.stringify({ SBX_WORKER, NODE_OPTIONS, pid: process.pid }) + '\n');
};
