/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/times.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "sandbox/registry/state.h"
#include "sandbox/worker/identity.h"

enum { FILES_MAX = 256 };

void times_release(struct times *times)
{
	text_list_release(&times->items);
	free(times->ms);
	*times = (struct times){ 0 };
}

/* ---- the file ---- */

/* FNV-1a, 64 bits: two commands with one name would at worst disturb each other's order. */
static uint64_t hash_words(char *const *words, size_t count)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < count; i++)
		for (const char *byte = words[i];; byte++) {
			hash = (hash ^ (unsigned char)*byte) * 0x100000001b3;
			if (*byte == '\0')
				break;
		}
	return hash;
}

static int open_directory(int *ret_fd, struct error *error)
{
	struct state_paths paths;
	owned_fd state_fd = -1;
	int result = identity_find_places(&paths, error);

	if (result < 0)
		return result;
	result = state_open(&paths, STATE_MAKE, &state_fd, error);
	if (result >= 0)
		result = state_open_part(state_fd, STATE_TIMES, STATE_MAKE, ret_fd, error);
	state_paths_release(&paths);
	return result;
}

static void remove_oldest(int directory_fd)
{
	char oldest[NAME_MAX + 1] = "";
	struct timespec then = { 0 };
	size_t count = 0;
	int fd = fd_duplicate(directory_fd);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);

	if (!directory) {
		fd_close(&fd);
		return;
	}
	for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
		struct stat status;

		if (entry->d_name[0] == '.' || fstatat(directory_fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (count++ == 0 || status.st_mtim.tv_sec < then.tv_sec) {
			then = status.st_mtim;
			text_copy(oldest, sizeof(oldest), entry->d_name);
		}
	}
	(void)closedir(directory);
	if (count > FILES_MAX)
		(void)unlinkat(directory_fd, oldest, 0);
}

enum { NAME_SIZE = 40 };

/* The tree's first, so that what is of one tree is told by its name. */
static void make_name(const char *tree, char *const *words, size_t count, char name[static NAME_SIZE])
{
	char *const tree_word[] = { (char *)tree };

	(void)snprintf(name, NAME_SIZE, "%016llx-%016llx", (unsigned long long)hash_words(tree_word, 1),
		       (unsigned long long)hash_words(words, count));
}

int times_open(const char *tree, char *const *words, size_t count, int *ret_fd, struct error *error)
{
	owned_fd directory_fd = -1;
	char name[NAME_SIZE];
	int result = open_directory(&directory_fd, error);
	int fd;

	if (result < 0)
		return result;
	make_name(tree, words, count, name);
	fd = openat(directory_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(error, .number = errno, .step = "open the times of the last run", .object = name);
	remove_oldest(directory_fd);
	*ret_fd = fd;
	return 0;
}

static bool is_of_one(const char *name, const struct text_list *trees)
{
	for (size_t i = 0; i < trees->count; i++) {
		char own[NAME_SIZE];

		make_name(trees->items[i], NULL, 0, own);
		if (strncmp(own, name, strcspn(own, "-") + 1) == 0)
			return true;
	}
	return false;
}

int times_prune(int state_fd, const struct text_list *trees, enum times_prune mode, struct text_list *ret_names,
		struct error *error)
{
	struct error missing = { 0 };
	owned_fd directory_fd = -1;
	int result = state_open_part(state_fd, STATE_TIMES, STATE_LEAVE, &directory_fd, &missing);
	int fd = result < 0 ? result : fd_duplicate(directory_fd);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);

	if (result == -ENOENT)
		return 0;
	if (!directory) {
		int number = result < 0 ? -result : errno;

		fd_close(&fd);
		return error_set(error, .number = number, .step = "look for times of earlier runs");
	}
	for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
		if (entry->d_name[0] == '.' || is_of_one(entry->d_name, trees))
			continue;
		/* Another prune was faster, or it stays for the next one. */
		if (mode == TIMES_LOOK || unlinkat(directory_fd, entry->d_name, 0) == 0)
			text_list_add(ret_names, entry->d_name);
	}
	(void)closedir(directory);
	return 0;
}

/* ---- what it holds: an object, ITEM: MILLISECONDS ---- */

struct entry {
	char *item;
	uint64_t ms;
};

static int compare_entries(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->item, ((const struct entry *)b)->item);
}

static char *read_whole(int fd)
{
	struct stat status;
	char *text;
	ssize_t got;

	if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_size > JSON_SIZE_MAX)
		return NULL;
	text = malloc((size_t)status.st_size + 1);
	if (!text)
		abort();
	got = pread(fd, text, (size_t)status.st_size, 0);
	text[got < 0 ? 0 : got] = '\0';
	return text;
}

void times_read(int fd, struct times *ret_times)
{
	owned_text text = read_whole(fd);
	owned_json json = { 0 };
	struct entry *entries = NULL;
	size_t count = 0;
	size_t capacity = 0;

	*ret_times = (struct times){ 0 };
	if (!text || json_read(&json, text, strlen(text), NULL) < 0)
		return;
	for (struct json_value value = json_first(json_root(&json)); json_type(value) != JSON_MISSING;
	     value = json_next(value)) {
		struct entry entry = { 0 };
		int64_t ms = 0;

		if (json_number(value, &ms) < 0 || ms < 0 || json_name(value, &entry.item) < 0)
			continue;
		entry.ms = (uint64_t)ms;
		if (count == capacity) {
			capacity = capacity ? 2 * capacity : 64;
			entries = reallocarray(entries, capacity, sizeof(*entries));
			if (!entries)
				abort();
		}
		entries[count++] = entry;
	}
	if (count > 0)
		qsort(entries, count, sizeof(*entries), compare_entries);
	ret_times->ms = calloc(count + 1, sizeof(uint64_t));
	if (!ret_times->ms)
		abort();
	for (size_t i = 0; i < count; i++) {
		ret_times->ms[i] = entries[i].ms;
		text_list_take(&ret_times->items, entries[i].item);
	}
	free(entries);
}

bool times_find(const struct times *times, const char *item, uint64_t *ret_ms)
{
	size_t low = 0;
	size_t high = times->items.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(times->items.items[middle], item);

		if (order == 0) {
			*ret_ms = times->ms[middle];
			return true;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

void times_write(int fd, char *const *items, const uint64_t *ms, size_t count)
{
	owned_buffer text = { 0 };

	if (fd < 0)
		return;
	json_begin_object(&text, NULL);
	for (size_t i = 0; i < count; i++)
		json_add_number(&text, items[i], (int64_t)ms[i]);
	json_end_object(&text);
	if (text.length > JSON_SIZE_MAX || ftruncate(fd, 0) < 0)
		return;
	/* The next run's order is not worth failing this one. */
	(void)!pwrite(fd, text.bytes, text.length, 0);
}
