/* SPDX-License-Identifier: Apache-2.0 */
/* How it works. The runner is sbx itself, in world R, as any other runner is: `sbx items PLAN -- CMD`, PLAN in JSON.
 *
 *  1. It runs LIST in R, and takes what that prints apart. What LIST built or migrated is in the seed: R is frozen at
 *     the first lease.
 *  2. It makes commands of the items, `batch` of them each, and sorts these by the time that they took in the last run,
 *     those first of which nothing is known.
 *  3. Up to `workers` children at once each take a lease (lease.h) for one command and stay with it. What the command
 *     writes comes through a pipe, is held back, and printed whole when it has ended.
 *  4. It merges reports (junit.h), writes the times down, and ends with the worst exit status.
 *
 * It tells the supervisor over R's socket what a test runner tells (hook.h section 3): each command is a test there, so
 * the world of a red one is kept. The end of a command is told by the child, before its lease ends.
 *
 * Signals reach the whole group: each child hands them on to its command, this process then begins no other. */
#include "sandbox/run/items.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/process.h"
#include "sandbox/run/items_output.h"
#include "sandbox/run/junit.h"
#include "sandbox/run/lease.h"
#include "sandbox/run/times.h"
#include "sandbox/worker/annex.h"

enum {
	WORKERS_MAX = 256,
	LABEL_SIZE = 256,
	TITLE_SIZE = 4096,
	READ_SIZE = 64 << 10,
	REPORTED_SIZE = 64 << 10, /* of a failed command's output, in the report: its end */
};

#define ITEM   "{}"
#define NUMBER "{#}"

/* ---- the plan ---- */

void items_plan_init(struct items_plan *plan)
{
	*plan = (struct items_plan){ .batch = 1, .workers = 1, .times_fd = -1 };
}

void items_plan_release(struct items_plan *plan)
{
	text_free(&plan->list);
	text_free(&plan->junit);
	text_list_release(&plan->directories);
}

char *items_plan_pack(const struct items_plan *plan)
{
	struct text_buffer packed = { 0 };

	json_begin_object(&packed, NULL);
	json_add_text(&packed, "list", plan->list);
	json_add_number(&packed, "batch", plan->batch);
	json_add_number(&packed, "workers", plan->workers);
	json_add_number(&packed, "shard", plan->shard.index);
	json_add_number(&packed, "shards", plan->shard.count);
	json_add_text(&packed, "junit", plan->junit);
	json_add_list(&packed, "directories", &plan->directories);
	json_add_number(&packed, "times_fd", plan->times_fd);
	json_end_object(&packed);
	return packed.bytes;
}

static int unpack_number(struct json_value root, const char *name, unsigned *ret_number)
{
	int64_t number = 0;
	int result = json_number(json_member(root, name), &number);

	if (result < 0 || number < 0 || number > UINT32_MAX)
		return -EBADMSG;
	*ret_number = (unsigned)number;
	return 0;
}

int items_plan_unpack(const char *packed, struct items_plan *ret_plan, struct error *error)
{
	owned_json json = { 0 };
	struct json_value root;
	int64_t times_fd = -1;
	int result = json_read(&json, packed, strlen(packed), error);

	items_plan_init(ret_plan);
	if (result < 0)
		return result;
	root = json_root(&json);
	(void)json_text(json_member(root, "junit"), &ret_plan->junit);
	if (json_text(json_member(root, "list"), &ret_plan->list) < 0 ||
	    unpack_number(root, "batch", &ret_plan->batch) < 0 ||
	    unpack_number(root, "workers", &ret_plan->workers) < 0 ||
	    unpack_number(root, "shard", &ret_plan->shard.index) < 0 ||
	    unpack_number(root, "shards", &ret_plan->shard.count) < 0 ||
	    json_list(json_member(root, "directories"), &ret_plan->directories) < 0 ||
	    json_number(json_member(root, "times_fd"), &times_fd) < 0 || ret_plan->batch == 0 ||
	    ret_plan->shard.index > ret_plan->shard.count ||
	    (ret_plan->shard.count > 0 && ret_plan->shard.index == 0) || ret_plan->workers == 0)
		return error_set(error, .number = EBADMSG, .step = "read what is to be done", .object = packed,
				 .cause = "it is not what sbx test makes of --items");
	ret_plan->workers = MIN(ret_plan->workers, (unsigned)WORKERS_MAX);
	ret_plan->times_fd = times_fd < 0 || times_fd > INT32_MAX ? -1 : (int)times_fd;
	return 0;
}

