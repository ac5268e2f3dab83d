/* SPDX-License-Identifier: Apache-2.0 */
/* A log: one record, a time of --since, and a whole file with its last lines looked for. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fd.h"
#include "sandbox/worker/log.h"
#include "tests/fuzz/fuzz.h"

static void show(uint64_t tail)
{
	static int sink = -1;
	struct error error = { 0 };

	if (sink < 0)
		sink = open("/dev/null", O_WRONLY | O_CLOEXEC);
	MUST(sink >= 0);
	const struct log_show options = { .fds = { sink, sink }, .tail = tail, .timestamps = true };
	MUST(log_show(fuzz_directory(), "log", &options, &error) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	owned_text text = fuzz_text(data, size);
	struct log_record record;
	uint64_t time_ns = 0;
	char time[LOG_TIME_SIZE];
	int result = log_parse_since(text, UINT64_C(1800000000000000000), &time_ns);

	MUST(result == 0 || result == -EINVAL || result == -ERANGE);
	if (log_parse_record((const char *)data, size, &record) == 0) {
		MUST(record.content >= (const char *)data && record.content + record.size == (const char *)data + size);
		MUST(strlen(log_format_time(record.time_ns, time)) < LOG_TIME_SIZE);
	}
	fuzz_write("log", data, size);
	show(LOG_TAIL_ALL);
	show(0);
	show(1);
	show(3);
	return 0;
}
