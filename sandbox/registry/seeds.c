/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/registry/seeds.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/tree.h"
#include "overlay/copy.h"
#include "sandbox/registry/claim.h"
#include "sandbox/registry/place.h"
#include "sandbox/registry/state.h"

#define DRAFT_PREFIX ".draft-"
#define GONE_PREFIX  ".gone-"
#define RECORD_FILE  "record.json"
#define LOCK_FILE    ".lock"
#define STEP_MAKE    "make the seed"
#define STEP_TAKE    "start from the seed"
#define DAY_NS	     (INT64_C(86400) * 1000000000)

enum {
	RECORD_VERSION = 2, /* 1: without what it has made */
	/* Programs that clean /var/tmp take what is 30 days old, as a rule: from then on files may be missing. */
	COUNTED_AFTER_DAYS = 5,
	ATTEMPTS = 50, /* to meet one between two steps of its replacement */
};

void seed_record_release(struct seed_record *record)
{
	text_free(&record->name);
	text_free(&record->id);
	text_free(&record->tree);
	text_free(&record->origin);
	text_free(&record->commit);
	text_free(&record->key);
	text_list_release(&record->command);
	text_list_release(&record->inputs);
	text_list_release(&record->databases);
	ground_release(&record->ground);
	*record = (struct seed_record){ 0 };
}

int seed_check_name(const char *name, struct error *error)
{
	if (text_equal(name, "none"))
		return error_set(error, .number = EINVAL, .step = "use the name", .object = name,
				 .cause = "'--seed none' says that there is to be none", .remedy = "choose another");
	return name_check(name, error);
}

