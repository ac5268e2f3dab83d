/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: one table names the plain members of struct spec; it writes them and reads them. Volumes, changes of
 * the environment and limits have functions of their own, in pairs. What is missing keeps its default, and what this
 * version does not know is passed over, so that other versions' descriptions can be read; what is there and wrong is an
 * error. */
#include "sandbox/worker/describe.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macro.h"
#include "base/number.h"
#include "base/process.h"
#include "sandbox/policy/landlock.h"
#include "sandbox/worker/server.h"

#define STEP_READ "read the description of the worker"

enum {
	ENTRIES_MAX = 65536, /* volumes, changes of the environment, databases: nobody has that many */
};

/* ---- the plain members ---- */

enum member_kind {
	MEMBER_TEXT,   /* char *; null where there is none */
	MEMBER_LIST,   /* struct text_list */
	MEMBER_TRUTH,  /* bool */
	MEMBER_SIZE,   /* uint64_t */
	MEMBER_CHOICE, /* an enum, by its words */
	MEMBER_SIGNAL, /* int, by its name */
};

struct member {
	const char *name;
	enum member_kind kind;
	size_t offset;
	const char *const *words; /* of a choice, by value */
	size_t word_count;
};

static const char *const home_words[] = { [HOME_COPY_ON_WRITE] = "cow", [HOME_EMPTY] = "empty" };
static const char *const network_words[] = { [NETWORK_PRIVATE] = "private",
					     [NETWORK_ONLINE] = "online",
					     [NETWORK_OUTBOUND] = "outbound",
					     [NETWORK_HOST] = "host" };
static const char *const keep_words[] = { [KEEP_NEVER] = "never", [KEEP_FAILED] = "failed", [KEEP_ALWAYS] = "always" };
/* Those that a user may choose: no description makes a payload one of sbx's own processes. */
static const char *const seccomp_words[] = {
	[SECCOMP_DEFAULT] = "default", [SECCOMP_STRICT] = "strict", [SECCOMP_OFF] = "off"
};
static const char *const filter_words[] = {
	[ENVIRONMENT_FILTER_SHORT] = "short", [ENVIRONMENT_FILTER_STRICT] = "strict"
};
static const char *const volume_words[] = {
	[VOLUME_READ_ONLY] = "ro", [VOLUME_READ_WRITE] = "rw", [VOLUME_OVERLAY] = "overlay",
	[VOLUME_TMPFS] = "tmpfs",  [VOLUME_COPY] = "copy",
};
static const char *const change_words[] = {
	[ENVIRONMENT_SET] = "set", [ENVIRONMENT_PASS] = "pass", [ENVIRONMENT_UNSET] = "unset"
};
static const char *const source_words[] = {
	[LIMIT_INHERITED] = "inherited", [LIMIT_DEFAULT] = "default", [LIMIT_NAMED] = "named", [LIMIT_TRIED] = "tried"
};

#define MEMBER(name, kind, place)                                                                                      \
	{                                                                                                              \
		name, kind, offsetof(struct spec, place), NULL, 0                                                      \
	}
#define CHOICE(name, place, words)                                                                                     \
	{                                                                                                              \
		name, MEMBER_CHOICE, offsetof(struct spec, place), words, ARRAY_SIZE(words)                            \
	}

