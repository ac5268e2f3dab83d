/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay/seed.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "overlay/layers.h"

#define SEED_FILE	"seed.json"
#define STEP_READ	"read the seed"
#define LAYERS_SIZE_MAX (16u << 20)

/* Where a database lies in the seed is found by its path: only what can be one is taken. */
static int check_databases(const struct text_list *databases)
{
	for (size_t i = 0; i < databases->count; i++) {
		owned_text normal = path_normal("/", databases->items[i]);

		if (!text_equal(normal, databases->items[i]))
			return -EBADMSG;
	}
	return 0;
}

int seed_read_databases(int directory_fd, struct text_list *ret_databases, struct error *error)
{
	owned_text text = NULL;
	owned_json json = { 0 };
	owned_list databases = { 0 };
	int result = fd_read_file(directory_fd, SEED_FILE, JSON_SIZE_MAX, &text, NULL);

	if (result < 0)
		return error_set(error, .number = -result, .step = STEP_READ, .object = SEED_FILE,
				 .cause = result == -ENOENT ? "it was never finished, or is no seed" : NULL);
	result = json_read(&json, text, strlen(text), error);
	if (result < 0)
		return result;
	if (json_list(json_member(json_root(&json), "databases"), &databases) < 0 || check_databases(&databases) < 0)
		return error_set(error, .number = EBADMSG, .step = STEP_READ, .object = SEED_FILE,
				 .cause = "its list of databases cannot be read");
	*ret_databases = databases;
	databases = (struct text_list){ 0 };
	return 0;
}

int seed_open(const char *path, struct seed *ret_seed, struct error *error)
{
	owned_fd fd = path_open(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0, PATH_FOLLOW);
	struct seed seed = { 0 };
	int result = fd < 0 ? fd : path_of_fd(fd, &seed.path);

	if (result < 0)
		return error_set(error, .number = -result, .step = STEP_READ, .object = path);
	result = seed_read_databases(fd, &seed.databases, error);
	if (result < 0) {
		text_free(&seed.path);
		return error_context(error, "seed %s", path);
	}
	*ret_seed = seed;
	return 0;
}

void seed_release(struct seed *seed)
{
	text_free(&seed->path);
	text_list_release(&seed->databases);
}

int seed_read_layers(int seed_fd, struct text_list *ret_paths, struct error *error)
{
	owned_text text = NULL;
	size_t size;
	int result = fd_read_file(seed_fd, LAYERS_NAMES, LAYERS_SIZE_MAX, &text, &size);

	if (result < 0)
		return error_set(error, .number = -result, .step = STEP_READ, .object = LAYERS_NAMES);
	/* Kind and path in turn, each ended by a NUL. */
	for (size_t start = 0; start < size;) {
		size_t kind = strlen(text + start) + 1;

		if (start + kind >= size || text[start + kind] != '/')
			return error_set(error, .number = EBADMSG, .step = STEP_READ, .object = LAYERS_NAMES);
		text_list_add(ret_paths, text + start + kind);
		start += kind + strlen(text + start + kind) + 1;
	}
	return 0;
}

int seed_write(int directory_fd, const struct text_list *databases, struct error *error)
{
	owned_buffer text = { 0 };
	owned_fd fd = openat(directory_fd, SEED_FILE, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int result;

	json_begin_object(&text, NULL);
	json_add_list(&text, "databases", databases);
	json_end_object(&text);
	text_buffer_add_text(&text, "\n");
	result = fd < 0 ? -errno : fd_write_all(fd, text.bytes, text.length);
	if (result < 0)
		return error_set(error, .number = -result, .step = "write the seed", .object = SEED_FILE);
	return 0;
}
