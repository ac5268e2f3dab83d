// SPDX-License-Identifier: Apache-2.0
let mode = 'usual';

require('node:http').createServer((request, response) => {
	if (request.url.startsWith('/mode/'))
		mode = request.url.slice('/mode/'.length);
	response.end(mode);
}).listen(4444, '127.0.0.1');
