/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/blame.h"

#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/path.h"
#include "sandbox/run/journal.h"
#include "sandbox/worker/ask.h"

enum {
	ANSWER_SIZE_MAX = 8 << 20,
	LINES_MAX = 12, /* of one test */
	ROWS_SHOWN = 3, /* of one table, by their keys */
	SHOWN_SIZE = 1024,
};

static void name_release(struct blame_name *name)
{
	text_free(&name->test);
	text_free(&name->file);
	text_free(&name->title);
}

static void entry_release(struct blame_entry *entry)
{
	text_free(&entry->world);
	name_release(&entry->name);
	text_free(&entry->left);
	text_list_release(&entry->lines);
}

void blame_release(struct blame *blame)
{
	for (size_t i = 0; i < blame->count; i++)
		entry_release(&blame->entries[i]);
	for (size_t i = 0; i < BLAME_SLOTS_MAX; i++)
		name_release(&blame->running[i]);
	for (size_t i = 0; i < blame->name_count; i++)
		name_release(&blame->names[i]);
	free(blame->names);
	blame->names = NULL;
	blame->name_count = 0;
	free(blame->entries);
	blame->entries = NULL;
	blame->count = 0;
}

/* ---- for people ---- */

/* Its text comes from inside: a terminal must not be commanded by it. */
static char *shown(const char *text)
{
	char escaped[SHOWN_SIZE];

	text_escape(escaped, sizeof(escaped), text);
	return text_duplicate(escaped);
}

static const char *below_tree(const struct blame *blame, const char *path)
{
	return path_is_below(path, blame->tree) && !text_equal(path, blame->tree) ? path_below(path, blame->tree)
										  : path;
}

/* "Id=4, Id=5, …": the keys of the first rows. */
static void add_keys(struct json_value table, struct text_buffer *out)
{
	struct json_value rows = json_member(table, "rows");
	unsigned count = 0;

	for (struct json_value row = json_first(rows); json_type(row) != JSON_MISSING; row = json_next(row)) {
		struct json_value after = json_member(row, "after");
		struct json_value values = json_type(after) == JSON_OBJECT ? after : json_member(row, "before");

		if (count++ == ROWS_SHOWN) {
			text_buffer_add_text(out, ", …");
			return;
		}
		for (struct json_value key = json_first(json_member(table, "key")); json_type(key) != JSON_MISSING;
		     key = json_next(key)) {
			owned_text name = NULL;
			size_t length = 0;
			const char *raw;

			if (json_text(key, &name) < 0)
				continue;
			raw = json_raw(json_member(values, name), &length);
			text_buffer_format(out, "%s%s=%.*s", out->length > 0 ? ", " : "", name,
					   (int)MIN(length, (size_t)60), raw ? raw : "");
		}
	}
}

static void add_table(struct blame_entry *entry, const char *database, struct json_value table)
{
	static const char *const words[] = { "inserted", "updated", "deleted" };
	owned_text name = NULL;
	owned_buffer line = { 0 };
	owned_buffer keys = { 0 };
	owned_text safe = NULL;
	const char *between = ": ";

	if (json_text(json_member(table, "name"), &name) < 0)
		return;
	text_buffer_format(&line, "%s %s", database, name);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		int64_t count = 0;

		if (json_number(json_member(table, words[i]), &count) < 0 || count == 0)
			continue;
		text_buffer_format(&line, "%s%lld %s", between, (long long)count, words[i]);
		between = ", ";
	}
	if (between[0] == ':')
		return;
	add_keys(table, &keys);
	if (keys.length > 0)
		text_buffer_format(&line, " (%s)", keys.bytes);
	safe = shown(line.bytes);
	text_list_add(&entry->lines, safe);
}

static void add_schema(struct blame_entry *entry, const char *database, struct json_value part)
{
	owned_text type = NULL;
	owned_text name = NULL;
	owned_text change = NULL;
	owned_text line = NULL;

	if (json_text(json_member(part, "type"), &type) < 0 || json_text(json_member(part, "name"), &name) < 0 ||
	    json_text(json_member(part, "change"), &change) < 0)
		return;
	line = text_format("%s %s %s: %s", database, type, name, change);
	text_list_take(&entry->lines, shown(line));
}

static void add_database(const struct blame *blame, struct blame_entry *entry, struct json_value database)
{
	struct json_value tables = json_member(database, "tables");
	struct json_value schema = json_member(database, "schema");
	owned_text path = NULL;
	const char *name;

	if (json_text(json_member(database, "database"), &path) < 0)
		return;
	name = below_tree(blame, path);
	for (struct json_value part = json_first(schema); json_type(part) != JSON_MISSING; part = json_next(part))
		add_schema(entry, name, part);
	for (struct json_value table = json_first(tables); json_type(table) != JSON_MISSING; table = json_next(table))
		add_table(entry, name, table);
}

static void add_file(const struct blame *blame, struct blame_entry *entry, struct json_value file)
{
	owned_text kind = NULL;
	owned_text path = NULL;
	owned_text line = NULL;

	if (json_text(json_member(file, "kind"), &kind) < 0 || json_text(json_member(file, "path"), &path) < 0)
		return;
	line = text_format("%s %s", kind, below_tree(blame, path));
	text_list_take(&entry->lines, shown(line));
}

