/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/servers.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/process.h"
#include "sandbox/pool/declared.h"
#include "sandbox/pool/probe.h"
#include "sandbox/pool/services.h"

struct servers {
	struct service_list list;
};

struct servers_world {
	struct services *services;
	struct server_guest guest;
	struct error trouble;
	struct {
		uint64_t started_ms;
		uint64_t ready_ms;
	} * times; /* of each service */
	size_t count;
};

/* ---- ports ---- */

size_t servers_ports(const struct readiness_options *ready, uint16_t ports[static SERVERS_PORTS_MAX])
{
	struct probe_target target = { 0 };
	size_t count = 0;

	if (ready->port)
		ports[count++] = ready->port;
	if (ready->url && probe_target_parse(ready->url, &target, NULL) == 0) {
		ports[count++] = target.port;
		probe_target_release(&target);
	}
	for (size_t i = 0; i < ready->further_port_count; i++)
		ports[count++] = ready->further_ports[i];
	return count;
}

static bool is_expected(const struct readiness_options *ready, uint16_t port)
{
	uint16_t ports[SERVERS_PORTS_MAX];
	size_t count = servers_ports(ready, ports);

	for (size_t i = 0; i < count; i++)
		if (ports[i] == port)
			return true;
	return false;
}

/* ---- reading ---- */

static void read_list_of_pairs(struct json_value object, struct text_list *target)
{
	for (struct json_value member = json_first(object); json_type(member) != JSON_MISSING;
	     member = json_next(member)) {
		owned_text name = NULL;
		owned_text value = NULL;

		if (json_name(member, &name) == 0 && json_text(member, &value) == 0)
			text_list_take(target, text_format("%s=%s", name, value));
	}
}

static void read_pattern(struct json_value value, struct readiness_pattern *pattern)
{
	bool ignores_case = false;

	if (json_text(json_member(value, "pattern"), &pattern->text) < 0)
		return;
	(void)json_bool(json_member(value, "ignoreCase"), &ignores_case);
	if (ignores_case)
		pattern->flags = text_duplicate("i");
}

static void read_readiness(struct json_value value, struct service *service)
{
	struct readiness_options *ready = &service->ready;
	int64_t number = 0;

	ready->any = true; /* as Playwright: whichever comes first */
	(void)json_text(json_member(value, "url"), &ready->url);
	if (json_number(json_member(value, "port"), &number) == 0 && number > 0 && number < 65536)
		ready->port = (uint16_t)number;
	read_pattern(json_member(value, "stdout"), &ready->patterns[READINESS_STDOUT]);
	read_pattern(json_member(value, "stderr"), &ready->patterns[READINESS_STDERR]);
	if (json_number(json_member(value, "timeoutMs"), &number) == 0 && number > 0)
		ready->timeout_ms = (uint64_t)number;
	service->has_readiness = ready->url || ready->port || ready->patterns[READINESS_STDOUT].text ||
				 ready->patterns[READINESS_STDERR].text;
}

static void read_stop(struct json_value value, struct service *service)
{
	owned_text signal_name = NULL;
	int64_t number = 0;

	if (json_text(json_member(value, "stopSignal"), &signal_name) == 0 && process_signal_parse(signal_name) > 0)
		service->stop_signal = process_signal_parse(signal_name);
	if (json_number(json_member(value, "stopTimeoutMs"), &number) == 0 && number > 0)
		service->stop_timeout_ms = (uint64_t)number;
}