int items_prepare(struct spec *spec, const char *tree, struct items_plan *plan, struct error *error)
{
	struct text_list command = spec->payload;
	owned_list words = { 0 };
	bool has_item = false;

	for (size_t i = 0; i < command.count; i++)
		has_item = has_item || strstr(command.items[i], ITEM);
	if (!has_item)
		return error_set(error, .number = EINVAL, .step = "run a command for each item",
				 .object = command.items[0], .cause = "it has no {}, where the item stands",
				 .remedy = "as in: sbx test --items 'ls t/*.t' -- prove {}");
	text_list_add(&words, plan->list);
	for (size_t i = 0; i < command.count; i++)
		text_list_add(&words, command.items[i]);
	/* A state directory that cannot be written ends the run anyway; here it costs only the order. */
	if (times_open(tree, words.items, words.count, &plan->times_fd, NULL) == 0)
		spec_add_pass_fd(spec, plan->times_fd);
	spec->payload = (struct text_list){ 0 };
	text_list_add(&spec->payload, ANNEX_PROGRAM);
	text_list_add(&spec->payload, "items");
	text_list_take(&spec->payload, items_plan_pack(plan));
	text_list_add(&spec->payload, "--");
	for (size_t i = 0; i < command.count; i++)
		text_list_add(&spec->payload, command.items[i]);
	text_list_release(&command);
	return 0;
}

/* ---- the list ---- */

static int take_array(struct json_value array, struct text_list *ret_items, struct error *error)
{
	if (json_list(array, ret_items) < 0)
		return error_set(error, .number = EINVAL, .step = "take the list apart",
				 .cause = "it is a JSON array of something else than texts",
				 .remedy = "print one item a line, or an array of texts");
	return 0;
}

static void take_lines(const char *text, size_t size, struct text_list *items)
{
	while (size > 0) {
		const char *end = memchr(text, '\n', size);
		size_t taken = end ? (size_t)(end - text) + 1 : size;
		size_t length = end ? taken - 1 : size;

		if (length > 0 && text[length - 1] == '\r')
			length--;
		/* No argument holds a NUL. */
		length = strnlen(text, length);
		if (length > 0)
			text_list_take(items, text_format("%.*s", (int)length, text));
		text += taken;
		size -= taken;
	}
}

/* Where there are arrays, all else is talk: a greeting before them, the reset of a colour behind. @return how many */
static size_t take_array_lines(const char *text, size_t size, struct text_list *ret_items)
{
	size_t arrays = 0;

	while (size > 0) {
		const char *end = memchr(text, '\n', size);
		size_t taken = end ? (size_t)(end - text) + 1 : size;
		owned_json json = { 0 };

		if (text[0] == '[' && json_read(&json, text, taken, NULL) == 0)
			arrays += json_list(json_root(&json), ret_items) == 0;
		text += taken;
		size -= taken;
	}
	return arrays;
}

int items_parse(const char *text, size_t size, struct text_list *ret_items, struct error *error)
{
	owned_json json = { 0 };
	size_t blank = 0;
	int result = 0;

	while (blank < size && strchr(" \t\r\n", text[blank]) && text[blank] != '\0')
		blank++;
	if (blank < size && text[blank] == '[' && json_read(&json, text, size, NULL) == 0)
		result = take_array(json_root(&json), ret_items, error);
	else if (take_array_lines(text, size, ret_items) == 0)
		take_lines(text, size, ret_items);
	if (result == 0 && ret_items->count > ITEMS_MAX)
		return error_set(error, .number = E2BIG, .step = "take the list apart",
				 .cause = "more than a million items",
				 .remedy = "let each stand for more, or divide them with --shard");
	return result;
}

static int read_to_end(int fd, struct text_buffer *ret_text)
{
	char bytes[READ_SIZE];

	for (;;) {
		ssize_t got = RETRY_EINTR(read(fd, bytes, sizeof(bytes)));

		if (got <= 0)
			return got < 0 ? -errno : 0;
		text_buffer_add(ret_text, bytes, (size_t)got);
		if (ret_text->length > ITEMS_LIST_SIZE_MAX)
			return -EFBIG;
	}
}