bool seed_is_leftover(const char *name)
{
	return text_starts_with(name, DRAFT_PREFIX) || text_starts_with(name, GONE_PREFIX);
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

/* FNV-1a: two names with one number would wait for each other, no more. */
static off_t lock_place(const char *name)
{
	uint64_t number = UINT64_C(0xcbf29ce484222325);

	for (const unsigned char *byte = (const unsigned char *)name; *byte; byte++)
		number = (number ^ *byte) * UINT64_C(0x100000001b3);
	return (off_t)(number >> 2);
}

int seed_lock(int state_fd, const char *name, void (*waits)(void *argument), void *argument, int *ret_fd,
	      struct error *error)
{
	struct flock range = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = lock_place(name), .l_len = 1 };
	owned_fd seeds_fd = -1;
	owned_fd fd = -1;
	int result = state_open_part(state_fd, STATE_SEEDS, STATE_MAKE, &seeds_fd, error);

	if (result < 0)
		return result;
	fd = openat(seeds_fd, LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(error, .number = errno, .step = "lock the seed", .object = name);
	/* Of the open file description: it ends with this process however that ends. */
	if (fcntl(fd, F_OFD_SETLK, &range) < 0) {
		if (errno != EAGAIN && errno != EACCES)
			return error_set(error, .number = errno, .step = "lock the seed", .object = name);
		if (waits)
			waits(argument);
		if (RETRY_EINTR(fcntl(fd, F_OFD_SETLKW, &range)) < 0)
			return error_set(error, .number = errno, .step = "lock the seed", .object = name);
	}
	*ret_fd = fd_take(&fd);
	return 0;
}

int seed_begin(int state_fd, struct seed_draft *ret_draft, struct error *error)
{
	struct seed_draft *draft = ret_draft;
	int result = state_open_part(state_fd, STATE_SEEDS, STATE_MAKE, &draft->seeds_fd, error);

	if (result < 0)
		return result;
	(void)snprintf(draft->name, sizeof(draft->name), DRAFT_PREFIX "%s", id_make(draft->id));
	result = claim_make(draft->seeds_fd, draft->name, &draft->fd, error);
	if (result == 0)
		result = place_make(draft->fd, &draft->place, error);
	if (result == 0) {
		draft->place_fd = open(draft->place, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		result = draft->place_fd < 0 ? -errno : layer_probe_xattr(draft->place_fd);
		if (result <= 0)
			result = error_set(error, .number = result < 0 ? -result : EOPNOTSUPP, .step = STEP_MAKE,
					   .object = draft->place,
					   .cause = result == 0 ? "the file system of /var/tmp takes no user "
								  "attributes, which overlayfs needs"
								: NULL,
					   .remedy = result == 0 ? "have /var/tmp on a disk (ext4, xfs, btrfs)" : NULL);
	}
	return result < 0 ? result : 0;
}

static void write_record(const struct seed_record *record, struct text_buffer *out)
{
	json_begin_object(out, NULL);
	json_add_number(out, "version", RECORD_VERSION);
	json_add_text(out, "name", record->name);
	json_add_text(out, "id", record->id);
	json_add_text(out, "tree", record->tree);
	json_add_text(out, "origin", record->origin);
	json_add_text(out, "commit", record->commit);
	json_add_text(out, "key", record->key);
	json_add_list(out, "command", &record->command);
	json_add_list(out, "inputs", &record->inputs);
	json_add_list(out, "databases", &record->databases);
	json_add_number(out, "created_ns", record->created_ns);
	json_add_number(out, "bytes", record->bytes);
	json_add_number(out, "entries", record->entries);
	ground_write(&record->ground, "ground", out);
	json_end_object(out);
	text_buffer_add_text(out, "\n");
}

/* What all layers of a seed take. */
static int measure(int seed_fd, int64_t *ret_bytes, int64_t *ret_entries, struct error *error)
{
	owned_list paths = { 0 };
	int result = seed_read_layers(seed_fd, &paths, error);

	*ret_bytes = *ret_entries = 0;
	for (size_t i = 0; i < paths.count && result >= 0; i++) {
		char name[32];
		uint64_t bytes = 0;
		uint64_t entries = 0;
		owned_fd fd = -1;

		(void)snprintf(name, sizeof(name), "upper-%zu", i);
		fd = openat(seed_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			continue; /* only shown */
		if (fd < 0)
			return error_set(error, .number = errno, .step = "open a layer of the seed", .object = name);
		result = layer_size(fd, &bytes, &entries, error);
		*ret_bytes += (int64_t)bytes;
		*ret_entries += (int64_t)entries + 1; /* the layer itself counts */
	}
	return result < 0 ? result : 0;
}

/* @return 1: another one had the name and has the draft's now, 0, or -errno */
static int give_name(const struct seed_draft *draft, const char *name)
{
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		if (renameat2(draft->seeds_fd, draft->name, draft->seeds_fd, name, RENAME_NOREPLACE) == 0)
			return 0;
		if (errno != EEXIST)
			return -errno;
		if (renameat2(draft->seeds_fd, draft->name, draft->seeds_fd, name, RENAME_EXCHANGE) == 0)
			return 1;
		if (errno != ENOENT)
			return -errno;
	}
	return -EBUSY;
}

/* It is nobody's start any more. Where a world still uses it, it is collected later. */
static void remove_leftover(int state_fd, int seeds_fd, const char *name)
{
	owned_text path = text_format("%s/%s", state_part_name(STATE_SEEDS), name);
	owned_fd claim = -1;

	if (claim_take(seeds_fd, name, &claim, NULL) == 0 && place_remove(claim, NULL) == 0)
		(void)claim_remove(state_fd, path, claim, NULL);
}

int seed_finish(struct seed_draft *draft, struct seed_record *record, struct error *error)
{
	owned_buffer text = { 0 };
	owned_json json = { 0 };
	owned_fd state_fd = -1;
	int result = measure(draft->place_fd, &record->bytes, &record->entries, error);

	if (result < 0)
		return result;
	record->created_ns = clock_wall_ns();
	text_free(&record->id);
	record->id = text_duplicate(draft->id);
	write_record(record, &text);
	/* What cannot be read again would be a seed lost. */
	result = json_read(&json, text.bytes, text.length, error);
	if (result < 0)
		return error_context(error, "seed %s", record->name);
	/* Its layers first: after a power cut a seed is whole or not there. */
	result = syncfs(draft->place_fd) < 0 ? -errno
					     : fd_write_durable(draft->fd, RECORD_FILE, text.bytes, text.length);
	if (result == 0)
		result = give_name(draft, record->name);
	if (result < 0)
		return error_set(error, .number = -result, .step = STEP_MAKE, .object = record->name);
	(void)fsync(draft->seeds_fd);
	state_fd = openat(draft->seeds_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (result == 1 && state_fd >= 0)
		remove_leftover(state_fd, draft->seeds_fd, draft->name);
	/* The claim goes; nothing of it is the draft's any more. */
	draft->name[0] = '\0';
	return 0;
}

void seed_draft_close(struct seed_draft *draft)
{
	owned_fd state_fd = -1;

	fd_close(&draft->place_fd);
	if (draft->fd >= 0 && draft->name[0]) {
		owned_text path = text_format("%s/%s", state_part_name(STATE_SEEDS), draft->name);

		/* What cannot be removed is collected. */
		state_fd = openat(draft->seeds_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (place_remove(draft->fd, NULL) == 0 && state_fd >= 0)
			(void)claim_remove(state_fd, path, draft->fd, NULL);
	}
	fd_close(&draft->fd);
	fd_close(&draft->seeds_fd);
	text_free(&draft->place);
	draft->name[0] = '\0';
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static int fail_damaged(const char *name, const char *cause, struct error *error)
{
	return error_set(error, .number = EBADMSG, .step = "read record.json of the seed", .object = name,
			 .cause = cause, .remedy = "remove it with 'sbx seed rm', and make it anew");
}

static int fail_missing(const char *name, struct error *error)
{
	return error_set(error, .number = ENOENT, .step = "find the seed", .object = name,
			 .cause = "there is none of that name",
			 .remedy = "'sbx seed ls' lists them, 'sbx seed create NAME -- COMMAND' makes one");
}

static int read_members(struct json_value root, struct seed_record *record)
{
	struct {
		const char *name;
		char **text;
		bool may_lack;
	} texts[] = { { "name", &record->name, false },	   { "id", &record->id, false },
		      { "tree", &record->tree, false },	   { "origin", &record->origin, false },
		      { "commit", &record->commit, true }, { "key", &record->key, true } };
	struct {
		const char *name;
		struct text_list *list;
	} lists[] = { { "command", &record->command },
		      { "inputs", &record->inputs },
		      { "databases", &record->databases } };
	struct {
		const char *name;
		int64_t *number;
	} numbers[] = { { "created_ns", &record->created_ns },
			{ "bytes", &record->bytes },
			{ "entries", &record->entries } };
	int result = 0;

	for (size_t i = 0; i < ARRAY_SIZE(texts) && result == 0; i++) {
		result = json_text(json_member(root, texts[i].name), texts[i].text);
		if (result == -ENOENT && texts[i].may_lack)
			result = 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(lists) && result == 0; i++)
		result = json_list(json_member(root, lists[i].name), lists[i].list);
	for (size_t i = 0; i < ARRAY_SIZE(numbers) && result == 0; i++)
		result = json_number(json_member(root, numbers[i].name), numbers[i].number);
	return result == 0 ? ground_read(json_member(root, "ground"), &record->ground) : result;
}

static int read_record(int directory_fd, const char *name, struct seed_record *ret_record, struct error *error)
{
	owned_record record = { 0 };
	owned_json json = { 0 };
	owned_text text = NULL;
	int64_t version;
	size_t size;
	int result = fd_read_file(directory_fd, RECORD_FILE, JSON_SIZE_MAX, &text, &size);

	if (result == -ENOENT)
		return fail_damaged(name, "it is not there", error);
	if (result < 0)
		return error_set(error, .number = -result, .step = "read record.json of the seed", .object = name);
	if (json_read(&json, text, size, error) < 0)
		return fail_damaged(name, "it is not JSON", error);
	if (json_number(json_member(json_root(&json), "version"), &version) < 0)
		return fail_damaged(name, "it has no version", error);
	if (version > RECORD_VERSION)
		return error_set(error, .number = EPROTONOSUPPORT, .step = "use the seed", .object = name,
				 .cause = "it was made by a newer sbx",
				 .remedy = "use that one, or make the seed anew under another name");
	if (read_members(json_root(&json), &record) < 0)
		return fail_damaged(name, "it does not describe a seed", error);
	/* The directory's name is what counts: a draft has none, and one that was moved by hand has another. */
	text_free(&record.name);
	record.name = text_duplicate(name);
	*ret_record = record;
	record = (struct seed_record){ 0 };
	return 0;
}

static int open_seed(int seeds_fd, const char *name, int *ret_fd, struct error *error)
{
	owned_fd fd = openat(seeds_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? fail_missing(name, error)
				       : error_set(error, .number = errno, .step = "open the seed", .object = name);
	*ret_fd = fd_take(&fd);
	return 0;
}

int seed_read(int seeds_fd, const char *name, struct seed_record *ret_record, struct error *error)
{
	owned_fd fd = -1;
	int result = open_seed(seeds_fd, name, &fd, error);

	return result < 0 ? result : read_record(fd, name, ret_record, error);
}

/* ---- using ------------------------------------------------------------------------------------------------------- */

void seed_hold_release(struct seed_hold *hold)
{
	seed_release(&hold->seed);
	fd_close(&hold->fd);
}

/* Whether all of it is there still. */
static int check_entries(int seed_fd, const struct seed_record *record, struct error *error)
{
	int64_t bytes;
	int64_t entries;
	int result;

	if (clock_wall_ns() - record->created_ns < COUNTED_AFTER_DAYS * DAY_NS)
		return 0;
	result = measure(seed_fd, &bytes, &entries, error);
	if (result < 0 || entries == record->entries)
		return result;
	return error_set(error, .number = EBADMSG, .step = STEP_TAKE, .object = record->name,
			 .cause = "files are missing in it: something cleans /var/tmp", .remedy = "make it anew");
}

/* @return 0, -EAGAIN it is being replaced or removed, or -errno */
static int try_take(int seeds_fd, const char *name, struct seed_hold *hold, struct seed_record *ret_record,
		    struct error *error)
{
	owned_fd directory_fd = -1;
	owned_text path = NULL;
	int result = open_seed(seeds_fd, name, &directory_fd, error);

	if (result < 0)
		return result;
	result = place_share(directory_fd, &hold->fd, &path);
	if (result == -ENOENT || result == -EBUSY)
		(void)error_set(error, .number = EBADMSG, .step = STEP_TAKE, .object = name,
				.cause = result == -EBUSY ? "it is just being removed" : "its files are gone",
				.remedy = "make it anew");
	if (result < 0)
		return result == -ENOENT || result == -EBUSY
			       ? -EAGAIN
			       : error_set(error, .number = -result, .step = STEP_TAKE, .object = name);
	result = read_record(directory_fd, name, ret_record, error);
	if (result == 0)
		result = check_entries(hold->fd, ret_record, error);
	return result == 0 ? seed_open(path, &hold->seed, error) : result;
}

int seed_take(int state_fd, const char *name, struct seed_hold *ret_hold, struct seed_record *ret_record,
	      struct error *error)
{
	const struct timespec moment = { .tv_nsec = 1000000 };
	struct seed_hold hold = SEED_HOLD_NONE;
	owned_record record = { 0 };
	owned_fd seeds_fd = -1;
	int result = state_open_part(state_fd, STATE_SEEDS, STATE_LEAVE, &seeds_fd, error);

	if (result < 0)
		return result == -ENOENT ? fail_missing(name, error) : result;
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		result = try_take(seeds_fd, name, &hold, &record, error);
		if (result != -EAGAIN)
			break;
		(void)nanosleep(&moment, NULL);
	}
	if (result < 0) {
		seed_hold_release(&hold);
		return result == -EAGAIN ? -EBADMSG : result;
	}
	*ret_hold = hold;
	*ret_record = record;
	record = (struct seed_record){ 0 };
	return 0;
}

int seed_take_place(const char *place, struct seed_hold *ret_hold, struct error *error)
{
	struct seed_hold hold = SEED_HOLD_NONE;
	int result = 0;

	hold.fd = open(place, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* Removal has it alone, or it is gone. */
	if (hold.fd < 0 || place_hold(hold.fd) < 0 || !claim_is_at(AT_FDCWD, place, hold.fd))
		result = error_set(error, .number = ENOENT, .step = STEP_TAKE, .object = place,
				   .cause = "it was removed, or another took its name",
				   .remedy = "begin the pool anew: sbx down, sbx up");
	if (result == 0)
		result = seed_open(place, &hold.seed, error);
	if (result < 0) {
		seed_hold_release(&hold);
		return result;
	}
	*ret_hold = hold;
	return 0;
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

static int is_listed(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

int seed_list(int state_fd, struct text_list *ret_names, struct error *error)
{
	owned_fd seeds_fd = -1;
	struct dirent **found = NULL;
	int count;
	int result = state_open_part(state_fd, STATE_SEEDS, STATE_LEAVE, &seeds_fd, error);

	if (result == -ENOENT)
		return 0;
	if (result < 0)
		return result;
	count = scandirat(seeds_fd, ".", &found, is_listed, alphasort);
	if (count < 0)
		return error_set(error, .number = errno, .step = "list the seeds");
	for (int i = 0; i < count; i++) {
		text_list_add(ret_names, found[i]->d_name);
		free(found[i]);
	}
	free(found);
	return 0;
}

size_t seed_list_users(int seeds_fd, const char *name, int64_t *ret_pids, size_t max)
{
	owned_fd fd = openat(seeds_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? 0 : place_list_sharers(fd, ret_pids, max);
}

bool seed_is_used(int seeds_fd, const char *name)
{
	owned_fd fd = openat(seeds_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 && place_is_shared(fd);
}

static int fail_used(const char *name, struct error *error)
{
	return error_set(error, .number = EBUSY, .step = "remove the seed", .object = name,
			 .cause = "a live worker started from it",
			 .remedy = "end it first: 'sbx ps' lists workers, 'sbx stop WORKER' and 'sbx down' end them");
}

int seed_remove(int state_fd, const char *name, struct error *error)
{
	char id[ID_LENGTH + 1];
	owned_text gone = text_format(GONE_PREFIX "%s", id_make(id));
	owned_text path = text_format("%s/%s", state_part_name(STATE_SEEDS), gone);
	owned_fd seeds_fd = -1;
	owned_fd claim = -1;
	int result = state_open_part(state_fd, STATE_SEEDS, STATE_LEAVE, &seeds_fd, error);

	if (result == 0)
		result = claim_take(seeds_fd, name, &claim, error);
	if (result == -ENOENT)
		return fail_missing(name, error);
	if (result < 0)
		return result;
	if (place_is_shared(claim))
		return fail_used(name, error);
	if (renameat2(seeds_fd, name, seeds_fd, gone, RENAME_NOREPLACE) < 0)
		return error_set(error, .number = errno, .step = "remove the seed", .object = name);
	result = place_remove(claim, error);
	if (result == -EBUSY) {
		/* A world began in between. What cannot go back, since a new one has the name, is collected later. */
		(void)renameat2(seeds_fd, gone, seeds_fd, name, RENAME_NOREPLACE);
		return fail_used(name, error);
	}
	return result < 0 ? result : claim_remove(state_fd, path, claim, error);
}
