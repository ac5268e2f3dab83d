/* SPDX-License-Identifier: Apache-2.0 */
/* A world in words: what `inspect` shows of a worker and what is stored with a kept one, as one JSON object.
 *
 * Members: "spec" (what was asked for, enough to build the world again: describe_read_spec()), "posture" (what protects
 * it: namespaces, capabilities, seccomp profile, Landlock level, no_new_privs, limits), "databases" (path, bytes,
 * journal, …), "layers" (path, kind), "paths" (tree, home, workdir, upper), "degraded" (what is weaker than usual). */
#ifndef SBX_WORKER_DESCRIBE_H
#define SBX_WORKER_DESCRIBE_H

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "sandbox/worker/world.h"

/** Writes the object. Inside PID 1 or a fork of it. */
void describe_world(const struct world *world, struct text_buffer *out);

/** Reads the member "spec" of such an object back. Untrusted: it lay on disk. Environment values that were given with
 *  -e are in it, the inherited environment is not.
 *  @ret_spec  spec_init() was called; the caller's to release in any case   @return 0 or -EBADMSG */
int describe_read_spec(struct json_value object, struct spec *ret_spec, struct error *error);

#endif