static const struct member members[] = {
	MEMBER("name", MEMBER_TEXT, name),
	MEMBER("payload", MEMBER_LIST, payload),
	MEMBER("tree", MEMBER_TEXT, tree),
	MEMBER("workdir", MEMBER_TEXT, workdir),
	MEMBER("scratch", MEMBER_TEXT, scratch),
	MEMBER("force_disk", MEMBER_TRUTH, force_disk),
	MEMBER("hostname", MEMBER_TEXT, hostname),
	CHOICE("home", home, home_words),
	CHOICE("network", network, network_words),
	CHOICE("keep", keep, keep_words),
	MEMBER("as_root", MEMBER_TRUTH, as_root),
	MEMBER("databases", MEMBER_LIST, databases),
	MEMBER("no_databases", MEMBER_TRUTH, no_databases),
	MEMBER("verify_databases", MEMBER_TRUTH, verify_databases),
	MEMBER("fix_ef_lock", MEMBER_TRUTH, fix_ef_lock),
	MEMBER("scratch_bytes_max", MEMBER_SIZE, scratch_bytes_max),
	MEMBER("scratch_inodes_max", MEMBER_SIZE, scratch_inodes_max),
	MEMBER("scratch_limit_try", MEMBER_TRUTH, scratch_limit_try),
	MEMBER("shm_bytes", MEMBER_SIZE, shm_bytes),
	MEMBER("gui", MEMBER_TRUTH, gui),
	MEMBER("publish", MEMBER_LIST, ways.publish),
	MEMBER("reach", MEMBER_LIST, ways.reach),
	MEMBER("dns", MEMBER_LIST, ways.dns),
	MEMBER("add_hosts", MEMBER_LIST, add_hosts),
	MEMBER("labels", MEMBER_LIST, labels),
	MEMBER("timeout_ms", MEMBER_SIZE, timeout_ms),
	MEMBER("stop_signal", MEMBER_SIGNAL, stop_signal),
	MEMBER("stop_timeout_ms", MEMBER_SIZE, stop_timeout_ms),
	MEMBER("clearenv", MEMBER_TRUTH, environment.clear),
	CHOICE("env_filter", environment.filter, filter_words),
	CHOICE("seccomp", seccomp.profile, seccomp_words),
	MEMBER("allow_userns", MEMBER_TRUTH, seccomp.allow_userns),
	MEMBER("seccomp_log", MEMBER_TRUTH, seccomp.log),
};

/* ---- writing ---- */

/* JSON's whole numbers end at 2^63 - 1 here (base/json.h); a greater one is written as a text of digits. */
static void add_size(struct text_buffer *out, const char *name, uint64_t value)
{
	owned_text digits = NULL;

	if (value <= INT64_MAX) {
		json_add_number(out, name, (int64_t)value);
		return;
	}
	digits = text_format("%llu", (unsigned long long)value);
	json_add_text(out, name, digits);
}

static void add_member(struct text_buffer *out, const struct spec *spec, const struct member *member)
{
	const void *place = (const char *)spec + member->offset;
	const char *signal;
	char digits[16];
	char name[32];
	int number;

	switch (member->kind) {
	case MEMBER_TEXT:
		json_add_text(out, member->name, *(char *const *)place);
		return;
	case MEMBER_LIST:
		json_add_list(out, member->name, place);
		return;
	case MEMBER_TRUTH:
		json_add_bool(out, member->name, *(const bool *)place);
		return;
	case MEMBER_SIZE:
		add_size(out, member->name, *(const uint64_t *)place);
		return;
	case MEMBER_CHOICE:
		memcpy(&number, place, sizeof(number));
		json_add_text(out, member->name, member->words[number]);
		return;
	case MEMBER_SIGNAL:
		memcpy(&number, place, sizeof(number));
		/* A real-time signal has no name that could be read back. */
		(void)snprintf(digits, sizeof(digits), "%d", number);
		signal = process_signal_name(number, name, sizeof(name));
		json_add_text(out, member->name, process_signal_parse(signal) == number ? signal : digits);
		return;
	}
}

static void add_volumes(struct text_buffer *out, const struct volume_list *volumes)
{
	json_begin_array(out, "volumes");
	for (size_t i = 0; i < volumes->count; i++) {
		const struct volume *volume = &volumes->items[i];

		json_begin_object(out, NULL);
		json_add_text(out, "kind", volume_words[volume->kind]);
		json_add_text(out, "source", volume->source);
		json_add_text(out, "target", volume->target);
		add_size(out, "size_bytes", volume->size_bytes);
		json_end_object(out);
	}
	json_end_array(out);
}

static void add_changes(struct text_buffer *out, const char *name, const struct environment_changes *changes)
{
	json_begin_array(out, name);
	for (size_t i = 0; i < changes->count; i++) {
		json_begin_object(out, NULL);
		json_add_text(out, "kind", change_words[changes->items[i].kind]);
		json_add_text(out, "text", changes->items[i].text);
		json_end_object(out);
	}
	json_end_array(out);
}

static void add_limit_value(struct text_buffer *out, const char *name, rlim_t value)
{
	if (value == RLIM_INFINITY)
		json_add_text(out, name, "unlimited");
	else
		add_size(out, name, value);
}

