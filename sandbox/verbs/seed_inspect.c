/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/verbs/seed_inspect.h"

#include "base/json.h"
#include "base/macro.h"
#include "base/number.h"
#include "base/table.h"
#include "sandbox/registry/seeds.h"
#include "sandbox/verbs/output.h"
#include "sandbox/verbs/workers.h"
#include "sandbox/worker/identity.h"

enum {
	USERS_MAX = 256,
	FILES_SHOWN_MAX = 12, /* of one kind, for people */
	SIZE_TEXT = 32,
};

/* What is found out beside the record. */
struct findings {
	int differs; /* how many files do; -errno: it cannot be known */
	struct text_list changed;
	struct text_list users; /* live workers */
	bool is_used;
};

static void findings_release(struct findings *findings)
{
	text_list_release(&findings->changed);
	text_list_release(&findings->users);
}

/* Workers whose sbx has the seed's lock. Of a run that is just beginning none is listed yet. */
static void list_users(int seeds_fd, const char *name, struct text_list *ret_users)
{
	int64_t pids[USERS_MAX];
	size_t count = seed_list_users(seeds_fd, name, pids, USERS_MAX);
	owned_worker_list workers = { 0 };
	owned_places places = { 0 };
	struct error ignored = { 0 };

	if (count == 0 || identity_find_places(&places, &ignored) < 0 ||
	    workers_list(&places, RESOLVE_LIVE, &workers, &ignored) < 0)
		return;
	for (size_t i = 0; i < workers.live.count; i++)
		for (size_t j = 0; j < count; j++)
			if (workers.live.items[i].row.sbx_pid == pids[j]) {
				text_list_add(ret_users, workers_word_of_live(&workers.live.items[i]));
				break;
			}
}

static void find_out(const struct seed_record *record, int seeds_fd, struct findings *ret_findings)
{
	struct error problem = { 0 };

	ret_findings->differs =
		ground_compare(&record->ground, record->tree, &record->inputs, &ret_findings->changed, &problem);
	ret_findings->is_used = seed_is_used(seeds_fd, record->name);
	list_users(seeds_fd, record->name, &ret_findings->users);
}

/* ---- for programs ---- */

static void write_object(const struct seed_record *record, const struct findings *findings, struct text_buffer *out)
{
	char created[TABLE_TIME_SIZE];

	json_begin_object(out, NULL);
	json_add_text(out, "name", record->name);
	json_add_text(out, "id", record->id);
	json_add_text(out, "created", table_time(record->created_ns, created));
	json_add_text(out, "origin", record->origin);
	json_add_text(out, "tree", record->tree);
	json_add_text(out, "commit", record->commit);
	json_add_text(out, "key", record->key);
	json_add_list(out, "command", &record->command);
	json_add_list(out, "inputs", &record->inputs);
	json_add_list(out, "databases", &record->databases);
	json_add_number(out, "bytes", record->bytes);
	json_add_number(out, "entries", record->entries);
	json_add_bool(out, "used", findings->is_used);
	json_add_list(out, "used_by", &findings->users);
	if (findings->differs < 0)
		json_add_null(out, "fits");
	else
		json_add_bool(out, "fits", findings->differs == 0);
	json_add_list(out, "changed", &findings->changed);
	ground_write(&record->ground, "ground", out);
	json_end_object(out);
}

/* ---- for people ---- */

/* Names come from the tree: a terminal must not be commanded by them. */
static void add_fact(struct text_buffer *out, const char *name, const char *text)
{
	owned_text shown = text ? text_escaped(text) : NULL;

	if (shown)
		text_buffer_format(out, "%s %s\n", name, shown);
}

static void add_facts(struct text_buffer *out, const char *name, const struct text_list *list)
{
	if (list->count > 0)
		text_buffer_format(out, "%s\n", name);
	for (size_t i = 0; i < list->count; i++)
		add_fact(out, "  -", list->items[i]);
}

/* What it stands on, each kind with its first files. */
static void add_ground(struct text_buffer *out, const struct seed_record *record)
{
	static const struct {
		enum ground_kind kind;
		const char *name;
	} kinds[] = { { GROUND_INPUT, "input files:" },
		      { GROUND_DATABASE, "databases of the tree:" },
		      { GROUND_COVERED, "files of the tree that it holds in a changed form:" },
		      { GROUND_MADE, "files that it made where the tree has none:" } };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t count = 0;

		for (size_t j = 0; j < record->ground.count; j++) {
			if (record->ground.items[j].kind != kinds[i].kind)
				continue;
			if (count == 0)
				text_buffer_format(out, "%s\n", kinds[i].name);
			if (count++ < FILES_SHOWN_MAX)
				add_fact(out, "  -", record->ground.items[j].path);
		}
		if (count > FILES_SHOWN_MAX)
			text_buffer_format(out, "  and %zu more\n", count - FILES_SHOWN_MAX);
	}
}

static const char *origin_words(const char *origin)
{
	if (text_equal(origin, "settings"))
		return "`seed:` in sbx.yaml";
	return text_equal(origin, "commit") ? "sbx commit" : "sbx seed create";
}

static void write_facts(const struct seed_record *record, const struct findings *findings, struct text_buffer *out)
{
	char created[TABLE_TIME_SIZE];
	char size[SIZE_TEXT];
	owned_text made =
		text_format("%s by %s", table_time(record->created_ns, created), origin_words(record->origin));
	owned_text bytes = text_format("%s in %lld files and directories",
				       number_format_size((uint64_t)record->bytes, size, sizeof(size)),
				       (long long)record->entries);
	owned_text command = text_join_words(&record->command);

	if (out->length > 0)
		text_buffer_add_text(out, "\n");
	add_fact(out, "name:", record->name);
	add_fact(out, "id:", record->id);
	add_fact(out, "made:", made);
	add_fact(out, "command:", record->command.count > 0 ? command : NULL);
	add_fact(out, "size:", bytes);
	add_facts(out, "databases in it:", &record->databases);
	add_fact(out, "tree:", record->tree);
	add_fact(out, "git commit:", record->commit);
	add_fact(out, "key:", record->key);
	add_facts(out, "inputs:", &record->inputs);
	add_ground(out, record);
	add_fact(out, "fits the tree:",
		 findings->differs < 0	  ? "it cannot be known"
		 : findings->differs == 0 ? "yes"
					  : "no, it is refused without --force:");
	for (size_t i = 0; i < findings->changed.count; i++)
		add_fact(out, "  -", findings->changed.items[i]);
	add_facts(out, "used by:", &findings->users);
	if (findings->users.count == 0)
		add_fact(out, "used by:", findings->is_used ? "a world that is not listed" : "nobody");
}

/* ---- both ---- */

int seed_inspect(const struct invocation *invocation, int seeds_fd, struct error *error)
{
	owned_buffer out = { 0 };
	bool is_json = invocation->format == FORMAT_JSON;
	int result = 0;

	if (is_json)
		json_begin_array(&out, NULL);
	for (size_t i = 1; i < invocation->operands.count; i++) {
		__attribute__((cleanup(findings_release))) struct findings findings = { 0 };
		owned_record record = { 0 };

		result = seed_check_name(invocation->operands.items[i], error);
		if (result == 0)
			result = seed_read(seeds_fd, invocation->operands.items[i], &record, error);
		if (result < 0)
			return result;
		find_out(&record, seeds_fd, &findings);
		if (is_json)
			write_object(&record, &findings, &out);
		else
			write_facts(&record, &findings, &out);
	}
	if (is_json) {
		json_end_array(&out);
		text_buffer_add_text(&out, "\n");
	}
	return output_write(&out, "the seeds", error);
}