static void exec_list(const char *list, int out_fd)
{
	(void)dup2(out_fd, STDOUT_FILENO);
	(void)execl("/bin/sh", "sh", "-c", list, (char *)NULL);
	_exit(EXIT_NOT_FOUND);
}

/* Runs LIST; what it says on stderr goes where ours does. */
static int run_list(const char *list, struct text_buffer *ret_text, struct error *error)
{
	owned_text cause = NULL;
	int ends[2];
	int status = 0;
	pid_t pid;
	int result = fd_pipe(ends, 0);

	if (result < 0)
		return error_set(error, .number = -result, .step = "make a pipe for the list");
	pid = process_fork();
	if (pid == 0)
		exec_list(list, ends[1]);
	(void)close(ends[1]);
	result = pid < 0 ? (int)pid : read_to_end(ends[0], ret_text);
	(void)close(ends[0]);
	if (pid > 0)
		(void)process_wait(pid, &status);
	if (result < 0)
		return error_set(error, .number = -result, .step = "list the items", .object = list,
				 .cause = result == -EFBIG ? "it prints more than 16 MiB" : NULL,
				 .remedy = result == -EFBIG ? "let it print names, one a line" : NULL);
	if (status == 0)
		return 0;
	cause = text_format("it ended with status %d", process_exit_code(status));
	return error_set(
		error, .number = ECHILD, .step = "list the items", .object = list, .cause = cause,
		.remedy = "what it said stands above; it runs in sh, in the current directory, with what a world has: "
			  "'sbx run -- sh' is one to try it in");
}

/* Every so many, so that neighbours, which are alike as a rule, are not all in one. */
static void take_shard(const struct items_plan *plan, struct text_list *items)
{
	struct text_list own = { 0 };

	if (plan->shard.count == 0)
		return;
	for (size_t i = plan->shard.index - 1; i < items->count; i += plan->shard.count)
		text_list_add(&own, items->items[i]);
	text_list_release(items);
	*items = own;
}

static int list_items(const struct items_plan *plan, struct text_list *items, struct error *error)
{
	owned_buffer text = { 0 };
	int result = run_list(plan->list, &text, error);

	if (result == 0)
		result = items_parse(text.bytes ? text.bytes : "", text.length, items, error);
	if (result < 0)
		return result;
	if (items->count == 0)
		return error_set(error, .number = ENODATA, .step = "list the items", .object = plan->list,
				 .cause = "it prints none, so nothing would be tested",
				 .remedy = "what it prints must be one item a line, or a JSON array of texts");
	take_shard(plan, items);
	return 0;
}

/* ---- commands ---- */

static void add_replaced(struct text_buffer *out, const char *text, const char *item, const char *number)
{
	while (*text) {
		if (item && text_starts_with(text, ITEM)) {
			text_buffer_add_text(out, item);
			text += strlen(ITEM);
		} else if (text_starts_with(text, NUMBER)) {
			text_buffer_add_text(out, number);
			text += strlen(NUMBER);
		} else {
			text_buffer_add(out, text++, 1);
		}
	}
}

static void add_argument(struct text_list *command, const char *text, const char *item, const char *number)
{
	struct text_buffer filled = { 0 };

	text_buffer_add(&filled, "", 0);
	add_replaced(&filled, text, item, number);
	text_list_take(command, filled.bytes ? filled.bytes : text_duplicate(""));
}

static bool is_option(const char *word)
{
	return word[0] == '-' && word[1] != '\0' && !text_equal(word, "--");
}

void items_fill_command(const struct text_list *command, char *const *items, size_t count, unsigned number,
			struct text_list *ret_command)
{
	char digits[16];

	(void)snprintf(digits, sizeof(digits), "%u", number);
	for (size_t i = 0; i < command->count; i++) {
		const char *word = command->items[i];
		const char *next = i + 1 < command->count ? command->items[i + 1] : "";
		bool takes_next = i > 0 && text_equal(next, ITEM) && is_option(word) && !strstr(word, ITEM);

		if (!takes_next && !strstr(word, ITEM)) {
			add_argument(ret_command, word, NULL, digits);
			continue;
		}
		for (size_t j = 0; j < count; j++) {
			add_argument(ret_command, word, items[j], digits);
			if (takes_next)
				text_list_add(ret_command, items[j]);
		}
		i += takes_next;
	}
}

