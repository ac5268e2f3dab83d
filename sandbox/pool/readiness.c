/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/pool/readiness.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/macro.h"
#include "base/process.h"
#include "sandbox/pool/probe.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define WINDOW_BYTES	   (64u << 10)
#define PATTERN_LENGTH_MAX 4096
/* Bounds the work of one search: a pattern with nested repeats must not hold up PID 1. */
#define MATCH_STEPS_MAX	 2000000
#define COMMAND_DELAY_MS 250
#define TARGETS_MAX	 (2 + READINESS_FURTHER_MAX) /* the URL, the port, the further ones */
#define PROBES_MAX	 (2 * TARGETS_MAX)	     /* two families each */

_Static_assert(PROBES_MAX == READINESS_POLLFDS_MAX, "one descriptor for each probe");

struct search {
	pcre2_code *code; /* NULL: no pattern */
	struct text_buffer window;
	bool is_fresh; /* something came since the last search */
	bool matched;
	bool gave_up;
};

struct readiness {
	const struct readiness_options *options;
	struct probe_target targets[TARGETS_MAX]; /* of the URL, of the port, of the further ports */
	bool answered[TARGETS_MAX];
	struct probe probes[PROBES_MAX];
	size_t probe_count;
	struct search searches[READINESS_STREAM_COUNT];
	enum {
		COMMAND_NONE,
		COMMAND_RESTING,
		COMMAND_RUNNING,
		COMMAND_SUCCEEDED,
	} command;
	uint64_t command_next_ms;
	int command_status; /* of the last run, as wait(2) gives it; -1: has not ended yet */
	uint64_t end_ms;
	enum readiness_state state;
	struct text_list variables;
	char *address;
};

static const char *const stream_names[READINESS_STREAM_COUNT] = { "stdout", "stderr" };

void readiness_options_release(struct readiness_options *options)
{
	text_free(&options->url);
	for (size_t i = 0; i < READINESS_STREAM_COUNT; i++) {
		text_free(&options->patterns[i].text);
		text_free(&options->patterns[i].flags);
	}
	text_list_release(&options->command);
}

/* ---- patterns ---- */

static int compile(const struct readiness_pattern *pattern, const char *stream, pcre2_code **ret_code,
		   struct error *error)
{
	/* As JavaScript reads it: \uXXXX, '$' only at the very end, [] and [^], back references to groups that did not
	 * match. */
	uint32_t flags = PCRE2_ALT_BSUX | PCRE2_DOLLAR_ENDONLY | PCRE2_ALLOW_EMPTY_CLASS | PCRE2_MATCH_UNSET_BACKREF |
			 PCRE2_DUPNAMES | PCRE2_MATCH_INVALID_UTF;
	owned_text step = text_format("wait for what matches on %s", stream);
	PCRE2_UCHAR cause[256];
	int number = 0;
	size_t offset = 0;

	for (const char *flag = pattern->flags ? pattern->flags : ""; *flag; flag++) {
		if (!strchr("imsugy", *flag))
			return error_set(error, .number = EINVAL, .step = step, .object = pattern->flags,
					 .cause = "there is no such flag", .remedy = "use i, m or s");
		flags |= *flag == 'i'	? PCRE2_CASELESS
			 : *flag == 'm' ? PCRE2_MULTILINE
			 : *flag == 's' ? PCRE2_DOTALL
					: 0;
	}
	if (strlen(pattern->text) > PATTERN_LENGTH_MAX)
		return error_set(error, .number = EINVAL, .step = step, .object = pattern->text,
				 .cause = "it is too long");
	*ret_code = pcre2_compile((PCRE2_SPTR)pattern->text, PCRE2_ZERO_TERMINATED, flags, &number, &offset, NULL);
	if (*ret_code)
		return 0;
	owned_text object = text_format("%s", pattern->text);
	owned_text remedy = text_format("at character %zu", offset + 1);
	(void)pcre2_get_error_message(number, cause, sizeof(cause));
	return error_set(error, .number = EINVAL, .step = step, .object = object, .cause = (const char *)cause,
			 .remedy = remedy);
}

