/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: the bundle is unpacked into a directory of its own (interim.h), and a world begins with that laid over
 * its layers (worker/moved.h), at the paths of the other machine, over this machine's tree and HOME. Then the command
 * runs in it. Whatever the bundle says of the world's shape is taken only where it takes nothing from the host: no
 * volume, no way out, no weaker filter. All ends together. */
#include "sandbox/run/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/number.h"
#include "base/path.h"
#include "overlay/bundle.h"
#include "sandbox/pool/member.h"
#include "sandbox/pool/services.h"
#include "sandbox/run/interim.h"
#include "sandbox/run/origin.h"
#include "sandbox/run/pack.h"
#include "sandbox/run/recipe.h"
#include "sandbox/worker/attach.h"
#include "sandbox/worker/describe.h"
#include "sandbox/worker/identity.h"
#include "sandbox/worker/moved.h"

#define STEP_REPLAY "replay the bundle"
#define LOGS_NOW    ".logs" /* of the services as they run now */

enum { DESCRIPTION_MAX = JSON_SIZE_MAX };

struct replay {
	const struct replay_options *options;
	struct interim interim;
	struct spec spec;     /* of the world */
	struct spec recorded; /* as the bundle has it */
	struct moved moved;
	struct member member;
	struct recipe recipe;
	struct services *services;
	struct server_guest guest;
	struct text_list chosen; /* what is run */
	const char *directory;	 /* where; NULL: the worker's own */
	int log_fd;
	char *logs;
	char *tree;
	char *home; /* of the other machine; NULL: it had none */
	char *name;
	char *run;
	struct text_list command; /* the worker's own */
	struct text_list labels;
	struct text_list environment;
	struct text_list filtered;
	int64_t index; /* SBX_WORKER; -1: none */
	int64_t count;
};

static void say(const struct replay *replay, char *line)
{
	owned_text text = line;

	replay->options->say(text);
}

/* It comes from another machine: a terminal must not be commanded by it. */
static void say_escaped(const struct replay *replay, const char *what, const char *text)
{
	char shown[4096];

	text_escape(shown, sizeof(shown), text);
	say(replay, text_format("%s%s", what, shown));
}

/* ---- what the bundle says ---- */

static int read_description(struct replay *replay, const char *text, struct error *error)
{
	owned_json json = { 0 };
	struct json_value root;
	struct json_value worker;
	int64_t version = 0;
	int result = json_read(&json, text, strlen(text), error);

	if (result < 0)
		return result;
	root = json_root(&json);
	if (json_number(json_member(root, "version"), &version) < 0 || version < 1)
		return error_set(error, .number = EBADMSG, .step = STEP_REPLAY, .object = PACK_DESCRIPTION,
				 .cause = "it does not say of which version it is");
	if (version > PACK_VERSION)
		return error_set(error, .number = ENOTSUP, .step = STEP_REPLAY, .object = PACK_DESCRIPTION,
				 .cause = "it was made by a newer version of sbx",
				 .remedy = "replay it with that version, or a later one");
	worker = json_member(root, "worker");
	(void)json_text(json_member(worker, "name"), &replay->name);
	(void)json_text(json_member(worker, "run"), &replay->run);
	(void)json_list(json_member(worker, "command"), &replay->command);
	(void)json_text(json_member(json_member(root, "paths"), "home"), &replay->home);
	if (text_equal(replay->home, HOME_WITHOUT))
		text_free(&replay->home);
	result = describe_read_spec(root, &replay->recorded, error);
	if (result == 0)
		result = describe_read_environment(root, &replay->environment, &replay->filtered, error);
	if (result == 0)
		result = recipe_read(json_member(root, "recipe"), &replay->recipe, error);
	(void)json_list(json_member(worker, "labels"), &replay->labels);
	if (result == 0)
		result = describe_read_databases(root, &replay->moved.databases, &replay->moved.database_count, error);
	return result;
}

