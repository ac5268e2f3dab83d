// SPDX-License-Identifier: Apache-2.0
require('node:http').createServer((request, response) => response.end('shop')).listen(process.env.SHOP_PORT || 4444, '127.0.0.1');
