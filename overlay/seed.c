/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay/seed.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"

#define SEED_FILE     "seed.json"
#define SEED_FILE_MAX (1 << 20)

int seed_open(const char *path, struct seed *ret_seed, struct error *error)
{
	owned_fd directory_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct seed seed = { 0 };
	owned_text text = NULL;
	owned_json json = { 0 };
	size_t size = 0;
	int result = directory_fd < 0 ? -errno : fd_read_file(directory_fd, SEED_FILE, SEED_FILE_MAX, &text, &size);

	if (result < 0)
		return error_set(error, .number = -result, .step = "open the seed", .object = path);
	result = json_read(&json, text, size, error);
	if (result < 0)
		return result;
	if (json_list(json_member(json_root(&json), "databases"), &seed.databases) < 0)
		return error_set(error, .number = EBADMSG, .step = "read the seed", .object = path,
				 .cause = "it does not say which databases it holds");
	seed.path = text_duplicate(path);
	*ret_seed = seed;
	return 0;
}

void seed_release(struct seed *seed)
{
	text_free(&seed->path);
	text_list_release(&seed->databases);
	*seed = (struct seed){ 0 };
}

int seed_write(int directory_fd, const struct text_list *databases, struct error *error)
{
	owned_fd fd = openat(directory_fd, SEED_FILE, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	owned_buffer text = { 0 };
	int result;

	if (fd < 0)
		return error_set(error, .number = errno, .step = "write the seed", .object = SEED_FILE);
	json_begin_object(&text, NULL);
	json_add_list(&text, "databases", databases);
	json_end_object(&text);
	text_buffer_add(&text, "\n", 1);
	result = fd_write_all(fd, text.bytes, text.length);
	return result < 0 ? error_set(error, .number = -result, .step = "write the seed", .object = SEED_FILE) : 0;
}
