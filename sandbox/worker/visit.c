/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: a visit is one connection to a PID 1. Of a live worker it is a connection to its listener; of a kept
 * one it is the owner's, to a world that is made for the visit around the kept layers and ends with it (launch.h). */
#include "sandbox/worker/visit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "sandbox/policy/environment.h"
#include "sandbox/registry/kept.h"
#include "sandbox/registry/lock.h"
#include "sandbox/worker/ask.h"
#include "sandbox/worker/attach.h"
#include "sandbox/worker/describe.h"
#include "sandbox/worker/identity.h"
#include "sandbox/worker/launch.h"
#include "sandbox/worker/plan.h"
#include "sandbox/worker/probe.h"
#include "sandbox/worker/request.h"
#include "sandbox/worker/upper.h"

struct visit {
	struct resolved_worker worker;
	int socket; /* a live one's; -1 */

	/* Of a kept one. */
	int kept_fd; /* its directory, claimed */
	struct spec spec;
	struct worker_plan plan;
	struct launched launched;
};

static int connection(const struct visit *visit)
{
	return visit->worker.is_live ? visit->socket : visit->launched.control_fd;
}

/* ---- live ---- */

int visit_connect(int runtime_fd, const char *name, int *ret_fd, struct error *error)
{
	owned_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char file[LOCK_FILE_NAME_SIZE];
	char directory[FD_PROC_PATH_SIZE];

	(void)lock_socket_name(name, file);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", fd_proc_path(runtime_fd, directory), file);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set(error, .number = errno, .step = "reach the worker", .object = name,
				 .cause = errno == ECONNREFUSED ? "it is just ending" : NULL);
	*ret_fd = fd_take(&fd);
	return 0;
}

/* ---- kept ---- */

/* Notes of a world that was looked at when the worker ran: said then. */
static void say_nothing(const char *line)
{
	(void)line;
}

static int read_description(int state_fd, const char *id, struct spec *ret_spec, struct worker_plan *plan,
			    struct error *error)
{
	struct kept_worker kept = { 0 };
	owned_fd kept_fd = -1;
	owned_text text = NULL;
	owned_json json = { 0 };
	int result = state_open_part(state_fd, STATE_KEPT, STATE_LEAVE, &kept_fd, error);

	if (result >= 0)
		result = kept_read(kept_fd, id, &kept, &text, error);
	if (result < 0)
		return result;
	kept_worker_release(&kept);
	if (!text)
		return error_set(error, .number = EBADMSG, .step = "read the kept worker", .object = id,
				 .cause = "it has no description", .remedy = "remove it with 'sbx rm'");
	result = json_read(&json, text, strlen(text), error);
	if (result == 0)
		result = describe_read_spec(json_root(&json), ret_spec, error);
	if (result == 0)
		result = describe_read_databases(json_root(&json), &plan->noted_databases, &plan->noted_count, error);
	return result;
}

static int enter_kept(struct visit *visit, const struct visit_guest *guest, struct error *error)
{
	const char *id = visit->worker.worker.row.id;
	struct world_note note;
	int result = kept_enter(visit->worker.state_fd, id, &visit->kept_fd, error);

	if (result == 0)
		result = read_description(visit->worker.state_fd, id, &visit->spec, &visit->plan, error);
	if (result == 0 && guest)
		result =
			guest->prepare(guest->argument, visit->kept_fd, &visit->plan.guest, &visit->plan.log_fd, error);
	if (result < 0)
		return result;
	visit->spec.keep = KEEP_NEVER; /* its layers are where they stay */
	visit->spec.verbose = false;
	visit->spec.gui = false;
	text_list_release(&visit->spec.ways.publish); /* who visits it says himself what he wants to see of it */
	visit->plan.upper_fd = visit->kept_fd;
	visit->plan.is_entered_again = true;
	result = plan_make(&visit->plan, error);
	if (result == 0)
		result = upper_choose(&visit->plan, &note, error);
	if (result == 0) {
		text_copy(visit->plan.id, sizeof(visit->plan.id), id);
		text_list_take(&visit->plan.environment, text_format("SBX_RUN=%s", visit->worker.worker.row.run));
		result = plan_hide_state(&visit->plan, error);
	}
	if (result == 0)
		result = launch_begin(&visit->plan, &visit->launched, error);
	if (result == 0)
		result = launch_wait_ready(&visit->launched, say_nothing, NULL, error);
	if (result < 0)
		probe_explain(error);
	return result;
}

/* ---- both ---- */

static int find_worker(const char *word, unsigned scope, struct resolved_worker *ret_worker, struct error *error)
{
	struct state_paths paths;
	int result = identity_find_places(&paths, error);

	if (result < 0)
		return result;
	result = resolve_worker(&paths, word, scope, ret_worker, error);
	state_paths_release(&paths);
	return result;
}

int visit_open_with(const char *word, unsigned scope, const struct visit_guest *guest, struct visit **ret_visit,
		    struct error *error)
{
	struct visit *visit = calloc(1, sizeof(*visit));
	int result;

