/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/verbs/option_values.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/macro.h"
#include "base/number.h"
#include "base/path.h"
#include "base/process.h"
#include "netns/hosts.h"
#include "netns/outbound.h"
#include "netns/publish.h"
#include "netns/reach.h"
#include "sandbox/pool/count.h"
#include "sandbox/registry/row.h"
#include "sandbox/registry/seeds.h"
#include "sandbox/worker/request.h"

#define HOSTNAME_LENGTH_MAX 64 /* __NEW_UTS_LEN, uname(2) */

int option_refuse_value(const struct option *option, const char *value, const char *cause, const char *remedy,
			struct error *error)
{
	owned_text step = text_format("use --%s", option->name);

	return error_set(error, .number = EINVAL, .step = step, .object = value, .cause = cause, .remedy = remedy);
}

/* The member of `invocation` that the row names. */
static void *field_of(struct invocation *invocation, const struct option *option)
{
	return (char *)invocation + option->field;
}

static int refuse_empty(const struct option *option, const char *value, struct error *error)
{
	owned_text remedy = text_format("write --%s %s", option->name, option->value);

	return value[0] ? 0 : option_refuse_value(option, value, "it is empty", remedy, error);
}

/* ---- any option ---- */

int option_set_flag(struct invocation *invocation, const struct option *option, const char *value, struct error *error)
{
	(void)value;
	(void)error;
	*(bool *)field_of(invocation, option) = true;
	return 0;
}

int option_set_text(struct invocation *invocation, const struct option *option, const char *value, struct error *error)
{
	char **text = field_of(invocation, option);

	if (refuse_empty(option, value, error) < 0)
		return -EINVAL;
	text_free(text);
	*text = text_duplicate(value);
	return 0;
}

static int refuse_choice(const struct option *option, const char *value, struct error *error)
{
	owned_buffer remedy = { 0 };

	text_buffer_format(&remedy, "write one of:");
	for (const struct option_choice *choice = option->choices; choice->word; choice++)
		if (!choice->is_alias)
			text_buffer_format(&remedy, " %s", choice->word);
	return option_refuse_value(option, value, "there is no such choice", remedy.bytes, error);
}

static const struct option_choice *find_choice(const struct option *option, const char *value)
{
	const struct option_choice *choice = option->choices;

	while (value && choice->word && !text_equal(choice->word, value))
		choice++;
	return choice->word ? choice : NULL;
}

int option_set_choice(struct invocation *invocation, const struct option *option, const char *value,
		      struct error *error)
{
	const struct option_choice *choice = find_choice(option, value);

	if (!choice)
		return refuse_choice(option, value, error);
	*(unsigned *)field_of(invocation, option) = choice->value;
	return 0;
}

int option_set_nothing(struct invocation *invocation, const struct option *option, const char *value,
		       struct error *error)
{
	if (!option->choices && refuse_empty(option, value, error) < 0)
		return -EINVAL;
	if (option->choices && !find_choice(option, value))
		return option_refuse_value(option, value, option->help, "it cannot be otherwise: leave the option out",
					   error);
	text_list_take(&invocation->notes, text_format("--%s has no effect: %s", option->name, option->help));
	return 0;
}

/* What number_parse() and its kin return, in words. */
static int refuse_number(const struct option *option, const char *value, int result, const char *expected,
			 struct error *error)
{
	owned_text cause = text_format("%s %s", result == -ERANGE ? "it is out of range for" : "it is not", expected);
	owned_text remedy = text_format("as in --%s %s", option->name, option->example);

	return option_refuse_value(option, value, cause, remedy, error);
}

static int check_range(const struct option *option, uint64_t number)
{
	return number < option->min || number > option->max ? -ERANGE : 0;
}

int option_set_number(struct invocation *invocation, const struct option *option, const char *value,
		      struct error *error)
{
	int result = number_parse(value, option->min, option->max, field_of(invocation, option));

	return result < 0 ? refuse_number(option, value, result, "a number", error) : 0;
}

int option_set_size(struct invocation *invocation, const struct option *option, const char *value, struct error *error)
{
	uint64_t bytes = 0;
	int result = number_parse_size(value, &bytes);

	result = result < 0 ? result : check_range(option, bytes);
	if (result < 0)
		return refuse_number(option, value, result, "a size (a number, with k, m, g or t)", error);
	*(uint64_t *)field_of(invocation, option) = bytes;
	return 0;
}

