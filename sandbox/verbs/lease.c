/* SPDX-License-Identifier: Apache-2.0 */
/* sbx lease: a command in a free worker, for as long as it runs: of a test run where this is inside of one, else of a
 * pool. */
#include "sandbox/run/lease.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "sandbox/pool/lease.h"
#include "sandbox/verbs/say.h"
#include "sandbox/verbs/verbs.h"
#include "sandbox/worker/annex.h"
#include "sandbox/worker/relay.h"

static int lease_of_run(const struct invocation *invocation, struct error *error)
{
	struct lease_options options = { .slot = (int)invocation->slot - 1,
					 .after = (unsigned)invocation->after,
					 .retry = (unsigned)invocation->retry,
					 .is_fresh = invocation->lease_fresh,
					 .project = invocation->project,
					 .spec = &invocation->spec };
	int exit_code = EXIT_SBX_FAILED;
	int number = 0;
	int result = lease_run(&options, &exit_code, &number, error);

	/* Whoever waits for this process shall see what became of the command. */
	if (number != 0) {
		(void)signal(number, SIG_DFL);
		(void)kill(getpid(), number);
	}
	return result < 0 && exit_code == EXIT_SBX_FAILED ? result : exit_code;
}

static int lease_of_pool(const struct invocation *invocation, struct error *error)
{
	struct pool_lease_options options = { .name = invocation->spec.name,
					      .slot = (int)invocation->slot - 1,
					      .wait_timeout_ms = invocation->wait_timeout_ms,
					      .reset = invocation->reset_after,
					      .is_fresh = invocation->lease_fresh,
					      .say = say_line,
					      .spec = &invocation->spec };
	struct relay_result ended = { 0 };
	int exit_code = EXIT_SBX_FAILED;
	int result = pool_lease_run(&options, &ended, &exit_code, error);

	if (result == 0 && ended.timed_out)
		say_timed_out(invocation->spec.timeout_ms);
	if (result == 0)
		relay_raise(&ended);
	return result < 0 && exit_code == EXIT_SBX_FAILED ? result : exit_code;
}

static int check_fresh(const struct invocation *invocation, bool is_in_run, struct error *error)
{
	const char *other = invocation->reset_after != POOL_LEASE_RESET_NEVER ? "--reset-after"
			    : invocation->slot > 0 && !is_in_run	      ? "--slot"
									      : NULL;

	if (!invocation->lease_fresh || !other)
		return 0;
	return error_set(error, .number = EINVAL, .step = "use", .object = other,
			 .cause = "a fresh world is any that nobody has used, and ends with its lease",
			 .remedy = "leave out --fresh, or this");
}

int verb_lease(struct invocation *invocation, struct error *error)
{
	bool is_in_run = getenv(LEASE_ENVIRONMENT_SOCKET) || access(ANNEX_SOCKET, F_OK) == 0;

	if (check_fresh(invocation, is_in_run, error) < 0)
		return -EINVAL;
	return is_in_run ? lease_of_run(invocation, error) : lease_of_pool(invocation, error);
}