/* One entry of `webServer`. One without a command is a server that somebody else starts. */
static void read_service(struct json_value value, struct json_value environment, size_t number, struct servers *servers)
{
	owned_text command = NULL;
	struct service *service;

	if (json_text(json_member(value, "command"), &command) < 0 || command[0] == '\0')
		return;
	service = service_list_add(&servers->list);
	if (json_text(json_member(value, "name"), &service->name) < 0)
		service->name = text_format("server-%zu", number);
	/* A log is a file of that name. */
	for (char *c = service->name; *c; c++)
		if (*c == '/')
			*c = '-';
	text_list_add(&service->command, "/bin/sh");
	text_list_add(&service->command, "-c");
	text_list_add(&service->command, command);
	text_list_take(&service->set, text_format(LISTENER_SERVICE_VARIABLE "=%s", service->name));
	(void)json_text(json_member(value, "cwd"), &service->directory);
	(void)json_list(json_member(environment, "unset"), &service->unset);
	read_list_of_pairs(json_member(environment, "set"), &service->set);
	read_list_of_pairs(json_member(value, "environment"), &service->set);
	read_readiness(value, service);
	read_stop(value, service);
	/* Playwright starts them in order, each when the one before it is ready. */
	if (servers->list.count > 1)
		text_list_add(&service->after, servers->list.items[servers->list.count - 2].name);
}

/* Those of sbx.yaml stand before it: whether one of them has its name or its port. */
static bool is_declared(const struct service_list *list, size_t declared, const struct service *service)
{
	uint16_t ports[SERVERS_PORTS_MAX];
	size_t count = servers_ports(&service->ready, ports);

	for (size_t i = 0; i < declared; i++) {
		if (text_equal(list->items[i].name, service->name))
			return true;
		for (size_t j = 0; j < count; j++)
			if (is_expected(&list->items[i].ready, ports[j]))
				return true;
	}
	return false;
}

static void drop_last(struct service_list *list)
{
	struct service_list last = { .items = calloc(1, sizeof(*list->items)), .count = 1 };

	if (!last.items)
		abort();
	last.items[0] = list->items[--list->count];
	service_list_release(&last);
}

static int read_declared(const struct servers_source *source, struct servers *servers, struct error *error)
{
	struct declared_options options = { .project = source->project,
					    .caller = environ,
					    .worker = source->worker,
					    .workers = source->workers,
					    .shared = DECLARED_ALL };
	int result = source->project ? declared_services(&options, &servers->list, error) : 0;

	for (size_t i = 0; i < servers->list.count; i++)
		text_list_take(&servers->list.items[i].set,
			       text_format(LISTENER_SERVICE_VARIABLE "=%s", servers->list.items[i].name));
	return result;
}

static int read_told(const struct events *events, struct servers *servers, struct error *error)
{
	owned_json json = { 0 };
	size_t declared = servers->list.count;
	size_t number = 0;
	struct json_value services;
	int result = json_read(&json, events->config, strlen(events->config), error);

	if (result < 0)
		return result;
	services = json_member(json_root(&json), "services");
	for (struct json_value value = json_first(services); json_type(value) != JSON_MISSING;
	     value = json_next(value)) {
		size_t before = servers->list.count;

		read_service(value, json_member(json_root(&json), "environment"), number++, servers);
		if (servers->list.count > before && is_declared(&servers->list, declared, &servers->list.items[before]))
			drop_last(&servers->list);
	}
	return 0;
}

static void drop_shared(struct service_list *list)
{
	struct service_list kept = { 0 };
	struct service_list dropped = { 0 };

	for (size_t i = 0; i < list->count; i++)
		*service_list_add(list->items[i].is_shared ? &dropped : &kept) = list->items[i];
	free(list->items);
	*list = kept;
	service_list_release(&dropped);
}

int servers_read(const struct servers_source *source, struct servers **ret_servers, struct error *error)
{
	struct servers *servers = calloc(1, sizeof(*servers));
	int result;

	if (!servers)
		abort();
	result = read_declared(source, servers, error);
	if (result == 0 && source->events && source->events->config)
		result = read_told(source->events, servers, error);
	/* Only now: a server of the runner's config with the port of one is that one. */
	if (!source->has_shared)
		drop_shared(&servers->list);
	if (result < 0) {
		servers_free(servers);
		return result;
	}
	*ret_servers = servers;
	return 0;
}

void servers_free(struct servers *servers)
{
	if (!servers)
		return;
	service_list_release(&servers->list);
	free(servers);
}

const struct service_list *servers_list(const struct servers *servers)
{
	return &servers->list;
}