int option_set_duration(struct invocation *invocation, const struct option *option, const char *value,
			struct error *error)
{
	uint64_t milliseconds = 0;
	int result = number_parse_duration(value, &milliseconds);

	result = result < 0 ? result : check_range(option, milliseconds);
	if (result < 0)
		return refuse_number(option, value, result, "a time (seconds, or a number with ms, s, m, h or d)",
				     error);
	*(uint64_t *)field_of(invocation, option) = milliseconds;
	return 0;
}

int option_set_signal(struct invocation *invocation, const struct option *option, const char *value,
		      struct error *error)
{
	char upper[16];
	int number;

	/* docker and kill(1) take lower case as well. What is too long is cut, and no signal then either. */
	text_copy(upper, sizeof(upper), value);
	for (char *letter = upper; *letter; letter++)
		*letter = (char)toupper((unsigned char)*letter);
	number = process_signal_parse(upper);
	if (number < 0)
		return option_refuse_value(option, value, "there is no such signal", "write TERM, SIGTERM or 15",
					   error);
	*(int *)field_of(invocation, option) = number;
	return 0;
}

int option_set_pair(struct invocation *invocation, const struct option *option, const char *value, struct error *error)
{
	const char *equals = strchr(value, '=');

	if (!equals || equals == value)
		return option_refuse_value(option, value, "it is not KEY=VALUE", NULL, error);
	text_list_add(field_of(invocation, option), value);
	return 0;
}

/* ---- names ---- */

int option_set_name(struct invocation *invocation, const struct option *option, const char *value, struct error *error)
{
	int result = name_check(value, error);

	(void)option;
	if (result < 0)
		return result;
	text_free(&invocation->spec.name);
	invocation->spec.name = text_duplicate(value);
	return 0;
}

/* Host names end in /etc/hosts, where a space or a '#' would begin something else. RFC 1123, and the underscore that
 * compose files are full of. */
static bool is_host_name(const char *name, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i]))
			return false;
	return length > 0 && name[0] != '-' && name[0] != '.';
}

int option_set_hostname(struct invocation *invocation, const struct option *option, const char *value,
			struct error *error)
{
	if (!is_host_name(value, strlen(value)) || strlen(value) > HOSTNAME_LENGTH_MAX)
		return option_refuse_value(option, value, "it is not a host name",
					   "letters, digits, '-' and '.', 64 at most", error);
	text_free(&invocation->spec.hostname);
	invocation->spec.hostname = text_duplicate(value);
	return 0;
}

int option_set_add_host(struct invocation *invocation, const struct option *option, const char *value,
			struct error *error)
{
	int result = hosts_check_entry(value, error);

	(void)option;
	if (result == 0)
		text_list_add(&invocation->spec.add_hosts, value);
	return result;
}

int option_set_publish(struct invocation *invocation, const struct option *option, const char *value,
		       struct error *error)
{
	struct publish_rule rule;
	int result = publish_parse(value, &rule, error);

	(void)option;
	if (result == 0)
		text_list_add(&invocation->spec.ways.publish, value);
	return result;
}

int option_set_reach(struct invocation *invocation, const struct option *option, const char *value, struct error *error)
{
	struct reach_rule rule;
	int result = reach_parse(value, &rule, error);

	(void)option;
	if (result == 0)
		text_list_add(&invocation->spec.ways.reach, value);
	return result;
}

int option_set_dns(struct invocation *invocation, const struct option *option, const char *value, struct error *error)
{
	int result = outbound_check_dns(value, error);

	(void)option;
	if (result == 0)
		text_list_add(&invocation->spec.ways.dns, value);
	return result;
}

int option_set_label(struct invocation *invocation, const struct option *option, const char *value, struct error *error)
{
	const char *equals = strchr(value, '=');

	if (value[0] == '\0' || equals == value)
		return option_refuse_value(option, value, "its key is empty", "write KEY=VALUE", error);
	/* docker: a key alone has an empty value */
	text_list_take(&invocation->spec.labels, text_format("%s%s", value, equals ? "" : "="));
	return 0;
}