/* @ret_directory_fd  the caller's: open as long as the bundle */
static int open_bundle(const char *path, int *ret_directory_fd, struct bundle **ret_bundle, char **ret_text,
		       struct error *error)
{
	owned_text parent = strchr(path, '/') ? path_parent(path) : text_duplicate(".");
	int result;

	*ret_directory_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret_directory_fd < 0)
		return error_set(error, .number = errno, .step = STEP_REPLAY, .object = path);
	result = bundle_open(*ret_directory_fd, path_name(path), ret_bundle, error);
	return result < 0 ? result
			  : bundle_read_text(*ret_bundle, PACK_DESCRIPTION, DESCRIPTION_MAX, ret_text, NULL, error);
}

static int unpack(struct replay *replay, struct error *error)
{
	owned_fd directory_fd = -1;
	owned_bundle bundle = NULL;
	owned_text text = NULL;
	int result = open_bundle(replay->options->path, &directory_fd, &bundle, &text, error);

	if (result == 0)
		result = read_description(replay, text, error);
	return result < 0 ? result : bundle_unpack(bundle, replay->interim.fd, error);
}

/* ---- the world's shape ---- */

static const char *value_of(const struct text_list *environment, const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < environment->count; i++)
		if (strncmp(environment->items[i], name, length) == 0 && environment->items[i][length] == '=')
			return environment->items[i] + length + 1;
	return NULL;
}

static int64_t number_of(const struct text_list *environment, const char *name, int64_t otherwise)
{
	const char *value = value_of(environment, name);
	uint64_t number;

	return value && number_parse(value, 0, 65535, &number) == 0 ? (int64_t)number : otherwise;
}

/* Whether a PATH has that directory already. */
static bool has_part(const char *path, const char *directory)
{
	size_t length = strlen(directory);

	for (const char *at = path; at; at = strchr(at, ':') ? strchr(at, ':') + 1 : NULL)
		if (strncmp(at, directory, length) == 0 && (at[length] == ':' || at[length] == '\0'))
			return true;
	return false;
}

/* This machine's programs behind those of the other one: what lies in this caller's HOME shows in the world where the
 * other's was. */
static char *join_path(const struct replay *replay, const char *recorded)
{
	const char *own = getenv("PATH");
	const char *own_home = getenv("HOME");
	owned_text copy = text_duplicate(own ? own : "/usr/local/bin:/usr/bin:/bin");
	owned_buffer joined = { 0 };
	char *rest = copy;

	text_buffer_format(&joined, "%s", recorded ? recorded : "");
	for (char *part = strsep(&rest, ":"); part; part = strsep(&rest, ":")) {
		bool is_moved =
			own_home && own_home[0] == '/' && own_home[1] && replay->home && path_is_below(part, own_home);
		owned_text moved = is_moved ? path_join(replay->home, path_below(part, own_home)) : NULL;

		if (part[0] == '/' && !has_part(joined.bytes, moved ? moved : part))
			text_buffer_format(&joined, "%s%s", joined.length > 0 ? ":" : "", moved ? moved : part);
	}
	return text_format("PATH=%s", joined.bytes);
}

static int set_environment(struct replay *replay, struct error *error)
{
	struct environment_options *options = &replay->spec.environment;
	const struct environment_options *given = &replay->options->spec->environment;
	owned_text path = join_path(replay, value_of(&replay->environment, "PATH"));
	int result = 0;

	options->clear = replay->environment.count > 0;
	for (size_t i = 0; i < replay->environment.count && result == 0; i++)
		result = environment_options_set(options, replay->environment.items[i], error);
	if (result == 0)
		result = environment_options_set(options, path, error);
	for (size_t i = 0; i < given->from_files.count && result == 0; i++)
		result = environment_options_set(options, given->from_files.items[i].text, error);
	for (size_t i = 0; i < given->changes.count && result == 0; i++)
		result = given->changes.items[i].kind == ENVIRONMENT_UNSET
				 ? environment_options_unset(options, given->changes.items[i].text, error)
				 : environment_options_set(options, given->changes.items[i].text, error);
	return result;
}

