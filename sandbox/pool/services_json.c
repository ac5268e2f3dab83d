/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/pool/services_json.h"

#include <errno.h>
#include <string.h>

#include "base/macro.h"

enum { SERVICES_MAX = 256 };

/* ---- writing ---- */

static void add_pattern(struct text_buffer *out, const char *name, const struct readiness_pattern *pattern)
{
	if (!pattern->text)
		return;
	json_begin_object(out, name);
	json_add_text(out, "pattern", pattern->text);
	json_add_text(out, "flags", pattern->flags);
	json_end_object(out);
}

static void add_readiness(struct text_buffer *out, const struct readiness_options *ready)
{
	json_begin_object(out, "ready");
	json_add_text(out, "url", ready->url);
	json_add_number(out, "port", ready->port);
	add_pattern(out, "stdout", &ready->patterns[READINESS_STDOUT]);
	add_pattern(out, "stderr", &ready->patterns[READINESS_STDERR]);
	json_add_list(out, "command", &ready->command);
	json_add_bool(out, "any", ready->any);
	json_begin_array(out, "further_ports");
	for (size_t i = 0; i < ready->further_port_count; i++)
		json_add_number(out, NULL, ready->further_ports[i]);
	json_end_array(out);
	json_add_number(out, "timeout_ms", (int64_t)MIN(ready->timeout_ms, (uint64_t)INT64_MAX));
	json_add_number(out, "interval_ms", (int64_t)MIN(ready->interval_ms, (uint64_t)INT64_MAX));
	json_end_object(out);
}

static void add_service(struct text_buffer *out, const struct service *service)
{
	json_begin_object(out, NULL);
	json_add_text(out, "name", service->name);
	json_add_list(out, "command", &service->command);
	json_add_list(out, "set", &service->set);
	json_add_list(out, "unset", &service->unset);
	json_add_text(out, "directory", service->directory);
	json_add_list(out, "after", &service->after);
	json_add_list(out, "after_start", &service->after_start);
	json_add_list(out, "after_end", &service->after_end);
	json_add_number(out, "stop_signal", service->stop_signal);
	json_add_number(out, "stop_timeout_ms", (int64_t)MIN(service->stop_timeout_ms, (uint64_t)INT64_MAX));
	if (service->has_readiness)
		add_readiness(out, &service->ready);
	json_end_object(out);
}

void services_write(const struct service_list *list, struct text_buffer *out)
{
	json_begin_array(out, "services");
	for (size_t i = 0; i < list->count; i++)
		add_service(out, &list->items[i]);
	json_end_array(out);
}

/* ---- reading ---- */

static bool reads_pattern(struct json_value value, struct readiness_pattern *pattern)
{
	return json_optional_text(json_member(value, "pattern"), &pattern->text) &&
	       json_optional_text(json_member(value, "flags"), &pattern->flags);
}

static bool reads_readiness(struct json_value value, struct readiness_options *ready)
{
	struct json_value ports = json_member(value, "further_ports");
	int64_t port = 0;
	int64_t timeout = 0;
	int64_t interval = 0;

	if (!json_optional_text(json_member(value, "url"), &ready->url) ||
	    !json_optional_number(json_member(value, "port"), 0, UINT16_MAX, &port) ||
	    !reads_pattern(json_member(value, "stdout"), &ready->patterns[READINESS_STDOUT]) ||
	    !reads_pattern(json_member(value, "stderr"), &ready->patterns[READINESS_STDERR]) ||
	    !json_optional_list(json_member(value, "command"), &ready->command) ||
	    !json_optional_number(json_member(value, "timeout_ms"), 0, INT64_MAX, &timeout) ||
	    !json_optional_number(json_member(value, "interval_ms"), 0, INT64_MAX, &interval))
		return false;
	ready->port = (uint16_t)port;
	ready->timeout_ms = (uint64_t)timeout;
	ready->interval_ms = (uint64_t)interval;
	(void)json_bool(json_member(value, "any"), &ready->any);
	for (struct json_value item = json_first(ports); json_type(item); item = json_next(item)) {
		if (ready->further_port_count == ARRAY_SIZE(ready->further_ports) || json_type(item) != JSON_NUMBER ||
		    !json_optional_number(item, 1, UINT16_MAX, &port))
			return false;
		ready->further_ports[ready->further_port_count++] = (uint16_t)port;
	}
	return readiness_options_check(ready, NULL) == 0;
}

static bool are_names(const struct service_list *list, const struct text_list *names)
{
	for (size_t i = 0; i < names->count; i++) {
		bool is_known = false;

		/* The service itself is the last: what comes before it can be waited for. */
		for (size_t j = 0; j + 1 < list->count; j++)
			is_known = is_known || text_equal(list->items[j].name, names->items[i]);
		if (!is_known)
			return false;
	}
	return true;
}

static bool are_variables(const struct text_list *list, bool have_values)
{
	for (size_t i = 0; i < list->count; i++) {
		const char *text = list->items[i];

		if (text[0] == '\0' || text[0] == '=' || (strchr(text, '=') != NULL) != have_values)
			return false;
	}
	return true;
}

static bool reads_service(struct json_value value, struct service_list *list)
{
	struct service *service = service_list_add(list);
	struct json_value ready = json_member(value, "ready");
	int64_t stop_signal = service->stop_signal;
	int64_t stop_timeout = 0;

	if (!json_optional_text(json_member(value, "name"), &service->name) ||
	    !json_optional_list(json_member(value, "command"), &service->command) ||
	    !json_optional_list(json_member(value, "set"), &service->set) ||
	    !json_optional_list(json_member(value, "unset"), &service->unset) ||
	    !json_optional_text(json_member(value, "directory"), &service->directory) ||
	    !json_optional_list(json_member(value, "after"), &service->after) ||
	    !json_optional_list(json_member(value, "after_start"), &service->after_start) ||
	    !json_optional_list(json_member(value, "after_end"), &service->after_end) ||
	    !json_optional_number(json_member(value, "stop_signal"), 1, 64, &stop_signal) ||
	    !json_optional_number(json_member(value, "stop_timeout_ms"), 0, INT64_MAX, &stop_timeout))
		return false;
	service->stop_signal = (int)stop_signal;
	service->stop_timeout_ms = (uint64_t)stop_timeout;
	service->has_readiness = json_type(ready) == JSON_OBJECT;
	/* Its log is a file of that name. */
	if (!service->name || service->name[0] == '\0' || service->name[0] == '.' || strchr(service->name, '/') ||
	    strlen(service->name) > 200 || service->command.count == 0 ||
	    (service->directory && service->directory[0] != '/'))
		return false;
	return (!service->has_readiness || reads_readiness(ready, &service->ready)) &&
	       are_variables(&service->set, true) && are_variables(&service->unset, false) &&
	       are_names(list, &service->after) && are_names(list, &service->after_start) &&
	       are_names(list, &service->after_end);
}

int services_read(struct json_value array, struct service_list *list)
{
	for (struct json_value item = json_first(array); json_type(item); item = json_next(item))
		if (list->count == SERVICES_MAX || json_type(item) != JSON_OBJECT || !reads_service(item, list))
			return -EBADMSG;
	return 0;
}