/* ---- files ---- */

int option_set_database(struct invocation *invocation, const struct option *option, const char *value,
			struct error *error)
{
	struct spec *spec = &invocation->spec;
	bool is_none = text_equal(value, "none");

	if (refuse_empty(option, value, error) < 0)
		return -EINVAL;
	if (is_none ? spec->databases.count > 0 : spec->no_databases)
		return option_refuse_value(option, value, "'none' and a file contradict each other",
					   "a file of that name is written ./none", error);
	if (is_none)
		spec->no_databases = true;
	else
		text_list_add(&spec->databases, value);
	return 0;
}

/* The parts of SRC:DST:MODE. */
struct volume_parts {
	char *parts[3];
	size_t count;
};

static void volume_parts_release(struct volume_parts *parts)
{
	for (size_t i = 0; i < ARRAY_SIZE(parts->parts); i++)
		text_free(&parts->parts[i]);
}

/* Splits at colons. "\:" is a colon and "\\" a backslash of the path; any other backslash is itself.
 * @return 0, or -E2BIG for more than three parts */
static int split_volume(const char *value, struct volume_parts *ret_parts)
{
	owned_buffer part = { 0 };

	for (const char *byte = value;; byte++) {
		if (byte[0] == '\\' && (byte[1] == ':' || byte[1] == '\\')) {
			text_buffer_add(&part, ++byte, 1);
			continue;
		}
		if (byte[0] != ':' && byte[0] != '\0') {
			text_buffer_add(&part, byte, 1);
			continue;
		}
		if (ret_parts->count == ARRAY_SIZE(ret_parts->parts))
			return -E2BIG;
		ret_parts->parts[ret_parts->count++] = text_duplicate(part.bytes ? part.bytes : "");
		text_buffer_release(&part);
		if (byte[0] == '\0')
			return 0;
	}
}

static bool has_empty_path(const struct volume_parts *parts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (parts->parts[i][0] == '\0')
			return true;
	return false;
}

int option_set_volume(struct invocation *invocation, const struct option *option, const char *value,
		      struct error *error)
{
	static const struct {
		const char *word;
		enum volume_kind kind;
	} modes[] = { { "ro", VOLUME_READ_ONLY }, { "rw", VOLUME_READ_WRITE }, { "O", VOLUME_OVERLAY } };
	static const char remedy[] = "write SRC:DST:ro (read-only), SRC:DST:rw (changes reach the host) or SRC:DST:O "
				     "(changes stay in the worker); a colon in a path is \\:";
	__attribute__((cleanup(volume_parts_release))) struct volume_parts split = { 0 };

	if (split_volume(value, &split) < 0)
		return option_refuse_value(option, value, "it has more than three parts", remedy, error);
	if (has_empty_path(&split, MIN(split.count, (size_t)2)))
		return option_refuse_value(option, value, "a path in it is empty", remedy, error);
	if (split.count < 2)
		return option_refuse_value(option, value, "the place inside and the mode are missing", remedy, error);
	if (split.count < 3)
		return option_refuse_value(option, value, "the mode is missing", remedy, error);
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (!text_equal(split.parts[2], modes[i].word))
			continue;
		spec_add_volume(
			&invocation->spec,
			&(struct volume){ .kind = modes[i].kind, .source = split.parts[0], .target = split.parts[1] });
		return 0;
	}
	return option_refuse_value(option, value, "there is no such mode", remedy, error);
}

/* A bind without a DST stands at the path that SRC has on the host, as seen from here; a relative target would be
 * taken below the tree, which can be elsewhere. */
static int default_target(const struct option *option, const char *source, char **ret_target, struct error *error)
{
	owned_text here = source[0] == '/' ? text_duplicate("/") : getcwd(NULL, 0);

	if (!here)
		return error_set(error, .number = errno, .step = "find the current directory", .object = option->name);
	*ret_target = path_normal(here, source);
	return 0;
}

static int add_bind(struct invocation *invocation, const struct option *option, const char *value,
		    enum volume_kind kind, struct error *error)
{
	__attribute__((cleanup(volume_parts_release))) struct volume_parts split = { 0 };
	int result = split_volume(value, &split);