static bool is_given(const struct replay *replay, const char *target)
{
	const struct volume_list *volumes = &replay->options->spec->volumes;

	for (size_t i = 0; i < volumes->count; i++)
		if (text_equal(volumes->items[i].target, target))
			return true;
	return false;
}

/* What it does not get, since it would be taken from this host: told, so that nobody wonders. */
static void tell_refused(const struct replay *replay)
{
	const struct spec *recorded = &replay->recorded;

	/* What --copy filled in is among the changed files. */
	for (size_t i = 0; i < recorded->volumes.count; i++) {
		const struct volume *volume = &recorded->volumes.items[i];

		if (volume->kind != VOLUME_TMPFS && volume->kind != VOLUME_COPY && !is_given(replay, volume->target))
			say_escaped(replay,
				    "not taken from the bundle; -v DIR:TARGET:O has a directory of yours there: "
				    "the volume at ",
				    volume->target);
	}
	if (recorded->network == NETWORK_HOST || recorded->network == NETWORK_OUTBOUND)
		say(replay, text_duplicate("not taken from the bundle: its way out of the network"));
	if (recorded->ways.reach.count > 0)
		say(replay, text_duplicate("not taken from the bundle: servers outside that it reached"));
	if (recorded->seccomp.profile == SECCOMP_OFF || recorded->seccomp.allow_userns)
		say(replay, text_duplicate("not taken from the bundle: a weaker filter"));
}

static void take(char **target, char **source)
{
	*target = *source;
	*source = NULL;
}

/* Only what takes nothing from the host. */
static int shape_world(struct replay *replay, struct error *error)
{
	const struct spec *given = replay->options->spec;
	struct spec *spec = &replay->spec;
	struct spec *recorded = &replay->recorded;

	take(&spec->tree, &recorded->tree);
	take(&spec->workdir, &recorded->workdir);
	take(&spec->hostname, &recorded->hostname);
	spec->home = recorded->home;
	spec->network = recorded->network == NETWORK_PRIVATE ? NETWORK_PRIVATE : NETWORK_ONLINE;
	spec->databases = recorded->databases;
	recorded->databases = (struct text_list){ 0 };
	spec->no_databases = recorded->no_databases;
	spec->shm_bytes = recorded->shm_bytes;
	spec->stop_signal = recorded->stop_signal;
	spec->stop_timeout_ms = recorded->stop_timeout_ms;
	if (recorded->seccomp.profile == SECCOMP_STRICT)
		spec->seccomp.profile = SECCOMP_STRICT;
	for (size_t i = 0; i < recorded->volumes.count; i++)
		if (recorded->volumes.items[i].kind == VOLUME_TMPFS)
			spec_add_volume(spec, &recorded->volumes.items[i]);
	for (size_t i = 0; i < given->volumes.count; i++)
		spec_add_volume(spec, &given->volumes.items[i]);
	spec->timeout_ms = given->timeout_ms;
	spec->scratch = text_duplicate(given->scratch);
	spec->scratch_bytes_max = given->scratch_bytes_max;
	spec->scratch_inodes_max = given->scratch_inodes_max;
	spec->scratch_limit_try = given->scratch_limit_try;
	replay->index = number_of(&replay->environment, "SBX_WORKER", 0);
	replay->count = number_of(&replay->environment, "SBX_WORKERS", 1);
	tell_refused(replay);
	return set_environment(replay, error);
}

/* ---- what runs in it ---- */

