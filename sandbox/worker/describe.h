/* SPDX-License-Identifier: Apache-2.0 */
/* A world in words: what `inspect` shows of a worker and what is stored with a kept one, as one JSON object.
 *
 * Members: "spec" (what was asked for, enough to build the world again: describe_read_spec()), "posture" (what protects
 * it: namespaces, capabilities, seccomp profile, Landlock level, no_new_privs, limits), "databases" (path, detail, and
 * how each was filled in: bytes, modified_ns, mode), "layers" (path, kind), "paths" (tree, home, workdir, upper:
 * "tmpfs" or "disk"), "degraded" (what is weaker than usual: what, why), "environment" (what processes in it begin
 * with) "services" (those it runs, where it
 * runs any: pool/services_json.h) and "environment_filtered" (names of variables of it whose values are not told, since
 * they may be credentials). */
#ifndef SBX_WORKER_DESCRIBE_H
#define SBX_WORKER_DESCRIBE_H

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "sandbox/worker/world.h"

/** Writes the object. Inside PID 1 or a fork of it, not confined: it asks the kernel for its Landlock level. */
void describe_world(const struct world *world, struct text_buffer *out);

/** Writes the member "spec" of such an object into the one that is open. */
void describe_write_spec(const struct spec *spec, struct text_buffer *out);

/** Reads the member "spec" of such an object back. Untrusted: it lay on disk. Tree, working directory and databases are
 *  absolute in it, and they are all that the worker had (no_databases where it had none). Environment values that were
 *  given with -e or --env-file are in it, the inherited environment is not. What belongs to the one command that
 * started the worker is not read: pass_fds, which are numbers of that process, status_fd, verbose.
 *  @object    json_root() of what describe_world() wrote
 *  @ret_spec  spec_init() was called; the caller's to release in any case   @return 0 or -EBADMSG */
int describe_read_spec(struct json_value object, struct spec *ret_spec, struct error *error);

/** Reads the members "environment" and "environment_filtered" back; of an object that lacks them two empty lists.
 *  @return 0 or -EBADMSG */
int describe_read_environment(struct json_value object, struct text_list *ret_environment,
			      struct text_list *ret_filtered, struct error *error);

/** Reads the member "databases" back: what a world that is entered again has as world->databases, so that `diff` goes
 * on knowing which of them were written to. Untrusted as well.
 *  @ret_items, @ret_count  untouched on failure; the caller's, as world->databases has them   @return 0 or -EBADMSG */
int describe_read_databases(struct json_value object, struct world_database **ret_items, size_t *ret_count,
			    struct error *error);

#endif