	if (!visit)
		abort();
	*visit = (struct visit){
		.socket = -1, .kept_fd = -1, .launched = LAUNCHED_NONE, .worker = { .runtime_fd = -1, .state_fd = -1 }
	};
	spec_init(&visit->spec);
	plan_init(&visit->plan, &visit->spec);
	result = find_worker(word, scope, &visit->worker, error);
	if (result == 0 && visit->worker.is_live)
		result = visit_connect(visit->worker.runtime_fd, visit->worker.worker.row.name, &visit->socket, error);
	else if (result == 0)
		result = enter_kept(visit, guest, error);
	if (result < 0) {
		visit_close(visit);
		return result;
	}
	*ret_visit = visit;
	return 0;
}

int visit_open(const char *word, unsigned scope, struct visit **ret_visit, struct error *error)
{
	return visit_open_with(word, scope, NULL, ret_visit, error);
}

void visit_close(struct visit *visit)
{
	if (!visit)
		return;
	launch_end(&visit->launched);
	upper_remove(&visit->plan);
	plan_release(&visit->plan);
	spec_release(&visit->spec);
	fd_close(&visit->socket);
	fd_close(&visit->kept_fd);
	resolved_worker_release(&visit->worker);
	free(visit);
}

const struct resolved_worker *visit_worker(const struct visit *visit)
{
	return &visit->worker;
}

int visit_run_task(struct visit *visit, const struct task *task, struct error *error)
{
	return ask_task(connection(visit), task, error);
}

int visit_run_command(struct visit *visit, const struct spec *spec, struct relay_result *ret_result, int *ret_exit_code,
		      struct error *error)
{
	struct attach_options options = { .spec = spec, .directory = spec->workdir };
	owned_list set = { 0 };
	owned_list unset = { 0 };
	owned_list changes = { 0 };
	struct relay *relay = NULL;
	int result;

	environment_list_changes(environ, &spec->environment, &changes, &unset);
	/* The terminal is this command's, not the one that the worker was started on. */
	if (getenv("TERM"))
		text_list_take(&set, text_format("TERM=%s", getenv("TERM")));
	for (size_t i = 0; i < changes.count; i++)
		text_list_add(&set, changes.items[i]);
	options.set = set;
	options.unset = unset;
	*ret_exit_code = EXIT_SBX_FAILED;
	result = attach_start(connection(visit), &options, &relay, error);
	if (result == 0)
		result = attach_follow(relay, connection(visit), visit->launched.pidfd, ret_result, ret_exit_code,
				       error);
	relay_close(relay);
	return result;
}

/* Beside the one that this visit is: of a live worker through its listener, of a kept one through its owner. */
static int connect_again(struct visit *visit, int *ret_fd, struct error *error)
{
	struct request_header header = { .kind = REQUEST_CONNECT, .fd_count = 1 };
	int ends[2];
	int result;

	if (visit->worker.is_live)
		return visit_connect(visit->worker.runtime_fd, visit->worker.worker.row.name, ret_fd, error);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return error_set(error, .number = errno, .step = "make a connection to the world");
	result = request_send(visit->launched.control_fd, &header, NULL, &ends[1]);
	(void)close(ends[1]);
	*ret_fd = ends[0];
	return result < 0 ? error_set(error, .number = -result, .step = "connect to the world") : 0;
}

int visit_start_command(struct visit *visit, const struct text_list *command, int *ret_fd, struct error *error)
{
	const struct spawn_request request = { .arguments = *command }; /* borrows */
	struct request_header header = { .kind = REQUEST_SPAWN, .fd_count = 3 };
	owned_fd null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	const int fds[] = { null_fd, STDERR_FILENO, STDERR_FILENO };
	owned_buffer body = { 0 };
	owned_fd fd = -1;
	int result = connect_again(visit, &fd, error);

	if (result < 0)
		return result;
	spawn_request_pack(&request, &body);
	header.body_size = (uint32_t)body.length;
	result = null_fd < 0 ? -errno : request_send(fd, &header, body.bytes, fds);
	if (result < 0)
		return error_set(error, .number = -result, .step = "start the command of the worker");
	*ret_fd = fd_take(&fd);
	return 0;
}

int visit_fd(const struct visit *visit)
{
	return connection(visit);
}

int visit_publish(struct visit *visit, struct publish_rule *rule, enum ask_span span, struct error *error)
{
	owned_fd listener_fd = -1;
	int result = publish_open_listener(rule, &listener_fd, error);

	return result < 0 ? result : ask_publish(connection(visit), rule, listener_fd, span, error);
}

int visit_unpublish(struct visit *visit, const char *text, struct error *error)
{
	return ask_unpublish(connection(visit), text, error);
}

int visit_signal(struct visit *visit, int number, struct error *error)
{
	return ask_signal(connection(visit), number, error);
}

int visit_stop(struct visit *visit, uint64_t grace_ms, struct error *error)
{
	int exit_code;
	int result = ask_stop(connection(visit), grace_ms, &exit_code, error);

	/* Its files go, and what is kept is in its place, when its sbx lets go of the lock. */
	return result < 0 ? result : lock_wait(visit->worker.runtime_fd, visit->worker.worker.row.name, error);
}

int visit_restart(struct visit *visit, uint64_t grace_ms, struct error *error)
{
	return ask_restart(connection(visit), grace_ms, error);
}

int visit_wait(struct visit *visit, int *ret_exit_code, struct error *error)
{
	return ask_wait(connection(visit), ret_exit_code, error);
}
