/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/checkout.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/git.h"
#include "base/macro.h"
#include "base/number.h"
#include "base/path.h"
#include "overlay/bundle.h"
#include "sandbox/run/program.h"

enum {
	HASHED_MAX = 64 << 20,
	GIT_CONFIG_NONE = 1, /* exit status of `git config`: there is no such key */
};

bool checkout_hash_file(int tree_fd, const char *path, char hash[static SHA256_TEXT_SIZE])
{
	owned_fd fd = path_open(tree_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, PATH_BENEATH);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
		return false;
	if (status.st_size > HASHED_MAX) {
		struct sha256 sum;

		sha256_init(&sum);
		sha256_add(&sum, &status.st_size, sizeof(status.st_size));
		(void)sha256_finish(&sum, hash);
		return true;
	}
	return sha256_of_fd(fd, hash) == 0;
}

/* ---- git, and nothing of the tree's ---- */

/* Which filters a repository's configuration names: "filter.NAME.KEY". They are for contents on their way into it, and
 * whoever sends a tree along with its .git says what they run; `git status` runs them to tell whether a file is
 * changed.
 * @return 0, or -errno: it cannot be told, so git is not asked further */
static int list_filters(const char *tree, struct text_list *ret_keys)
{
	const char *const arguments[] = {
		"git", "config", "--null", "--name-only", "--get-regexp", "^filter[.]", NULL
	};
	const struct program program = { .arguments = arguments, .directory = tree };
	owned_buffer output = { 0 };
	int result = program_ask(&program, &output);

	if (result == GIT_CONFIG_NONE)
		return 0;
	if (result != 0)
		return MIN(result, -EIO);
	for (const char *at = output.bytes; at && at < output.bytes + output.length; at += strlen(at) + 1)
		text_list_add(ret_keys, at);
	return 0;
}

static void add_setting(struct text_list *variables, uint64_t *number, const char *key, const char *value)
{
	text_list_take(variables, text_format("GIT_CONFIG_KEY_%llu", (unsigned long long)*number));
	text_list_add(variables, key);
	text_list_take(variables, text_format("GIT_CONFIG_VALUE_%llu", (unsigned long long)*number));
	text_list_add(variables, value);
	++*number;
}

/* What git is told so that nothing which the tree brings along runs here: no monitor that its configuration names, no
 * hook for an index that was refreshed, no filter, and no transport, by which a repository with promised objects would
 * fetch them (gitremote-helpers(7), core.sshCommand). By variables: `-c` could not say a name with "=" in it.
 * git-config(1), "Environment". */
static int list_variables(const char *tree, struct text_list *ret_variables)
{
	owned_list keys = { 0 };
	const char *given = getenv("GIT_CONFIG_COUNT");
	owned_text count = NULL;
	uint64_t number = 0;
	int result = list_filters(tree, &keys);

	if (result < 0)
		return result;
	/* The caller's own stay. */
	if (given && number_parse(given, 0, UINT16_MAX, &number) < 0)
		return -EINVAL;
	add_setting(ret_variables, &number, "core.fsmonitor", "false");
	add_setting(ret_variables, &number, "core.hooksPath", "/dev/null");
	for (size_t i = 0; i < keys.count; i++)
		if (text_ends_with(keys.items[i], ".required"))
			add_setting(ret_variables, &number, keys.items[i], "false");
		else
			add_setting(ret_variables, &number, keys.items[i], "");
	count = text_format("%llu", (unsigned long long)number);
	text_list_add(ret_variables, "GIT_CONFIG_COUNT");
	text_list_add(ret_variables, count);
	text_list_add(ret_variables, "GIT_OPTIONAL_LOCKS");
	text_list_add(ret_variables, "0");
	text_list_add(ret_variables, "GIT_ALLOW_PROTOCOL");
	text_list_add(ret_variables, "none");
	text_list_add(ret_variables, "GIT_NO_LAZY_FETCH");
	text_list_add(ret_variables, "1");
	return 0;
}

/* ---- what is changed ---- */

static int is_name(const struct dirent *entry)
{
	return !text_equal(entry->d_name, ".") && !text_equal(entry->d_name, "..");
}

