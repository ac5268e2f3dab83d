/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of requests to PID 1, from a client of another version or of another make. */
#include <errno.h>
#include <string.h>

#include "sandbox/worker/request.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *body = (const char *)data;
	size_t offset = 0;

	while (offset < size) {
		owned_list items = { 0 };
		owned_buffer packed = { 0 };
		size_t start = offset;
		int result = request_unpack_list(body, size, &offset, &items);

		MUST(result == 0 || (result == -EBADMSG && offset == start && !items.items));
		if (result < 0)
			break;
		MUST(offset > start && offset <= size);
		request_pack_list(&packed, items.items);
		MUST(packed.length == offset - start && memcmp(packed.bytes, body + start, packed.length) == 0);
	}
	return 0;
}
