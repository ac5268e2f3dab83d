/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay/mountinfo.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/text.h"

enum { MOUNTINFO_BYTES_MAX = 16 << 20 };

/* Space, tab, newline and backslash are written as \040 and the like, proc(5). */
static char *unescape(const char *field, size_t length)
{
	char *text = malloc(length + 1);
	size_t used = 0;

	if (!text)
		abort();
	for (size_t i = 0; i < length; i++) {
		if (field[i] == '\\' && i + 3 < length && strspn(field + i + 1, "01234567") >= 3) {
			text[used++] = (char)(((field[i + 1] - '0') << 6) | ((field[i + 2] - '0') << 3) |
					      (field[i + 3] - '0'));
			i += 3;
		} else {
			text[used++] = field[i];
		}
	}
	text[used] = '\0';
	return text;
}

/* 36 35 98:0 /root /point options [optional…] - type source super-options */
static bool parse_line(const char *line, size_t length, struct mount_entry *ret_entry)
{
	const char *fields[6];
	size_t lengths[6];
	const char *end = line + length;
	const char *separator = memmem(line, length, " - ", 3);

	if (!separator)
		return false;
	for (size_t i = 0; i < 6; i++) {
		const char *space = memchr(line, ' ', (size_t)(end - line));

		if (!space)
			return false;
		fields[i] = line;
		lengths[i] = (size_t)(space - line);
		line = space + 1;
	}
	separator += 3;
	ret_entry->point = unescape(fields[4], lengths[4]);
	ret_entry->options = unescape(fields[5], lengths[5]);
	ret_entry->type = unescape(separator, strcspn(separator, " \n"));
	return true;
}

void mountinfo_parse(const char *text, struct mount_list *ret_list)
{
	*ret_list = (struct mount_list){ 0 };
	while (*text) {
		size_t length = strcspn(text, "\n");
		struct mount_entry entry;

		if (parse_line(text, length, &entry)) {
			if ((ret_list->count & (ret_list->count - 1)) == 0) {
				size_t room = ret_list->count ? 2 * ret_list->count : 1;

				ret_list->items = realloc(ret_list->items, room * sizeof(*ret_list->items));
				if (!ret_list->items)
					abort();
			}
			ret_list->items[ret_list->count++] = entry;
		}
		text += length;
		text += *text == '\n';
	}
}

int mountinfo_read(struct mount_list *ret_list, struct error *error)
{
	owned_text text = NULL;
	int result = fd_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_BYTES_MAX, &text, NULL);

	if (result < 0)
		return error_set(error, .number = -result, .step = "read the list of mounts",
				 .object = "/proc/self/mountinfo");
	mountinfo_parse(text, ret_list);
	return 0;
}

void mountinfo_release(struct mount_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->items[i].point);
		free(list->items[i].type);
		free(list->items[i].options);
	}
	free(list->items);
	*list = (struct mount_list){ 0 };
}

const struct mount_entry *mountinfo_below(const struct mount_list *list, const char *directory)
{
	for (size_t i = 0; i < list->count; i++)
		if (path_is_below(list->items[i].point, directory) && !text_equal(list->items[i].point, directory))
			return &list->items[i];
	return NULL;
}

const struct mount_entry *mountinfo_at(const struct mount_list *list, const char *path)
{
	/* The last one lies on top. */
	for (size_t i = list->count; i-- > 0;)
		if (text_equal(list->items[i].point, path))
			return &list->items[i];
	return NULL;
}

const struct mount_entry *mountinfo_holding(const struct mount_list *list, const char *path)
{
	const struct mount_entry *best = NULL;

	for (size_t i = 0; i < list->count; i++)
		if (path_is_below(path, list->items[i].point) &&
		    (!best || strlen(list->items[i].point) >= strlen(best->point)))
			best = &list->items[i];
	return best;
}