static void add_limits(struct text_buffer *out, const struct limits *limits)
{
	owned_buffer processors = { 0 };

	json_begin_array(out, "limits");
	for (int i = 0; i < (int)ARRAY_SIZE(limits->items); i++) {
		const struct limit *limit = &limits->items[i];

		if (limit->source == LIMIT_INHERITED)
			continue;
		json_begin_object(out, NULL);
		json_add_text(out, "name", limits_name(i));
		json_add_text(out, "source", source_words[limit->source]);
		add_limit_value(out, "soft", limit->soft);
		add_limit_value(out, "hard", limit->hard);
		json_end_object(out);
	}
	json_end_array(out);
	for (size_t i = 0; i < LIMITS_PROCESSORS_MAX && limits->has_processors; i++)
		if (CPU_ISSET_S(i, sizeof(limits->processors), limits->processors))
			text_buffer_format(&processors, "%s%zu", processors.length ? "," : "", i);
	json_add_text(out, "processors", limits->has_processors ? processors.bytes : NULL);
	json_add_bool(out, "try_processors", limits->try_processors);
}

/* The spec as asked for, but for what was found out on the way: the tree and the databases are those of this worker,
 * not those that another start, in another directory, would find. All of it is borrowed. */
static struct spec spec_as_built(const struct worker_plan *plan)
{
	struct spec spec = *plan->spec;

	if (plan->tree)
		spec.tree = plan->tree;
	if (plan->workdir)
		spec.workdir = plan->workdir;
	spec.databases = plan->databases;
	spec.no_databases = plan->databases.count == 0;
	return spec;
}

static void add_spec(struct text_buffer *out, const struct spec *spec)
{
	json_begin_object(out, "spec");
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		add_member(out, spec, &members[i]);
	add_volumes(out, &spec->volumes);
	add_changes(out, "env", &spec->environment.changes);
	add_changes(out, "env_files", &spec->environment.from_files);
	add_limits(out, &spec->limits);
	json_begin_array(out, "pass_fds");
	for (size_t i = 0; i < spec->pass_fd_count; i++)
		json_add_number(out, NULL, spec->pass_fds[i]);
	json_end_array(out);
	json_end_object(out);
}

void describe_write_spec(const struct spec *spec, struct text_buffer *out)
{
	add_spec(out, spec);
}

static void add_posture(struct text_buffer *out, const struct world *world)
{
	static const char *const namespaces[] = { "user", "mount", "pid", "ipc", "uts", "cgroup" };
	const struct worker_plan *plan = world->plan;
	const struct spec *spec = plan->spec;

	json_begin_object(out, "posture");
	json_begin_array(out, "namespaces");
	for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++)
		json_add_text(out, NULL, namespaces[i]);
	if (spec->network != NETWORK_HOST)
		json_add_text(out, NULL, "network");
	json_end_array(out);
	json_add_number(out, "uid", plan->identity.inner_uid);
	json_add_number(out, "gid", plan->identity.inner_gid);
	json_begin_array(out, "capabilities");
	json_end_array(out);
	json_add_bool(out, "no_new_privs", true);
	json_add_text(out, "seccomp", seccomp_words[spec->seccomp.profile]);
	json_add_bool(out, "nested_user_namespaces", spec->seccomp.allow_userns);
	/* Of the main payload; what is run beside it has no domain, since siblings could not trace each other. */
	json_add_number(out, "landlock", spec->seccomp.allow_userns ? 0 : landlock_level());
	add_limits(out, &plan->limits);
	json_end_object(out);
}

static void add_databases(struct text_buffer *out, const struct world *world)
{
	json_begin_array(out, "databases");
	for (size_t i = 0; i < world->database_count; i++) {
		const struct world_database *database = &world->databases[i];

		json_begin_object(out, NULL);
		json_add_text(out, "path", database->path);
		json_add_text(out, "detail", database->detail);
		if (database->is_noted) {
			add_size(out, "bytes", database->bytes);
			json_add_number(out, "modified_ns", database->modified_ns);
			json_add_number(out, "mode", database->mode);
		}
		json_end_object(out);
	}
	json_end_array(out);
}

