/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/verbs/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macro.h"
#include "base/number.h"
#include "base/process.h"

struct option {
	const char *name;
	char letter;	   /* '\0': none */
	const char *value; /* what the help calls its value; NULL: it takes none */
	const char *help;
	/* @value NULL where the option takes none. @return 0 or -errno: the parser names option and value */
	int (*set)(struct spec *spec, const char *value);
};

static int set_text(char **target, const char *value)
{
	if (value[0] == '\0')
		return -EINVAL;
	text_free(target);
	*target = text_duplicate(value);
	return 0;
}

static int set_tree(struct spec *spec, const char *value)
{
	return set_text(&spec->tree, value);
}

static int set_workdir(struct spec *spec, const char *value)
{
	return set_text(&spec->workdir, value);
}

static int set_hostname(struct spec *spec, const char *value)
{
	return strlen(value) > 64 ? -ERANGE : set_text(&spec->hostname, value);
}

static int set_env(struct spec *spec, const char *value)
{
	if (value[0] == '\0' || value[0] == '=')
		return -EINVAL;
	text_list_add(&spec->environment.sets, value);
	return 0;
}

static int set_unsetenv(struct spec *spec, const char *value)
{
	if (value[0] == '\0' || strchr(value, '='))
		return -EINVAL;
	text_list_add(&spec->environment.unsets, value);
	return 0;
}

static int set_clearenv(struct spec *spec, const char *value)
{
	(void)value;
	spec->environment.clear = true;
	return 0;
}

static int set_db(struct spec *spec, const char *value)
{
	if (value[0] == '\0')
		return -EINVAL;
	if (text_equal(value, "none"))
		spec->no_databases = true;
	else
		text_list_add(&spec->databases, value);
	return 0;
}

static int set_verify(struct spec *spec, const char *value)
{
	(void)value;
	spec->verify_databases = true;
	return 0;
}

static int set_fix_ef_lock(struct spec *spec, const char *value)
{
	(void)value;
	spec->fix_ef_lock = true;
	return 0;
}

/* Cuts at the next ':' that no backslash escapes, and removes the backslashes. @return what follows, NULL at the end */
static char *cut_at_colon(char *text)
{
	char *written = text;

	for (char *read = text; *read; read++) {
		if (read[0] == '\\' && read[1] == ':') {
			*written++ = *++read;
		} else if (*read == ':') {
			*written = '\0';
			return read + 1;
		} else {
			*written++ = *read;
		}
	}
	*written = '\0';
	return NULL;
}

static int set_volume(struct spec *spec, const char *value)
{
	static const struct {
		const char *name;
		enum volume_kind kind;
	} kinds[] = { { "ro", VOLUME_READ_ONLY }, { "rw", VOLUME_READ_WRITE }, { "O", VOLUME_OVERLAY } };
	owned_text copy = text_duplicate(value);
	char *target = cut_at_colon(copy);
	char *mode = target ? cut_at_colon(target) : NULL;

	if (!mode || copy[0] != '/' || target[0] != '/')
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct volume volume = { .kind = kinds[i].kind, .source = copy, .target = target };

		if (!text_equal(mode, kinds[i].name))
			continue;
		spec_add_volume(spec, &volume);
		return 0;
	}
	return -EINVAL;
}

static int set_tmpfs(struct spec *spec, const char *value)
{
	owned_text copy = text_duplicate(value);
	char *size = cut_at_colon(copy);
	struct volume volume = { .kind = VOLUME_TMPFS, .target = copy };

	if (copy[0] != '/' || (size && !text_starts_with(size, "size=")))
		return -EINVAL;
	if (size && number_parse_size(size + strlen("size="), &volume.size_bytes) < 0)
		return -EINVAL;
	spec_add_volume(spec, &volume);
	return 0;
}

static int set_size(struct spec *spec, const char *value)
{
	int result = number_parse_size(value, &spec->scratch_bytes_max);

	return result == 0 && spec->scratch_bytes_max < (1 << 20) ? -ERANGE : result;
}

static int set_inodes(struct spec *spec, const char *value)
{
	return number_parse(value, 100, UINT32_MAX, &spec->scratch_inodes_max);
}

static int set_shm_size(struct spec *spec, const char *value)
{
	return number_parse_size(value, &spec->shm_bytes);
}

static int set_home(struct spec *spec, const char *value)
{
	if (text_equal(value, "cow"))
		spec->home = HOME_COPY_ON_WRITE;
	else if (text_equal(value, "empty"))
		spec->home = HOME_EMPTY;
	else
		return -EINVAL;
	return 0;
}

static int set_net(struct spec *spec, const char *value)
{
	if (text_equal(value, "private") || text_equal(value, "none"))
		spec->network = NETWORK_PRIVATE;
	else if (text_equal(value, "host"))
		spec->network = NETWORK_HOST;
	else
		return -EINVAL;
	return 0;
}