/* The named groups of a match become variables; one that took no part is left out. */
static void take_variables(const pcre2_code *code, pcre2_match_data *match, const char *subject,
			   struct text_list *variables)
{
	const size_t *offsets = pcre2_get_ovector_pointer(match);
	PCRE2_SPTR table = NULL;
	uint32_t count = 0;
	uint32_t size = 0;

	(void)pcre2_pattern_info(code, PCRE2_INFO_NAMECOUNT, &count);
	(void)pcre2_pattern_info(code, PCRE2_INFO_NAMEENTRYSIZE, &size);
	(void)pcre2_pattern_info(code, PCRE2_INFO_NAMETABLE, &table);
	for (uint32_t i = 0; i < count; i++) {
		const unsigned char *entry = table + (size_t)i * size;
		size_t group = (size_t)(entry[0] << 8 | entry[1]);
		owned_text name = text_duplicate((const char *)entry + 2);
		size_t from = offsets[2 * group];
		size_t to = offsets[2 * group + 1];

		if (from == PCRE2_UNSET || memchr(subject + from, '\0', to - from))
			continue;
		for (char *letter = name; *letter; letter++)
			*letter = (char)toupper((unsigned char)*letter);
		text_list_take(variables, text_format("%s=%.*s", name, (int)(to - from), subject + from));
	}
}

static void search_step(struct search *search, struct text_list *variables)
{
	pcre2_match_data *match;
	pcre2_match_context *context;
	int result;

	if (!search->code || search->matched || !search->is_fresh)
		return;
	search->is_fresh = false;
	match = pcre2_match_data_create_from_pattern(search->code, NULL);
	context = pcre2_match_context_create(NULL);
	if (!match || !context)
		abort();
	(void)pcre2_set_match_limit(context, MATCH_STEPS_MAX);
	result = pcre2_match(search->code, (PCRE2_SPTR)search->window.bytes, search->window.length, 0, 0, match,
			     context);
	search->matched = result >= 0;
	search->gave_up =
		result == PCRE2_ERROR_MATCHLIMIT || result == PCRE2_ERROR_DEPTHLIMIT || result == PCRE2_ERROR_HEAPLIMIT;
	if (search->matched)
		take_variables(search->code, match, search->window.bytes, variables);
	pcre2_match_context_free(context);
	pcre2_match_data_free(match);
}

void readiness_feed(struct readiness *readiness, enum readiness_stream stream, const void *bytes, size_t size)
{
	struct search *search = &readiness->searches[stream];
	struct text_buffer *window = &search->window;

	if (!search->code || search->matched || size == 0)
		return;
	text_buffer_add(window, bytes, size);
	if (window->length > WINDOW_BYTES) {
		size_t dropped = window->length - WINDOW_BYTES;

		memmove(window->bytes, window->bytes + dropped, WINDOW_BYTES + 1);
		window->length = WINDOW_BYTES;
	}
	search->is_fresh = true;
}

/* ---- all conditions ---- */

int readiness_options_check(const struct readiness_options *options, struct error *error)
{
	struct readiness *readiness = NULL;
	int result = readiness_new(options, 0, &readiness, error);

	readiness_free(&readiness);
	return result;
}

static void add_probes(struct readiness *readiness, const struct probe_target *target, uint64_t now_ms)
{
	static const enum probe_family families[] = { PROBE_IPV4, PROBE_IPV6 };

	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		if (target->families & families[i])
			probe_init(&readiness->probes[readiness->probe_count++], target, families[i],
				   readiness->options->interval_ms, now_ms);
}

int readiness_new(const struct readiness_options *options, uint64_t now_ms, struct readiness **ret_readiness,
		  struct error *error)
{
	struct readiness *readiness = calloc(1, sizeof(*readiness));
	int result = 0;