/* A command: some items, what became of it. */
struct batch {
	unsigned number; /* from 1, in the list's order */
	char *const *items;
	size_t count;
	uint64_t expected_ms;
	uint64_t ms;
	bool has_ended;
	bool is_ok;
	char *failure; /* for the report: how it failed, and the end of what it printed; NULL */
	struct text_buffer output;
};

/* What a child tells of its command; in memory that both have. */
struct told {
	uint64_t begun_ms;
	uint64_t ended_ms;
	unsigned worker;
	bool has_world;
	bool has_ended;
	int wait_status;
};

/* A child with its command. */
struct running {
	struct batch *batch; /* NULL: free */
	pid_t pid;
	int out_fd;
	struct text_buffer output;
	uint64_t dropped; /* bytes beyond ITEMS_OUTPUT_MAX */
	struct told *told;
};

struct items_state {
	const struct items_plan *plan;
	const struct text_list *command;
	struct text_list items;
	struct batch *batches;
	size_t count;
	size_t next;
	struct running *running;
	unsigned running_count;
	struct told *told;
	size_t told_size;
	int events_fd;
	int signal_fd;
	sigset_t signals_before;
	int stopped_by;
	int worst;
	unsigned ok_count;
	uint64_t worlds[WORKERS_MAX / 64]; /* used ones, bits */
	struct timespec begun;		   /* CLOCK_REALTIME: older reports are of another run */
	launch_say *say;
	bool has_groups; /* a job of GitHub Actions: its log folds what lies between two marks */
};

static int compare_batches(const void *a, const void *b)
{
	const struct batch *first = a;
	const struct batch *second = b;

	if (first->expected_ms != second->expected_ms)
		return first->expected_ms > second->expected_ms ? -1 : 1;
	return first->number < second->number ? -1 : 1;
}

static void make_batches(struct items_state *state)
{
	const struct items_plan *plan = state->plan;
	owned_times times = { 0 };

	times_read(plan->times_fd, &times);
	state->batches = calloc(state->items.count + 1, sizeof(struct batch));
	if (!state->batches)
		abort();
	for (size_t first = 0; first < state->items.count; first += plan->batch) {
		struct batch *batch = &state->batches[state->count++];

		*batch = (struct batch){ .number = (unsigned)state->count,
					 .items = state->items.items + first,
					 .count = MIN((size_t)plan->batch, state->items.count - first) };
		for (size_t j = 0; j < batch->count && batch->expected_ms < UINT64_MAX; j++) {
			uint64_t ms = 0;

			/* Unknown ones may be long: first. */
			if (times_find(&times, batch->items[j], &ms))
				batch->expected_ms += ms;
			else
				batch->expected_ms = UINT64_MAX;
		}
	}
	qsort(state->batches, state->count, sizeof(struct batch), compare_batches);
}

static void name_batch(const struct batch *batch, char *name, size_t size)
{
	char shown[LABEL_SIZE];

	name[0] = '\0';
	for (size_t i = 0; i < batch->count && strlen(name) + 1 < size; i++) {
		text_escape(shown, sizeof(shown), batch->items[i]);
		if (i > 0)
			text_append(name, size, " ");
		text_append(name, size, shown);
	}
}

/* ---- what the supervisor is told: hook.h section 3 ---- */

static void send_event(const struct items_state *state, struct text_buffer *event)
{
	json_end_object(event);
	text_buffer_add_text(event, "\n");
	/* Without its supervisor this process does not live long. */
	if (state->events_fd >= 0)
		(void)fd_write_all(state->events_fd, event->bytes, event->length);
}

static void begin_event(struct text_buffer *event, const char *type)
{
	json_begin_object(event, NULL);
	json_add_text(event, "type", type);
}

static void tell_hello(const struct items_state *state)
{
	owned_buffer hello = { 0 };
	owned_buffer config = { 0 };

	begin_event(&hello, "hello");
	json_add_number(&hello, "version", 1);
	json_add_text(&hello, "runner", "items");
	json_add_number(&hello, "pid", getpid());
	send_event(state, &hello);
	begin_event(&config, "config");
	json_add_number(&config, "workers", state->plan->workers);
	json_add_bool(&config, "servicesKnown", true);
	json_begin_array(&config, "services");
	json_end_array(&config);
	json_begin_object(&config, "artifacts");
	json_begin_array(&config, "directories");
	json_end_array(&config);
	json_begin_array(&config, "files");
	if (state->plan->junit)
		json_add_text(&config, NULL, state->plan->junit);
	json_end_array(&config);
	json_end_object(&config);
	send_event(state, &config);
}