static void fill_lines(const struct blame *blame, struct blame_entry *entry, struct json_value root)
{
	struct json_value databases = json_member(root, "databases");
	struct json_value files = json_member(root, "files");
	int64_t missed = 0;

	for (struct json_value item = json_first(databases); json_type(item) != JSON_MISSING; item = json_next(item))
		add_database(blame, entry, item);
	for (struct json_value item = json_first(files); json_type(item) != JSON_MISSING; item = json_next(item))
		add_file(blame, entry, item);
	if (json_number(json_member(root, "missed"), &missed) == 0 && missed > 0)
		text_list_take(&entry->lines, text_format("%lld more files", (long long)missed));
}

/* ---- looking ---- */

static void say_failure(struct blame *blame, const struct member *member, struct error *error)
{
	char text[2 * sizeof(*error)];
	owned_text line = NULL;

	if (blame->failures++ > 0)
		return;
	(void)error_context(error, "world %s", member->listing.row.name);
	error_format(error, text, sizeof(text));
	line = text_format("--blame: what a test left is counted for the next one: %s", text);
	blame->say(line);
}

/* @ret_answer  the caller's; NULL: it cannot be had */
static void look(struct blame *blame, const struct member *member, char **ret_answer)
{
	struct task task = { .kind = TASK_BLAME };
	struct error error = { 0 };
	owned_fd connection = -1;
	int result;

	if (!blame->is_wanted || member->state != MEMBER_READY)
		return;
	result = member_connect(member, CONNECT_FREE, &connection, &error);
	if (result == 0)
		result = ask_task_for_text(connection, &task, ANSWER_SIZE_MAX, ret_answer, &error);
	if (result < 0)
		say_failure(blame, member, &error);
}

static struct blame_entry *add_entry(struct blame *blame, const struct member *member, unsigned slot)
{
	struct blame_entry *entry;

	if (blame->count == BLAME_ENTRIES_MAX) {
		blame->missed++;
		return NULL;
	}
	blame->entries = reallocarray(blame->entries, blame->count + 1, sizeof(*blame->entries));
	if (!blame->entries)
		abort();
	entry = &blame->entries[blame->count++];
	*entry = (struct blame_entry){ .sequence = ++blame->sequence,
				       .slot = slot,
				       .world = text_duplicate(member->listing.row.id) };
	return entry;
}

/* @left  taken over */
static void fill_entry(const struct blame *blame, struct blame_entry *entry, char *left)
{
	owned_json json = { 0 };

	/* One line of the journal: within texts JSON has no newline. */
	for (char *c = left; *c; c++)
		if (*c == '\n')
			*c = ' ';
	entry->left = left;
	if (json_read(&json, left, strlen(left), NULL) == 0)
		fill_lines(blame, entry, json_root(&json));
	entry->left_nothing = entry->lines.count == 0;
}

void blame_begin(struct blame *blame, const struct member *member)
{
	owned_text ignored = NULL;

	look(blame, member, &ignored);
}

static struct blame_entry *last_of_slot(const struct blame *blame, unsigned slot, const char *world)
{
	for (size_t i = blame->count; i > 0; i--) {
		struct blame_entry *entry = &blame->entries[i - 1];

		if (entry->slot == slot && (!world || text_equal(entry->world, world)))
			return entry;
	}
	return NULL;
}

/* The runner's word of a test's end, and the test process's wish to be looked at, come as they like. */
static void take_name(struct blame *blame, struct blame_entry *entry, const char *test)
{
	for (size_t i = blame->name_count; i > 0; i--) {
		struct blame_name *name = &blame->names[i - 1];

		if (!text_equal(name->test, test))
			continue;
		entry->name = *name;
		*name = blame->names[--blame->name_count];
		return;
	}
	entry->name.test = text_duplicate(test);
}

void blame_test(struct blame *blame, const struct member *member, unsigned slot, const char *test)
{
	struct blame_entry *entry;
	char *left = NULL;

	look(blame, member, &left);
	if (!left)
		return;
	entry = add_entry(blame, member, slot);
	if (!entry) {
		text_free(&left);
		return;
	}
	take_name(blame, entry, test);
	entry->is_tests = true;
	fill_entry(blame, entry, left);
}

/* What came after a test's end, with what it left before: the first answer stays, the lines are of both. */
static void add_to_entry(const struct blame *blame, struct blame_entry *entry, const char *left)
{
	owned_json json = { 0 };

	if (json_read(&json, left, strlen(left), NULL) < 0)
		return;
	fill_lines(blame, entry, json_root(&json));
	entry->left_nothing = entry->lines.count == 0;
}

void blame_lease(struct blame *blame, const struct member *member, unsigned slot, uint64_t sequence)
{
	struct blame_entry *last = last_of_slot(blame, slot, member->listing.row.id);
	struct blame_name name = blame->running[slot];
	owned_text left = NULL;

	blame->running[slot] = (struct blame_name){ 0 };
	look(blame, member, &left);
	if (left && last && last->is_tests && last->sequence > sequence) {
		add_to_entry(blame, last, left);
	} else if (left && (last = add_entry(blame, member, slot)) != NULL) {
		last->name = name;
		name = (struct blame_name){ 0 };
		fill_entry(blame, last, left);
		left = NULL;
	}
	name_release(&name);
}

