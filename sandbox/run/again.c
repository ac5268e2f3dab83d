/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/again.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/macro.h"
#include "base/path.h"
#include "sandbox/run/changes.h"
#include "sandbox/run/journal.h"

enum {
	SUSPECTS_MAX = 3,
	SILENT_MAX = 5,	    /* of which nothing was found */
	LEFT_MAX = 64,	    /* paths of one suspect that are remembered */
	LEFT_SHOWN_MAX = 4, /* … and that the last lines have */
	CASES_MAX = 1000,
	SHOWN_MAX = 1024,
};

static const char *const verdict_texts[] = {
	[AGAIN_UNKNOWN] = "unknown",
	[AGAIN_PASSES_ONLY_FRESH] = JOURNAL_PASSES_FRESH,
	[AGAIN_FAILS_FRESH] = JOURNAL_FAILS_FRESH,
};

/* ---- what has been in a world ---- */

static void release_test(struct again_test *test)
{
	text_free(&test->id);
	text_free(&test->title);
	text_free(&test->file);
}

static char *below_tree(const char *path, const char *tree)
{
	return text_duplicate(path_is_below(path, tree) && path_below(path, tree)[0] ? path_below(path, tree) : path);
}

static void copy_test(const struct again_test *from, struct again_test *to)
{
	*to = *from;
	to->id = text_duplicate(from->id);
	to->title = text_duplicate(from->title);
	to->file = text_duplicate(from->file);
}

void again_past_release(struct again_past *past)
{
	for (size_t i = 0; i < past->count; i++)
		release_test(&past->items[i]);
	free(past->items);
	*past = (struct again_past){ 0 };
}

void again_add(struct again_past *past, const struct events_test *test, const char *tree)
{
	past->items = reallocarray(past->items, past->count + 1, sizeof(*past->items));
	if (!past->items)
		abort();
	past->items[past->count++] = (struct again_test){ .id = text_duplicate(test->id),
							  .title = text_duplicate(test->title),
							  .file = below_tree(test->file, tree),
							  .line = test->line,
							  .began_ms = test->started_ms,
							  .ended_ms = test->started_ms + test->duration_ms };
}

int again_find_author(const struct again_past *past, int64_t changed_ms, int64_t tick_ms)
{
	int author = -1;

	for (size_t i = 0; i < past->count; i++) {
		const struct again_test *test = &past->items[i];

		/* It was written between changed_ms and a tick later. */
		if (test->began_ms > changed_ms + tick_ms)
			break;
		if (author >= 0 && test->began_ms > changed_ms && past->items[author].ended_ms >= changed_ms)
			break;
		author = (int)i;
	}
	return author;
}

/* ---- suspects ---- */

struct search {
	struct again_case *item;
	const struct again_past *past;
	const char *tree;
	int64_t tick_ms;
	size_t red; /* its index in the past */
	struct text_list *left;
};

static void take_change(void *argument, const struct change *change)
{
	struct search *search = argument;
	owned_text path = NULL;
	int author;

	author = again_find_author(search->past, change->changed_ms, search->tick_ms);
	if (author < 0 || text_equal(search->past->items[author].id, search->item->id) ||
	    search->left[author].count == LEFT_MAX)
		return;
	path = below_tree(change->path, search->tree);
	text_list_take(&search->left[author],
		       change->kind == 'D' ? text_format("%s (removed)", path) : text_duplicate(path));
}

static void choose_suspects(struct search *search)
{
	struct again_case *item = search->item;

	item->suspects = calloc(SUSPECTS_MAX, sizeof(*item->suspects));
	if (!item->suspects)
		abort();
	for (size_t i = search->past->count; i > 0 && item->suspect_count < SUSPECTS_MAX; i--) {
		struct again_suspect *suspect = &item->suspects[item->suspect_count];

		if (search->left[i - 1].count == 0)
			continue;
		copy_test(&search->past->items[i - 1], &suspect->test);
		suspect->left = search->left[i - 1];
		search->left[i - 1] = (struct text_list){ 0 };
		item->suspect_count++;
	}
}

/* Whether something was found of the test of that id. */
typedef bool again_has_left(const void *argument, const char *id);

static bool is_among(const struct again_test *tests, size_t count, const char *id)
{
	for (size_t i = 0; i < count; i++)
		if (text_equal(tests[i].id, id))
			return true;
	return false;
}

static void choose_silent(struct again_case *item, const struct again_past *past, again_has_left *has_left,
			  const void *argument)
{
	item->is_looked_at = true;
	item->silent = calloc(SILENT_MAX, sizeof(*item->silent));
	if (!item->silent)
		abort();
	for (size_t i = past->count; i > 0; i--) {
		const struct again_test *test = &past->items[i - 1];

		/* A retry is the same test once more, later. */
		if (text_equal(test->id, item->id) || has_left(argument, test->id) ||
		    is_among(&past->items[i], past->count - i, test->id))
			continue;
		if (item->silent_count == SILENT_MAX)
			item->silent_missed++;
		else
			copy_test(test, &item->silent[item->silent_count++]);
	}
}

