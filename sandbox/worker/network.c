/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/network.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/process.h"
#include "netns/outbound.h"
#include "sandbox/policy/capabilities.h"
#include "sandbox/policy/seccomp.h"
#include "sandbox/worker/ports.h"

enum { REACH_MAX = 32 };

/* ---- what is asked for ---- */

static int check_publish(const struct worker_plan *plan, const char *text, struct error *error)
{
	const char *cause = NULL;
	const char *remedy = NULL;
	struct publish_rule rule;
	int result = publish_parse(text, &rule, error);

	if (result < 0)
		return result;
	if (plan->spec->network == NETWORK_HOST) {
		cause = "with --net host its ports are the host's already";
		remedy = "leave -p out, or give the worker a network of its own";
	} else if (plan->worker_count > 1 && rule.host_port != 0) {
		cause = "several workers cannot share one port of the host";
		remedy = "write 0 for the host's port: each worker gets a free one, and 'sbx port' says which";
	} else if (plan->spec->ways.publish.count > PORTS_MAX) {
		cause = "a worker can have 64 of them";
		remedy = "publish fewer";
	}
	return cause ? error_set(error, .number = EINVAL, .step = "publish the port", .object = text, .cause = cause,
				 .remedy = remedy)
		     : 0;
}

static int publish(struct worker_plan *plan, struct error *error)
{
	const struct text_list *texts = &plan->spec->ways.publish;
	int result = 0;

	plan->published = calloc(texts->count + 1, sizeof(*plan->published));
	if (!plan->published)
		abort();
	for (size_t i = 0; i < texts->count && result == 0; i++) {
		struct published *published = &plan->published[i];
		bool is_chosen;

		result = check_publish(plan, texts->items[i], error);
		if (result < 0)
			break;
		(void)publish_parse(texts->items[i], &published->rule, NULL);
		is_chosen = published->rule.host_port == 0;
		result = publish_open_listener(&published->rule, &published->listener_fd, error);
		if (result < 0)
			break;
		plan->published_count++;
		if (is_chosen) {
			owned_text text = publish_format(&published->rule);

			text_list_take(&plan->messages, text_format("published: %s", text));
		}
	}
	return result;
}

static int refuse_reach(const struct worker_plan *plan, const char *text, struct error *error)
{
	if (plan->spec->network == NETWORK_HOST)
		return error_set(error, .number = EINVAL, .step = "reach", .object = text,
				 .cause = "with --net host the worker reaches all that the host does",
				 .remedy = "leave --reach out, and give the name with --add-host");
	return plan->spec->ways.reach.count > REACH_MAX
		       ? error_set(error, .number = EINVAL, .step = "reach", .object = text,
				   .cause = "a worker can have 32 of them",
				   .remedy = "use --net outbound or --net host")
		       : 0;
}

static int pair(int fds[static 2], struct error *error)
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0
		       ? 0
		       : error_set(error, .number = errno, .step = "make a socket for the world's helper");
}

static int reach(struct worker_plan *plan, struct error *error)
{
	const struct text_list *texts = &plan->spec->ways.reach;
	int result = 0;

	if (texts->count == 0)
		return 0;
	plan->reach = calloc(texts->count, sizeof(*plan->reach));
	if (!plan->reach)
		abort();
	for (size_t i = 0; i < texts->count && result == 0; i++) {
		result = refuse_reach(plan, texts->items[i], error);
		if (result == 0)
			result = reach_parse(texts->items[i], &plan->reach[i], error);
		if (result == 0)
			result = reach_resolve(&plan->reach[i], error);
	}
	if (result < 0)
		return result;
	plan->reach_count = texts->count;
	result = reach_choose_addresses(plan->reach, plan->reach_count, error);
	return result < 0 ? result : pair(plan->reach_fds, error);
}

static int outbound(struct worker_plan *plan, struct error *error)
{
	const struct text_list *servers = &plan->spec->ways.dns;
	owned_text host_text = NULL;
	int result;

	if (plan->spec->network != NETWORK_OUTBOUND)
		return servers->count == 0 ? 0
					   : error_set(error, .number = EINVAL, .step = "use the name server",
						       .object = servers->items[0],
						       .cause = "the worker has no network that it could be asked over",
						       .remedy = "use --net outbound, or --add-host NAME:IP");
	result = outbound_check(error);
	if (result < 0)
		return result;
	(void)fd_read_file(AT_FDCWD, "/etc/resolv.conf", 0, &host_text, NULL);
	plan->resolv_conf = outbound_resolv_conf(host_text, servers);
	return pair(plan->outbound_fds, error);
}

int network_plan(struct worker_plan *plan, struct error *error)
{
	int result = publish(plan, error);

	if (result == 0)
		result = reach(plan, error);
	return result < 0 ? result : outbound(plan, error);
}