/* ---- what R has ---- */

bool servers_answer(const struct servers *servers, const char *name, const struct listeners *world)
{
	uint16_t ports[SERVERS_PORTS_MAX];
	size_t count = 0;
	size_t open = 0;

	for (size_t i = 0; i < servers->list.count; i++)
		if (text_equal(servers->list.items[i].name, name))
			count = servers_ports(&servers->list.items[i].ready, ports);
	for (size_t i = 0; i < count; i++)
		open += listeners_find(world, ports[i]) ? 1 : 0;
	return count > 0 && open == count;
}

void servers_expect(struct servers *servers, const struct listeners *runner)
{
	for (size_t i = 0; i < runner->count; i++) {
		uint16_t port = runner->items[i].port;

		if (!runner->items[i].service || listeners_is_ephemeral(port))
			continue;
		for (size_t j = 0; j < servers->list.count; j++) {
			struct service *service = &servers->list.items[j];
			struct readiness_options *ready = &service->ready;

			if (!text_equal(service->name, runner->items[i].service) || is_expected(ready, port) ||
			    ready->further_port_count == ARRAY_SIZE(ready->further_ports))
				continue;
			ready->further_ports[ready->further_port_count++] = port;
			service->has_readiness = true;
		}
	}
}

/* ---- one world's ---- */

/* As it is heard: what PID 1 does with its time counts. */
static void note_time(struct servers_world *world, const struct services_news *news)
{
	uint64_t now_ms = clock_ms();

	if (news->index >= world->count)
		return;
	if (news->state == SERVICE_STARTED)
		world->times[news->index].started_ms = now_ms;
	else if (news->state == SERVICE_READY)
		world->times[news->index].ready_ms = now_ms;
}

uint64_t servers_start_ms(const struct servers_world *world, size_t index)
{
	uint64_t started_ms = index < world->count ? world->times[index].started_ms : 0;

	return started_ms && world->times[index].ready_ms > started_ms ? world->times[index].ready_ms - started_ms : 0;
}

static void hear(void *argument, struct member *member, const struct reply *reply)
{
	servers_hear(argument, member, reply);
}

void servers_hear(struct servers_world *world, struct member *member, const struct reply *reply)
{
	struct services_news news = services_news_unpack(reply->number);

	if (reply->kind != REPLY_SERVICE)
		return;
	note_time(world, &news);
	switch (news.state) {
	case SERVICES_ALL_READY:
		member_set_ready(member);
		break;
	case SERVICE_FAILED:
		member_fail(member, &reply->error);
		break;
	case SERVICE_ENDED:
		world->trouble = reply->error;
		break;
	case SERVICE_WAITING:
	case SERVICE_STARTED:
	case SERVICE_READY:
	case SERVICE_COMPLETED:
	case SERVICE_RESTARTING:
	case SERVICES_STOPPED:
	case SERVICES_RENEWED:
		break;
	}
}

int servers_enter(const struct servers *servers, int log_fd, struct member *member, struct member_options *options,
		  struct servers_world **ret_world, struct error *error)
{
	struct servers_world *world = calloc(1, sizeof(*world));
	int result;

	if (!world)
		abort();
	world->count = servers->list.count;
	world->times = calloc(world->count + 1, sizeof(*world->times));
	if (!world->times)
		abort();
	result = services_new(&servers->list, log_fd, &world->services, error);
	if (result < 0) {
		free(world->times);
		free(world);
		return result;
	}
	world->guest = services_guest(world->services);
	options->guest = &world->guest;
	options->log_fd = log_fd;
	member->hear = hear;
	member->argument = world;
	*ret_world = world;
	return 0;
}

int servers_trouble(const struct servers_world *world, struct error *error)
{
	if (!world || world->trouble.step[0] == '\0')
		return 0;
	*error = world->trouble;
	return -MAX(error->number, 1);
}

void servers_release_world(struct servers_world *world)
{
	if (!world)
		return;
	services_free(world->services);
	free(world->times);
	free(world);
}