static void tell_begin(const struct items_state *state)
{
	owned_buffer event = { 0 };

	begin_event(&event, "begin");
	json_add_number(&event, "tests", (int64_t)state->count);
	json_add_number(&event, "workers", (int64_t)MIN((size_t)state->plan->workers, state->count));
	send_event(state, &event);
}

/* The list has been made: what else there is to do is done in worlds. */
static void tell_rest(const struct items_state *state)
{
	owned_buffer event = { 0 };

	begin_event(&event, "rest");
	send_event(state, &event);
}

static void tell_test(const struct items_state *state, const struct batch *batch, const struct told *told)
{
	owned_buffer event = { 0 };
	char title[TITLE_SIZE];
	char place[32];
	owned_text directory = getcwd(NULL, 0);
	owned_list command = { 0 };
	bool is_ok = told->wait_status == 0;

	name_batch(batch, title, sizeof(title));
	(void)snprintf(place, sizeof(place), "item %u", batch->number);
	begin_event(&event, "test");
	json_add_text(&event, "event", "end");
	json_add_text(&event, "id", place);
	json_add_text(&event, "title", title);
	json_add_text(&event, "file", place);
	json_add_number(&event, "slot", told->worker);
	json_add_number(&event, "parallelIndex", told->worker);
	json_add_number(&event, "retry", 0);
	json_add_text(&event, "status", is_ok ? "passed" : "failed");
	json_add_text(&event, "expected", "passed");
	json_add_number(&event, "exitCode", process_exit_code(told->wait_status));
	json_add_bool(&event, "ok", is_ok);
	if (!is_ok) { /* for a replay */
		items_fill_command(state->command, batch->items, batch->count, batch->number, &command);
		json_add_list(&event, "command", &command);
	}
	json_add_text(&event, "directory", directory);
	json_add_number(&event, "durationMs", (int64_t)(told->ended_ms - told->begun_ms));
	send_event(state, &event);
}

static void tell_end(const struct items_state *state)
{
	owned_buffer event = { 0 };

	begin_event(&event, "end");
	json_add_text(&event, "status", state->stopped_by ? "interrupted" : state->worst > 0 ? "failed" : "passed");
	send_event(state, &event);
}

/* ---- one command ---- */

/* What a child needs to know. */
struct child {
	const struct items_state *state;
	const struct batch *batch;
	struct told *told;
};

static void hear_lease(void *argument, enum lease_event event, unsigned worker, int wait_status)
{
	const struct child *child = argument;
	struct told *told = child->told;

	if (event == LEASE_GRANTED) {
		told->worker = worker;
		told->has_world = true;
		told->begun_ms = clock_ms();
		tell_rest(child->state);
		return;
	}
	told->ended_ms = clock_ms();
	told->wait_status = wait_status;
	told->has_ended = true;
	tell_test(child->state, child->batch, told);
}

/* In the child. @return its exit status */
static int run_command(struct items_state *state, struct batch *batch, struct told *told, int out_fd)
{
	struct child child = { .state = state, .batch = batch, .told = told };
	struct spec spec;
	struct lease_options options = {
		.slot = LEASE_SLOT_ANY, .spec = &spec, .hear = hear_lease, .argument = &child
	};
	struct error error = { 0 };
	int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int exit_code = EXIT_SBX_FAILED;
	int number = 0;

	spec_init(&spec);
	if (null_fd >= 0)
		(void)dup2(null_fd, STDIN_FILENO);
	(void)dup2(out_fd, STDOUT_FILENO);
	(void)dup2(out_fd, STDERR_FILENO);
	(void)sigprocmask(SIG_SETMASK, &state->signals_before, NULL);
	/* Not R's, which the worlds share: two commands may well use one name in it. */
	(void)unsetenv("TMPDIR");
	items_fill_command(state->command, batch->items, batch->count, batch->number, &spec.payload);
	if (lease_run(&options, &exit_code, &number, &error) < 0) {
		char text[2 * sizeof(error)];

		error_format(&error, text, sizeof(text));
		dprintf(STDERR_FILENO, "sbx: %s\n", text);
	}
	return exit_code;
}

