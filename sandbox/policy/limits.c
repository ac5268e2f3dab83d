/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/policy/limits.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/macro.h"
#include "base/number.h"

/* Debian 12's and every other libc's <sys/resource.h> has all sixteen; the names are docker's, which has no "as". */
static const char *const names[RLIM_NLIMITS] = {
	[RLIMIT_AS] = "as",	      [RLIMIT_CORE] = "core",	      [RLIMIT_CPU] = "cpu",
	[RLIMIT_DATA] = "data",	      [RLIMIT_FSIZE] = "fsize",	      [RLIMIT_LOCKS] = "locks",
	[RLIMIT_MEMLOCK] = "memlock", [RLIMIT_MSGQUEUE] = "msgqueue", [RLIMIT_NICE] = "nice",
	[RLIMIT_NOFILE] = "nofile",   [RLIMIT_NPROC] = "nproc",	      [RLIMIT_RSS] = "rss",
	[RLIMIT_RTPRIO] = "rtprio",   [RLIMIT_RTTIME] = "rttime",     [RLIMIT_SIGPENDING] = "sigpending",
	[RLIMIT_STACK] = "stack",
};

static const char try_suffix[] = ",try";

const char *limits_name(int resource)
{
	return resource >= 0 && resource < (int)ARRAY_SIZE(names) ? names[resource] : "unknown";
}

void limits_init(struct limits *limits)
{
	*limits = (struct limits){ 0 };
	limits->items[RLIMIT_NPROC] =
		(struct limit){ LIMIT_DEFAULT, LIMITS_PROCESSES_DEFAULT, LIMITS_PROCESSES_DEFAULT };
	/* One byte and not none: with a program as core_pattern the kernel disregards a limit of 0, but takes 1 as a
	 * wish for no dump at all, so that no payload's memory reaches the host's crash collector. do_coredump(),
	 * core(5). */
	limits->items[RLIMIT_CORE] = (struct limit){ LIMIT_DEFAULT, 1, 1 };
}

void limits_release(struct limits *limits)
{
	*limits = (struct limits){ 0 };
}

/* ---- what the user writes ---- */

/* Copies `text` less a ",try" at its end. @return 0, or -EINVAL where it is too long for any limit */
static int cut_try(const char *text, char *ret_value, size_t size, bool *ret_try)
{
	size_t length = strlen(text);

	if (length >= size)
		return -EINVAL;
	*ret_try = text_ends_with(text, try_suffix);
	if (*ret_try)
		length -= strlen(try_suffix);
	memcpy(ret_value, text, length);
	ret_value[length] = '\0';
	return 0;
}

static int parse_value(const char *text, rlim_t *ret_value)
{
	uint64_t value = 0;
	int result;

	if (text_equal(text, "-1") || text_equal(text, "unlimited")) {
		*ret_value = RLIM_INFINITY;
		return 0;
	}
	result = number_parse(text, 0, RLIM_INFINITY - 1, &value);
	if (result == 0)
		*ret_value = value;
	return result;
}

static int ulimit_error(const char *text, const char *cause, const char *remedy, struct error *error)
{
	return error_set(error, .number = EINVAL, .step = "set the limit", .object = text, .cause = cause,
			 .remedy = remedy ? remedy : "write it as NAME=SOFT or NAME=SOFT:HARD, as in nofile=1024:4096");
}

static int unknown_name(const char *text, const char *name, struct error *error)
{
	struct text_buffer list = { 0 };
	int result;

	(void)name;
	text_buffer_add_text(&list, "the names are");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		text_buffer_format(&list, " %s", names[i]);
	result = ulimit_error(text, "there is no limit of this name", list.bytes, error);
	text_buffer_release(&list);
	return result;
}

static int find_resource(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (text_equal(name, names[i]))
			return (int)i;
	return -EINVAL;
}

int limits_parse_ulimit(struct limits *limits, const char *text, struct error *error)
{
	struct limit limit = { 0 };
	bool is_tried = false;
	char name[128];
	char *value;
	char *hard;
	int resource;

	if (cut_try(text, name, sizeof(name), &is_tried) < 0)
		return ulimit_error(text, "it is too long", NULL, error);
	value = strchr(name, '=');
	if (!value)
		return ulimit_error(text, "it has no value", NULL, error);
	*value++ = '\0';
	resource = find_resource(name);
	if (resource < 0)
		return unknown_name(text, name, error);
	hard = strchr(value, ':');
	if (hard)
		*hard++ = '\0';
	if (parse_value(value, &limit.soft) < 0 || parse_value(hard ? hard : value, &limit.hard) < 0)
		return ulimit_error(text, "its value is neither a whole number nor -1", NULL, error);
	if (limit.soft > limit.hard)
		return ulimit_error(text, "its soft limit is above its hard limit", NULL, error);
	limit.source = is_tried ? LIMIT_TRIED : LIMIT_NAMED;
	limits->items[resource] = limit;
	return 0;
}