/* Opens a directory among the unpacked files, made where it is missing; no symbolic link is followed. */
static int open_unpacked(const struct replay *replay, const char *path)
{
	owned_text below = text_format(BUNDLE_FILES "%s", path);
	owned_fd fd = fd_duplicate(replay->interim.fd);
	char *rest = below;

	for (char *part = strsep(&rest, "/"); part && fd >= 0; part = strsep(&rest, "/")) {
		owned_fd parent_fd = fd_take(&fd);

		if (part[0] == '\0') {
			fd = fd_take(&parent_fd);
			continue;
		}
		if (mkdirat(parent_fd, part, 0755) < 0 && errno != EEXIST)
			return -errno;
		fd = path_open(parent_fd, part, O_PATH | O_DIRECTORY, 0, PATH_BENEATH);
	}
	return fd_take(&fd);
}

static int write_config(const struct replay *replay, const char *path, const char *text, struct error *error)
{
	owned_text parent = path_parent(path);
	owned_fd parent_fd = -1;
	owned_fd fd = -1;
	owned_text normal = path_normal("/", path);
	int result;

	if (!text_equal(normal, path))
		return error_set(error, .number = EBADMSG, .step = STEP_REPLAY, .object = path,
				 .cause = "no configuration lies at such a path");
	parent_fd = open_unpacked(replay, parent);
	result = parent_fd;
	if (parent_fd >= 0) {
		(void)unlinkat(parent_fd, path_name(path), 0);
		fd = openat(parent_fd, path_name(path), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
		result = fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
	}
	return result < 0 ? error_set(error, .number = -result, .step = STEP_REPLAY, .object = path) : 0;
}

static void copy_list(const struct text_list *from, struct text_list *to)
{
	for (size_t i = 0; i < from->count; i++)
		text_list_add(to, from->items[i]);
}

static bool is_of_a_test(const struct replay *replay)
{
	for (size_t i = 0; i < replay->labels.count; i++)
		if (text_starts_with(replay->labels.items[i], "test="))
			return true;
	return false;
}

/* A command as it is typed. */
static char *as_line(const struct text_list *command)
{
	struct text_buffer line = { 0 };

	for (size_t i = 0; i < command->count; i++) {
		const char *word = command->items[i];

		text_buffer_add_text(&line, i > 0 ? " " : "");
		if (word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=./:,@%+")] ==
		    '\0') {
			text_buffer_add_text(&line, word);
			continue;
		}
		text_buffer_add_text(&line, "'");
		for (const char *c = word; *c; c++)
			text_buffer_format(&line, *c == '\'' ? "'\\%c'" : "%c", *c);
		text_buffer_add_text(&line, "'");
	}
	return line.bytes ? line.bytes : text_duplicate("");
}

/* The red test alone; what the worker ran. */
static int choose_own_command(struct replay *replay, struct text_list *command, struct error *error)
{
	owned_text config = NULL;
	owned_text config_path = NULL;

	if (recipe_make_command(&replay->recipe, command, &config, &config_path) == 0)
		return config ? write_config(replay, config_path, config, error) : 0;
	if (replay->recipe.runner)
		copy_list(&replay->recipe.arguments, command);
	else if (!is_of_a_test(replay))
		copy_list(&replay->command, command);
	return 0;
}

static int choose_command(struct replay *replay, struct error *error)
{
	const struct text_list *given = &replay->options->spec->payload;
	owned_list own = { 0 };
	owned_text line = NULL;
	int result = choose_own_command(replay, &own, error);

	if (result < 0)
		return result;
	line = as_line(&own);
	if (own.count > 0)
		say_escaped(replay, given->count > 0 ? "what was run: " : "running: ", line);
	if (given->count == 0 && own.count == 0)
		return error_set(error, .number = ENOENT, .step = STEP_REPLAY, .object = replay->options->path,
				 .cause = "it does not say what was run in it",
				 .remedy = "say it behind: sbx replay FILE -- COMMAND, or look around: --shell");
	if (given->count == 0)
		replay->directory = replay->recipe.directory;
	copy_list(given->count > 0 ? given : &own, &replay->chosen);
	return 0;
}

static bool is_trace(const char *path)
{
	return text_ends_with(path, ".zip");
}

static void tell_traces(const struct replay *replay)
{
	for (size_t i = 0; i < replay->recipe.attachments.count; i++) {
		const char *path = replay->recipe.attachments.items[i];
		owned_text name = text_format(BUNDLE_FILES "%s", path);
		owned_list unpack = { 0 };
		owned_text unpacking = NULL;
		owned_text showing = NULL;

		if (!is_trace(path))
			continue;
		text_list_add(&unpack, "sqlite3");
		text_list_add(&unpack, replay->options->path);
		text_list_add(&unpack, "-Ax");
		text_list_add(&unpack, name);
		unpacking = as_line(&unpack);
		showing = as_line(&(struct text_list){ .items = &name, .count = 1 });
		say_escaped(replay, "its trace: ", unpacking);
		say_escaped(replay, "then: npx playwright show-trace ", showing);
	}
}

/* ---- the world ---- */

static void hear(void *argument, struct member *member, const struct reply *reply)
{
	const struct replay *replay = argument;
	struct services_news news = services_news_unpack(reply->number);

	if (reply->kind != REPLY_SERVICE)
		return;
	if (news.state == SERVICES_ALL_READY)
		member_set_ready(member);
	else if (news.state == SERVICE_FAILED)
		member_fail(member, &reply->error);
	else if (news.state == SERVICE_READY && news.index < replay->recipe.services.count)
		say_escaped(replay, "ready: ", replay->recipe.services.items[news.index].name);
}

static int prepare_services(struct replay *replay, struct member_options *options, struct error *error)
{
	int result;

	if (replay->recipe.services.count == 0)
		return 0;
	replay->logs = path_join(replay->interim.path, LOGS_NOW);
	if (mkdirat(replay->interim.fd, LOGS_NOW, 0700) < 0)
		return error_set(error, .number = errno, .step = "make the directory of logs", .object = replay->logs);
	replay->log_fd = openat(replay->interim.fd, LOGS_NOW, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (replay->log_fd < 0)
		return error_set(error, .number = errno, .step = "open the directory of logs", .object = replay->logs);
	result = services_new(&replay->recipe.services, replay->log_fd, &replay->services, error);
	if (result < 0)
		return result;
	replay->guest = services_guest(replay->services);
	replay->member.hear = hear;
	replay->member.argument = replay;
	options->guest = &replay->guest;
	options->log_fd = replay->log_fd;
	options->log_directory = replay->logs;
	return 0;
}

static int wait_until_ready(struct replay *replay, struct error *error)
{
	struct member *member = &replay->member;

	while (member->state == MEMBER_STARTING || member->state == MEMBER_WAITING) {
		struct pollfd polled = { .fd = member_fd(member), .events = POLLIN };

		if (poll(&polled, 1, -1) < 0 && errno != EINTR)
			return error_set(error, .number = errno, .step = "wait for the world");
		if (polled.revents)
			member_hear(member, replay->options->say);
	}
	if (member->state == MEMBER_READY)
		return 0;
	*error = member->error;
	return error->number > 0 ? -error->number : -ECHILD;
}

static int start_world(struct replay *replay, struct error *error)
{
	const char *tree = replay->options->spec->tree ? replay->options->spec->tree : ".";
	owned_text name = text_format("replay-%s", replay->name ? replay->name : "");
	struct member_options options = { .spec = &replay->spec,
					  .name = replay->name && name_check(name, NULL) == 0 ? name : NULL,
					  .index = (int)replay->index,
					  .count = (unsigned)replay->count,
					  .moved = &replay->moved,
					  .log_fd = -1 };
	int result = path_canonical(tree, &replay->tree);

	if (result < 0)
		return error_set(error, .number = -result, .step = "open the tree", .object = tree,
				 .remedy = "name the app's directory on this machine with -C DIR");
	replay->moved.tree = replay->tree;
	replay->moved.home = replay->home;
	replay->moved.files = replay->interim.path;
	result = prepare_services(replay, &options, error);
	if (result == 0)
		result = member_begin(&replay->member, &options, NULL, 0, replay->options->say, error);
	/* A second replay of the same bundle goes by its id. */
	if (result == -EEXIST && options.name) {
		options.name = NULL;
		result = member_begin(&replay->member, &options, NULL, 0, replay->options->say, error);
	}
	return result < 0 ? result : wait_until_ready(replay, error);
}

static int run_command(struct replay *replay, int *ret_exit_code, struct relay_result *ret_ended, struct error *error)
{
	struct spec spec = *replay->options->spec; /* borrows */
	struct attach_options options = { .spec = &spec, .directory = replay->directory };
	owned_list set = { 0 };
	owned_fd connection = -1;
	struct relay *relay = NULL;
	int result = member_connect(&replay->member, false, &connection, error);

	if (getenv("TERM"))
		text_list_take(&set, text_format("TERM=%s", getenv("TERM")));
	options.set = set;
	spec.payload = replay->chosen;
	if (result == 0)
		result = attach_start(connection, &options, &relay, error);
	if (result == 0)
		result = attach_follow(relay, connection, replay->member.launched.pidfd, ret_ended, ret_exit_code,
				       error);
	relay_close(relay);
	return result;
}

static int do_replay(struct replay *replay, int *ret_exit_code, struct relay_result *ret_ended, struct error *error)
{
	struct state_paths places = { 0 };
	int result = identity_find_places(&places, error);

	if (result == 0)
		result = interim_make(&places, &replay->interim, error);
	state_paths_release(&places);
	if (result == 0)
		result = unpack(replay, error);
	if (result == 0)
		result = shape_world(replay, error);
	if (result == 0)
		result = choose_command(replay, error);
	if (result == 0)
		result = start_world(replay, error);
	if (result == 0)
		tell_traces(replay);
	return result < 0 ? result : run_command(replay, ret_exit_code, ret_ended, error);
}

int replay_run(const struct replay_options *options, int *ret_exit_code, struct relay_result *ret_ended,
	       struct error *error)
{
	struct replay replay = { .options = options, .interim = INTERIM_NONE, .log_fd = -1 };
	int result;

	spec_init(&replay.spec);
	spec_init(&replay.recorded);
	member_init(&replay.member);
	*ret_exit_code = EXIT_SBX_FAILED;
	result = do_replay(&replay, ret_exit_code, ret_ended, error);
	member_end(&replay.member);
	services_free(replay.services);
	recipe_release(&replay.recipe);
	fd_close(&replay.log_fd);
	interim_close(&replay.interim);
	world_databases_release(replay.moved.databases, replay.moved.database_count);
	spec_release(&replay.spec);
	spec_release(&replay.recorded);
	text_list_release(&replay.command);
	text_list_release(&replay.labels);
	text_list_release(&replay.chosen);
	text_free(&replay.logs);
	text_list_release(&replay.environment);
	text_list_release(&replay.filtered);
	text_free(&replay.tree);
	text_free(&replay.home);
	text_free(&replay.name);
	text_free(&replay.run);
	return result;
}

int replay_check(const char *path, const char *tree, struct text_list *ret_differences, struct error *error)
{
	owned_fd directory_fd = -1;
	owned_bundle bundle = NULL;
	owned_text text = NULL;
	owned_text real = NULL;
	owned_text version = NULL;
	owned_json json = { 0 };
	int result = path_canonical(tree ? tree : ".", &real);

	if (result < 0)
		return error_set(error, .number = -result, .step = "open the tree", .object = tree ? tree : ".");
	result = open_bundle(path, &directory_fd, &bundle, &text, error);
	if (result == 0)
		result = json_read(&json, text, strlen(text), error);
	if (result < 0)
		return result;
	(void)json_text(json_member(json_root(&json), "sbx"), &version);
	origin_compare(json_member(json_root(&json), "origin"), version, real, getenv("HOME"), ret_differences);
	return 0;
}
