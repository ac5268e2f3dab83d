/* SPDX-License-Identifier: Apache-2.0 */
/* Files put back, where a plain directory stands for the mount: what is planned, done, refused and noted. Overlays are
 * 145-reset.bats' business. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/text.h"
#include "overlay/reset.h"

struct stage {
	char *directory;
	int layers[2]; /* now, and what it started from */
	struct reset_layer layer;
	struct reset_notes notes;
};

static void run(const struct stage *stage, const char *script)
{
	owned_text command = text_format("cd '%s' && { %s; }", stage->directory, script);

	assert_int_equal(system(command), 0);
}

static int set_up(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));
	const char *base = getenv("TMPDIR");

	stage->directory = text_format("%s/sbx-reset.XXXXXX", base && base[0] == '/' ? base : "/tmp");
	if (!mkdtemp(stage->directory))
		return -1;
	run(stage, "mkdir start start/dir; echo one >start/file; echo two >start/dir/in; ln -s file start/link");
	run(stage, "echo a >start/first; ln start/first start/second; cp -a start now");
	for (int i = 0; i < 2; i++) {
		owned_text path = text_format("%s/%s", stage->directory, i == 0 ? "now" : "start");

		stage->layers[i] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	stage->layer = (struct reset_layer){
		.layers = stage->layers, .layer_count = 2, .is_first_lower_held = true, .merged_fd = stage->layers[0]
	};
	*state = stage;
	return stage->layers[0] < 0 || stage->layers[1] < 0;
}

static int tear_down(void **state)
{
	struct stage *stage = *state;
	owned_text command = text_format("chmod -R u+rwx '%s'; rm -rf '%s'", stage->directory, stage->directory);
	int result = system(command);

	(void)close(stage->layers[0]);
	(void)close(stage->layers[1]);
	reset_notes_release(&stage->notes);
	text_free(&stage->directory);
	free(stage);
	return result;
}

static struct reset_result reset(struct stage *stage)
{
	owned_reset_plan plan = NULL;
	struct reset_result result = { 0 };
	uint64_t differences = 0;
	struct error error = { 0 };

	assert_int_equal(reset_plan_make(&stage->layer, &stage->notes, &plan, &error), 0);
	if (!reset_plan_is_empty(plan)) {
		assert_int_equal(reset_apply(plan, &result, &error), 0);
		assert_int_equal(reset_confirm(&stage->layer, &stage->notes, &differences, &error), 0);
		assert_int_equal(differences, 0);
	}
	return result;
}

static void nothing_is_done_where_nothing_changed(void **state)
{
	struct stage *stage = *state;
	struct reset_result result = reset(stage);

	assert_int_equal(result.rewritten + result.removed + result.restored + result.bytes, 0);
}

static void all_kinds_come_back(void **state)
{
	struct stage *stage = *state;
	struct reset_result result;

	run(stage, "cd now; echo more >>file; chmod 600 file; rm -r dir; echo file >dir; ln -sf dir link; mkdir -p "
		   "a/b; echo x >a/b/c");
	result = reset(stage);
	assert_in_range(result.rewritten, 3, 4);
	assert_int_equal(result.removed, 3);
	run(stage, "diff -r --no-dereference start now && [ $(stat -c %a now/file) = $(stat -c %a start/file) ]");
	run(stage, "[ $(stat -c %Y.%y now/file | tr -d ' ') = $(stat -c %Y.%y start/file | tr -d ' ') ]");
}

/* Whoever has it open reads what is there again. */
static void a_file_is_rewritten_in_place(void **state)
{
	struct stage *stage = *state;
	char bytes[8] = "";
	int fd = openat(stage->layers[0], "file", O_RDONLY | O_CLOEXEC);

	run(stage, "echo something longer >now/file");
	(void)reset(stage);
	assert_int_equal(pread(fd, bytes, sizeof(bytes), 0), 4);
	assert_memory_equal(bytes, "one\n", 4);
	(void)close(fd);
}

static void what_was_noted_is_not_compared_again(void **state)
{
	struct stage *stage = *state;
	struct reset_notes again = { 0 };

	/* Those that changed in this very tick of the kernel's are noted once it is over. */
	for (int i = 0; i < 100000 && stage->notes.count < 6; i++)
		(void)reset(stage);
	assert_int_equal(stage->notes.count, 6); /* two names of one file are noted twice */
	assert_int_equal(reset_notes_write(stage->layers[1], "notes", &stage->notes), 0);
	assert_int_equal(reset_notes_read(stage->layers[1], "notes", &again), 0);
	assert_int_equal(again.count, stage->notes.count);
	reset_notes_release(&again);
	run(stage, "echo two >>now/file");
	assert_int_equal(reset(stage).rewritten, 1);
}

static void what_cannot_be_done_in_place_is_refused(void **state)
{
	static const char *const scripts[] = {
		"cd start; mkdir many; cd many; seq 1100 | xargs touch",
		"chmod 0 now/dir",
	};
	struct stage *stage = *state;

	for (size_t i = 0; i < 2; i++) {
		owned_reset_plan plan = NULL;
		struct error error = { 0 };

		run(stage, scripts[i]);
		if (i == 1 && geteuid() == 0)
			continue; /* who may read everything */
		assert_int_equal(reset_plan_make(&stage->layer, &stage->notes, &plan, &error), -ENOTSUP);
		run(stage, "rm -rf start/many");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_is_done_where_nothing_changed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(all_kinds_come_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_file_is_rewritten_in_place, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_was_noted_is_not_compared_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_cannot_be_done_in_place_is_refused, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