	if (result < 0 || split.count > 2)
		return option_refuse_value(option, value, "it has more than two parts",
					   "write SRC or SRC:DST; a colon in a path is \\:", error);
	if (has_empty_path(&split, split.count))
		return option_refuse_value(option, value, "a path in it is empty", "write SRC or SRC:DST", error);
	if (split.count < 2)
		result = default_target(option, split.parts[0], &split.parts[1], error);
	if (result < 0)
		return result;
	spec_add_volume(&invocation->spec,
			&(struct volume){ .kind = kind, .source = split.parts[0], .target = split.parts[1] });
	return 0;
}

int option_set_bind(struct invocation *invocation, const struct option *option, const char *value, struct error *error)
{
	return add_bind(invocation, option, value, VOLUME_READ_WRITE, error);
}

int option_set_read_only_bind(struct invocation *invocation, const struct option *option, const char *value,
			      struct error *error)
{
	return add_bind(invocation, option, value, VOLUME_READ_ONLY, error);
}

int option_set_copy(struct invocation *invocation, const struct option *option, const char *value, struct error *error)
{
	/* Any bytes but NUL make a path: no part of it is read as anything else. */
	struct volume volume = { .kind = VOLUME_COPY, .source = (char *)value, .target = (char *)value };

	if (refuse_empty(option, value, error) < 0)
		return -EINVAL;
	spec_add_volume(&invocation->spec, &volume);
	return 0;
}

int option_set_tmpfs(struct invocation *invocation, const struct option *option, const char *value, struct error *error)
{
	static const char remedy[] = "write DST or DST:size=N; a colon in the path is \\:";
	__attribute__((cleanup(volume_parts_release))) struct volume_parts split = { 0 };
	struct volume volume = { .kind = VOLUME_TMPFS };

	if (split_volume(value, &split) < 0 || split.count > 2)
		return option_refuse_value(option, value, "it has more than two parts", remedy, error);
	if (has_empty_path(&split, 1))
		return option_refuse_value(option, value, "the path is empty", remedy, error);
	if (split.count == 2) {
		const char *size = split.parts[1] + strlen("size=");

		if (!text_starts_with(split.parts[1], "size="))
			return option_refuse_value(option, value, "nothing but a size can be chosen", remedy, error);
		/* 0 would be no limit, tmpfs(5) */
		if (number_parse_size(size, &volume.size_bytes) < 0 || volume.size_bytes == 0)
			return option_refuse_value(option, value, "its size is not one", remedy, error);
	}
	volume.target = split.parts[0];
	spec_add_volume(&invocation->spec, &volume);
	return 0;
}

int option_set_scratch_size(struct invocation *invocation, const struct option *option, const char *value,
			    struct error *error)
{
	owned_text number = text_duplicate(value);
	char *comma = strchr(number, ',');
	bool try = comma && text_equal(comma, ",try");
	uint64_t bytes = 0;
	int result;

	if (try)
		*comma = '\0';
	result = number_parse_size(number, &bytes);
	if (result == 0 && bytes == 0)
		result = -ERANGE;
	if (result < 0)
		return refuse_number(option, value, result,
				     "a size (a number, with k, m, g or t; then ',try' or nothing)", error);
	invocation->spec.scratch_bytes_max = bytes;
	invocation->spec.scratch_limit_try = try;
	return 0;
}

int option_set_scratch_inodes(struct invocation *invocation, const struct option *option, const char *value,
			      struct error *error)
{
	owned_text number = text_duplicate(value);
	char *comma = strchr(number, ',');
	bool try = comma && text_equal(comma, ",try");
	uint64_t inodes = 0;
	int result;

	if (try)
		*comma = '\0';
	result = number_parse(number, 1, UINT32_MAX, &inodes);
	if (result < 0)
		return refuse_number(option, value, result, "a number (then ',try' or nothing)", error);
	invocation->spec.scratch_inodes_max = inodes;
	invocation->spec.scratch_inodes_try = try;
	return 0;
}

int option_set_doctor_tree(struct invocation *invocation, const struct option *option, const char *value,
			   struct error *error)
{
	invocation->check_tree = true;
	if (!value)
		return 0;
	if (refuse_empty(option, value, error) < 0)
		return -EINVAL;
	text_free(&invocation->spec.tree);
	invocation->spec.tree = text_duplicate(value);
	return 0;
}

