/* SPDX-License-Identifier: Apache-2.0 */
/* The content of a lock file and of worker.json, which another version may have written, or anybody. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "sandbox/registry/kept.h"
#include "sandbox/registry/row.h"
#include "tests/fuzz/fuzz.h"

/* A kept worker is named by its id. fuzz.c removes it. */
#define KEPT_ID "3xk2m9q0ab"

static void check_row(const uint8_t *data, size_t size)
{
	owned_json json = { 0 };
	owned_json written_json = { 0 };
	owned_buffer written = { 0 };
	owned_buffer again = { 0 };
	owned_row row = { 0 };
	owned_row copy = { 0 };
	owned_row read = { 0 };

	if (json_read(&json, (const char *)data, size, NULL) < 0)
		return;
	if (worker_row_read(json_root(&json), &row) < 0) {
		MUST(!row.id && !row.name);
		return;
	}
	MUST(row.id && row.name);
	worker_row_copy(&row, &copy);
	json_begin_object(&written, NULL);
	worker_row_write(&copy, &written);
	json_end_object(&written);
	MUST(json_read(&written_json, written.bytes, written.length, NULL) == 0);
	MUST(worker_row_read(json_root(&written_json), &read) == 0);
	json_begin_object(&again, NULL);
	worker_row_write(&read, &again);
	json_end_object(&again);
	MUST(written.length == again.length && memcmp(written.bytes, again.bytes, again.length) == 0);
	(void)name_check(row.name, NULL);
	(void)id_is_prefix(row.id, 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	owned_kept_worker worker = { 0 };
	owned_text spec = NULL;
	struct error error = { 0 };

	check_row(data, size);
	if (mkdirat(fuzz_directory(), KEPT_ID, 0700) < 0)
		MUST(errno == EEXIST);
	fuzz_write(KEPT_ID "/worker.json", data, size);
	if (kept_read(fuzz_directory(), KEPT_ID, &worker, &spec, &error) < 0)
		MUST(error.number != 0 && !spec && !worker.row.id);
	else
		MUST(worker.row.id && worker.row.name);
	return 0;
}
