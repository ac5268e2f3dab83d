/* SPDX-License-Identifier: Apache-2.0 */
/* What sbx says where a suite's first run does not go as its user expects: a table of causes and sentences. */
#ifndef SBX_RUN_ADVICE_H
#define SBX_RUN_ADVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "sandbox/worker/launch.h"

/* What {1}, {2}… stand for. */
enum advice {
#define ADVICE(name, what, remedy) ADVICE_##name,
/* NOT_REUSED		port
	 * SERVER_UNEXPLAINED	port, program
	 * SERVER_HIDDEN	port, program, runner
	 * SERVER_IN_RUNNER	port
	 * SERVER_OUTSIDE	port, program
	 * CONTAINERS		name of the server, engine, command
	 * SERVER_DIED		world, how, its last output
	 * WORLD_DIED		world, how
	 * TEST_SERVER_DIED	test, world, service
	 * SERVER_ELSEWHERE	name of the server, port, open ports
	 * DEAR_SERVICE		service, seconds, MiB
	 * OPEN_ON_HOST		port, a name for it, where
	 * NOBODY_LISTENS	port, where, open ports
	 * NO_WAY_OUT		what was said, where
	 * MORE_WANTED		workers, worlds
	 * IDLE			worlds, percent, tests, of how many, file
	 * NO_SCREEN		what the user wrote
	 * BROWSER_SANDBOX	project
	 * NO_RUNNER, NO_WORLD	worlds
	 * NO_TEST_COMMAND	command
	 * ONLY_NO_TEST_COMMAND	worlds, command
	 * NO_TEST		worlds, runner
	 * NPX			program, directory
	 * DOTNET_LINES		worlds, assembly */
#include "sandbox/run/advice.def"
#undef ADVICE
	ADVICE_COUNT,
};

/* Texts for {1}, {2}…, at most nine, the last followed by NULL. */
#define ADVICE_WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/** The sentence, and in the line below what to do, as it is shown. Control characters in the words are escaped, but for
 *  line feeds. @return the caller's */
char *advice_text(enum advice which, const char *const *words);

/** Fills an error whose cause is the sentence. @step  "spread the tests over worlds"  @return -ENOTSUP */
int advice_refuse(enum advice which, const char *const *words, struct error *error);

/* What was said already: one sentence a run each. */
struct advice_said {
	launch_say *say;
	uint64_t bits;
};

bool advice_was_said(const struct advice_said *said, enum advice which);
/** Says it, unless it was. */
void advice_say(struct advice_said *said, enum advice which, const char *const *words);

#endif