/* ---- helpers ---- */

/* Nothing of the caller's: no stream that somebody waits for the end of, no terminal whose signals would end it while
 * the world still has something to say. */
static void become_helper(const struct worker_plan *plan, int socket_fd)
{
	const int kept[] = { socket_fd };
	int null_fd;

	/* A second means beside the socket's end of file, for a world that does not go on without its maker. */
	if ((!plan->outlives_owner && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) || setsid() < 0 ||
	    fd_close_others(kept, 1) < 0)
		_exit(EXIT_SBX_FAILED);
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int number = 0; number <= 2; number++)
		if (null_fd < 0 || (null_fd != number && number != socket_fd && dup3(null_fd, number, O_CLOEXEC) < 0))
			_exit(EXIT_SBX_FAILED);
}

/* It is on the host with the user's rights, and what it reads comes from inside: hence the filter. */
static void confine(void)
{
	static const struct seccomp_options forwarder = { .profile = SECCOMP_FORWARDER };

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    seccomp_load(&forwarder, NULL) < 0)
		_exit(EXIT_SBX_FAILED);
	/* Root's; other callers have none, and may not say so for the bounding set. */
	(void)capabilities_drop_all(NULL);
}

__attribute__((noreturn)) static void serve_reach(const struct worker_plan *plan)
{
	struct forward *forwards = calloc(plan->reach_count * REACH_LISTENERS_MAX, sizeof(*forwards));
	size_t count = 0;
	int socket_fd = plan->reach_fds[1];

	if (!forwards)
		_exit(EXIT_SBX_FAILED);
	for (size_t i = 0; i < plan->reach_count; i++) {
		const struct reach_rule *rule = &plan->reach[i];
		int fds[REACH_LISTENERS_MAX];
		size_t fd_count = 0;
		char byte;

		if (fd_receive(socket_fd, &byte, 1, fds, REACH_LISTENERS_MAX, &fd_count, 0) != 1)
			_exit(0); /* the world came to its end before */
		for (size_t j = 0; j < fd_count; j++) {
			forwards[count] = (struct forward){ .listener_fd = fds[j], .target_count = rule->target_count };
			memcpy(forwards[count++].targets, rule->targets, sizeof(rule->targets));
		}
	}
	forward_prepare();
	confine();
	forward_run(forwards, count, socket_fd);
}

int network_start_helpers(struct worker_plan *plan, pid_t ret_helpers[static NETWORK_HELPERS_MAX], struct error *error)
{
	const int ends[NETWORK_HELPERS_MAX] = { plan->reach_fds[1], plan->outbound_fds[1] };

	for (size_t i = 0; i < NETWORK_HELPERS_MAX; i++) {
		pid_t pid = ends[i] < 0 ? 0 : process_clone(0, NULL);

		if (ends[i] >= 0 && pid == 0) {
			become_helper(plan, ends[i]);
			if (i == 0)
				serve_reach(plan);
			outbound_serve(ends[i]);
		}
		if (pid < 0)
			return error_set(error, .number = -pid, .step = "start the world's helper on the host");
		ret_helpers[i] = pid;
	}
	return 0;
}

/* ---- inside ---- */

static int listen_for(const struct worker_plan *plan, const struct reach_rule *rule, struct error *error)
{
	int fds[REACH_LISTENERS_MAX];
	size_t count = 0;
	int sent;
	int result = reach_listen(rule, fds, &count, error);

	if (result < 0)
		return result;
	sent = fd_send(plan->reach_fds[0], "r", 1, fds, count);
	for (size_t i = 0; i < count; i++)
		(void)close(fds[i]);
	return sent < 0 ? error_set(error, .number = -sent, .step = "reach", .object = rule->name,
				    .cause = "its helper on the host has gone")
			: 0;
}

int network_enter(const struct worker_plan *plan, struct error *error)
{
	int result = 0;

	for (size_t i = 0; i < plan->reach_count && result == 0; i++)
		result = listen_for(plan, &plan->reach[i], error);
	if (result == 0 && plan->outbound_fds[0] >= 0)
		result = outbound_ask(plan->outbound_fds[0], error);
	return result;
}

void network_handed_over(struct worker_plan *plan)
{
	for (size_t i = 0; i < plan->published_count; i++)
		fd_close(&plan->published[i].listener_fd);
	for (size_t i = 0; i < 2; i++) {
		fd_close(&plan->reach_fds[i]);
		fd_close(&plan->outbound_fds[i]);
	}
}

void network_release(struct worker_plan *plan)
{
	network_handed_over(plan);
	free(plan->published);
	plan->published = NULL;
	plan->published_count = 0;
	free(plan->reach);
	plan->reach = NULL;
	plan->reach_count = 0;
	text_free(&plan->resolv_conf);
}