/* Several of one lease are a batch of items. */
static void set_name(struct blame_name *name, const char *file, const struct events_test *test)
{
	if (name->title && !text_equal(name->test, test->id)) {
		owned_text before = name->title;

		name->title = text_format("%s, %s", before, test->title);
		return;
	}
	name_release(name);
	*name = (struct blame_name){ .test = text_duplicate(test->id),
				     .file = text_duplicate(file),
				     .line = test->line,
				     .title = text_duplicate(test->title) };
}

void blame_tell_name(struct blame *blame, const struct events_test *test, bool is_leased)
{
	const char *file;
	struct blame_entry *last;
	bool is_known = false;

	if (!blame->is_wanted || test->slot < 0 || test->slot >= BLAME_SLOTS_MAX)
		return;
	file = below_tree(blame, test->file);
	for (size_t i = 0; i < blame->count; i++) {
		struct blame_name *name = &blame->entries[i].name;

		if (!blame->entries[i].is_tests || !text_equal(name->test, test->id))
			continue;
		set_name(name, file, test);
		is_known = true;
	}
	last = last_of_slot(blame, (unsigned)test->slot, NULL);
	if (is_known)
		return;
	if (blame->name_count < BLAME_ENTRIES_MAX) {
		blame->names = reallocarray(blame->names, blame->name_count + 1, sizeof(*blame->names));
		if (!blame->names)
			abort();
		blame->names[blame->name_count] = (struct blame_name){ 0 };
		set_name(&blame->names[blame->name_count++], file, test);
	}
	if (is_leased)
		set_name(&blame->running[test->slot], file, test);
	else if (last && !last->is_tests)
		set_name(&last->name, file, test);
}

/* ---- who ---- */

size_t blame_suspects(const struct blame *blame, const char *world, uint64_t before, blame_each *each, void *argument)
{
	size_t told = 0;

	for (size_t i = blame->count; i > 0; i--) {
		const struct blame_entry *entry = &blame->entries[i - 1];

		if (entry->left_nothing || entry->sequence >= before || !text_equal(entry->world, world))
			continue;
		told++;
		if (!each(argument, entry))
			break;
	}
	return told;
}

static void tell_entry(const struct blame *blame, const struct blame_entry *entry)
{
	owned_buffer text = { 0 };
	const char *file = entry->name.file ? entry->name.file : "";
	owned_text full =
		entry->name.line > 0 ? text_format("%s:%lld", file, (long long)entry->name.line) : text_duplicate(file);
	owned_text place = shown(full);
	owned_text title = shown(entry->name.title ? entry->name.title : "");

	if (place[0] || title[0])
		text_buffer_format(&text, "left behind by %s%s%s (w%u):", place, place[0] && title[0] ? " " : "", title,
				   entry->slot);
	else
		text_buffer_format(&text, "left behind by what ran in w%u:", entry->slot);
	for (size_t i = 0; i < entry->lines.count && i < LINES_MAX; i++)
		text_buffer_format(&text, "\n  %s", entry->lines.items[i]);
	if (entry->lines.count > LINES_MAX)
		text_buffer_format(&text, "\n  and %zu more", entry->lines.count - LINES_MAX);
	blame->say(text.bytes);
}

static void log_entry(struct run_directory *directory, const struct blame_entry *entry)
{
	owned_buffer line = { 0 };
	owned_json json = { 0 };

	if (json_read(&json, entry->left, strlen(entry->left), NULL) < 0)
		return;
	journal_begin_line(&line, "left");
	json_add_number(&line, "worker", entry->slot);
	json_add_text(&line, "world", entry->world);
	json_add_number(&line, "sequence", (int64_t)entry->sequence);
	json_add_text(&line, "test", entry->name.test);
	json_add_text(&line, "title", entry->name.title);
	json_add_text(&line, "file", entry->name.file);
	json_add_number(&line, "line", entry->name.line);
	json_add_list(&line, "lines", &entry->lines);
	json_add_raw(&line, "left", entry->left);
	journal_end_line(directory, &line);
}

void blame_tell(struct blame *blame)
{
	unsigned told = 0;
	unsigned leaving = 0;

	if (!blame->is_wanted)
		return;
	for (size_t i = 0; i < blame->count; i++) {
		const struct blame_entry *entry = &blame->entries[i];

		log_entry(blame->directory, entry);
		if (entry->left_nothing)
			continue;
		leaving++;
		if (told < BLAME_TOLD_MAX) {
			told++;
			tell_entry(blame, entry);
		}
	}
	if (leaving > told || blame->missed > 0) {
		owned_text line =
			text_format("and %u more tests left something behind", leaving - told + blame->missed);

		blame->say(line);
	} else if (leaving == 0 && blame->count > 0) {
		blame->say("no test left a file or a row behind; what servers have in memory is not seen");
	}
}
