/* SPDX-License-Identifier: Apache-2.0 */
/* Named seeds on the disk: whole or not there, held, asked about, refused when damaged. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/tree.h"
#include "sandbox/registry/collect.h"
#include "sandbox/registry/place.h"
#include "sandbox/registry/seeds.h"
#include "sandbox/registry/state.h"
#include "tests/unit/scratch.h"

struct place {
	char *root;
	struct state_paths paths;
	int state_fd;
	int seeds_fd;
	struct error error;
};

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	place->root = scratch_make(NULL);
	if (!place->root)
		return -1;
	(void)unsetenv("XDG_STATE_HOME");
	(void)setenv("XDG_RUNTIME_DIR", place->root, 1);
	state_paths_find(place->root, &place->paths);
	*state = place;
	return state_open(&place->paths, STATE_MAKE, &place->state_fd, NULL) < 0 ||
			       state_open_part(place->state_fd, STATE_SEEDS, STATE_MAKE, &place->seeds_fd, NULL) < 0
		       ? -1
		       : 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;
	owned_list names = { 0 };
	int result;

	(void)seed_list(place->state_fd, &names, NULL);
	for (size_t i = 0; i < names.count; i++)
		(void)seed_remove(place->state_fd, names.items[i], NULL);
	(void)collect_dead(&place->paths, COLLECT_REMOVE, NULL, NULL);
	fd_close(&place->seeds_fd);
	fd_close(&place->state_fd);
	result = scratch_remove(&place->root);
	state_paths_release(&place->paths);
	free(place);
	return result;
}

/* One without a layer. /var/tmp may be what cannot hold layers. */
static void make_seed(struct place *place, const char *name)
{
	struct seed_draft draft = SEED_DRAFT_NONE;
	owned_record record = { 0 };
	static const struct text_list nothing;

	if (seed_begin(place->state_fd, &draft, &place->error) < 0)
		fail_msg("%s: %s", place->error.step, place->error.cause);
	assert_int_equal(fd_write_durable(draft.place_fd, "layers", "", 0), 0);
	assert_int_equal(seed_write(draft.place_fd, &nothing, &place->error), 0);
	record.name = text_duplicate(name);
	record.tree = text_duplicate("/tree");
	record.origin = text_duplicate("create");
	assert_int_equal(seed_finish(&draft, &record, &place->error), 0);
	seed_draft_close(&draft);
}

static int take(struct place *place, const char *name, struct seed_hold *hold)
{
	owned_record record = { 0 };

	return seed_take(place->state_fd, name, hold, &record, &place->error);
}

static char *place_of(const struct place *place, const char *name)
{
	owned_text link = text_format("%s/place", name);
	char target[512] = "";

	assert_true(readlinkat(place->seeds_fd, link, target, sizeof(target) - 1) > 0);
	return text_duplicate(target);
}