	if (!readiness)
		abort();
	readiness->options = options;
	readiness->end_ms = now_ms + (options->timeout_ms ? options->timeout_ms : READINESS_TIMEOUT_MS);
	readiness->command = options->command.count > 0 ? COMMAND_RESTING : COMMAND_NONE;
	readiness->command_next_ms = now_ms;
	readiness->command_status = -1;
	if (options->url)
		result = probe_target_parse(options->url, &readiness->targets[0], error);
	for (size_t i = 0; i < READINESS_STREAM_COUNT && result == 0; i++)
		if (options->patterns[i].text)
			result = compile(&options->patterns[i], stream_names[i], &readiness->searches[i].code, error);
	if (result < 0) {
		readiness_free(&readiness);
		return result;
	}
	if (options->url)
		add_probes(readiness, &readiness->targets[0], now_ms);
	if (options->port) {
		readiness->targets[1] =
			(struct probe_target){ .families = PROBE_IPV4 | PROBE_IPV6, .port = options->port };
		add_probes(readiness, &readiness->targets[1], now_ms);
	}
	for (size_t i = 0; i < options->further_port_count; i++) {
		readiness->targets[2 + i] =
			(struct probe_target){ .families = PROBE_IPV4 | PROBE_IPV6, .port = options->further_ports[i] };
		add_probes(readiness, &readiness->targets[2 + i], now_ms);
	}
	*ret_readiness = readiness;
	return 0;
}

void readiness_free(struct readiness **readiness)
{
	struct readiness *old = *readiness;

	if (!old)
		return;
	for (size_t i = 0; i < old->probe_count; i++)
		probe_release(&old->probes[i]);
	for (size_t i = 0; i < ARRAY_SIZE(old->targets); i++)
		probe_target_release(&old->targets[i]);
	for (size_t i = 0; i < READINESS_STREAM_COUNT; i++) {
		pcre2_code_free(old->searches[i].code);
		text_buffer_release(&old->searches[i].window);
	}
	text_list_release(&old->variables);
	text_free(&old->address);
	free(old);
	*readiness = NULL;
}

static void step_probes(struct readiness *readiness, uint64_t now_ms)
{
	for (size_t i = 0; i < readiness->probe_count; i++) {
		struct probe *probe = &readiness->probes[i];
		size_t target = (size_t)(probe->target - readiness->targets);

		if (readiness->answered[target] || !probe_step(probe, now_ms))
			continue;
		readiness->answered[target] = true;
		if (!readiness->address) {
			char address[32];

			probe_address(probe, address, sizeof(address));
			readiness->address = text_duplicate(address);
		}
		for (size_t j = 0; j < readiness->probe_count; j++)
			if (readiness->probes[j].target == probe->target)
				probe_release(&readiness->probes[j]);
	}
}

/* How many conditions there are, and how many of them hold. */
static void count_conditions(const struct readiness *readiness, unsigned *ret_all, unsigned *ret_held)
{
	const struct readiness_options *options = readiness->options;

	*ret_all = (options->url ? 1u : 0) + (options->port ? 1u : 0) + (readiness->command != COMMAND_NONE ? 1u : 0);
	*ret_held = (readiness->answered[0] ? 1u : 0) + (readiness->answered[1] ? 1u : 0) +
		    (readiness->command == COMMAND_SUCCEEDED ? 1u : 0);
	for (size_t i = 0; i < READINESS_STREAM_COUNT; i++) {
		*ret_all += readiness->searches[i].code ? 1 : 0;
		*ret_held += readiness->searches[i].matched ? 1 : 0;
	}
}

static bool further_ports_answer(const struct readiness *readiness)
{
	for (size_t i = 0; i < readiness->options->further_port_count; i++)
		if (!readiness->answered[2 + i])
			return false;
	return true;
}

