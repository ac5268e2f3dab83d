/* SPDX-License-Identifier: Apache-2.0 */
/* How to do again what a test run's world did: its servers, the runner, the red test. Kept beside a world of a red test
 * (evidence.h) as recipe.json, and in a bundle of it; read by `sbx open` and `sbx replay`.
 *
 * It is read from a bundle, too, so it is not trusted: what it holds is run inside a world and nowhere else. */
#ifndef SBX_RUN_RECIPE_H
#define SBX_RUN_RECIPE_H

#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "sandbox/pool/service.h"
#include "sandbox/run/events.h"

#define RECIPE_FILE "recipe.json"

enum { RECIPE_ATTACHMENTS_MAX = 16 };

struct recipe {
	struct service_list services;
	char *runner;		    /* "playwright"; NULL: not known */
	char *version;		    /* of it */
	struct text_list arguments; /* of its process */
	struct text_list command;   /* of the red test alone, where the list said it (--items); else empty */
	char *directory;	    /* where that ran, or the runner */
	char *config;		    /* its configuration file, absolute; NULL: none */
	char *file;		    /* of the red test, absolute; NULL: no test */
	int64_t line;
	char *title;
	char *project;		      /* "": none */
	struct text_list attachments; /* files that it left, a trace above all: absolute */
};

void recipe_release(struct recipe *recipe);
#define owned_recipe __attribute__((cleanup(recipe_release))) struct recipe

/** Takes the runner's part from what it told. */
void recipe_take_runner(const struct events *events, struct recipe *recipe);

/** Writes it as one object. @name  of the member; NULL: alone */
void recipe_write(const struct recipe *recipe, const char *name, struct text_buffer *out);

/** @value  missing: an empty one   @ret_recipe  the caller's, also on failure   Errors: EBADMSG */
int recipe_read(struct json_value value, struct recipe *ret_recipe, struct error *error);
/** Reads RECIPE_FILE of a kept worker. @directory_fd its   Errors: ENOENT it has none */
int recipe_read_file(int directory_fd, struct recipe *ret_recipe, struct error *error);

/** The command that runs the red test alone in a world where its servers run already and global setup has been done.
 *  @ret_config       what has to be written as a configuration file beside the runner's own; NULL: nothing
 *  @ret_config_path  of that, absolute
 *  Of Jest and Vitest in a single world, which do not tell their tests, it is all files, one at a time.
 *  @return 0, or -ENOENT: it is not known how */
int recipe_make_command(const struct recipe *recipe, struct text_list *ret_command, char **ret_config,
			char **ret_config_path);

#endif
