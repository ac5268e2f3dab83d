/* SPDX-License-Identifier: Apache-2.0 */
/* Layers as directories, without mounts: entered again, split frames left out; and the scan of a tree. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "base/tree.h"
#include "overlay/layers.h"
#include "overlay/scan.h"

struct place {
	char *root;
	int fd;
	struct error error;
};

static void write_file(const char *directory, const char *name, const char *text)
{
	owned_text path = path_join(directory, name);
	owned_text parent = path_parent(path);
	owned_fd fd = -1;

	assert_int_equal(path_make_directories(AT_FDCWD, parent, 0755), 0);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	char template[] = "/var/tmp/sbx-test-layers.XXXXXX";

	assert_non_null(place);
	assert_non_null(mkdtemp(template));
	place->root = text_duplicate(template);
	place->fd = open(template, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(place->fd >= 0);
	assert_int_equal(mkdirat(place->fd, "base", 0700), 0);
	write_file(template, "tree/file", "host");
	write_file(template, "tree/sub/file", "host");
	write_file(template, "home/file", "host");
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;
	owned_text parent = path_parent(place->root);
	owned_fd parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(tree_remove(parent_fd, path_name(place->root), NULL), 0);
	close(place->fd);
	free(place->root);
	free(place);
	return 0;
}

/* Opens the layers of tree/ and, where asked, home/, and prepares them in base/. */
static int prepare(struct place *place, struct layers *layers, bool with_home)
{
	owned_text tree = path_join(place->root, "tree");
	owned_text home = path_join(place->root, "home");
	owned_fd base = openat(place->fd, "base", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct layer_request requests[] = { { .path = tree, .purpose = LAYER_FOR_TREE },
						  { .path = home, .purpose = LAYER_FOR_HOME } };
	const struct layers_skip none = { 0 };

	assert_int_equal(layers_open(layers, requests, with_home ? 2 : 1, &none, LAYERS_SOMEWHERE, &place->error), 0);
	return layers_prepare(layers, base, &place->error);
}

static void test_entered_again_takes_the_old_upper_and_a_new_work_directory(void **state)
{
	struct place *place = *state;
	struct layers layers;
	struct stat before;
	struct stat after;

	assert_int_equal(prepare(place, &layers, true), 0);
	assert_int_equal(layers.count, 2);
	layers_close(&layers);
	write_file(place->root, "base/upper-1/written", "worker");
	write_file(place->root, "base/work-1/work/left", "stale");
	assert_int_equal(fchmodat(place->fd, "base/work-1/work", 0, 0), 0); /* as overlayfs leaves it, finding 10 */
	assert_int_equal(fstatat(place->fd, "base/work-1", &before, 0), 0);

	assert_int_equal(prepare(place, &layers, true), 0);
	layers_close(&layers);
	assert_int_equal(faccessat(place->fd, "base/upper-1/written", R_OK, 0), 0);
	assert_int_equal(fstatat(place->fd, "base/work-1", &after, 0), 0);
	assert_int_equal(faccessat(place->fd, "base/work-1/work", F_OK, 0), -1);
}

static void test_other_layers_than_those_noted_are_refused(void **state)
{
	struct place *place = *state;
	owned_fd base = openat(place->fd, "base", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct layers layers;

	assert_int_equal(prepare(place, &layers, true), 0);
	assert_int_equal(layers_write_names(&layers, base, &place->error), 0);
	layers_close(&layers);
	assert_int_equal(prepare(place, &layers, true), 0);
	layers_close(&layers);
	assert_int_equal(prepare(place, &layers, false), -ESTALE);
	assert_string_equal(place->error.step, "take the kept layers");
	layers_close(&layers);
}

static void test_work_directories_are_removed_and_nothing_else(void **state)
{
	struct place *place = *state;
	owned_fd base = openat(place->fd, "base", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct layers layers;

	assert_int_equal(prepare(place, &layers, true), 0);
	layers_close(&layers);
	write_file(place->root, "base/work-0/work/left", "stale");
	assert_int_equal(fchmodat(place->fd, "base/work-0/work", 0, 0), 0);
	layers_remove_work(base);
	assert_int_equal(faccessat(base, "work-0", F_OK, 0), -1);
	assert_int_equal(faccessat(base, "upper-0", F_OK, 0), 0);
}

static void test_hiding_below_what_a_kept_worker_replaced_is_no_error(void **state)
{
	struct place *place = *state;
	owned_text hidden = path_join(place->root, "tree/sub/file");
	struct layers layers;

	assert_int_equal(prepare(place, &layers, false), 0);
	write_file(place->root, "base/upper-0/sub", "a file where the tree has a directory");
	assert_int_equal(layers_hide(&layers, hidden, &place->error), 0);
	layers_close(&layers);
}

static void test_what_lies_in_no_layer_is_left_to_be_covered(void **state)
{
	struct place *place = *state;
	owned_text link = path_join(place->root, "tree/link");
	owned_text target = path_join(place->root, "home/file");
	struct layers layers;

	assert_int_equal(symlink(target, link), 0);
	assert_int_equal(prepare(place, &layers, false), 0);
	assert_int_equal(layers_hide(&layers, link, &place->error), 1);
	assert_int_equal(layers.outside.count, 1);
	assert_string_equal(layers.outside.items[0], target);
	layers_close(&layers);
}

static int hide(struct place *place, struct layers *layers, const char *name)
{
	owned_text path = path_join(place->root, name);

	return layers_hide(layers, path, &place->error);
}

static void test_hiding_finds_what_is_there_and_nothing_else(void **state)
{
	static const char *const there[] = { "home/.ssh/id", "home/.config/gh/hosts.yml",
					     "home/.local/share/keyrings/k" };
	struct place *place = *state;
	struct layers layers;

	for (size_t i = 0; i < ARRAY_SIZE(there); i++)
		write_file(place->root, there[i], "key");
	assert_int_equal(prepare(place, &layers, true), 0);
	assert_int_equal(hide(place, &layers, "home/.ssh"), 1);
	assert_int_equal(hide(place, &layers, "home/.config/gh"), 1);
	assert_int_equal(hide(place, &layers, "home/.local/share/keyrings"), 1);
	assert_int_equal(hide(place, &layers, "home/.gnupg"), 0);
	assert_int_equal(hide(place, &layers, "home/.config/hub"), 0);
	assert_int_equal(hide(place, &layers, "home/.local/share/gopass"), 0);
	assert_int_equal(hide(place, &layers, "home/.configuration/gh"), 0);
	assert_int_equal(layers.hidden.count, 3);
	layers_close(&layers);
}

static void test_hiding_finds_what_lies_among_more_names_than_are_read(void **state)
{
	struct place *place = *state;
	owned_fd home = openat(place->fd, "home", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct layers layers;

	for (unsigned i = 0; i < 1500; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), ".file-%u", i);
		assert_int_equal(mknodat(home, name, S_IFREG | 0600, 0), 0);
	}
	assert_int_equal(prepare(place, &layers, true), 0);
	for (unsigned i = 0; i < 1500; i++) {
		char name[24];

		(void)snprintf(name, sizeof(name), "home/.file-%u", i);
		assert_int_equal(hide(place, &layers, name), 1);
	}
	layers_close(&layers);
}

static void test_hiding_follows_a_directory_that_is_a_link(void **state)
{
	struct place *place = *state;
	struct layers layers;

	write_file(place->root, "home/settings/gh/hosts.yml", "key");
	assert_int_equal(symlinkat("settings", place->fd, "home/.config"), 0);
	assert_int_equal(prepare(place, &layers, true), 0);
	/* The link itself goes, whatever it leads to. */
	assert_int_equal(hide(place, &layers, "home/.config/hub"), 1);
	assert_int_equal(layers.hidden.count, 1);
	assert_int_equal(hide(place, &layers, "home/.config/gh"), 1);
	assert_int_equal(layers.hidden.count, 3);
	layers_close(&layers);
}

struct seen {
	size_t foreign;
	size_t unreadable;
	char *last;
};

static int note_finding(void *data, const struct scan_finding *finding)
{
	struct seen *seen = data;

	seen->foreign += finding->trouble == SCAN_FOREIGN_OWNER;
	seen->unreadable += finding->trouble == SCAN_UNREADABLE;
	text_free(&seen->last);
	seen->last = text_duplicate(finding->path);
	return 0;
}

static void test_scan_finds_owners_that_are_not_mapped(void **state)
{
	struct place *place = *state;
	owned_fd tree = openat(place->fd, "tree", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct scan_options options = { .uid = geteuid(), .gid = getegid() };
	struct scan_result result;
	struct seen seen = { 0 };

	assert_int_equal(scan_tree(tree, &options, note_finding, &seen, &result, &place->error), 0);
	assert_int_equal(seen.foreign, 0);
	assert_int_equal(result.entries, 4);
	options.uid++; /* then all are somebody else's */
	assert_int_equal(scan_tree(tree, &options, note_finding, &seen, &result, &place->error), 0);
	assert_int_equal(seen.foreign, 4);
	assert_int_equal(result.foreign, 4);
	assert_false(result.is_cut);
	options.depth_max = 1;
	assert_int_equal(scan_tree(tree, &options, NULL, NULL, &result, &place->error), 0);
	assert_int_equal(result.foreign, 3);
	options.entries_max = 2;
	assert_int_equal(scan_tree(tree, &options, NULL, NULL, &result, &place->error), 0);
	assert_true(result.is_cut);
	text_free(&seen.last);
}

static void test_scan_finds_directories_that_cannot_be_read(void **state)
{
	struct place *place = *state;
	owned_fd tree = openat(place->fd, "tree", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct scan_options options = { .uid = geteuid(), .gid = getegid() };
	struct scan_result result;
	struct seen seen = { 0 };

	if (geteuid() == 0)
		return; /* root reads all; the suite runs as an ordinary user, too, where this one is a user's */
	assert_int_equal(fchmodat(place->fd, "tree/sub", 0, 0), 0);
	assert_int_equal(scan_tree(tree, &options, note_finding, &seen, &result, &place->error), 0);
	assert_int_equal(result.unreadable, 1);
	assert_string_equal(seen.last, "sub");
	text_free(&seen.last);
	assert_int_equal(fchmodat(place->fd, "tree/sub", 0755, 0), 0);
}

static void test_a_failure_is_explained_by_the_first_foreign_file(void **state)
{
	struct place *place = *state;
	struct error note = { 0 };
	struct layers layers;

	assert_int_equal(prepare(place, &layers, false), 0);
	assert_int_equal(scan_explain_foreign(&layers, layers.items[0].path, geteuid(), getegid(), &note), 0);
	assert_int_equal(note.number, 0);
	assert_int_equal(scan_explain_foreign(&layers, layers.items[0].path, geteuid() + 1, getegid(), &note), 1);
	assert_int_equal(note.number, EOVERFLOW);
	assert_string_equal(note.object, layers.items[0].path);
	assert_non_null(strstr(note.remedy, "--copy"));
	layers_close(&layers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
		TEST(test_entered_again_takes_the_old_upper_and_a_new_work_directory),
		TEST(test_other_layers_than_those_noted_are_refused),
		TEST(test_work_directories_are_removed_and_nothing_else),
		TEST(test_hiding_below_what_a_kept_worker_replaced_is_no_error),
		TEST(test_what_lies_in_no_layer_is_left_to_be_covered),
		TEST(test_hiding_finds_what_is_there_and_nothing_else),
		TEST(test_hiding_finds_what_lies_among_more_names_than_are_read),
		TEST(test_hiding_follows_a_directory_that_is_a_link),
		TEST(test_scan_finds_owners_that_are_not_mapped),
		TEST(test_scan_finds_directories_that_cannot_be_read),
		TEST(test_a_failure_is_explained_by_the_first_foreign_file),
	};

	return cmocka_run_group_tests_name("layers", tests, NULL, NULL);
}