static int set_add_host(struct spec *spec, const char *value)
{
	const char *colon = strchr(value, ':');
	struct in6_addr address;

	if (!colon || colon == value || strcspn(value, " \t\n#") < strlen(value) ||
	    (inet_pton(AF_INET, colon + 1, &address) != 1 && inet_pton(AF_INET6, colon + 1, &address) != 1))
		return -EINVAL;
	text_list_add(&spec->add_hosts, value);
	return 0;
}

static int set_timeout(struct spec *spec, const char *value)
{
	return number_parse_duration(value, &spec->timeout_ms);
}

static int set_stop_signal(struct spec *spec, const char *value)
{
	int number = process_signal_parse(value);

	if (number < 0)
		return number;
	spec->stop_signal = number;
	return 0;
}

static int set_stop_timeout(struct spec *spec, const char *value)
{
	return number_parse_duration(value, &spec->stop_timeout_ms);
}

static int set_pids_limit(struct spec *spec, const char *value)
{
	return number_parse(value, 1, UINT32_MAX, &spec->limits.processes);
}

static int set_pass_fd(struct spec *spec, const char *value)
{
	uint64_t number = 0;
	int result = number_parse(value, 3, 65535, &number);

	/* Besides 0 to 2, as many as one spawn takes (SPAWN_FDS_MAX). */
	if (result == 0 && spec->pass_fd_count == 13)
		return -E2BIG;
	if (result == 0)
		spec_add_pass_fd(spec, (int)number);
	return result;
}

static int set_seccomp(struct spec *spec, const char *value)
{
	return seccomp_parse_profile(value, &spec->seccomp.profile);
}

static int set_seccomp_log(struct spec *spec, const char *value)
{
	(void)value;
	spec->seccomp.log = true;
	return 0;
}

static int set_allow_userns(struct spec *spec, const char *value)
{
	(void)value;
	spec->seccomp.allow_userns = true;
	return 0;
}

static int set_as_root(struct spec *spec, const char *value)
{
	(void)value;
	spec->as_root = true;
	return 0;
}

static int set_verbose(struct spec *spec, const char *value)
{
	(void)value;
	spec->verbose = true;
	return 0;
}

static const struct option options[] = {
	{ "tree", 'C', "DIR", "the app's directory, seen copy-on-write (default: the current one)", set_tree },
	{ "workdir", 'w', "DIR", "where the command starts (default: the current directory, or the tree)", set_workdir },
	{ "env", 'e', "NAME[=VALUE]", "set a variable, or let the caller's one through", set_env },
	{ "unsetenv", '\0', "NAME", "leave a variable out", set_unsetenv },
	{ "clearenv", '\0', NULL, "start from an empty environment", set_clearenv },
	{ "db", '\0', "FILE|none", "SQLite database to copy (repeatable; default: those in the tree)", set_db },
	{ "verify", '\0', NULL, "check the copies with SQLite's full integrity check", set_verify },
	{ "fix-ef-lock", '\0', NULL, "clear a stale EF Core migrations lock in the copy", set_fix_ef_lock },
	{ "volume", 'v', "SRC:DST:ro|rw|O", "show a host path: read-only, writable, or copy-on-write", set_volume },
	{ "tmpfs", '\0', "DST[:size=N]", "an empty directory in memory", set_tmpfs },
	{ "size", '\0', "N[k|m|g]", "bytes that the worker may write (default: 2g, at most half of the memory)", set_size },
	{ "inodes", '\0', "N", "files that the worker may make (default: 400000)", set_inodes },
	{ "shm-size", '\0', "N[k|m|g]", "/dev/shm as a file system of its own", set_shm_size },
	{ "home", '\0', "cow|empty", "HOME copy-on-write (default), or empty", set_home },
	{ "net", '\0', "private|host", "own network with loopback (default), or the host's", set_net },
	{ "hostname", '\0', "NAME", "the host name inside", set_hostname },
	{ "add-host", '\0', "NAME:IP", "a line for /etc/hosts", set_add_host },
	{ "timeout", '\0', "N[s|m|h]", "end the worker after this time, with status 124", set_timeout },
	{ "stop-signal", '\0', "SIGNAL", "what the time limit sends first (default: TERM)", set_stop_signal },
	{ "stop-timeout", '\0', "N[s|m|h]", "grace before KILL (default: 10s)", set_stop_timeout },
	{ "pids-limit", '\0', "N", "processes and threads inside (default: 8192)", set_pids_limit },
	{ "pass-fd", '\0', "N", "pass the open descriptor N to the command", set_pass_fd },
	{ "seccomp", '\0', "default|strict|off", "the system call filter: deny list, allow list, none", set_seccomp },
	{ "seccomp-log", '\0', NULL, "write what the filter denies to the audit log", set_seccomp_log },
	{ "allow-userns", '\0', NULL, "let the command make user namespaces (Chromium's own sandbox)", set_allow_userns },
	{ "as-root", '\0', NULL, "be uid 0 inside, without any privilege", set_as_root },
	{ "verbose", '\0', NULL, "tell more", set_verbose },
};

