// SPDX-License-Identifier: Apache-2.0
require('node:http').createServer((request, response) => {
	console.log(`shop: ${request.url}`);
	response.end('shop');
}).listen(4444, '127.0.0.1');