/* Before the lists are given to the suspects. */
static bool has_left_a_file(const void *argument, const char *id)
{
	const struct search *search = argument;

	for (size_t i = 0; i < search->past->count; i++)
		if (search->left[i].count > 0 && text_equal(search->past->items[i].id, id))
			return true;
	return false;
}

static int64_t read_tick_ms(void)
{
	struct timespec tick = { 0 };

	(void)clock_getres(CLOCK_REALTIME_COARSE, &tick);
	return (int64_t)tick.tv_sec * 1000 + (tick.tv_nsec + 999999) / 1000000;
}

static struct again_case *find_case(const struct again *again, const char *id)
{
	for (size_t i = 0; i < again->count; i++)
		if (text_equal(again->items[i].id, id))
			return &again->items[i];
	return NULL;
}

void again_suspect(struct again *again, const struct events_test *test, const char *tree, const struct again_past *past,
		   const struct member *member)
{
	struct error ignored = { 0 };
	struct search search = { .past = past, .tree = tree, .tick_ms = read_tick_ms() };

	if (again->count == CASES_MAX || find_case(again, test->id))
		return;
	again->items = reallocarray(again->items, again->count + 1, sizeof(*again->items));
	search.left = calloc(past->count + 1, sizeof(*search.left));
	if (!again->items || !search.left)
		abort();
	search.item = &again->items[again->count++];
	*search.item = (struct again_case){ .id = text_duplicate(test->id),
					    .title = text_duplicate(test->title),
					    .file = below_tree(test->file, tree),
					    .line = test->line };
	if (changes_read(member, "/", take_change, &search, &ignored) == 0) {
		choose_silent(search.item, past, has_left_a_file, &search);
		choose_suspects(&search);
	}
	for (size_t i = 0; i < past->count; i++)
		text_list_release(&search.left[i]);
	free(search.left);
}

static void release_suspects(struct again_case *item)
{
	for (size_t i = 0; i < item->suspect_count; i++) {
		release_test(&item->suspects[i].test);
		text_list_release(&item->suspects[i].left);
	}
	for (size_t i = 0; i < item->silent_count; i++)
		release_test(&item->silent[i]);
	free(item->suspects);
	free(item->silent);
	item->suspects = NULL;
	item->silent = NULL;
	item->suspect_count = item->silent_count = item->silent_missed = 0;
}

static bool take_suspect(void *argument, const struct blame_entry *entry)
{
	struct again_case *item = argument;
	struct again_suspect *suspect = &item->suspects[item->suspect_count];

	if (text_equal(entry->name.test, item->id))
		return true;
	suspect->test = (struct again_test){ .id = text_duplicate(entry->name.test),
					     .title = text_duplicate(entry->name.title ? entry->name.title : ""),
					     .file = text_duplicate(entry->name.file ? entry->name.file : ""),
					     .line = entry->name.line };
	for (size_t i = 0; i < entry->lines.count && i < LEFT_MAX; i++)
		text_list_add(&suspect->left, entry->lines.items[i]);
	return ++item->suspect_count < SUSPECTS_MAX;
}

/* One of several leavings was found, whichever it is. */
struct blamed {
	const struct blame *blame;
	const char *world;
};

struct blamed_test {
	const char *id;
	bool is_found;
};

static bool find_blamed(void *argument, const struct blame_entry *entry)
{
	struct blamed_test *wanted = argument;

	wanted->is_found = text_equal(entry->name.test, wanted->id);
	return !wanted->is_found;
}

static bool is_blamed(const void *argument, const char *id)
{
	const struct blamed *blamed = argument;
	struct blamed_test wanted = { .id = id };

	(void)blame_suspects(blamed->blame, blamed->world, UINT64_MAX, find_blamed, &wanted);
	return wanted.is_found;
}

void again_take_blame(struct again *again, const struct events_test *test, const struct again_past *past,
		      const struct blame *blame, const char *world)
{
	const struct blamed blamed = { blame, world };

	struct again_case *item = find_case(again, test->id);

	if (!blame->is_wanted || !item || item->verdict != AGAIN_UNKNOWN)
		return;
	release_suspects(item);
	item->suspects = calloc(SUSPECTS_MAX, sizeof(*item->suspects));
	if (!item->suspects)
		abort();
	(void)blame_suspects(blame, world, UINT64_MAX, take_suspect, item);
	choose_silent(item, past, is_blamed, &blamed);
}

const struct again_case *again_decide(struct again *again, const struct events_test *test)
{
	struct again_case *item = find_case(again, test->id);

	if (!item || test->is_interrupted)
		return NULL;
	item->verdict = test->ok ? AGAIN_PASSES_ONLY_FRESH : AGAIN_FAILS_FRESH;
	return item;
}

void again_release(struct again *again)
{
	for (size_t i = 0; i < again->count; i++) {
		struct again_case *item = &again->items[i];

		text_free(&item->id);
		text_free(&item->title);
		text_free(&item->file);
		release_suspects(item);
	}
	free(again->items);
	*again = (struct again){ 0 };
}

/* ---- telling ---- */

