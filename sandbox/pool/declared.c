/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/pool/declared.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/path.h"
#include "sandbox/policy/environment.h"
#include "sandbox/pool/probe.h"

static char *substitute(const struct declared_options *options, const char *text)
{
	return text ? project_substitute(text, options->worker, options->workers) : NULL;
}

static void substitute_list(const struct declared_options *options, const struct text_list *from, struct text_list *to)
{
	for (size_t i = 0; i < from->count; i++)
		text_list_take(to, substitute(options, from->items[i]));
}

/* Files first, then `environment`, which is stronger: compose's order. */
static int fill_environment(const struct declared_options *options, const struct project_service *declared,
			    struct service *service, struct error *error)
{
	struct environment_options environment;
	owned_list set = { 0 };
	int result = 0;

	environment_options_init(&environment);
	for (size_t i = 0; i < declared->env_files.count && result == 0; i++) {
		owned_text path = path_normal(options->project->directory, declared->env_files.items[i]);

		result = environment_options_read_file(&environment, path, error);
	}
	for (size_t i = 0; i < declared->environment.count && result == 0; i++)
		result = environment_options_set(&environment, declared->environment.items[i], error);
	if (result == 0)
		environment_list_changes(options->caller, &environment, &set, &service->unset);
	substitute_list(options, &set, &service->set);
	environment_options_release(&environment);
	return result;
}

/* The last part of [[IP:]HOST:]PORT. */
static uint16_t inner_port(const char *ports)
{
	const char *colon = strrchr(ports, ':');
	owned_text digits = text_duplicate(colon ? colon + 1 : ports);
	uint64_t port = 0;

	digits[strcspn(digits, "/")] = '\0';
	return number_parse(digits, 1, UINT16_MAX, &port) < 0 ? 0 : (uint16_t)port;
}

static bool has_condition(const struct readiness_options *ready)
{
	return ready->url || ready->port || ready->command.count > 0 || ready->patterns[READINESS_STDOUT].text ||
	       ready->patterns[READINESS_STDERR].text;
}

static void fill_readiness(const struct declared_options *options, const struct project_service *declared,
			   struct service *service)
{
	const struct readiness_options *from = &declared->ready;
	struct readiness_options *to = &service->ready;

	to->url = substitute(options, from->url);
	to->port = from->port;
	for (size_t i = 0; i < READINESS_STREAM_COUNT; i++) {
		to->patterns[i].text = text_duplicate(from->patterns[i].text);
		to->patterns[i].flags = text_duplicate(from->patterns[i].flags);
	}
	substitute_list(options, &from->command, &to->command);
	to->any = from->any;
	to->timeout_ms = from->timeout_ms;
	to->interval_ms = from->interval_ms;
	if (!has_condition(to) && declared->ports.count > 0)
		to->port = inner_port(declared->ports.items[0]);
	service->has_readiness = has_condition(to);
}

static void add_port(struct service *service, uint16_t port)
{
	for (size_t i = 0; i < service->port_count; i++)
		if (service->ports[i] == port)
			return;
	if (port && service->port_count < SERVICE_PORTS_MAX)
		service->ports[service->port_count++] = port;
}

static void fill_ports(const struct project_service *declared, struct service *service)
{
	struct probe_target target = { 0 };

	add_port(service, service->ready.port);
	if (service->ready.url && probe_target_parse(service->ready.url, &target, NULL) == 0) {
		add_port(service, target.port);
		probe_target_release(&target);
	}
	for (size_t i = 0; i < declared->ports.count; i++)
		add_port(service, inner_port(declared->ports.items[i]));
}

static bool is_left_out(const struct declared_options *options, const struct project_service *declared)
{
	return options->shared == DECLARED_ONLY_SHARED ? !declared->shared
						       : options->shared == DECLARED_WITHOUT_SHARED && declared->shared;
}