/* What each condition that does not hold is like: the cause of the error. */
static void describe(const struct readiness *readiness, uint64_t now_ms, struct text_buffer *cause)
{
	const struct readiness_options *options = readiness->options;

	for (size_t i = 0; i < readiness->probe_count; i++) {
		const struct probe *probe = &readiness->probes[i];
		char address[32];

		if (readiness->answered[probe->target - readiness->targets])
			continue;
		probe_address(probe, address, sizeof(address));
		text_buffer_format(cause, "%s%s: %s", cause->length ? "; " : "", address,
				   probe_describe(probe, now_ms));
	}
	for (size_t i = 0; i < READINESS_STREAM_COUNT; i++)
		if (readiness->searches[i].code && !readiness->searches[i].matched)
			text_buffer_format(cause, "%s%s %s /%s/", cause->length ? "; " : "", stream_names[i],
					   readiness->searches[i].gave_up ? "takes too long to search for"
									  : "never matched",
					   options->patterns[i].text);
	if (readiness->command == COMMAND_RUNNING)
		text_buffer_format(cause, "%s'%s' has not ended", cause->length ? "; " : "", options->command.items[0]);
	else if (readiness->command == COMMAND_RESTING)
		text_buffer_format(cause, "%s'%s' ended with status %d", cause->length ? "; " : "",
				   options->command.items[0], process_exit_code(readiness->command_status));
}

enum readiness_state readiness_step(struct readiness *readiness, uint64_t now_ms, struct error *error)
{
	unsigned all = 0;
	unsigned held = 0;

	if (readiness->state == READINESS_WAITING) {
		step_probes(readiness, now_ms);
		for (size_t i = 0; i < READINESS_STREAM_COUNT; i++)
			search_step(&readiness->searches[i], &readiness->variables);
	}
	count_conditions(readiness, &all, &held);
	if (readiness->state == READINESS_WAITING && (readiness->options->any && all > 0 ? held > 0 : held == all) &&
	    further_ports_answer(readiness))
		readiness->state = READINESS_READY;
	if (readiness->state == READINESS_WAITING && now_ms >= readiness->end_ms)
		readiness->state = READINESS_FAILED;
	if (readiness->state == READINESS_FAILED) {
		owned_buffer cause = { 0 };
		uint64_t timeout_ms = readiness->options->timeout_ms;

		describe(readiness, now_ms, &cause);
		owned_text step = text_format("be ready in %g s",
					      (double)(timeout_ms ? timeout_ms : READINESS_TIMEOUT_MS) / 1000);
		(void)error_set(error, .number = ETIMEDOUT, .step = step, .cause = cause.bytes);
	}
	return readiness->state;
}

size_t readiness_pollfds(const struct readiness *readiness, struct pollfd fds[static READINESS_POLLFDS_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < readiness->probe_count; i++)
		if (readiness->probes[i].fd >= 0)
			fds[count++] = probe_pollfd(&readiness->probes[i]);
	return count;
}

uint64_t readiness_deadline(const struct readiness *readiness)
{
	uint64_t deadline = readiness->end_ms;

	if (readiness->state != READINESS_WAITING)
		return UINT64_MAX;
	for (size_t i = 0; i < readiness->probe_count; i++)
		if (!readiness->answered[readiness->probes[i].target - readiness->targets])
			deadline = MIN(deadline, readiness->probes[i].next_ms);
	if (readiness->command == COMMAND_RESTING)
		deadline = MIN(deadline, readiness->command_next_ms);
	return deadline;
}

bool readiness_wants_command(struct readiness *readiness, uint64_t now_ms)
{
	if (readiness->state != READINESS_WAITING || readiness->command != COMMAND_RESTING ||
	    now_ms < readiness->command_next_ms)
		return false;
	readiness->command = COMMAND_RUNNING;
	return true;
}

void readiness_command_ended(struct readiness *readiness, int wait_status, uint64_t now_ms)
{
	uint64_t interval_ms = readiness->options->interval_ms;

	if (readiness->command != COMMAND_RUNNING)
		return;
	readiness->command_status = wait_status;
	readiness->command =
		WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0 ? COMMAND_SUCCEEDED : COMMAND_RESTING;
	readiness->command_next_ms = now_ms + (interval_ms ? interval_ms : COMMAND_DELAY_MS);
}

const struct text_list *readiness_variables(const struct readiness *readiness)
{
	return &readiness->variables;
}

const char *readiness_address(const struct readiness *readiness)
{
	return readiness->address;
}