/* A bundle, or a directory of nothing else: they lie where they were made, and say nothing of the tree. */
static bool is_of_bundles(int tree_fd, const char *path)
{
	struct dirent **found = NULL;
	bool is_so;
	int count;

	if (!text_ends_with(path, "/"))
		return bundle_is_one(tree_fd, path);
	count = scandirat(tree_fd, path, &found, is_name, NULL);
	is_so = count > 0;
	for (int i = 0; i < count; i++) {
		owned_text below = path_join(path, found[i]->d_name);

		is_so = is_so && bundle_is_one(tree_fd, below);
		free(found[i]);
	}
	free(found);
	return is_so;
}

/* @status  as `git status --porcelain=v1 -z` prints it   @prefix  of the tree in its repository; may be NULL */
static void note_changes(const struct text_buffer *status, const char *prefix, int tree_fd, struct checkout *checkout)
{
	struct sha256 sum;
	char text[SHA256_TEXT_SIZE];

	sha256_init(&sum);
	for (const char *at = status->bytes; at && at < status->bytes + status->length; at += strlen(at) + 1) {
		const char *path = strlen(at) > 3 ? at + 3 : "";
		char hash[SHA256_TEXT_SIZE] = "";

		/* Its paths begin at the top of the repository. */
		if (prefix && text_starts_with(path, prefix))
			path += strlen(prefix);
		if (text_starts_with(at, "??") && is_of_bundles(tree_fd, path))
			continue;
		if (checkout->changed.count == CHECKOUT_PATHS_MAX)
			break;
		text_list_add(&checkout->changed, path);
		(void)checkout_hash_file(tree_fd, path, hash);
		sha256_add(&sum, at, strlen(at) + 1);
		sha256_add(&sum, hash, sizeof(hash));
	}
	if (checkout->changed.count > 0)
		checkout->dirty = text_duplicate(sha256_finish(&sum, text));
}

static void look_for_changes(const char *tree, int tree_fd, const struct text_list *variables,
			     struct checkout *checkout)
{
	static const char *const arguments[] = { "git",
						 "status",
						 "--porcelain=v1",
						 "-z",
						 "--no-renames",
						 "--untracked-files=normal",
						 "--ignore-submodules=dirty",
						 "--",
						 ".",
						 NULL };
	const struct program program = { .arguments = arguments, .directory = tree, .variables = variables };
	owned_buffer output = { 0 };
	owned_text prefix = NULL;

	if (program_ask(&program, &output) != 0)
		return;
	prefix = program_ask_line("git", "rev-parse", "--show-prefix", tree);
	note_changes(&output, prefix, tree_fd, checkout);
}

static void look_for_later(const char *tree, int tree_fd, const struct text_list *variables, int64_t since_ns,
			   struct checkout *checkout)
{
	static const char *const arguments[] = { "git", "ls-files", "-z", NULL };
	const struct program program = { .arguments = arguments, .directory = tree, .variables = variables };
	owned_buffer output = { 0 };

	if (program_ask(&program, &output) != 0)
		return;
	for (const char *at = output.bytes; at && at < output.bytes + output.length; at += strlen(at) + 1) {
		struct stat status;

		if (fstatat(tree_fd, at, &status, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(status.st_mode) &&
		    clock_to_ns(&status.st_mtim) > since_ns && checkout->later.count < CHECKOUT_PATHS_MAX)
			text_list_add(&checkout->later, at);
	}
}

/* ---- all of it ---- */

void checkout_release(struct checkout *checkout)
{
	text_free(&checkout->commit);
	text_free(&checkout->began);
	text_free(&checkout->dirty);
	text_list_release(&checkout->changed);
	text_list_release(&checkout->later);
}

void checkout_look(const char *tree, int tree_fd, int64_t since_ns, struct checkout *ret_checkout)
{
	struct checkout *checkout = ret_checkout;
	owned_list variables = { 0 };

	*checkout = (struct checkout){ .commit = git_find_commit(tree) };
	if (!checkout->commit)
		checkout->commit = program_ask_line("git", "rev-parse", "HEAD", tree);
	if (!checkout->commit)
		return;
	if (since_ns > 0)
		checkout->began = git_find_commit_at(tree, since_ns / 1000000000);
	if (text_equal(checkout->began, checkout->commit))
		text_free(&checkout->began);
	if (list_variables(tree, &variables) < 0)
		return;
	look_for_changes(tree, tree_fd, &variables, checkout);
	if (since_ns > 0)
		look_for_later(tree, tree_fd, &variables, since_ns, checkout);
}
