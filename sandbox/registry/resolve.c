/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/registry/resolve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "sandbox/registry/registry.h"

enum {
	PREFIX_LENGTH_MIN = 3,
	CANDIDATES_SHOWN_MAX = 6,
	DISTANCE_MAX = 2, /* typing errors for which a name is offered */
};

void resolved_worker_release(struct resolved_worker *resolved)
{
	kept_worker_release(&resolved->worker);
	fd_close(&resolved->runtime_fd);
	fd_close(&resolved->state_fd);
}

/* One worker that the word might mean. */
struct candidate {
	const char *id; /* NULL: a live one whose row cannot be read */
	const char *name;
	const char *run;  /* NULL: as above */
	const char *tree; /* the same */
	int64_t started_ns;
	const struct lock_entry *live; /* or */
	struct kept_worker *kept;
};

/* All there are, and where they came from. */
struct search {
	struct state_runtimes runtimes;
	struct lock_list locks;
	struct kept_list kept;
	int state_fd;
	struct candidate *items;
	size_t count;
};

static void search_release(struct search *search)
{
	free(search->items);
	kept_list_release(&search->kept);
	lock_list_release(&search->locks);
	state_runtimes_close(&search->runtimes);
	fd_close(&search->state_fd);
}
#define owned_search __attribute__((cleanup(search_release))) struct search

static int read_all(struct search *search, const struct state_paths *paths, unsigned scope, struct error *error)
{
	if (scope & RESOLVE_LIVE) {
		int result;

		state_open_runtimes(paths, &search->runtimes);
		result = lock_list(search->runtimes.fds, search->runtimes.count, &search->locks, error);
		if (result < 0)
			return result;
	}
	/* No state directory: nothing was kept. One that cannot be used hides no live worker. */
	if (scope & RESOLVE_KEPT && state_open(paths, STATE_LEAVE, &search->state_fd, NULL) == 0) {
		int result = registry_list(search->state_fd, &search->kept, NULL, error);

		if (result < 0 && search->locks.count == 0)
			return result;
	}
	return 0;
}

static void add_candidates(struct search *search)
{
	search->items = calloc(search->locks.count + search->kept.count + 1, sizeof(*search->items));
	if (!search->items)
		abort();
	for (size_t i = 0; i < search->locks.count; i++) {
		const struct lock_entry *entry = &search->locks.items[i];

		if (entry->is_live)
			search->items[search->count++] = (struct candidate){ .id = entry->row.id,
									     .name = entry->name,
									     .run = entry->row.run,
									     .tree = entry->row.tree,
									     .started_ns = entry->row.started_ns,
									     .live = entry };
	}
	for (size_t i = 0; i < search->kept.count; i++) {
		struct kept_worker *kept = &search->kept.items[i];

		search->items[search->count++] = (struct candidate){ .id = kept->row.id,
								     .name = kept->row.name,
								     .run = kept->row.run,
								     .tree = kept->row.tree,
								     .started_ns = kept->row.started_ns,
								     .kept = kept };
	}
}

/* ---- What fits --------------------------------------------------------------------------------------------------- */

static bool fits_id(const struct candidate *candidate, const char *word)
{
	return candidate->id && strcmp(candidate->id, word) == 0;
}

static bool fits_live_name(const struct candidate *candidate, const char *word)
{
	return candidate->live && strcmp(candidate->name, word) == 0;
}

static bool fits_kept_name(const struct candidate *candidate, const char *word)
{
	return candidate->kept && strcmp(candidate->name, word) == 0;
}

static bool fits_prefix(const struct candidate *candidate, const char *word)
{
	return candidate->id && id_is_prefix(word, PREFIX_LENGTH_MIN) && text_starts_with(candidate->id, word);
}

/* ---- members of runs and pools: "NAME.w2", and "NAME.s0" for spares ---- */

/* Where "w2" begins in the name of a member; NULL: it is none. */
static const char *member_part(const char *name)
{
	const char *dot = strrchr(name, '.');

	if (!dot || (dot[1] != 'w' && dot[1] != 's') || dot[2] == '\0' ||
	    strspn(dot + 2, "0123456789") != strlen(dot + 2))
		return NULL;
	return dot + 1;
}