static void add_layers(struct text_buffer *out, const struct layers *layers)
{
	static const char *const kinds[] = {
		[LAYER_OVERLAY] = "overlay", [LAYER_PLAIN] = "plain", [LAYER_BIND] = "read-only"
	};

	json_begin_array(out, "layers");
	for (size_t i = 0; i < layers->count; i++) {
		json_begin_object(out, NULL);
		json_add_text(out, "path", layers->items[i].path);
		json_add_text(out, "kind", kinds[layers->items[i].kind]);
		json_end_object(out);
	}
	json_end_array(out);
}

void describe_world(const struct world *world, struct text_buffer *out)
{
	const struct worker_plan *plan = world->plan;
	struct spec spec = spec_as_built(plan);
	owned_list environment = { 0 };
	owned_list filtered = { 0 };

	json_begin_object(out, NULL);
	add_spec(out, &spec);
	add_posture(out, world);
	add_databases(out, world);
	add_layers(out, &world->layers);
	json_begin_object(out, "paths");
	json_add_text(out, "tree", plan->tree);
	json_add_text(out, "home", plan->home ? plan->home : HOME_WITHOUT);
	json_add_text(out, "workdir", plan->workdir);
	json_add_text(out, "upper", plan->upper_fd < 0 ? "tmpfs" : "disk");
	json_end_object(out);
	json_begin_array(out, "degraded");
	for (size_t i = 0; i < world->note_count; i++) {
		json_begin_object(out, NULL);
		json_add_text(out, "what", world->notes[i].what);
		json_add_text(out, "why", world->notes[i].why);
		json_end_object(out);
	}
	json_end_array(out);
	if (plan->guest && plan->guest->describe)
		plan->guest->describe(plan->guest->argument, out);
	environment_split_secrets(&plan->environment, &environment, &filtered);
	json_add_list(out, "environment", &environment);
	json_add_list(out, "environment_filtered", &filtered);
	json_end_object(out);
}

/* ---- reading ---- */

static int refuse(const char *name, struct error *error)
{
	return error_set(error, .number = EBADMSG, .step = STEP_READ, .object = name,
			 .cause = "the member is damaged, or of a version of sbx that this one cannot read");
}

/* Each of these leaves the target as it is where the member is missing or null: @return 0 or -EBADMSG, bare. */

static int read_text(struct json_value value, char **target)
{
	char *text = NULL;
	int result = json_text(value, &text);

	if (result == -ENOENT)
		return 0;
	if (result < 0)
		return -EBADMSG;
	free(*target);
	*target = text;
	return 0;
}

static int read_list(struct json_value value, struct text_list *target)
{
	owned_list list = { 0 };
	int result = json_list(value, &list);

	if (result == -ENOENT)
		return 0;
	if (result < 0)
		return -EBADMSG;
	text_list_release(target);
	*target = list;
	list = (struct text_list){ 0 };
	return 0;
}

static int read_truth(struct json_value value, bool *target)
{
	int result = json_bool(value, target);

	return result == 0 || result == -ENOENT ? 0 : -EBADMSG;
}

static int read_size(struct json_value value, uint64_t *target)
{
	owned_text digits = NULL;
	int64_t number;
	int result;

	if (json_type(value) == JSON_TEXT)
		return json_text(value, &digits) < 0 || number_parse(digits, 0, UINT64_MAX, target) < 0 ? -EBADMSG : 0;
	result = json_number(value, &number);
	if (result == -ENOENT)
		return 0;
	if (result < 0 || number < 0)
		return -EBADMSG;
	*target = (uint64_t)number;
	return 0;
}

static int read_choice(struct json_value value, const char *const *words, size_t count, int *target)
{
	if (json_type(value) <= JSON_NULL)
		return 0;
	for (size_t i = 0; i < count; i++) {
		if (!json_text_is(value, words[i]))
			continue;
		*target = (int)i;
		return 0;
	}
	return -EBADMSG;
}

static int read_signal(struct json_value value, int *target)
{
	owned_text name = NULL;
	int number;

	if (json_type(value) <= JSON_NULL)
		return 0;
	number = json_text(value, &name) < 0 ? -EBADMSG : process_signal_parse(name);
	if (number <= 0)
		return -EBADMSG;
	*target = number;
	return 0;
}

