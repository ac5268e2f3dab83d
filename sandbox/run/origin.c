/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/origin.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/sha256.h"
#include "sandbox/run/checkout.h"
#include "sandbox/run/program.h"

enum {
	NOTED_MAX = 1000, /* files of a bundle */
	TOLD_MAX = 8,	  /* names in one line */
};

/* Without one of these the same test is another one. */
static const char *const matters[] = {
	"package.json",		 "package-lock.json",
	"npm-shrinkwrap.json",	 "yarn.lock",
	"pnpm-lock.yaml",	 "sbx.yaml",
	"playwright.config.ts",	 "playwright.config.js",
	"playwright.config.mjs", "playwright.config.cjs",
	"global.json",		 "Directory.Packages.props",
	"packages.lock.json",	 "requirements.txt",
	"poetry.lock",
};

static const struct {
	const char *name;
	const char *argument;
	const char *sign; /* a file of the tree that says that it is used; NULL: a project of .NET */
} runtimes[] = {
	{ "node", "--version", "package.json" },
	{ "dotnet", "--version", NULL },
	{ "python3", "--version", "requirements.txt" },
};

/* ---- what is here ---- */

struct origin {
	struct utsname system;
	struct checkout checkout;
	struct text_list files;	   /* path, hash, path, hash … */
	struct text_list runtimes; /* name, version … */
	struct text_list browsers;
};

static void origin_release(struct origin *origin)
{
	checkout_release(&origin->checkout);
	text_list_release(&origin->files);
	text_list_release(&origin->runtimes);
	text_list_release(&origin->browsers);
}

static const char *value_of(const struct text_list *pairs, const char *name)
{
	for (size_t i = 0; i + 1 < pairs->count; i += 2)
		if (text_equal(pairs->items[i], name))
			return pairs->items[i + 1];
	return NULL;
}

static void look_at_file(int tree_fd, const char *path, struct origin *origin)
{
	char hash[SHA256_TEXT_SIZE];

	if (value_of(&origin->files, path) || !checkout_hash_file(tree_fd, path, hash))
		return;
	text_list_add(&origin->files, path);
	text_list_add(&origin->files, hash);
}

static int is_project(const struct dirent *entry)
{
	return text_ends_with(entry->d_name, ".csproj") || text_ends_with(entry->d_name, ".fsproj") ||
	       text_ends_with(entry->d_name, ".sln") || text_ends_with(entry->d_name, ".slnx") ||
	       text_ends_with(entry->d_name, ".runtimeconfig.json");
}

static int is_browser(const struct dirent *entry)
{
	const char *dash = strrchr(entry->d_name, '-');

	return entry->d_name[0] != '.' && dash && dash[1] && strspn(dash + 1, "0123456789") == strlen(dash + 1);
}

/* @return whether there are any */
static bool list_names(int directory_fd, const char *path, int (*filter)(const struct dirent *),
		       struct text_list *names)
{
	struct dirent **found = NULL;
	int count = scandirat(directory_fd, path, &found, filter, alphasort);

	for (int i = 0; i < count; i++) {
		if (names)
			text_list_add(names, found[i]->d_name);
		free(found[i]);
	}
	free(found);
	return count > 0;
}

static void look_at_runtimes(const char *tree, int tree_fd, struct origin *origin)
{
	for (size_t i = 0; i < ARRAY_SIZE(runtimes); i++) {
		bool is_used = runtimes[i].sign ? faccessat(tree_fd, runtimes[i].sign, F_OK, 0) == 0
						: list_names(tree_fd, ".", is_project, NULL);
		/* A project of .NET may name an SDK of its own in global.json, which would run: that file is hashed. */
		const char *directory = runtimes[i].sign ? tree : "/";
		owned_text version =
			is_used ? program_ask_line(runtimes[i].name, runtimes[i].argument, NULL, directory) : NULL;

		if (!version)
			continue;
		text_list_add(&origin->runtimes, runtimes[i].name);
		text_list_add(&origin->runtimes, version);
	}
}