int limits_parse_processes(struct limits *limits, const char *text, struct error *error)
{
	struct limit limit = { 0 };
	bool is_tried = false;
	char value[32];

	if (cut_try(text, value, sizeof(value), &is_tried) < 0 || parse_value(value, &limit.soft) < 0 ||
	    limit.soft == 0)
		return error_set(error, .number = EINVAL, .step = "limit the processes", .object = text,
				 .cause = "it is neither a whole number above 0 nor -1",
				 .remedy = "write how many processes and threads there may be, as in --pids-limit 512");
	limit.hard = limit.soft;
	limit.source = is_tried ? LIMIT_TRIED : LIMIT_NAMED;
	/* docker's -1: no limit of ours, which is not a wish for more than the caller has. */
	if (limit.soft == RLIM_INFINITY)
		limit.source = LIMIT_INHERITED;
	limits->items[RLIMIT_NPROC] = limit;
	return 0;
}

/* Reads N or N-M up to a comma or the end. */
static int parse_range(const char **text, uint64_t *ret_first, uint64_t *ret_last)
{
	size_t length = strcspn(*text, ",");
	char range[32];
	char *last;

	if (length >= sizeof(range))
		return -EINVAL;
	memcpy(range, *text, length);
	range[length] = '\0';
	last = strchr(range, '-');
	if (last)
		*last++ = '\0';
	if (number_parse(range, 0, LIMITS_PROCESSORS_MAX - 1, ret_first) < 0 ||
	    number_parse(last ? last : range, *ret_first, LIMITS_PROCESSORS_MAX - 1, ret_last) < 0)
		return -EINVAL;
	*text += length;
	return 0;
}

int limits_parse_processors(struct limits *limits, const char *text, struct error *error)
{
	cpu_set_t processors[ARRAY_SIZE(limits->processors)];
	bool is_tried = false;
	char list[4096];
	const char *rest = list;
	int result = cut_try(text, list, sizeof(list), &is_tried);

	CPU_ZERO_S(sizeof(processors), processors);
	while (result == 0) {
		uint64_t first = 0;
		uint64_t last = 0;

		result = parse_range(&rest, &first, &last);
		for (uint64_t i = first; result == 0 && i <= last; i++)
			CPU_SET_S(i, sizeof(processors), processors);
		if (result < 0 || *rest == '\0')
			break;
		rest++; /* the comma */
	}
	if (result < 0)
		return error_set(error, .number = EINVAL, .step = "choose the processors", .object = text,
				 .cause = "it is no list of processor numbers",
				 .remedy = "write it as in --cpuset-cpus 0-2,4");
	memcpy(limits->processors, processors, sizeof(processors));
	limits->has_processors = true;
	limits->try_processors = is_tried;
	return 0;
}

/* ---- on the host ---- */

static void format_value(rlim_t value, char *text, size_t size)
{
	if (value == RLIM_INFINITY)
		text_copy(text, size, "unlimited");
	else
		(void)snprintf(text, size, "%llu", (unsigned long long)value);
}

/* A hard limit above this process's own: only CAP_SYS_RESOURCE of the initial user namespace raises one, and that is
 * lost by clone; so it must happen here or not at all. */
static int raise_hard_limit(struct limit *limit, int resource, struct text_list *ret_notes, struct error *error)
{
	struct rlimit have;
	struct rlimit raised;
	char have_text[24];
	char cause[64];

	if (getrlimit((__rlimit_resource_t)resource, &have) < 0)
		return error_set(error, .number = errno, .step = "read the limit", .object = names[resource]);
	raised = (struct rlimit){ .rlim_cur = have.rlim_cur, .rlim_max = limit->hard };
	if (limit->hard <= have.rlim_max || setrlimit((__rlimit_resource_t)resource, &raised) == 0)
		return 0;
	format_value(have.rlim_max, have_text, sizeof(have_text));
	if (limit->source == LIMIT_TRIED) {
		limit->hard = have.rlim_max;
		limit->soft = MIN(limit->soft, limit->hard);
		text_list_take(ret_notes, text_format("the limit %s is %s, the most that this user may have",
						      names[resource], have_text));
		return 0;
	}
	(void)snprintf(cause, sizeof(cause), "the most that this user may have is %s", have_text);
	return error_set(
		error, .number = errno, .step = "raise the limit", .object = names[resource], .cause = cause,
		.remedy = "ask for less, add ',try' to take what there is, or raise the hard limit (limits.conf(5))");
}

