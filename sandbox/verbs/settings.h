/* SPDX-License-Identifier: Apache-2.0 */
/* Between sbx.yaml and the option table: a key of the file is an option's `key`, its value what the option takes. */
#ifndef SBX_VERBS_SETTINGS_H
#define SBX_VERBS_SETTINGS_H

#include "sandbox/pool/project.h"
#include "sandbox/verbs/options.h"

/** Reads the project's file: --file, or sbx.yaml of --tree, or of the current directory or the nearest one above it.
 *  @return 1 found, 0 there is none, or -errno */
int settings_read(const struct invocation *invocation, struct project *ret_project, struct error *error);
/** The same for a text that was kept. @name what errors call it  @directory  where its relative paths begin */
int settings_read_text(const char *name, const char *directory, const char *text, struct project *ret_project,
		       struct error *error);
/** Where the file was found above the current directory, its directory is the tree, unless another one was named. */
void settings_take_place(const struct project *project, struct spec *spec);
/** Applies one value by its option's setter, unless the line (`given`) says otherwise. */
int settings_apply(struct invocation *invocation, const struct project_setting *setting, const struct project *project,
		   const struct project_settings *given, struct error *error);
/** What holds in the end, in the option table's order: the file's values with `given` on top. The caller's to release.
 */
void settings_merge(const struct project *project, const struct project_settings *given,
		    struct project_settings *ret_merged);
/** The option with that key, or NULL. */
const struct option *settings_option(const char *key);

#endif