/* ---- what the policy reads itself ---- */

int option_set_env(struct invocation *invocation, const struct option *option, const char *value, struct error *error)
{
	(void)option;
	return environment_options_set(&invocation->spec.environment, value, error);
}

int option_set_env_file(struct invocation *invocation, const struct option *option, const char *value,
			struct error *error)
{
	if (refuse_empty(option, value, error) < 0)
		return -EINVAL;
	return environment_options_read_file(&invocation->spec.environment, value, error);
}

int option_set_unset_env(struct invocation *invocation, const struct option *option, const char *value,
			 struct error *error)
{
	(void)option;
	return environment_options_unset(&invocation->spec.environment, value, error);
}

int option_set_ulimit(struct invocation *invocation, const struct option *option, const char *value,
		      struct error *error)
{
	(void)option;
	return limits_parse_ulimit(&invocation->spec.limits, value, error);
}

int option_set_pids_limit(struct invocation *invocation, const struct option *option, const char *value,
			  struct error *error)
{
	(void)option;
	return limits_parse_processes(&invocation->spec.limits, value, error);
}

int option_set_cpus(struct invocation *invocation, const struct option *option, const char *value, struct error *error)
{
	(void)option;
	return limits_parse_processors(&invocation->spec.limits, value, error);
}

/* ---- descriptors ---- */

static int parse_descriptor(const struct option *option, const char *value, uint64_t min, int *ret_fd,
			    struct error *error)
{
	uint64_t number = 0;
	int result = number_parse(value, min, INT_MAX, &number);

	if (result < 0)
		return refuse_number(option, value, result, "the number of a descriptor", error);
	*ret_fd = (int)number;
	return 0;
}

int option_set_pass_fd(struct invocation *invocation, const struct option *option, const char *value,
		       struct error *error)
{
	struct spec *spec = &invocation->spec;
	int fd = -1;
	int result = parse_descriptor(option, value, 3, &fd, error);

	if (result < 0)
		return result;
	if (fcntl(fd, F_GETFD) < 0)
		return option_refuse_value(option, value, "it is not open",
					   "open it in the shell, as in: sbx run --pass-fd 3 … 3<FILE", error);
	for (size_t i = 0; i < spec->pass_fd_count; i++)
		if (spec->pass_fds[i] == fd)
			return 0;
	if (spec->pass_fd_count + 3 >= REQUEST_FDS_MAX)
		return option_refuse_value(option, value, "too many descriptors are to be passed", NULL, error);
	spec_add_pass_fd(spec, fd);
	return 0;
}

int option_set_status_fd(struct invocation *invocation, const struct option *option, const char *value,
			 struct error *error)
{
	int fd = -1;
	int result = parse_descriptor(option, value, 1, &fd, error);
	int flags;

	if (result < 0)
		return result;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
		return option_refuse_value(option, value, flags < 0 ? "it is not open" : "it is open for reading only",
					   "open it in the shell, as in: sbx run --status-fd 3 … 3>FILE", error);
	invocation->spec.status_fd = fd;
	return 0;
}

/* ---- logs ---- */

int option_set_worker_count(struct invocation *invocation, const struct option *option, const char *value,
			    struct error *error)
{
	struct count count;
	int result = count_parse(value, &count);

	if (result < 0)
		return refuse_number(option, value, result,
				     "a number of workers (1 to 256), a share of the processors, or auto", error);
	text_free(&invocation->worker_count);
	invocation->worker_count = text_duplicate(value);
	return 0;
}

int option_set_tail(struct invocation *invocation, const struct option *option, const char *value, struct error *error)
{
	uint64_t lines = TAIL_ALL;
	int result = text_equal(value, "all") ? 0 : number_parse(value, 0, TAIL_ALL - 1, &lines);

	if (result < 0)
		return refuse_number(option, value, result, "a number of lines, or 'all'", error);
	invocation->tail = lines;
	return 0;
}