static int start_command(struct items_state *state, struct running *running, struct batch *batch, struct error *error)
{
	int ends[2];
	pid_t pid;
	int result = fd_pipe(ends, 0);

	if (result < 0)
		return error_set(error, .number = -result, .step = "make a pipe for what an item prints");
	*running->told = (struct told){ 0 };
	pid = process_fork();
	if (pid == 0) {
		(void)close(ends[0]);
		_exit(run_command(state, batch, running->told, ends[1]));
	}
	(void)close(ends[1]);
	if (pid < 0) {
		(void)close(ends[0]);
		return error_set(error, .number = (int)-pid, .step = "start a process for an item");
	}
	(void)fcntl(ends[0], F_SETFL, O_RDONLY | O_NONBLOCK);
	running->batch = batch;
	running->pid = pid;
	running->out_fd = ends[0];
	running->dropped = 0;
	state->running_count++;
	return 0;
}

static void read_output(struct running *running)
{
	char bytes[READ_SIZE];

	for (;;) {
		ssize_t got = RETRY_EINTR(read(running->out_fd, bytes, sizeof(bytes)));
		size_t room = ITEMS_OUTPUT_MAX - running->output.length;
		size_t taken;

		if (got < 0 && errno == EAGAIN)
			return;
		if (got <= 0) {
			fd_close(&running->out_fd);
			return;
		}
		taken = MIN((size_t)got, room);
		text_buffer_add(&running->output, bytes, taken);
		running->dropped += (size_t)got - taken;
	}
}

/* ---- what is shown ---- */

static void print(const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t written = RETRY_EINTR(write(STDOUT_FILENO, bytes, size));
		struct pollfd polled = { .fd = STDOUT_FILENO, .events = POLLOUT };

		if (written < 0 && errno != EAGAIN)
			return; /* nobody reads it */
		if (written < 0) {
			(void)poll(&polled, 1, -1);
			continue;
		}
		bytes += written;
		size -= (size_t)written;
	}
}

static void describe_end(const struct told *told, int status, struct text_buffer *line)
{
	char name[32];

	if (!told->has_world)
		text_buffer_add_text(line, "no world");
	else
		text_buffer_format(line, "w%u, %llu.%02llu s", told->worker,
				   (unsigned long long)(told->ended_ms - told->begun_ms) / 1000,
				   (unsigned long long)(told->ended_ms - told->begun_ms) % 1000 / 10);
	if (WIFSIGNALED(status))
		text_buffer_format(line, ", killed by %s", process_signal_name(WTERMSIG(status), name, sizeof(name)));
	else if (status != 0)
		text_buffer_format(line, ", status %d", process_exit_code(status));
}

static void show(const struct items_state *state, const struct running *running, int status)
{
	const struct batch *batch = running->batch;
	owned_buffer text = { 0 };
	char name[LABEL_SIZE];

	name_batch(batch, name, sizeof(name));
	if (state->has_groups && running->output.length > 0)
		text_buffer_format(&text, "::group::%s\n", name);
	text_buffer_add(&text, running->output.bytes ? running->output.bytes : "", running->output.length);
	if (running->output.length > 0 && text.bytes[text.length - 1] != '\n')
		text_buffer_add_text(&text, "\n");
	if (running->dropped > 0)
		text_buffer_format(&text, "(and %llu bytes more)\n", (unsigned long long)running->dropped);
	if (state->has_groups && running->output.length > 0)
		text_buffer_add_text(&text, "::endgroup::\n");
	text_buffer_format(&text, "%s %u - %s (", batch->is_ok ? "ok" : "not ok", batch->number, name);
	describe_end(running->told, status, &text);
	text_buffer_add_text(&text, ")\n");
	print(text.bytes, text.length);
}

static void show_sum(const struct items_state *state, uint64_t ms)
{
	owned_buffer line = { 0 };
	size_t ended = 0;
	unsigned worlds = 0;

	for (size_t i = 0; i < state->count; i++)
		ended += state->batches[i].has_ended;
	for (size_t i = 0; i < ARRAY_SIZE(state->worlds); i++)
		worlds += (unsigned)__builtin_popcountll(state->worlds[i]);
	text_buffer_format(&line, "%u ok, %zu not ok", state->ok_count, ended - state->ok_count);
	if (ended < state->count)
		text_buffer_format(&line, ", %zu not run", state->count - ended);
	text_buffer_format(&line, " in %u world%s, %llu.%02llu s\n", worlds, worlds == 1 ? "" : "s",
			   (unsigned long long)ms / 1000, (unsigned long long)ms % 1000 / 10);
	print(line.bytes, line.length);
}