static void fill_dependencies(const struct declared_options *options, const struct project_service *declared,
			      struct service *service)
{
	for (size_t i = 0; i < declared->depends_on.count; i++) {
		const struct project_dependency *dependency = &declared->depends_on.items[i];
		const struct project_service *other = project_find_service(options->project, dependency->service);

		if (!other || is_left_out(options, other))
			continue;
		text_list_add(dependency->condition == PROJECT_READY	 ? &service->after
			      : dependency->condition == PROJECT_STARTED ? &service->after_start
									 : &service->after_end,
			      dependency->service);
	}
}

static enum service_restart restart_of(enum project_restart restart)
{
	switch (restart) {
	case PROJECT_RESTART_ALWAYS:
		return SERVICE_RESTART_ALWAYS;
	case PROJECT_RESTART_ON_FAILURE:
		return SERVICE_RESTART_ON_FAILURE;
	case PROJECT_RESTART_NO:
		break;
	}
	return SERVICE_RESTART_NO;
}

static int add_service(const struct declared_options *options, const struct project_service *declared,
		       struct service_list *list, struct error *error)
{
	struct service *service = service_list_add(list);
	owned_text directory = substitute(options, declared->working_dir);

	service->name = text_duplicate(declared->name);
	substitute_list(options, &declared->command.arguments, &service->command);
	if (directory)
		service->directory = path_normal(options->project->directory, directory);
	else if (options->project->is_above)
		service->directory = text_duplicate(options->project->directory);
	service->is_shared = declared->shared;
	service->restart = restart_of(declared->restart);
	service->restart_max = declared->restart_max;
	if (declared->stop_signal)
		service->stop_signal = declared->stop_signal;
	/* 0 there is at once, here the world's own. */
	if (declared->has_stop_grace)
		service->stop_timeout_ms = declared->stop_grace_ms ? declared->stop_grace_ms : 1;
	fill_readiness(options, declared, service);
	fill_ports(declared, service);
	fill_dependencies(options, declared, service);
	return fill_environment(options, declared, service, error);
}

int declared_shared_ports(const struct service_list *list, struct shared_ports *ret_ports, struct error *error)
{
	struct shared_ports ports = { 0 };

	for (size_t i = 0; i < list->count; i++)
		for (size_t j = 0; j < list->items[i].port_count && list->items[i].is_shared; j++) {
			if (ports.count == SHARED_PORTS_MAX)
				return error_set(error, .number = E2BIG, .step = "share the service",
						 .object = list->items[i].name,
						 .cause = "the shared services have more than 16 ports in all");
			ports.ports[ports.count++] = list->items[i].ports[j];
		}
	*ret_ports = ports;
	return 0;
}

char *declared_describe_shared(const struct service *service)
{
	owned_buffer ports = { 0 };

	if (!service->is_shared)
		return NULL;
	for (size_t i = 0; i < service->port_count; i++)
		text_buffer_format(&ports, "%slocalhost:%u",
				   i == 0			  ? ""
				   : i + 1 == service->port_count ? " and "
								  : ", ",
				   service->ports[i]);
	return text_format(
		"shared: %s runs once for all worlds, which find it at %s: what one changes there the others "
		"see",
		service->name, ports.bytes);
}

int declared_services(const struct declared_options *options, struct service_list *ret_list, struct error *error)
{
	const struct project *project = options->project;

	for (size_t i = 0; i < project->services.count; i++) {
		const struct project_service *declared = &project->services.items[i];
		int result;

		if (is_left_out(options, declared))
			continue;
		result = add_service(options, declared, ret_list, error);
		if (result == 0 && declared->shared && ret_list->items[ret_list->count - 1].port_count == 0)
			result = error_set(error, .number = EINVAL, .step = "share the service",
					   .object = declared->name,
					   .cause = "it names no port at which the workers would reach it",
					   .remedy = "add the one that it listens on: ready: { port: 1025 }");
		if (result < 0)
			return error_context(error, "%s:%u:%u", project->file, declared->line, declared->column);
	}
	return 0;
}

void declared_add_command(struct service_list *list, const char *name, const struct text_list *command, unsigned worker,
			  unsigned workers)
{
	struct service *service = service_list_add(list);

	service->name = text_duplicate(name);
	for (size_t i = 0; i < command->count; i++)
		text_list_take(&service->command, project_substitute(command->items[i], worker, workers));
}