/* "Z", "+02:00", "-0330" or nothing (local time) behind a date. @return 0 or -EINVAL */
static int apply_zone(const char *zone, struct tm *date, time_t *ret_seconds)
{
	int sign = zone[0] == '-' ? -1 : 1;
	unsigned hours = 0;
	unsigned minutes = 0;
	const char *digits = zone + 1;

	if (zone[0] == '\0') {
		date->tm_isdst = -1;
		*ret_seconds = mktime(date);
		return 0;
	}
	*ret_seconds = timegm(date);
	if (text_equal(zone, "Z"))
		return 0;
	if ((zone[0] != '+' && zone[0] != '-') || strspn(digits, "0123456789") < 2)
		return -EINVAL;
	hours = (unsigned)(digits[0] - '0') * 10 + (unsigned)(digits[1] - '0');
	digits += digits[2] == ':' ? 3 : 2;
	if (strlen(digits) != 2 || strspn(digits, "0123456789") != 2)
		return -EINVAL;
	minutes = (unsigned)(digits[0] - '0') * 10 + (unsigned)(digits[1] - '0');
	if (hours > 14 || minutes > 59)
		return -EINVAL;
	*ret_seconds -= sign * (time_t)(hours * 3600 + minutes * 60);
	return 0;
}

/* RFC 3339 and what people shorten it to: a date, a time with or without seconds and a fraction, a zone or none. */
static int parse_date(const char *value, int64_t *ret_ms)
{
	static const char *const formats[] = { "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M",
					       "%Y-%m-%d %H:%M", "%Y-%m-%d" };

	/* strptime(3) takes leading spaces. */
	if (!isdigit((unsigned char)value[0]))
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		struct tm date = { 0 };
		const char *rest = strptime(value, formats[i], &date);
		unsigned milliseconds = 0;
		time_t seconds = 0;

		if (!rest)
			continue;
		if (*rest == '.' && isdigit((unsigned char)rest[1])) {
			unsigned weight = 100;

			for (rest++; isdigit((unsigned char)*rest); rest++, weight /= 10)
				milliseconds += (unsigned)(*rest - '0') * weight;
		}
		if (apply_zone(rest, &date, &seconds) < 0)
			return -EINVAL;
		*ret_ms = (int64_t)seconds * 1000 + milliseconds;
		return 0;
	}
	return -EINVAL;
}

int option_set_since(struct invocation *invocation, const struct option *option, const char *value, struct error *error)
{
	/* Nobody asks for the lines of the last thirty years: as with docker, so large a number counts from the epoch.
	 */
	enum { EPOCH_SECONDS_MIN = 1000000000 };
	uint64_t number = 0;
	int64_t since_ms = 0;

	if (number_parse(value, EPOCH_SECONDS_MIN, INT64_MAX / 1000, &number) == 0)
		since_ms = (int64_t)number * 1000;
	else if (number_parse_duration(value, &number) == 0)
		since_ms = clock_wall_ns() / 1000000 - (int64_t)number;
	else if (parse_date(value, &since_ms) < 0)
		return refuse_number(option, value, -EINVAL, "a time (10m ago, or 2026-03-01T10:00:00Z)", error);
	invocation->since_ms = since_ms;
	return 0;
}

int option_set_artifact(struct invocation *invocation, const struct option *option, const char *value,
			struct error *error)
{
	if (value[0] == '\0')
		return option_refuse_value(option, value, "it must not be empty", NULL, error);
	text_list_add(&invocation->artifacts, value);
	return 0;
}

int option_set_input(struct invocation *invocation, const struct option *option, const char *value, struct error *error)
{
	if (value[0] == '\0')
		return option_refuse_value(option, value, "it must not be empty", NULL, error);
	text_list_add(&invocation->inputs, value);
	return 0;
}

int option_set_seed(struct invocation *invocation, const struct option *option, const char *value, struct error *error)
{
	int result = text_equal(value, "none") ? 0 : seed_check_name(value, error);

	(void)option;
	if (result < 0)
		return result;
	text_free(&invocation->seed);
	invocation->seed = text_duplicate(value);
	return 0;
}

int option_set_slot(struct invocation *invocation, const struct option *option, const char *value, struct error *error)
{
	uint64_t slot;

	if (number_parse(value, 0, 255, &slot) < 0)
		return option_refuse_value(option, value, "it must be a number from 0 to 255", NULL, error);
	invocation->slot = slot + 1;
	return 0;
}