static int read_member(struct json_value value, struct spec *spec, const struct member *member)
{
	void *place = (char *)spec + member->offset;
	int number;
	int result = -EBADMSG;

	switch (member->kind) {
	case MEMBER_TEXT:
		return read_text(value, place);
	case MEMBER_LIST:
		return read_list(value, place);
	case MEMBER_TRUTH:
		return read_truth(value, place);
	case MEMBER_SIZE:
		return read_size(value, place);
	case MEMBER_CHOICE:
		memcpy(&number, place, sizeof(number));
		result = read_choice(value, member->words, member->word_count, &number);
		memcpy(place, &number, sizeof(number));
		return result;
	case MEMBER_SIGNAL:
		return read_signal(value, place);
	}
	return result;
}

/* ---- reading: the lists of objects ---- */

/* Reads one element and adds it to the spec. @return 0 or -EBADMSG */
typedef int element_reader(struct json_value element, void *target);

static int read_elements(struct json_value array, element_reader *read, void *target)
{
	size_t count = 0;

	if (json_type(array) <= JSON_NULL)
		return 0;
	if (json_type(array) != JSON_ARRAY)
		return -EBADMSG;
	for (struct json_value element = json_first(array); json_type(element); element = json_next(element))
		if (json_type(element) != JSON_OBJECT || ++count > ENTRIES_MAX || read(element, target) < 0)
			return -EBADMSG;
	return 0;
}

static int read_volume(struct json_value element, void *target)
{
	owned_text source = NULL;
	owned_text place = NULL;
	struct volume volume = { 0 };
	int kind = -1;

	if (read_choice(json_member(element, "kind"), volume_words, ARRAY_SIZE(volume_words), &kind) < 0 || kind < 0 ||
	    read_text(json_member(element, "source"), &source) < 0 ||
	    read_text(json_member(element, "target"), &place) < 0 ||
	    read_size(json_member(element, "size_bytes"), &volume.size_bytes) < 0)
		return -EBADMSG;
	volume.kind = (enum volume_kind)kind;
	volume.source = source;
	volume.target = place;
	if (!place || !place[0] || (volume.kind == VOLUME_TMPFS) == (source && source[0]))
		return -EBADMSG;
	spec_add_volume(target, &volume);
	return 0;
}

/* As sandbox/policy/environment.c takes them: a name, and a value where one is set. */
static bool is_change(enum environment_change_kind kind, const char *text)
{
	return text && text[0] != '\0' && text[0] != '=' && (kind == ENVIRONMENT_SET) == (strchr(text, '=') != NULL);
}

static int read_change(struct json_value element, struct environment_change *ret_change)
{
	owned_text text = NULL;
	int kind = -1;

	if (read_choice(json_member(element, "kind"), change_words, ARRAY_SIZE(change_words), &kind) < 0 || kind < 0 ||
	    read_text(json_member(element, "text"), &text) < 0 || !is_change((enum environment_change_kind)kind, text))
		return -EBADMSG;
	*ret_change = (struct environment_change){ .kind = (enum environment_change_kind)kind, .text = text };
	text = NULL;
	return 0;
}

static int read_option_change(struct json_value element, void *target)
{
	struct environment_options *options = target;
	struct environment_change change = { 0 };
	owned_text text = NULL;

	if (read_change(element, &change) < 0)
		return -EBADMSG;
	text = change.text;
	return change.kind == ENVIRONMENT_UNSET ? environment_options_unset(options, text, NULL)
						: environment_options_set(options, text, NULL);
}

static int read_file_change(struct json_value element, void *target)
{
	struct environment_changes *changes = &((struct environment_options *)target)->from_files;
	struct environment_change change = { 0 };

	if (read_change(element, &change) < 0)
		return -EBADMSG;
	/* Always one place more than there is: these lists are short, and nobody else adds to this one now. */
	changes->items = reallocarray(changes->items, changes->count + 1, sizeof(*changes->items));
	if (!changes->items)
		abort();
	changes->items[changes->count++] = change;
	return 0;
}

static int read_limit_value(struct json_value value, rlim_t *ret_limit)
{
	uint64_t number = UINT64_MAX;

	if (json_text_is(value, "unlimited")) {
		*ret_limit = RLIM_INFINITY;
		return 0;
	}
	if (json_type(value) <= JSON_NULL || read_size(value, &number) < 0)
		return -EBADMSG;
	*ret_limit = (rlim_t)number;
	return 0;
}