static void write_test(const struct again_test *test, struct text_buffer *out)
{
	json_add_text(out, "test", test->id);
	json_add_text(out, "title", test->title);
	json_add_text(out, "file", test->file);
	json_add_number(out, "line", test->line);
}

void again_log(const struct again_case *item, struct run_directory *directory)
{
	owned_buffer line = { 0 };

	journal_begin_line(&line, "fresh");
	json_add_text(&line, "test", item->id);
	json_add_text(&line, "title", item->title);
	json_add_text(&line, "file", item->file);
	json_add_number(&line, "line", item->line);
	json_add_text(&line, "verdict", verdict_texts[item->verdict]);
	json_begin_array(&line, "suspects");
	for (size_t i = 0; i < item->suspect_count; i++) {
		const struct again_suspect *suspect = &item->suspects[i];

		json_begin_object(&line, NULL);
		write_test(&suspect->test, &line);
		json_add_list(&line, "left", &suspect->left);
		json_end_object(&line);
	}
	json_end_array(&line);
	json_begin_array(&line, "silent");
	for (size_t i = 0; i < item->silent_count; i++) {
		json_begin_object(&line, NULL);
		write_test(&item->silent[i], &line);
		json_end_object(&line);
	}
	json_end_array(&line);
	json_add_number(&line, "silent_missed", (int64_t)item->silent_missed);
	journal_end_line(directory, &line);
}

unsigned again_count(const struct again *again, enum again_verdict verdict)
{
	unsigned count = 0;

	for (size_t i = 0; i < again->count; i++)
		count += again->items[i].verdict == verdict;
	return count;
}

/* It comes from the suite: a terminal must not be commanded by it. */
static void add_shown(struct text_buffer *out, const char *text)
{
	char shown[SHOWN_MAX];

	text_escape(shown, sizeof(shown), text);
	text_buffer_add_text(out, shown);
}

static void add_place(struct text_buffer *out, const char *file, int64_t line, const char *title)
{
	add_shown(out, file);
	text_buffer_format(out, ":%lld ", (long long)line);
	add_shown(out, title);
}

/* What nobody can see is not to be pinned on those who left something that can. */
static void tell_silent(const struct again_case *item, struct text_buffer *text)
{
	if (item->silent_count == 0)
		return;
	text_buffer_add_text(text,
			     item->suspect_count > 0
				     ? "\n  or the memory of a server, changed by one that left nothing to be seen: "
				     : "\n  the memory of a server? There were before it: ");
	for (size_t i = 0; i < item->silent_count; i++) {
		text_buffer_add_text(text, i > 0 ? ", " : "");
		add_place(text, item->silent[i].file, item->silent[i].line, item->silent[i].title);
	}
	if (item->silent_missed > 0)
		text_buffer_format(text, " and %zu more", item->silent_missed);
	text_buffer_add_text(text, "; sbx test --why tells more");
}

static void tell_case(const struct again_case *item, launch_say *say)
{
	owned_buffer text = { 0 };

	text_buffer_add_text(&text, JOURNAL_PASSES_FRESH ": ");
	add_place(&text, item->file, item->line, item->title);
	if (!item->is_looked_at)
		text_buffer_add_text(&text, "\n  what earlier tests had left in its world could not be looked at");
	else if (item->suspect_count == 0 && item->silent_count == 0)
		text_buffer_add_text(&text,
				     "\n  no test was in that world before it: chance; sbx test --why tells more");
	else if (item->suspect_count == 0)
		text_buffer_add_text(&text, "\n  no earlier test of its world left a file there");
	for (size_t i = 0; i < item->suspect_count; i++) {
		const struct again_suspect *suspect = &item->suspects[i];

		text_buffer_add_text(&text, i == 0 ? "\n  suspected: " : "\n  or: ");
		add_place(&text, suspect->test.file, suspect->test.line, suspect->test.title);
		text_buffer_add_text(&text, ", which left ");
		for (size_t j = 0; j < MIN(suspect->left.count, (size_t)LEFT_SHOWN_MAX); j++) {
			text_buffer_add_text(&text, j ? ", " : "");
			add_shown(&text, suspect->left.items[j]);
		}
		if (suspect->left.count > LEFT_SHOWN_MAX)
			text_buffer_format(&text, " and %zu more", suspect->left.count - LEFT_SHOWN_MAX);
	}
	tell_silent(item, &text);
	say(text.bytes);
}

void again_tell(const struct again *again, bool is_failure, launch_say *say)
{
	unsigned count = again_count(again, AGAIN_PASSES_ONLY_FRESH);
	owned_text line = NULL;

	for (size_t i = 0; i < again->count; i++)
		if (again->items[i].verdict == AGAIN_PASSES_ONLY_FRESH)
			tell_case(&again->items[i], say);
	if (count == 0)
		return;
	line = text_format("%u test%s only when fresh, which %s", count, count == 1 ? " passes" : "s pass",
			   is_failure ? "leaves the run red, whatever the runner says; --retry-fresh=green lets it pass"
				      : "--retry-fresh=green lets pass");
	say(line);
}