/* Docker's and bubblewrap's words that mean something else here, or nothing. */
static const struct {
	const char *name;
	const char *remedy;
} refused[] = {
	{ "privileged", "there is no privilege to give: leave it out" },
	{ "cap-add", "a payload never has a capability: leave it out" },
	{ "user", "the user inside is the caller; --as-root makes it uid 0" },
	{ "setenv", "use -e NAME=VALUE" },
	{ "chdir", "use -w DIR" },
	{ "network", "use --net private|host" },
};

static int error_option(const char *word, const char *cause, const char *remedy, struct error *error)
{
	return error_set(error, .number = EINVAL, .step = "understand the option", .object = word, .cause = cause,
			 .remedy = remedy ? remedy : "see: sbx run --help");
}

static int error_unknown(const char *word, const char *name, struct error *error)
{
	const struct option *nearest = NULL;
	owned_text remedy = NULL;
	unsigned best = 3;

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		if (text_equal(refused[i].name, name))
			return error_option(word, "it is not an option of sbx", refused[i].remedy, error);
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		unsigned distance = text_distance(name, options[i].name);

		if (distance < best) {
			best = distance;
			nearest = &options[i];
		}
	}
	if (nearest)
		remedy = text_format("did you mean --%s?", nearest->name);
	return error_option(word, "unknown option", remedy, error);
}

static const struct option *find_long(const char *name, size_t length)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (strlen(options[i].name) == length && strncmp(options[i].name, name, length) == 0)
			return &options[i];
	return NULL;
}

static const struct option *find_short(char letter)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (options[i].letter != '\0' && options[i].letter == letter)
			return &options[i];
	return NULL;
}

static int apply(const struct option *option, const char *value, struct spec *spec, struct error *error)
{
	owned_text shown = text_format("--%s%s%s", option->name, value ? "=" : "", value ? value : "");
	owned_text remedy = text_format("it takes %s: %s", option->value ? option->value : "no value", option->help);
	int result = option->set(spec, value);

	if (result < 0)
		return error_option(shown, result == -ERANGE ? "the value is out of range" : "the value cannot be used", remedy,
				    error);
	return 0;
}

/* One word that begins with '-'. @used_next 1 where the value was the next word */
static int parse_option(const char *word, const char *next, int *used_next, struct spec *spec, struct error *error)
{
	bool is_long = word[1] == '-';
	const char *equals = is_long ? strchr(word, '=') : NULL;
	const char *name = word + 2;
	size_t length = equals ? (size_t)(equals - name) : strlen(name);
	const struct option *option = is_long ? find_long(name, length) : find_short(word[1]);
	const char *value = NULL;

	*used_next = 0;
	if (!option) {
		owned_text plain = is_long ? strndup(name, length) : text_duplicate(word + 1);

		return error_unknown(word, plain, error);
	}
	if (!option->value) {
		if (equals || (!is_long && word[2] != '\0'))
			return error_option(word, "it takes no value", NULL, error);
		return apply(option, NULL, spec, error);
	}
	if (equals)
		value = equals + 1;
	else if (!is_long && word[2] != '\0')
		value = word + 2;
	else if (next)
		value = next, *used_next = 1;
	else
		return error_option(word, "its value is missing", NULL, error);
	return apply(option, value, spec, error);
}

int options_parse(char *const *words, struct spec *spec, struct error *error)
{
	for (; *words && (*words)[0] == '-' && (*words)[1] != '\0'; words++) {
		int used_next;
		int result;

		if (text_equal(*words, "--")) {
			words++;
			break;
		}
		if (text_equal(*words, "--help") || text_equal(*words, "-h"))
			return 1;
		result = parse_option(*words, words[1], &used_next, spec, error);
		if (result < 0)
			return result;
		words += used_next;
	}
	for (; *words; words++)
		text_list_add(&spec->payload, *words);
	return 0;
}

void options_print_help(FILE *stream)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		char left[64];

		(void)snprintf(left, sizeof(left), "%c%c%s--%s%s%s", options[i].letter ? '-' : ' ',
			       options[i].letter ? options[i].letter : ' ', options[i].letter ? ", " : "  ",
			       options[i].name, options[i].value ? " " : "", options[i].value ? options[i].value : "");
		(void)fprintf(stream, "  %-34s %s\n", left, options[i].help);
	}
}