/* ---- all of them ---- */

static void note_failure(const struct running *running, int status)
{
	struct batch *batch = running->batch;
	size_t size = MIN(running->output.length, (size_t)REPORTED_SIZE);
	owned_buffer how = { 0 };

	describe_end(running->told, status, &how);
	batch->failure = text_duplicate(how.bytes);
	if (size > 0)
		text_buffer_add(&batch->output, running->output.bytes + running->output.length - size, size);
}

static void end_command(struct items_state *state, struct running *running, int child_status)
{
	const struct told *told = running->told;
	struct batch *batch = running->batch;
	/* The child's own end counts where the command never began, or its end was never heard of. */
	int status = told->has_ended ? told->wait_status : child_status;
	int exit_code = process_exit_code(status);

	read_output(running);
	fd_close(&running->out_fd);
	if (told->has_world && !told->has_ended)
		running->told->ended_ms = clock_ms();
	batch->has_ended = true;
	batch->is_ok = status == 0;
	batch->ms = told->has_world ? told->ended_ms - told->begun_ms : 0;
	state->ok_count += batch->is_ok;
	state->worst = MAX(state->worst, exit_code);
	if (told->has_world && told->worker < WORKERS_MAX)
		state->worlds[told->worker / 64] |= UINT64_C(1) << (told->worker % 64);
	if (state->plan->junit && !batch->is_ok)
		note_failure(running, status);
	if (!batch->is_ok)
		items_output_tell(state->events_fd, batch->number, running->output.bytes, running->output.length);
	show(state, running, status);
	text_buffer_release(&running->output);
	running->output = (struct text_buffer){ 0 };
	running->batch = NULL;
	state->running_count--;
}

static void reap(struct items_state *state)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (unsigned i = 0; i < state->plan->workers; i++)
			if (state->running[i].batch && state->running[i].pid == pid)
				end_command(state, &state->running[i], status);
}

static void hear_signals(struct items_state *state)
{
	struct signalfd_siginfo information;

	while (read(state->signal_fd, &information, sizeof(information)) == (ssize_t)sizeof(information)) {
		if (information.ssi_signo == SIGCHLD)
			reap(state);
		else if (state->stopped_by == 0)
			state->stopped_by = (int)information.ssi_signo;
	}
}

static int start_commands(struct items_state *state, struct error *error)
{
	for (unsigned i = 0; i < state->plan->workers && state->next < state->count && state->stopped_by == 0; i++) {
		struct running *running = &state->running[i];
		int result;

		if (running->batch)
			continue;
		result = start_command(state, running, &state->batches[state->next], error);
		if (result < 0)
			return result;
		state->next++;
	}
	return 0;
}

static void wait_for_something(struct items_state *state)
{
	struct pollfd polled[WORKERS_MAX + 1];
	unsigned count = state->plan->workers;

	for (unsigned i = 0; i < count; i++)
		polled[i] = (struct pollfd){ .fd = state->running[i].batch ? state->running[i].out_fd : -1,
					     .events = POLLIN };
	polled[count] = (struct pollfd){ .fd = state->signal_fd, .events = POLLIN };
	if (poll(polled, count + 1, -1) < 0)
		return;
	for (unsigned i = 0; i < count; i++)
		if (polled[i].revents)
			read_output(&state->running[i]);
	if (polled[count].revents)
		hear_signals(state);
}

static int take_signals(struct items_state *state, struct error *error)
{
	static const int heard[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD };
	sigset_t taken;

	sigemptyset(&taken);
	for (size_t i = 0; i < ARRAY_SIZE(heard); i++)
		sigaddset(&taken, heard[i]);
	state->signal_fd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
	if (state->signal_fd < 0)
		return error_set(error, .number = errno, .step = "listen for signals");
	(void)sigprocmask(SIG_BLOCK, &taken, &state->signals_before);
	return 0;
}