static void look(const char *tree, const char *home, const struct text_list *files, int64_t since_ns,
		 struct origin *ret_origin)
{
	owned_fd tree_fd = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *named = getenv("PLAYWRIGHT_BROWSERS_PATH");
	owned_text browsers = named && named[0] == '/' ? text_duplicate(named)
			      : home		       ? path_join(home, ".cache/ms-playwright")
						       : NULL;

	*ret_origin = (struct origin){ 0 };
	(void)uname(&ret_origin->system);
	if (browsers)
		(void)list_names(AT_FDCWD, browsers, is_browser, &ret_origin->browsers);
	if (tree_fd < 0)
		return;
	checkout_look(tree, tree_fd, since_ns, &ret_origin->checkout);
	for (size_t i = 0; i < ARRAY_SIZE(matters); i++)
		look_at_file(tree_fd, matters[i], ret_origin);
	for (size_t i = 0; i < files->count; i++)
		if (path_is_below(files->items[i], tree) && !text_equal(files->items[i], tree))
			look_at_file(tree_fd, path_below(files->items[i], tree), ret_origin);
	look_at_runtimes(tree, tree_fd, ret_origin);
}

static void add_pairs(struct text_buffer *out, const char *name, const char *first, const char *second,
		      const struct text_list *pairs)
{
	json_begin_array(out, name);
	for (size_t i = 0; i + 1 < pairs->count; i += 2) {
		json_begin_object(out, NULL);
		json_add_text(out, first, pairs->items[i]);
		json_add_text(out, second, pairs->items[i + 1]);
		json_end_object(out);
	}
	json_end_array(out);
}

void origin_write(const char *tree, const char *home, const struct text_list *files, int64_t since_ns,
		  struct text_buffer *out)
{
	struct origin origin;

	look(tree, home, files, since_ns, &origin);
	json_begin_object(out, "origin");
	json_add_text(out, "kernel", origin.system.release);
	json_add_text(out, "architecture", origin.system.machine);
	json_add_text(out, "commit", origin.checkout.began ? origin.checkout.began : origin.checkout.commit);
	json_add_text(out, "commit_bundled", origin.checkout.began ? origin.checkout.commit : NULL);
	json_add_text(out, "dirty", origin.checkout.dirty);
	json_add_list(out, "changed", &origin.checkout.changed);
	json_add_list(out, "changed_later", &origin.checkout.later);
	add_pairs(out, "files", "path", "sha256", &origin.files);
	add_pairs(out, "runtimes", "name", "version", &origin.runtimes);
	json_add_list(out, "browsers", &origin.browsers);
	json_end_object(out);
	origin_release(&origin);
}

/* ---- comparing ---- */

static void add_names(struct text_buffer *line, const struct text_list *names)
{
	for (size_t i = 0; i < names->count && i < TOLD_MAX; i++)
		text_buffer_format(line, "%s%s", i > 0 ? ", " : "", names->items[i]);
	if (names->count > TOLD_MAX)
		text_buffer_format(line, " and %zu more", names->count - TOLD_MAX);
}

static char *text_of(struct json_value object, const char *name)
{
	char *text = NULL;

	(void)json_text(json_member(object, name), &text);
	return text;
}