static int read_limit(struct json_value element, void *target)
{
	struct limits *limits = target;
	struct limit limit = { 0 };
	int source = -1;

	if (read_choice(json_member(element, "source"), source_words, ARRAY_SIZE(source_words), &source) < 0 ||
	    source < 0 || read_limit_value(json_member(element, "soft"), &limit.soft) < 0 ||
	    read_limit_value(json_member(element, "hard"), &limit.hard) < 0 || limit.soft > limit.hard)
		return -EBADMSG;
	limit.source = (enum limit_source)source;
	for (int i = 0; i < (int)ARRAY_SIZE(limits->items); i++) {
		if (!json_text_is(json_member(element, "name"), limits_name(i)))
			continue;
		limits->items[i] = limit;
		return 0;
	}
	return -EBADMSG;
}

static int read_limits(struct json_value spec, struct limits *limits)
{
	owned_text processors = NULL;

	/* The defaults are among those that are written. */
	if (json_type(json_member(spec, "limits")) == JSON_ARRAY)
		memset(limits->items, 0, sizeof(limits->items));
	if (read_elements(json_member(spec, "limits"), read_limit, limits) < 0 ||
	    read_text(json_member(spec, "processors"), &processors) < 0 ||
	    (processors && limits_parse_processors(limits, processors, NULL) < 0))
		return -EBADMSG;
	return read_truth(json_member(spec, "try_processors"), &limits->try_processors);
}

int describe_read_spec(struct json_value object, struct spec *ret_spec, struct error *error)
{
	struct json_value spec = json_member(object, "spec");

	if (json_type(spec) != JSON_OBJECT)
		return refuse("spec", error);
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (read_member(json_member(spec, members[i].name), ret_spec, &members[i]) < 0)
			return refuse(members[i].name, error);
	if (read_elements(json_member(spec, "volumes"), read_volume, ret_spec) < 0)
		return refuse("volumes", error);
	if (read_elements(json_member(spec, "env_files"), read_file_change, &ret_spec->environment) < 0)
		return refuse("env_files", error);
	if (read_elements(json_member(spec, "env"), read_option_change, &ret_spec->environment) < 0)
		return refuse("env", error);
	if (read_limits(spec, &ret_spec->limits) < 0)
		return refuse("limits", error);
	return 0;
}

int describe_read_environment(struct json_value object, struct text_list *ret_environment,
			      struct text_list *ret_filtered, struct error *error)
{
	if (read_list(json_member(object, "environment"), ret_environment) < 0)
		return refuse("environment", error);
	if (read_list(json_member(object, "environment_filtered"), ret_filtered) < 0)
		return refuse("environment_filtered", error);
	for (size_t i = 0; i < ret_environment->count; i++)
		if (!is_change(ENVIRONMENT_SET, ret_environment->items[i]))
			return refuse("environment", error);
	return 0;
}

/* ---- reading: the databases ---- */

struct database_list {
	struct world_database *items;
	size_t count;
};

static int read_database(struct json_value element, void *target)
{
	struct database_list *list = target;
	struct world_database database = { .is_noted = true };
	uint64_t mode = 0;
	owned_text path = NULL;

	if (read_text(json_member(element, "path"), &path) < 0 || !path || path[0] != '/')
		return -EBADMSG;
	if (json_type(json_member(element, "bytes")) <= JSON_NULL ||
	    read_size(json_member(element, "bytes"), &database.bytes) < 0 ||
	    json_number(json_member(element, "modified_ns"), &database.modified_ns) < 0 ||
	    read_size(json_member(element, "mode"), &mode) < 0 || mode > UINT32_MAX)
		database = (struct world_database){ 0 };
	else
		database.mode = (uint32_t)mode;
	database.path = path;
	path = NULL;
	database.detail = text_duplicate("kept");
	list->items = reallocarray(list->items, list->count + 1, sizeof(*list->items));
	if (!list->items)
		abort();
	list->items[list->count++] = database;
	return 0;
}

int describe_read_databases(struct json_value object, struct world_database **ret_items, size_t *ret_count,
			    struct error *error)
{
	struct database_list list = { 0 };

	if (read_elements(json_member(object, "databases"), read_database, &list) < 0) {
		world_databases_release(list.items, list.count);
		return refuse("databases", error);
	}
	*ret_items = list.items;
	*ret_count = list.count;
	return 0;
}