static int check_processors(struct limits *limits, struct text_list *ret_notes, struct error *error)
{
	const size_t size = sizeof(limits->processors);
	cpu_set_t have[ARRAY_SIZE(limits->processors)];
	cpu_set_t both[ARRAY_SIZE(limits->processors)];
	char missing[16] = "";

	CPU_ZERO_S(size, have);
	if (sched_getaffinity(0, size, have) < 0)
		return error_set(error, .number = errno, .step = "read which processors there are");
	CPU_AND_S(size, both, have, limits->processors);
	if (CPU_EQUAL_S(size, both, limits->processors))
		return 0;
	for (size_t i = 0; i < LIMITS_PROCESSORS_MAX && missing[0] == '\0'; i++)
		if (CPU_ISSET_S(i, size, limits->processors) && !CPU_ISSET_S(i, size, have))
			(void)snprintf(missing, sizeof(missing), "%zu", i);
	if (!limits->try_processors)
		return error_set(
			error, .number = EINVAL, .step = "use the processor", .object = missing,
			.cause = "there is none of this number, or this user may not run on it",
			.remedy =
				"choose among those that 'taskset -cp $$' lists, or add ',try' to take what there is");
	text_list_take(ret_notes, text_format("processor %s cannot be used here", missing));
	memcpy(limits->processors, both, size);
	limits->has_processors = CPU_COUNT_S(size, both) > 0;
	return 0;
}

static void note_few_open_files(const struct limits *limits, struct text_list *ret_notes)
{
	struct rlimit have;

	if (limits->items[RLIMIT_NOFILE].source != LIMIT_INHERITED || getrlimit(RLIMIT_NOFILE, &have) < 0 ||
	    have.rlim_cur >= LIMITS_OPEN_FILES_LOW)
		return;
	text_list_take(ret_notes,
		       text_format("the limit on open files is %llu: .NET needs more than 300 to start (ulimit -n %d)",
				   (unsigned long long)have.rlim_cur, LIMITS_OPEN_FILES_LOW));
}

int limits_prepare(struct limits *limits, struct text_list *ret_notes, struct error *error)
{
	int result = 0;

	for (size_t i = 0; i < ARRAY_SIZE(limits->items) && result == 0; i++)
		if (limits->items[i].source == LIMIT_NAMED || limits->items[i].source == LIMIT_TRIED)
			result = raise_hard_limit(&limits->items[i], (int)i, ret_notes, error);
	if (result == 0 && limits->has_processors)
		result = check_processors(limits, ret_notes, error);
	if (result == 0)
		note_few_open_files(limits, ret_notes);
	return result;
}

/* ---- in the child ---- */

static int apply_limit(const struct limit *limit, int resource, struct error *error)
{
	struct rlimit wanted = { .rlim_cur = limit->soft, .rlim_max = limit->hard };
	struct rlimit have;

	if (limit->source == LIMIT_DEFAULT) {
		if (getrlimit((__rlimit_resource_t)resource, &have) < 0)
			return error_set(error, .number = errno, .step = "read the limit", .object = names[resource]);
		wanted.rlim_cur = MIN(wanted.rlim_cur, have.rlim_cur);
		wanted.rlim_max = MIN(wanted.rlim_max, have.rlim_max);
	}
	if (setrlimit((__rlimit_resource_t)resource, &wanted) < 0)
		return error_set(error, .number = errno, .step = "set the limit", .object = names[resource]);
	return 0;
}

int limits_apply(const struct limits *limits, struct error *error)
{
	int result = 0;

	for (size_t i = 0; i < ARRAY_SIZE(limits->items) && result == 0; i++)
		if (limits->items[i].source != LIMIT_INHERITED)
			result = apply_limit(&limits->items[i], (int)i, error);
	if (result == 0 && limits->has_processors &&
	    sched_setaffinity(0, sizeof(limits->processors), limits->processors) < 0)
		return error_set(error, .number = errno, .step = "choose the processors");
	return result;
}