static void compare_tree(struct json_value there, const struct origin *here, struct text_list *differences)
{
	owned_text commit = text_of(there, "commit");
	owned_text dirty = text_of(there, "dirty");
	owned_text bundled = text_of(there, "commit_bundled");
	owned_list changed = { 0 };
	owned_list later = { 0 };

	if (commit && !here->checkout.commit)
		text_list_take(differences, text_format("tree: it was commit %.12s; here is no git checkout", commit));
	else if (commit && !text_equal(commit, here->checkout.commit))
		text_list_take(differences, text_format("tree: it was commit %.12s, here is %.12s: git checkout %s",
							commit, here->checkout.commit, commit));
	if (bundled)
		text_list_take(differences, text_format("tree: it went from commit %.12s to %.12s there before it was "
							"bundled: what had not been copied by then may be of either",
							commit, bundled));
	(void)json_list(json_member(there, "changed_later"), &later);
	if (later.count > 0) {
		owned_buffer line = { 0 };

		text_buffer_add_text(&line, "tree: written there after the worker began, so it may have seen others: ");
		add_names(&line, &later);
		text_list_add(differences, line.bytes);
	}
	if (text_equal(dirty, here->checkout.dirty))
		return;
	(void)json_list(json_member(there, "changed"), &changed);
	if (changed.count > 0) {
		owned_buffer line = { 0 };

		text_buffer_add_text(&line, "tree: it had changes that were not committed: ");
		add_names(&line, &changed);
		text_list_add(differences, line.bytes);
	}
	if (here->checkout.changed.count > 0) {
		owned_buffer line = { 0 };

		text_buffer_add_text(&line, "tree: here are changes that are not committed: ");
		add_names(&line, &here->checkout.changed);
		text_list_add(differences, line.bytes);
	}
}

static void compare_files(struct json_value there, const struct origin *here, struct text_list *differences)
{
	struct json_value files = json_member(there, "files");

	for (struct json_value item = json_first(files); json_type(item); item = json_next(item)) {
		owned_text path = text_of(item, "path");
		owned_text hash = text_of(item, "sha256");
		const char *own = path ? value_of(&here->files, path) : NULL;

		if (path && !text_equal(own, hash))
			text_list_take(differences,
				       text_format("file: %s %s", path, own ? "is another one here" : "is not here"));
	}
}

static void compare_runtimes(struct json_value there, const struct origin *here, struct text_list *differences)
{
	struct json_value list = json_member(there, "runtimes");
	owned_list browsers = { 0 };
	owned_list missing = { 0 };

	for (struct json_value item = json_first(list); json_type(item); item = json_next(item)) {
		owned_text name = text_of(item, "name");
		owned_text version = text_of(item, "version");
		const char *own = name ? value_of(&here->runtimes, name) : NULL;

		if (name && version && !text_equal(own, version))
			text_list_take(differences,
				       own ? text_format("runtime: %s was %s, here is %s", name, version, own)
					   : text_format("runtime: %s was %s, here is none", name, version));
	}
	(void)json_list(json_member(there, "browsers"), &browsers);
	for (size_t i = 0; i < browsers.count; i++) {
		bool is_here = false;

		for (size_t j = 0; j < here->browsers.count; j++)
			is_here = is_here || text_equal(browsers.items[i], here->browsers.items[j]);
		if (!is_here)
			text_list_add(&missing, browsers.items[i]);
	}
	if (missing.count > 0) {
		owned_buffer line = { 0 };

		text_buffer_add_text(&line, "browser: not here, npx playwright install has them: ");
		add_names(&line, &missing);
		text_list_add(differences, line.bytes);
	}
}

static void compare_word(struct json_value there, const char *name, const char *own, struct text_list *differences)
{
	owned_text word = text_of(there, name);

	if (word && !text_equal(word, own))
		text_list_take(differences, text_format("%s: it was %s, here is %s", name, word, own));
}

void origin_compare(struct json_value there, const char *version, const char *tree, const char *home,
		    struct text_list *ret_differences)
{
	struct json_value noted = json_member(there, "files");
	owned_list files = { 0 };
	struct origin here;

	for (struct json_value item = json_first(noted); json_type(item) && files.count < NOTED_MAX;
	     item = json_next(item)) {
		owned_text path = text_of(item, "path");

		if (path && path[0] != '/')
			text_list_take(&files, path_join(tree, path));
	}
	look(tree, home, &files, 0, &here);
	compare_tree(there, &here, ret_differences);
	compare_files(there, &here, ret_differences);
	compare_runtimes(there, &here, ret_differences);
	if (version && !text_equal(version, SBX_VERSION))
		text_list_take(ret_differences, text_format("sbx: it was %s, here is " SBX_VERSION, version));
	compare_word(there, "architecture", here.system.machine, ret_differences);
	compare_word(there, "kernel", here.system.release, ret_differences);
	origin_release(&here);
}