static bool is_there(const char *path)
{
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Whoever lists seeds, or is just removing one, is no world. */
static void test_asking_whether_it_is_used_disturbs_nobody(void **state)
{
	struct place *place = *state;
	struct seed_hold hold = SEED_HOLD_NONE;
	owned_text path = NULL;
	owned_fd other = -1;

	make_seed(place, "m");
	path = place_of(place, "m");
	other = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_false(seed_is_used(place->seeds_fd, "m"));
	assert_int_equal(flock(other, LOCK_EX | LOCK_NB), 0);
	assert_false(seed_is_used(place->seeds_fd, "m"));
	assert_int_equal(flock(other, LOCK_UN), 0);

	assert_int_equal(take(place, "m", &hold), 0);
	assert_true(seed_is_used(place->seeds_fd, "m"));
	assert_int_equal(seed_remove(place->state_fd, "m", &place->error), -EBUSY);
	assert_true(is_there(path));
	seed_hold_release(&hold);
	assert_false(seed_is_used(place->seeds_fd, "m"));
	assert_int_equal(seed_remove(place->state_fd, "m", &place->error), 0);
	assert_false(is_there(path));
}

static void test_one_that_is_used_and_replaced_goes_with_its_last_user(void **state)
{
	struct place *place = *state;
	struct seed_hold hold = SEED_HOLD_NONE;
	struct seed_hold again = SEED_HOLD_NONE;
	owned_text before = NULL;
	owned_text after = NULL;

	make_seed(place, "m");
	before = place_of(place, "m");
	assert_int_equal(take(place, "m", &hold), 0);
	make_seed(place, "m");
	after = place_of(place, "m");
	assert_string_not_equal(before, after);
	assert_int_equal(collect_dead(&place->paths, COLLECT_REMOVE, NULL, &place->error), 0);
	assert_true(is_there(before));
	assert_int_equal(seed_take_place(before, &again, &place->error), 0);
	seed_hold_release(&hold);
	assert_int_equal(collect_dead(&place->paths, COLLECT_REMOVE, NULL, &place->error), 0);
	assert_true(is_there(before));
	seed_hold_release(&again);
	assert_int_equal(collect_dead(&place->paths, COLLECT_REMOVE, NULL, &place->error), 0);
	assert_false(is_there(before));
	assert_true(is_there(after));
	assert_int_equal(seed_take_place(before, &again, &place->error), -ENOENT);
}

/* Its record, its link and its list come from a disk. */
static void test_one_that_is_damaged_is_refused_by_name_and_removable(void **state)
{
	struct place *place = *state;
	static const struct {
		const char *record;
		int result;
		const char *cause;
	} records[] = {
		{ "", -EBADMSG, "it is not JSON" },
		{ "[]\n", -EBADMSG, "it has no version" },
		{ "{\"version\":\"1\"}", -EBADMSG, "it has no version" },
		{ "{\"version\":3}", -EPROTONOSUPPORT, "it was made by a newer sbx" },
		{ "{\"version\":9223372036854775807,\"name\":1}", -EPROTONOSUPPORT, "it was made by a newer sbx" },
		{ "{\"version\":2}", -EBADMSG, "it does not describe a seed" },
		{ "{\"version\":2,\"name\":\"m\",\"id\":\"x\",\"tree\":\"/t\",\"origin\":\"create\",\"command\":[1],"
		  "\"inputs\":[],\"databases\":[],\"created_ns\":1,\"bytes\":1,\"entries\":1,\"ground\":[]}",
		  -EBADMSG, "it does not describe a seed" },
	};

	make_seed(place, "m");
	for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
		struct seed_hold hold = SEED_HOLD_NONE;

		assert_int_equal(unlinkat(place->seeds_fd, "m/record.json", 0), 0);
		assert_int_equal(fd_write_durable(place->seeds_fd, "m/record.json", records[i].record,
						  strlen(records[i].record)),
				 0);
		assert_int_equal(take(place, "m", &hold), records[i].result);
		assert_string_equal(place->error.object, "m");
		assert_string_equal(place->error.cause, records[i].cause);
		assert_true(place->error.remedy[0] != '\0');
		assert_false(seed_is_used(place->seeds_fd, "m"));
	}
	assert_int_equal(seed_remove(place->state_fd, "m", &place->error), 0);
}

static void test_a_place_that_is_not_ours_is_neither_used_nor_removed(void **state)
{
	struct place *place = *state;
	struct seed_hold hold = SEED_HOLD_NONE;
	owned_text path = NULL;
	owned_text precious = path_join(place->root, "precious");
	owned_fd parent_fd = open("/var/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	make_seed(place, "m");
	path = place_of(place, "m");
	assert_int_equal(mkdir(precious, 0700), 0);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(unlinkat(place->seeds_fd, "m/place", 0), 0);
		assert_int_equal(
			symlinkat(i == 0 ? precious : "/var/tmp/sbx-layers-/../..", place->seeds_fd, "m/place"), 0);
		assert_int_equal(take(place, "m", &hold), -EBADMSG);
		assert_string_equal(place->error.cause, "its files are gone");
	}
	assert_int_equal(seed_remove(place->state_fd, "m", &place->error), 0);
	assert_true(is_there(precious));
	assert_int_equal(tree_remove(parent_fd, path_name(path), NULL), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_asking_whether_it_is_used_disturbs_nobody),
		TEST(test_one_that_is_used_and_replaced_goes_with_its_last_user),
		TEST(test_one_that_is_damaged_is_refused_by_name_and_removable),
		TEST(test_a_place_that_is_not_ours_is_neither_used_nor_removed),
	};

	return cmocka_run_group_tests_name("seeds", tests, NULL, NULL);
}
