/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/registry/row.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/macro.h"

/* One table for writing, reading, copying and releasing. */
static const struct field {
	const char *name;
	enum { FIELD_TEXT, FIELD_LIST, FIELD_NUMBER, FIELD_BOOL } kind;
	size_t offset;
} fields[] = {
	{ "id", FIELD_TEXT, offsetof(struct worker_row, id) },
	{ "name", FIELD_TEXT, offsetof(struct worker_row, name) },
	{ "run", FIELD_TEXT, offsetof(struct worker_row, run) },
	{ "tree", FIELD_TEXT, offsetof(struct worker_row, tree) },
	{ "command", FIELD_LIST, offsetof(struct worker_row, command) },
	{ "command_cut", FIELD_BOOL, offsetof(struct worker_row, is_command_cut) },
	{ "phase", FIELD_TEXT, offsetof(struct worker_row, phase) },
	{ "keep", FIELD_TEXT, offsetof(struct worker_row, keep) },
	{ "pid", FIELD_NUMBER, offsetof(struct worker_row, pid) },
	{ "sbx_pid", FIELD_NUMBER, offsetof(struct worker_row, sbx_pid) },
	{ "payload_pid", FIELD_NUMBER, offsetof(struct worker_row, payload_pid) },
	{ "started_ns", FIELD_NUMBER, offsetof(struct worker_row, started_ns) },
	{ "boot_id", FIELD_TEXT, offsetof(struct worker_row, boot_id) },
	{ "ports", FIELD_LIST, offsetof(struct worker_row, ports) },
	{ "labels", FIELD_LIST, offsetof(struct worker_row, labels) },
	{ "degraded", FIELD_LIST, offsetof(struct worker_row, degraded) },
	{ "scratch", FIELD_TEXT, offsetof(struct worker_row, scratch) },
	{ "log_directory", FIELD_TEXT, offsetof(struct worker_row, log_directory) },
};

#define MEMBER(type, row, field)       ((type *)(void *)((char *)(row) + (field)->offset))
#define CONST_MEMBER(type, row, field) ((const type *)(const void *)((const char *)(row) + (field)->offset))

void worker_row_release(struct worker_row *row)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (fields[i].kind == FIELD_TEXT)
			text_free(MEMBER(char *, row, &fields[i]));
		else if (fields[i].kind == FIELD_LIST)
			text_list_release(MEMBER(struct text_list, row, &fields[i]));
	}
	*row = (struct worker_row){ 0 };
}

static void write_field(const struct worker_row *row, const struct field *field, struct text_buffer *out)
{
	switch (field->kind) {
	case FIELD_TEXT:
		if (*CONST_MEMBER(char *, row, field))
			json_add_text(out, field->name, *CONST_MEMBER(char *, row, field));
		return;
	case FIELD_LIST:
		if (CONST_MEMBER(struct text_list, row, field)->count > 0)
			json_add_list(out, field->name, CONST_MEMBER(struct text_list, row, field));
		return;
	case FIELD_NUMBER:
		if (*CONST_MEMBER(int64_t, row, field) != 0)
			json_add_number(out, field->name, *CONST_MEMBER(int64_t, row, field));
		return;
	case FIELD_BOOL:
		if (*CONST_MEMBER(bool, row, field))
			json_add_bool(out, field->name, true);
		return;
	}
}

void worker_row_write(const struct worker_row *row, struct text_buffer *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		write_field(row, &fields[i], out);
}

static int read_field(struct json_value value, const struct field *field, struct worker_row *row)
{
	switch (field->kind) {
	case FIELD_TEXT:
		return json_text(value, MEMBER(char *, row, field));
	case FIELD_LIST:
		return json_list(value, MEMBER(struct text_list, row, field));
	case FIELD_NUMBER:
		return json_number(value, MEMBER(int64_t, row, field));
	case FIELD_BOOL:
		return json_bool(value, MEMBER(bool, row, field));
	}
	return -EINVAL;
}

int worker_row_read(struct json_value object, struct worker_row *ret_row)
{
	owned_row row = { 0 };

	if (json_type(object) != JSON_OBJECT)
		return -EBADMSG;
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		int result = read_field(json_member(object, fields[i].name), &fields[i], &row);

		if (result < 0 && result != -ENOENT)
			return -EBADMSG;
	}
	/* They become parts of paths: what did not come from here is refused. */
	if (!row.id || strlen(row.id) != ID_LENGTH || !id_is_prefix(row.id, ID_LENGTH) || !row.name ||
	    name_check(row.name, NULL) < 0)
		return -EBADMSG;
	*ret_row = row;
	row = (struct worker_row){ 0 };
	return 0;
}

void worker_row_copy(const struct worker_row *row, struct worker_row *ret_row)
{
	struct worker_row copy = *row;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		const struct field *field = &fields[i];

		if (field->kind == FIELD_TEXT) {
			*MEMBER(char *, &copy, field) = text_duplicate(*CONST_MEMBER(char *, row, field));
		} else if (field->kind == FIELD_LIST) {
			const struct text_list *from = CONST_MEMBER(struct text_list, row, field);
			struct text_list *list = MEMBER(struct text_list, &copy, field);

			*list = (struct text_list){ 0 };
			for (size_t j = 0; j < from->count; j++)
				text_list_add(list, from->items[j]);
		}
	}
	*ret_row = copy;
}

/* ---- Ids and names ----------------------------------------------------------------------------------------------- */

static const char id_digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

char *id_make(char id[static ID_LENGTH + 1])
{
	enum { EPOCH = 1704067200 /* 2024-01-01 */ };
	uint64_t number;
	uint32_t random;
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	/* GRND_INSECURE: never blocks, not even early at boot; uniqueness is all that is asked. Linux 5.6. */
	if (getrandom(&random, sizeof(random), GRND_INSECURE) != sizeof(random))
		random = (uint32_t)now.tv_nsec ^ (uint32_t)getpid() << 10;
	number = ((uint64_t)(now.tv_sec - EPOCH) << 5 * (ID_LENGTH - ID_TIME_LENGTH)) |
		 (random & ((1u << 5 * (ID_LENGTH - ID_TIME_LENGTH)) - 1));
	for (size_t i = ID_LENGTH; i-- > 0; number >>= 5)
		id[i] = id_digits[number & 31];
	id[ID_LENGTH] = '\0';
	return id;
}

bool id_is_prefix(const char *text, size_t length_min)
{
	size_t length = strspn(text, id_digits);

	return text[length] == '\0' && length >= length_min && length <= ID_LENGTH;
}

int name_check(const char *name, struct error *error)
{
	static const char alphanumeric[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	size_t length = strlen(name);

	if (length >= 1 && length <= NAME_LENGTH_MAX && strchr(alphanumeric, name[0]) &&
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == length)
		return 0;
	return error_set(
		error, .number = EINVAL, .step = "use the name", .object = name,
		.cause = length == 0		    ? "it is empty"
			 : length > NAME_LENGTH_MAX ? "it is longer than 63 characters"
						    : "it holds what a name may not",
		.remedy = "a name has 1 to 63 letters, digits, '_', '.' and '-', and begins with a letter or digit");
}