static int prepare(struct items_state *state, struct error *error)
{
	unsigned workers = state->plan->workers;
	const char *actions = getenv("GITHUB_ACTIONS");

	(void)clock_gettime(CLOCK_REALTIME_COARSE, &state->begun);
	state->has_groups = actions && text_equal(actions, "true");
	state->running = calloc(workers, sizeof(*state->running));
	state->told_size = workers * sizeof(*state->told);
	state->told = mmap(NULL, state->told_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!state->running || state->told == MAP_FAILED)
		abort();
	for (unsigned i = 0; i < workers; i++) {
		state->running[i].out_fd = -1;
		state->running[i].told = &state->told[i];
	}
	return take_signals(state, error);
}

static void write_times(const struct items_state *state)
{
	char **items = calloc(state->items.count + 1, sizeof(*items));
	uint64_t *ms = calloc(state->items.count + 1, sizeof(*ms));
	size_t count = 0;

	if (!items || !ms)
		abort();
	for (size_t i = 0; i < state->count; i++) {
		const struct batch *batch = &state->batches[i];

		for (size_t j = 0; j < batch->count && batch->has_ended; j++, count++) {
			items[count] = batch->items[j];
			ms[count] = batch->ms / batch->count;
		}
	}
	/* A run that was cut short knows less than the one before. */
	if (state->stopped_by == 0)
		times_write(state->plan->times_fd, items, ms, count);
	free(items);
	free(ms);
}

static int write_report(const struct items_state *state, struct error *error)
{
	struct junit_options options = { .path = state->plan->junit,
					 .directories = &state->plan->directories,
					 .since = state->begun,
					 .say = state->say };
	struct junit_case *cases = calloc(state->count + 1, sizeof(*cases));
	owned_list names = { 0 };
	int result;

	if (!cases)
		abort();
	for (size_t i = 0; i < state->count; i++) {
		const struct batch *batch = &state->batches[i];
		char name[TITLE_SIZE];

		if (!batch->has_ended)
			continue;
		name_batch(batch, name, sizeof(name));
		text_list_add(&names, name);
		cases[options.case_count++] = (struct junit_case){ .name = names.items[names.count - 1],
								   .ms = batch->ms,
								   .is_ok = batch->is_ok,
								   .message = batch->failure,
								   .output = batch->output.bytes,
								   .output_size = batch->output.length };
	}
	options.cases = cases;
	result = junit_write(&options, error);
	free(cases);
	return result;
}

static int run_all(struct items_state *state, struct error *error)
{
	uint64_t begun_ms = clock_ms();
	int result = prepare(state, error);

	while (result == 0) {
		result = start_commands(state, error);
		if (result < 0 || state->running_count == 0)
			break;
		wait_for_something(state);
	}
	if (result < 0)
		return result;
	show_sum(state, clock_ms() - begun_ms);
	write_times(state);
	if (state->plan->junit)
		result = write_report(state, error);
	tell_end(state);
	return result;
}

static void release(struct items_state *state)
{
	text_list_release(&state->items);
	for (size_t i = 0; i < state->count; i++) {
		text_free(&state->batches[i].failure);
		text_buffer_release(&state->batches[i].output);
	}
	free(state->batches);
	for (unsigned i = 0; state->running && i < state->plan->workers; i++) {
		fd_close(&state->running[i].out_fd);
		text_buffer_release(&state->running[i].output);
	}
	free(state->running);
	if (state->told)
		(void)munmap(state->told, state->told_size);
	fd_close(&state->events_fd);
	fd_close(&state->signal_fd);
}

int items_run(const struct items_plan *plan, const struct text_list *command, launch_say *say, int *ret_exit_code,
	      struct error *error)
{
	struct items_state state = { .plan = plan, .command = command, .say = say, .events_fd = -1, .signal_fd = -1 };
	int result = lease_connect(&state.events_fd, error);

	if (plan->times_fd >= 0)
		(void)fcntl(plan->times_fd, F_SETFD, FD_CLOEXEC);
	if (result == 0) {
		tell_hello(&state);
		result = list_items(plan, &state.items, error);
	}
	if (result == 0) {
		make_batches(&state);
		tell_begin(&state);
		result = run_all(&state, error);
	}
	if (result == 0)
		*ret_exit_code = state.stopped_by ? 128 + state.stopped_by : state.worst;
	release(&state);
	return result;
}