/* RUN/w2 */
static bool fits_path(const struct candidate *candidate, const char *word)
{
	const char *slash = strchr(word, '/');
	const char *part = member_part(candidate->name);
	size_t length = slash ? (size_t)(slash - word) : 0;

	if (!slash || !part || !text_equal(part, slash + 1))
		return false;
	return (candidate->run && strlen(candidate->run) == length && strncmp(candidate->run, word, length) == 0) ||
	       ((size_t)(part - 1 - candidate->name) == length && strncmp(candidate->name, word, length) == 0);
}

/* w2 */
static bool fits_member(const struct candidate *candidate, const char *word)
{
	const char *part = member_part(candidate->name);

	return part && text_equal(part, word);
}

static bool fits_live_path(const struct candidate *candidate, const char *word)
{
	return candidate->live && fits_path(candidate, word);
}

static bool fits_live_member(const struct candidate *candidate, const char *word)
{
	return candidate->live && fits_member(candidate, word);
}

/* In the order in which they count: the first that fits any worker decides. */
static const struct fit {
	bool (*fits)(const struct candidate *candidate, const char *word);
	bool is_of_tree; /* the newest of the current tree goes before all others */
} fits[] = {
	{ .fits = fits_id },
	{ .fits = fits_live_name },
	{ .fits = fits_kept_name },
	{ .fits = fits_live_path },
	{ .fits = fits_path },
	{ .fits = fits_live_member, .is_of_tree = true },
	{ .fits = fits_member, .is_of_tree = true },
	{ .fits = fits_prefix },
};

static struct candidate *find_newest_here(const struct search *search, const struct fit *fit, const char *word)
{
	owned_text here = NULL;
	struct candidate *newest = NULL;

	if (!fit->is_of_tree || path_canonical(".", &here) < 0)
		return NULL;
	for (size_t i = 0; i < search->count; i++) {
		struct candidate *candidate = &search->items[i];

		if (fit->fits(candidate, word) && candidate->tree && path_is_below(here, candidate->tree) &&
		    (!newest || candidate->started_ns > newest->started_ns))
			newest = candidate;
	}
	return newest;
}

static int fail_ambiguous(const struct search *search, bool (*fit)(const struct candidate *, const char *),
			  const char *word, size_t count, struct error *error)
{
	owned_buffer cause = { 0 };
	size_t shown = 0;

	text_buffer_format(&cause, "it fits %zu workers:", count);
	for (size_t i = 0; i < search->count && shown < CANDIDATES_SHOWN_MAX; i++) {
		const struct candidate *candidate = &search->items[i];

		if (!fit(candidate, word))
			continue;
		text_buffer_format(&cause, "%s %s (%s, %s)", shown ? "," : "", candidate->id ? candidate->id : "?",
				   candidate->name, candidate->live ? "live" : "kept");
		shown++;
	}
	if (shown < count)
		text_buffer_add_text(&cause, ", …");
	return error_set(error, .number = EEXIST, .step = "find the worker", .object = word, .cause = cause.bytes,
			 .remedy = "name it by its id, or more of it");
}

static int fail_none(const struct search *search, const char *word, struct error *error)
{
	const char *nearest = NULL;
	unsigned least = DISTANCE_MAX + 1;
	owned_text remedy = NULL;

	for (size_t i = 0; i < search->count; i++) {
		unsigned distance = text_distance(word, search->items[i].name);

		if (distance < least && distance < strlen(word)) {
			least = distance;
			nearest = search->items[i].name;
		}
	}
	remedy = nearest ? text_format("did you mean %s? 'sbx ps -a' lists all", nearest)
			 : text_duplicate("'sbx ps -a' lists all");
	return error_set(error, .number = ENOENT, .step = "find the worker", .object = word,
			 .cause = search->count ? "no worker has this name or id" : "there is no worker",
			 .remedy = remedy);
}

static int choose(const struct search *search, const char *word, struct candidate **ret_candidate, struct error *error)
{
	for (size_t i = 0; i < ARRAY_SIZE(fits); i++) {
		size_t count = 0;

		*ret_candidate = find_newest_here(search, &fits[i], word);
		if (*ret_candidate)
			return 0;
		for (size_t j = 0; j < search->count; j++) {
			if (!fits[i].fits(&search->items[j], word))
				continue;
			if (count++ == 0)
				*ret_candidate = &search->items[j];
		}
		if (count > 1)
			return fail_ambiguous(search, fits[i].fits, word, count, error);
		if (count == 1)
			return 0;
	}
	return fail_none(search, word, error);
}

/* Asked for live ones only: a kept worker is no unknown one. */
static int fail_kept(const struct state_paths *paths, const char *word, struct error *error)
{
	owned_search search = { .state_fd = -1 };
	struct candidate *candidate = NULL;
	owned_text remedy = NULL;

	if (read_all(&search, paths, RESOLVE_KEPT, NULL) < 0)
		return -error->number;
	add_candidates(&search);
	if (choose(&search, word, &candidate, NULL) == -ENOENT)
		return -error->number;
	remedy = text_format("'sbx shell %s' and 'sbx open %s' look into it", word, word);
	return error_set(error, .number = ENOENT, .step = "find the live worker", .object = word,
			 .cause = "it has ended, and was kept", .remedy = remedy);
}

/* ---- The answer -------------------------------------------------------------------------------------------------- */

static void hand_over(struct search *search, const struct candidate *candidate, struct resolved_worker *ret_resolved)
{
	struct resolved_worker resolved = { .runtime_fd = -1, .state_fd = -1 };

	if (candidate->live) {
		resolved.is_live = true;
		resolved.runtime_fd = fd_take(&search->runtimes.fds[candidate->live->directory]);
		worker_row_copy(&candidate->live->row, &resolved.worker.row);
		if (!resolved.worker.row.name)
			resolved.worker.row.name = text_duplicate(candidate->name);
	} else {
		resolved.state_fd = fd_take(&search->state_fd);
		resolved.worker = *candidate->kept;
		*candidate->kept = (struct kept_worker){ 0 };
	}
	*ret_resolved = resolved;
}

/* The usual case: the whole name of one live worker, found without reading all others, let alone the registry, which
 * takes longer than all the rest of a `sbx exec`. A word that could be a whole id is looked up among all: ids go first.
 * @return whether it was found */
static bool find_live(const struct state_paths *paths, const char *word, struct resolved_worker *ret_resolved)
{
	owned_runtimes runtimes = { 0 };
	struct resolved_worker resolved = { .is_live = true, .runtime_fd = -1, .state_fd = -1 };
	size_t found = 0;

	if (id_is_prefix(word, ID_LENGTH) || name_check(word, NULL) < 0)
		return false;
	state_open_runtimes(paths, &runtimes);
	for (size_t i = 0; i < runtimes.count; i++) {
		struct lock_entry entry = { 0 };

		if (lock_read(runtimes.fds[i], word, &entry) <= 0)
			continue;
		if (entry.is_live && entry.has_row && found++ == 0) {
			resolved.runtime_fd = fd_take(&runtimes.fds[i]);
			resolved.worker.row = entry.row;
			entry.row = (struct worker_row){ 0 };
		}
		worker_row_release(&entry.row);
	}
	if (found == 1) {
		*ret_resolved = resolved;
		return true;
	}
	/* Two of one name: told as ambiguous. */
	resolved_worker_release(&resolved);
	return false;
}

int resolve_worker(const struct state_paths *paths, const char *word, unsigned scope,
		   struct resolved_worker *ret_resolved, struct error *error)
{
	owned_search search = { .state_fd = -1 };
	struct candidate *candidate = NULL;
	int result;

	if ((scope & RESOLVE_LIVE) && find_live(paths, word, ret_resolved))
		return 0;
	result = read_all(&search, paths, scope, error);

	if (result < 0)
		return result;
	add_candidates(&search);
	result = choose(&search, word, &candidate, error);
	if (result == 0)
		hand_over(&search, candidate, ret_resolved);
	else if (result == -ENOENT && !(scope & RESOLVE_KEPT) && error)
		return fail_kept(paths, word, error);
	return result;
}
