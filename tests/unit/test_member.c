/* SPDX-License-Identifier: Apache-2.0 */
/* Real worlds, made as a pool makes them: a freeze of one that is at work, worlds from the seed that it gives,
 * directories shared among them, listening sockets, and keeping one that lives. Runs as whoever runs the tests. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/sqlite.h"
#include "overlay/copy.h"
#include "overlay/format.h"
#include "overlay/seed.h"
#include "sandbox/pool/member.h"
#include "sandbox/worker/ask.h"
#include "sandbox/worker/plan.h"
#include "sandbox/worker/request.h"
#include "sandbox/worker/task.h"
#include "sandbox/worker/upper.h"

enum { WAIT_MS = 20000 };

/* What lies on the host. */
struct place {
	char *base;
	char *home;
	char *tree;
	char *seed; /* outside of HOME: stacked */
	struct spec spec;
};

static void say(const char *line)
{
	fprintf(stderr, "%s\n", line);
}

static void explain(const struct error *error)
{
	char text[2048];

	error_format(error, text, sizeof(text));
	fprintf(stderr, "%s\n", text);
}

#define assert_success(call, error)                                                                                    \
	do {                                                                                                           \
		if ((call) < 0) {                                                                                      \
			explain(&(error));                                                                             \
			fail_msg("%s", #call);                                                                         \
		}                                                                                                      \
	} while (0)

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...)
{
	char command[4096];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	const char *directory = getenv("TMPDIR");

	assert_non_null(place);
	place->base = text_format("%s/sbx-member.XXXXXX", directory && directory[0] == '/' ? directory : "/var/tmp");
	assert_non_null(mkdtemp(place->base));
	place->home = path_join(place->base, "home");
	place->tree = path_join(place->base, "home/app");
	place->seed = path_join(place->base, "seed");
	shell("cd '%s' && mkdir -p home/app/data home/app/gone home/app/old home/.ssh home/state home/run seed &&"
	      "chmod 0700 home/state home/run && echo secret >home/.ssh/id && echo one >home/app/file &&"
	      "echo x >home/app/gone/x && echo host >home/app/old/host && echo conf >home/app/removed",
	      place->base);
	assert_int_equal(setenv("HOME", place->home, 1), 0);
	{
		owned_text state_home = path_join(place->home, "state");
		owned_text runtime = path_join(place->home, "run");

		assert_int_equal(setenv("XDG_STATE_HOME", state_home, 1), 0);
		assert_int_equal(setenv("XDG_RUNTIME_DIR", runtime, 1), 0);
	}
	spec_init(&place->spec);
	place->spec.tree = text_duplicate(place->tree);
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;

	shell("chmod -R u+rwx '%s' && rm -rf '%s'", place->base, place->base);
	spec_release(&place->spec);
	free(place->base);
	free(place->home);
	free(place->tree);
	free(place->seed);
	free(place);
	return 0;
}

/* ---- worlds ---- */

static int begin(struct member *member, const struct place *place, const char *name, const struct seed *seed,
		 struct graft *grafts, size_t graft_count, struct error *error)
{
	struct member_options options = {
		.spec = &place->spec, .name = name, .run = "test", .index = -1, .count = 0, .seed = seed
	};
	int result;

	member_init(member);
	result = member_begin(member, &options, grafts, graft_count, say, error);
	while (result == 0 && member->state == MEMBER_STARTING) {
		struct pollfd polled = { .fd = member_fd(member), .events = POLLIN };

		if (poll(&polled, 1, WAIT_MS) != 1)
			fail_msg("the world does not stand");
		member_hear(member, say);
	}
	if (result == 0 && member->state != MEMBER_READY) {
		*error = member->error;
		member_end(member);
		return -error->number;
	}
	return result;
}

static void start(struct member *member, const struct place *place, const char *name, const struct seed *seed)
{
	struct error error = { 0 };

	assert_success(begin(member, place, name, seed, NULL, 0, &error), error);
}

/* A command in a world. @return the connection: its end ends the command */
static int spawn(const struct member *member, const char *directory, const char *command, int out_fd)
{
	struct spawn_request request = { .directory = (char *)directory };
	struct request_header header = { .kind = REQUEST_SPAWN, .fd_count = 3 };
	owned_buffer body = { 0 };
	owned_fd null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fds[3] = { null_fd, out_fd < 0 ? null_fd : out_fd, STDERR_FILENO };
	struct error error = { 0 };
	int fd = -1;

	text_list_add(&request.arguments, "/bin/sh");
	text_list_add(&request.arguments, "-c");
	text_list_add(&request.arguments, command);
	spawn_request_pack(&request, &body);
	header.body_size = (uint32_t)body.length;
	assert_success(member_connect(member, false, &fd, &error), error);
	assert_int_equal(request_send(fd, &header, body.bytes, fds), 0);
	text_list_release(&request.arguments);
	return fd;
}

static void wait_exited(int fd, const char *command)
{
	struct reply reply;

	do {
		struct pollfd polled = { .fd = fd, .events = POLLIN };

		if (poll(&polled, 1, WAIT_MS) != 1)
			fail_msg("does not end: %s", command);
		assert_int_equal(reply_receive(fd, &reply, NULL), 1);
		if (reply.kind == REPLY_FAILED)
			explain(&reply.error);
	} while (reply.kind == REPLY_STARTED);
	if (reply.kind != REPLY_EXITED || reply.number != 0)
		fail_msg("failed inside: %s", command);
	close(fd);
}

static void run(const struct member *member, const char *command)
{
	wait_exited(spawn(member, NULL, command, -1), command);
}

static char *read_memory(int fd)
{
	struct stat status;
	char *text;

	assert_int_equal(fstat(fd, &status), 0);
	text = calloc(1, (size_t)status.st_size + 1);
	assert_int_equal(pread(fd, text, (size_t)status.st_size, 0), status.st_size);
	close(fd);
	return text;
}

static char *run_and_read(const struct member *member, const char *command)
{
	int fd = memfd_create("out", MFD_CLOEXEC);

	wait_exited(spawn(member, NULL, command, fd), command);
	return read_memory(fd);
}

static void assert_prints(const struct member *member, const char *command, const char *want)
{
	owned_text got = run_and_read(member, command);

	assert_string_equal(got, want);
}

/* ---- tasks ---- */

static int ask(const struct member *member, struct task *task, char **ret_text, struct error *error)
{
	int out_fd = memfd_create("answer", MFD_CLOEXEC);
	int result;
	int fd = -1;

	if (ret_text)
		task->fds[task->fd_count++] = out_fd;
	assert_success(member_connect(member, false, &fd, error), *error);
	result = ask_task(fd, task, error);
	close(fd);
	if (ret_text && result >= 0)
		*ret_text = read_memory(out_fd);
	else
		close(out_fd);
	return result;
}

static int freeze(const struct member *member, const char *directory, const char *database, char **ret_answer,
		  struct error *error)
{
	owned_fd directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct task task = { .kind = TASK_FREEZE, .fds = { directory_fd }, .fd_count = 1 };
	int result;

	if (database)
		text_list_add(&task.arguments, database);
	result = ask(member, &task, ret_answer, error);
	text_list_release(&task.arguments);
	return result;
}

static void make_seed(const struct member *member, const struct place *place, struct seed *ret_seed)
{
	struct error error = { 0 };
	owned_text answer = NULL;

	assert_success(freeze(member, place->seed, NULL, &answer, &error), error);
	assert_success(seed_open(place->seed, ret_seed, &error), error);
}

static char *diff(const struct member *member)
{
	struct task task = { .kind = TASK_DIFF };
	struct error error = { 0 };
	char *text = NULL;

	text_list_add(&task.arguments, "table");
	assert_success(ask(member, &task, &text, &error), error);
	text_list_release(&task.arguments);
	return text;
}

static void make_database(const char *path, const char *journal_mode)
{
	sqlite3 *database = NULL;
	owned_text sql = text_format("PRAGMA journal_mode=%s; CREATE TABLE pair(a INTEGER, b INTEGER);"
				     "INSERT INTO pair VALUES(0, 0);"
				     "CREATE TABLE __EFMigrationsLock(Id INTEGER, Timestamp TEXT)",
				     journal_mode);

	assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
	assert_int_equal(sqlite3_exec(database, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(database), SQLITE_OK);
}

static int64_t ask_number(const char *path, const char *sql)
{
	sqlite3 *database = NULL;
	int64_t number = -1;

	assert_int_equal(sqlite3_open_v2(path, &database, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	assert_int_equal(sqlite_number(database, sql, &number), SQLITE_ROW);
	assert_int_equal(sqlite3_close(database), SQLITE_OK);
	return number;
}

/* The file of a path in a seed's directory, whichever layer it is in. */
static char *find_in_seed(const char *directory, const struct place *place, const char *path)
{
	owned_text whole = text_format("%s/upper-0/%s", directory, path_below(path, place->home));

	if (access(whole, F_OK) == 0) {
		char *found = whole;

		whole = NULL;
		return found;
	}
	return text_format("%s/upper-1/%s", directory, path_below(path, place->tree));
}

/* ---- a writer that never rests ---- */

/* Runs in a world: this very program. Each transaction keeps both columns equal over many rows and pages. */
static int write_for_ever(const char *path)
{
	sqlite3 *database = NULL;

	if (sqlite3_open(path, &database) != SQLITE_OK)
		return 1;
	(void)sqlite3_busy_timeout(database, 10000);
	for (unsigned round = 1;; round++) {
		char sql[512];

		(void)snprintf(sql, sizeof(sql),
			       "BEGIN; UPDATE pair SET a = a + 1; INSERT INTO pair VALUES((SELECT max(a) FROM pair),"
			       "(SELECT max(b) FROM pair)); UPDATE pair SET b = b + 1; UPDATE pair SET a = b;"
			       "DELETE FROM pair WHERE rowid < (SELECT max(rowid) FROM pair) - 200; COMMIT");
		if (sqlite3_exec(database, sql, NULL, NULL, NULL) != SQLITE_OK)
			return 1;
		if (round == 1) {
			owned_text mark = text_format("%s.begun", path);
			owned_fd fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

			if (fd < 0)
				return 1;
		}
	}
}

static char *own_program(void)
{
	char path[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

	assert_true(length > 0);
	path[length] = '\0';
	return text_duplicate(path);
}

static const char wait_for[] = "i=0; while ! test -e %s; do i=$((i+1)); test $i -lt 2000 || exit 1; sleep 0.01; done";

static void wait_in_world(const struct member *member, const char *path)
{
	owned_text command = text_format(wait_for, path);

	run(member, command);
}

enum { FREEZES = 60 };

static void freeze_under_writer(struct place *place, const char *journal_mode)
{
	owned_text path = path_join(place->tree, "Test.db");
	owned_text program = path_join(place->tree, "writer");
	owned_text own = own_program();
	owned_text command = NULL;
	owned_text mark = text_format("%s.begun", path);
	struct member member;
	unsigned most = 0;
	int64_t last = -1;
	int64_t longest = 0;
	int writer;

	make_database(path, journal_mode);
	shell("cp '%s' '%s'", own, program);
	start(&member, place, "R", NULL);
	command = text_format("exec '%s' --write '%s'", program, path);
	writer = spawn(&member, NULL, command, -1);
	wait_in_world(&member, mark);
	for (unsigned i = 0; i < FREEZES; i++) {
		owned_text directory = text_format("%s/freeze-%u", place->base, i);
		struct error error = { 0 };
		owned_text answer = NULL;
		owned_text copy = NULL;
		owned_text sidecar = NULL;
		owned_json json = { 0 };
		int64_t stops;
		int64_t milliseconds;
		int64_t now;

		assert_int_equal(mkdir(directory, 0700), 0);
		assert_success(freeze(&member, directory, path, &answer, &error), error);
		assert_int_equal(json_read(&json, answer, strlen(answer), NULL), 0);
		assert_int_equal(json_number(json_member(json_root(&json), "stops"), &stops), 0);
		assert_int_equal(json_number(json_member(json_root(&json), "milliseconds"), &milliseconds), 0);
		most = MAX(most, (unsigned)stops);
		longest = MAX(longest, milliseconds);
		copy = find_in_seed(directory, place, path);
		for (size_t j = 0; j < 3; j++) {
			sidecar = text_format("%s%s", copy, (const char *[]){ "-wal", "-shm", "-journal" }[j]);
			assert_int_equal(access(sidecar, F_OK), -1);
			text_free(&sidecar);
		}
		assert_int_equal(ask_number(copy, "SELECT count(*) FROM pragma_integrity_check WHERE "
						  "integrity_check <> 'ok'"),
				 0);
		assert_int_equal(ask_number(copy, "SELECT count(*) FROM pair WHERE a <> b"), 0);
		/* It went on in between. */
		now = ask_number(copy, "SELECT max(a) FROM pair");
		assert_true(now >= last);
		last = now;
		shell("rm -rf '%s'", directory);
	}
	printf("%s: %d freezes, at most %u stops, %lld ms; %lld transactions\n", journal_mode, FREEZES, most,
	       (long long)longest, (long long)last);
	assert_true(last > FREEZES);
	close(writer);
	member_end(&member);
}

/* finding 52 */
static void test_freeze_takes_one_instant_with_wal(void **state)
{
	freeze_under_writer(*state, "WAL");
}

static void test_freeze_takes_one_instant_with_a_rollback_journal(void **state)
{
	freeze_under_writer(*state, "DELETE");
}

/* Runs in a world: two files, one always as new as the other or one step ahead. */
static int count_for_ever(const char *first, const char *second)
{
	int a = open(first, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	int b = open(second, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	for (unsigned i = 0; a >= 0 && b >= 0; i++) {
		char number[16];

		(void)snprintf(number, sizeof(number), "%014u\n", i);
		if (pwrite(a, number, 15, 0) != 15 || pwrite(b, number, 15, 0) != 15)
			return 1;
	}
	return 1;
}

static long read_count(const char *seed, const char *name)
{
	owned_text path = text_format("%s/upper-0/app/%s", seed, name);
	owned_text text = NULL;

	assert_int_equal(fd_read_file(AT_FDCWD, path, 0, &text, NULL), 0);
	return strtol(text, NULL, 10);
}

/* Files have no locks: only who stands still writes to none of them. */
static void test_the_world_stands_still_while_it_is_copied(void **state)
{
	struct place *place = *state;
	owned_text own = own_program();
	struct member r;
	int writer;

	shell("cp '%s' '%s/tool'", own, place->tree);
	start(&r, place, "R", NULL);
	writer = spawn(&r, NULL,
		       "mkdir one two many; i=0; while test $i -lt 500; do echo $i >many/$i; i=$((i+1)); done;"
		       "exec ./tool --count one/count two/count",
		       -1);
	wait_in_world(&r, "two/count");
	for (unsigned i = 0; i < 10; i++) {
		owned_text directory = text_format("%s/freeze-%u", place->base, i);
		struct error error = { 0 };
		owned_text answer = NULL;
		long first;
		long second;

		assert_int_equal(mkdir(directory, 0700), 0);
		assert_success(freeze(&r, directory, NULL, &answer, &error), error);
		first = read_count(directory, "one/count");
		second = read_count(directory, "two/count");
		if (first != second && first != second + 1)
			fail_msg("of different instants: %ld and %ld", first, second);
	}
	close(writer);
	member_end(&r);
}

/* ---- worlds from a seed ---- */

static const char changes[] =
	"set -e; echo two >file; rm -r gone removed; rm -r old; mkdir old; echo new >old/new; mkdir -p fresh/deep;"
	"echo deep >fresh/deep/file; chmod 0700 data; mkdir -p ~/.aspnet/keys; echo key >~/.aspnet/keys/k; ln -s file "
	"link";

static const char look[] = "cat file; ls -A . | tr '\\n' ' '; ls old; cat fresh/deep/file; stat -c %a data;"
			   "cat ~/.aspnet/keys/k; readlink link; test ! -e ~/.ssh/id; echo end";
static const char seen[] = "two\ndata file fresh link old new\ndeep\n700\nkey\nfile\nend\n";

static void check_members(struct place *place)
{
	struct seed seed = { 0 };
	struct member r;
	struct member one;
	struct member two;
	owned_text text = NULL;

	start(&r, place, "R", NULL);
	run(&r, changes);
	assert_prints(&r, look, seen);
	make_seed(&r, place, &seed);
	start(&one, place, "w1", &seed);
	start(&two, place, "w2", &seed);
	assert_prints(&one, look, seen);
	assert_prints(&two, look, seen);
	/* Nothing is changed yet, and each is its own. */
	text = diff(&one);
	assert_string_equal(text, "");
	run(&one, "set -e; echo three >file; rm old/new; rm -r fresh; mkdir gone; echo again >gone/y; echo a >added");
	text_free(&text);
	text = diff(&one);
	{
		owned_text want = text_format("A %1$s/added\nC %1$s/file\nD %1$s/fresh\nA %1$s/gone\nA %1$s/gone/y\n"
					      "D %1$s/old/new\n",
					      place->tree);

		assert_string_equal(text, want);
	}
	assert_prints(&one, "ls -A gone; ls -A old; cat file", "y\nthree\n");
	assert_prints(&two, look, seen);
	assert_prints(&r, look, seen);
	member_end(&two);
	member_end(&one);
	member_end(&r);
	seed_release(&seed);
}

static void test_worlds_start_from_a_seed(void **state)
{
	check_members(*state);
}

/* overlayfs would refuse to stack HOME and what lies in it. */
static void test_seed_below_home_is_copied(void **state)
{
	struct place *place = *state;

	text_free(&place->seed);
	place->seed = path_join(place->home, "state/seed");
	assert_int_equal(mkdir(place->seed, 0700), 0);
	check_members(place);
}

static void test_databases_come_from_the_seed(void **state)
{
	struct place *place = *state;
	owned_text named = path_join(place->tree, "Test.db");
	owned_text made = path_join(place->home, "made/by/app.bin");
	owned_text own = own_program();
	owned_text program = path_join(place->tree, "tool");
	owned_text sql = NULL;
	owned_text look_named = NULL;
	owned_text look_made = NULL;
	owned_text text = NULL;
	struct error error = { 0 };
	struct seed seed = { 0 };
	struct member r;
	struct member one;

	make_database(named, "WAL");
	shell("cp '%s' '%s'", own, program);
	start(&r, place, "R", NULL);
	sql = text_format("set -e; mkdir -p ~/made/by; ./tool --sql Test.db 'INSERT INTO pair VALUES(7, 7);"
			  "INSERT INTO __EFMigrationsLock VALUES(1, 1)';"
			  "./tool --sql '%s' 'CREATE TABLE t(x); INSERT INTO t VALUES(5)';"
			  "./tool --sql /tmp/lost.db 'CREATE TABLE t(x)'",
			  made);
	run(&r, sql);
	assert_success(freeze(&r, place->seed, NULL, &text, &error), error);
	{
		owned_json json = { 0 };
		owned_text want = text_format("[\"%s\"]", named);
		struct json_value root;

		assert_int_equal(json_read(&json, text, strlen(text), NULL), 0);
		root = json_root(&json);
		assert_memory_equal(json_raw(json_member(root, "ef_lock"), &(size_t){ 0 }), want, strlen(want));
		assert_non_null(strstr(text, "\"not_seeded\":[\"/tmp/lost.db\"]"));
	}
	assert_success(seed_open(place->seed, &seed, &error), error);
	assert_int_equal(seed.databases.count, 2);
	start(&one, place, "w1", &seed);
	look_named = text_format("./tool --number Test.db 'SELECT sum(a) FROM pair'; ls Test.db*");
	assert_prints(&one, look_named, "7\nTest.db\n");
	look_made = text_format("./tool --number '%s' 'SELECT x FROM t'", made);
	assert_prints(&one, look_made, "5\n");
	/* Both are in the writable layer, so that none shows through from below (finding 12): else nobody knows. */
	{
		struct task list = { .kind = TASK_DB_LIST };

		text_list_add(&list.arguments, "json");
		text_free(&text);
		assert_success(ask(&one, &list, &text, &error), error);
		text_list_release(&list.arguments);
		assert_non_null(strstr(text, "\"changed\":false"));
		assert_non_null(strstr(strstr(text, "\"changed\":false") + 1, "\"changed\":false"));
	}
	text_free(&text);
	text = diff(&one);
	assert_string_equal(text, "");
	run(&one, "./tool --sql Test.db 'INSERT INTO pair VALUES(9, 9)'");
	text_free(&text);
	text = diff(&one);
	{
		owned_text want = text_format("C %s\n", named);

		assert_string_equal(text, want);
	}
	assert_prints(&r, "./tool --number Test.db 'SELECT sum(a) FROM pair'", "7\n");
	member_end(&one);
	member_end(&r);
	seed_release(&seed);
}

static void test_seed_of_another_tree_is_refused(void **state)
{
	struct place *place = *state;
	owned_text other = path_join(place->base, "other");
	struct error error = { 0 };
	struct seed seed = { 0 };
	struct member r;
	struct member one;

	start(&r, place, "R", NULL);
	make_seed(&r, place, &seed);
	member_end(&r);
	assert_int_equal(mkdir(other, 0755), 0);
	text_free(&place->spec.tree);
	place->spec.tree = text_duplicate(other);
	assert_int_equal(begin(&one, place, "w1", &seed, NULL, 0, &error), -ESTALE);
	assert_string_equal(error.step, "take the seed");
	seed_release(&seed);
}

/* ---- what stands in the way ---- */

static void test_freeze_names_who_holds_a_lock(void **state)
{
	struct place *place = *state;
	owned_text path = path_join(place->tree, "Test.db");
	owned_text own = own_program();
	struct error error = { 0 };
	struct member r;
	owned_text answer = NULL;
	int holder;

	make_database(path, "DELETE");
	shell("cp '%s' '%s/tool'", own, place->tree);
	start(&r, place, "R", NULL);
	holder = spawn(&r, NULL, "exec ./tool --lock Test.db ../locked", -1);
	wait_in_world(&r, "../locked");
	assert_int_equal(freeze(&r, place->seed, path, &answer, &error), -ETIMEDOUT);
	assert_string_equal(error.object, path);
	assert_non_null(strstr(error.cause, "(tool)"));
	/* They go on. */
	run(&r, "true");
	close(holder);
	member_end(&r);
}

/* A job that was stopped before stays so; one that ran runs on, also where the one who asks goes away in the middle. */
static void test_the_world_goes_on(void **state)
{
	struct place *place = *state;
	struct error error = { 0 };
	owned_text answer = NULL;
	struct member r;
	int job;

	start(&r, place, "R", NULL);
	run(&r, "mkfifo tick tock");
	job = spawn(&r, NULL, "sleep 1000 & kill -STOP $!; echo $! >pid; read x <tick && echo $x >tock; sleep 1000",
		    -1);
	wait_in_world(&r, "pid");
	run(&r, "i=0; until test $(cut -d' ' -f3 /proc/$(cat pid)/stat) = T; do i=$((i+1)); test $i -lt 9999; done");
	assert_success(freeze(&r, place->seed, NULL, &answer, &error), error);
	assert_prints(&r, "cut -d' ' -f3 /proc/$(cat pid)/stat", "T\n");
	assert_prints(&r, "echo on >tick; cat tock", "on\n");
	close(job);
	member_end(&r);
}

static void test_the_world_goes_on_when_the_task_is_killed(void **state)
{
	struct place *place = *state;
	owned_fd directory_fd = open(place->seed, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct request_header header = { .kind = REQUEST_RUN_TASK, .argument = TASK_FREEZE, .fd_count = 2 };
	owned_buffer body = { 0 };
	struct error error = { 0 };
	owned_text own = own_program();
	owned_text path = path_join(place->tree, "Test.db");
	struct member r;
	int holder;
	int fds[2];
	int fd = -1;

	make_database(path, "DELETE");
	shell("cp '%s' '%s/tool'", own, place->tree);
	start(&r, place, "R", NULL);
	holder = spawn(&r, NULL, "exec ./tool --lock Test.db ../locked", -1);
	wait_in_world(&r, "../locked");
	assert_success(member_connect(&r, false, &fd, &error), error);
	fds[0] = directory_fd;
	fds[1] = memfd_create("answer", MFD_CLOEXEC);
	request_pack_list(&body, (char *[]){ path, NULL });
	header.body_size = (uint32_t)body.length;
	assert_int_equal(request_send(fd, &header, body.bytes, fds), 0);
	/* It is at work once its directory is there. */
	{
		owned_text there = path_join(place->seed, "databases");

		for (unsigned i = 0; access(there, F_OK) < 0; i++) {
			assert_true(i < 10000);
			usleep(1000);
		}
	}
	close(fd);
	close(fds[1]);
	assert_prints(&r, "echo on", "on\n");
	assert_prints(&r,
		      "sleep 0.05; grep -L '^State:.*stopped' /proc/[2-9]*/status | wc -l | tr -d ' ' | grep -v '^0$'"
		      " >/dev/null && echo on",
		      "on\n");
	close(holder);
	member_end(&r);
}

/* ---- shared directories ---- */

static void receive_grafts(int socket, char *const *paths, struct graft *grafts, size_t count)
{
	for (size_t i = 0; i < count;) {
		unsigned char announced;
		int fds[16];
		size_t got;

		assert_int_equal(fd_receive(socket, &announced, 1, fds, 16, &got, 0), 1);
		assert_int_equal(got, announced);
		for (size_t j = 0; j < got; j++, i++)
			grafts[i] = (struct graft){ .fd = fds[j], .target = text_duplicate(paths[i]) };
	}
}

static void test_directories_are_shared_among_worlds(void **state)
{
	enum { COUNT = 18 };
	struct place *place = *state;
	struct graft *grafts = calloc(COUNT, sizeof(*grafts));
	struct task task = { .kind = TASK_CLONE, .fd_count = 1 };
	struct error error = { 0 };
	struct seed seed = { 0 };
	struct member r;
	struct member one;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	start(&r, place, "R", NULL);
	run(&r, "mkdir results; echo r >results/r; mkdir -p /run/shared");
	text_list_take(&task.arguments, path_join(place->tree, "results"));
	text_list_add(&task.arguments, "/run/shared");
	for (unsigned i = 2; i < COUNT; i++)
		text_list_take(&task.arguments, text_format("%s/made/%u", place->tree, i));
	task.fds[0] = ends[1];
	assert_success(ask(&r, &task, NULL, &error), error);
	receive_grafts(ends[0], task.arguments.items, grafts, COUNT);
	make_seed(&r, place, &seed);
	assert_success(begin(&one, place, "w1", &seed, grafts, COUNT, &error), error);
	run(&one, "echo one >results/one; echo s >/run/shared/s; echo m >made/17/m");
	assert_prints(&r, "cat results/one /run/shared/s made/17/m", "one\ns\nm\n");
	run(&r, "rm results/r");
	assert_prints(&one, "ls results", "one\n");
	member_end(&one);
	assert_prints(&r, "cat results/one", "one\n");
	member_end(&r);
	seed_release(&seed);
	text_list_release(&task.arguments);
	close(ends[0]);
	close(ends[1]);
}

/* ---- listening sockets ---- */

static void test_listening_sockets_are_listed(void **state)
{
	struct place *place = *state;
	struct task task = { .kind = TASK_LISTENERS };
	struct error error = { 0 };
	owned_text own = own_program();
	owned_text text = NULL;
	owned_json json = { 0 };
	struct json_value first;
	struct member r;
	int64_t number;
	int server;

	shell("cp '%s' '%s/tool'", own, place->tree);
	start(&r, place, "R", NULL);
	assert_success(ask(&r, &task, &text, &error), error);
	assert_string_equal(text, "[]\n");
	text_free(&text);
	task.fd_count = 0;
	server = spawn(&r, "data", "exec ../tool --listen ../listening", -1);
	wait_in_world(&r, "listening");
	assert_success(ask(&r, &task, &text, &error), error);
	assert_int_equal(json_read(&json, text, strlen(text), NULL), 0);
	first = json_first(json_root(&json));
	assert_int_equal(json_number(json_member(first, "port"), &number), 0);
	assert_int_equal(number, 4444);
	assert_true(json_text_is(json_member(first, "address"), "127.0.0.1"));
	assert_true(json_text_is(json_member(first, "family"), "ipv4"));
	assert_int_equal(json_number(json_member(first, "pid"), &number), 0);
	assert_true(json_text_is(json_next(json_first(json_member(first, "command"))), "--listen"));
	{
		owned_text directory = path_join(place->tree, "data");

		assert_true(json_text_is(json_member(first, "cwd"), directory));
	}
	first = json_next(first);
	assert_true(json_text_is(json_member(first, "address"), "::"));
	assert_int_equal(json_type(json_next(first)), JSON_MISSING);
	close(server);
	member_end(&r);
}

/* ---- keep ---- */

static void keep(const struct member *member, const char *directory)
{
	owned_fd directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct task task = { .kind = TASK_KEEP, .fds = { directory_fd }, .fd_count = 1 };
	struct error error = { 0 };
	owned_text answer = NULL;

	assert_success(ask(member, &task, &answer, &error), error);
}

/* Enters a kept world as a visit does, and lists what it changed. */
static char *diff_of_kept(const struct place *place, const char *directory)
{
	struct task task = { .kind = TASK_DIFF, .fd_count = 1 };
	struct launched launched = LAUNCHED_NONE;
	struct world_note note;
	struct worker_plan plan;
	struct error error = { 0 };
	owned_fd kept_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	plan_init(&plan, &place->spec);
	plan.upper_fd = kept_fd;
	plan.is_entered_again = true;
	(void)strcpy(plan.id, "kept");
	assert_success(plan_make(&plan, &error), error);
	assert_success(upper_choose(&plan, &note, &error), error);
	assert_success(plan_hide_state(&plan, &error), error);
	assert_success(launch_begin(&plan, &launched, &error), error);
	assert_success(launch_wait_ready(&launched, say, NULL, &error), error);
	task.fds[0] = memfd_create("answer", MFD_CLOEXEC);
	text_list_add(&task.arguments, "table");
	assert_success(ask_task(launched.control_fd, &task, &error), error);
	text_list_release(&task.arguments);
	launch_end(&launched);
	upper_remove(&plan);
	plan_release(&plan);
	return read_memory(task.fds[0]);
}

static void test_living_world_is_kept_with_its_seed(void **state)
{
	struct place *place = *state;
	owned_text own = own_program();
	owned_text path = path_join(place->tree, "Test.db");
	owned_text kept = path_join(place->base, "kept");
	owned_text copy = NULL;
	owned_text file = NULL;
	struct seed seed = { 0 };
	struct stat status;
	struct member r;
	struct member one;
	owned_text mark = text_format("%s.begun", path);
	int writer;

	make_database(path, "WAL");
	shell("cp '%s' '%s/tool'", own, place->tree);
	assert_int_equal(mkdir(kept, 0700), 0);
	start(&r, place, "R", NULL);
	run(&r, changes);
	make_seed(&r, place, &seed);
	member_end(&r);
	start(&one, place, "w1", &seed);
	run(&one, "rm old/new; rm -r fresh; echo own >own");
	writer = spawn(&one, NULL, "exec ./tool --write \"$PWD/Test.db\"", -1);
	wait_in_world(&one, mark);
	keep(&one, kept);
	/* It went on. */
	run(&one, "a=$(./tool --number Test.db 'SELECT max(a) FROM pair'); i=0; while test $(./tool --number Test.db "
		  "'SELECT max(a) FROM pair') -le $a; do i=$((i+1)); test $i -lt 500 || exit 1; done");
	close(writer);
	member_end(&one);
	copy = find_in_seed(kept, place, path);
	file = text_format("%s-wal", copy);
	assert_int_equal(access(file, F_OK), -1);
	text_free(&file);
	assert_int_equal(ask_number(copy, "SELECT count(*) FROM pair WHERE a <> b"), 0);
	/* One layer of both, and what it began from beside it. */
	file = text_format("%s/upper-0/app/file", kept);
	assert_int_equal(stat(file, &status), 0);
	text_free(&file);
	file = text_format("%s/upper-0/app/fresh", kept);
	assert_int_equal(lstat(file, &status), 0);
	assert_true(format_is_whiteout(&status));
	text_free(&file);
	file = text_format("%s/upper-0/app/old/new", kept);
	assert_int_equal(lstat(file, &status), 0);
	assert_true(format_is_whiteout(&status));
	text_free(&file);
	file = text_format("%s/seed/upper-0/app/fresh/deep/file", kept);
	assert_int_equal(stat(file, &status), 0);
	text_free(&file);
	/* Entered again it knows what it began from. */
	file = diff_of_kept(place, kept);
	{
		owned_text want = text_format("C %1$s/Test.db\nA %1$s/Test.db.begun\nD %1$s/fresh\nD %1$s/old/new\n"
					      "A %1$s/own\n",
					      place->tree);

		assert_string_equal(file, want);
	}
	seed_release(&seed);
}

/* ---- inside ---- */

static int run_sql(const char *path, const char *sql, bool prints)
{
	sqlite3 *database = NULL;
	int64_t number = 0;
	int code = sqlite3_open(path, &database);

	(void)sqlite3_busy_timeout(database, 10000);
	if (code == SQLITE_OK)
		code = prints ? sqlite_number(database, sql, &number) : sqlite3_exec(database, sql, NULL, NULL, NULL);
	if (prints)
		printf("%lld\n", (long long)number);
	if (code != SQLITE_OK && code != SQLITE_ROW)
		fprintf(stderr, "%s: %s\n", path, sqlite3_errmsg(database));
	(void)sqlite3_close(database);
	return code == SQLITE_OK || code == SQLITE_ROW ? 0 : 1;
}

static int mark_and_wait(const char *mark)
{
	int fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0)
		return 1;
	close(fd);
	for (;;)
		pause();
}

static int lock_for_ever(const char *path, const char *mark)
{
	sqlite3 *database = NULL;

	if (sqlite3_open(path, &database) != SQLITE_OK ||
	    sqlite3_exec(database, "BEGIN EXCLUSIVE", NULL, NULL, NULL) != SQLITE_OK)
		return 1;
	return mark_and_wait(mark);
}

static int listen_for_ever(const char *mark)
{
	struct sockaddr_in four = { .sin_family = AF_INET,
				    .sin_port = htons(4444),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(4445), .sin6_addr = in6addr_any };
	int one = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int other = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(one, (struct sockaddr *)&four, sizeof(four)) < 0 || listen(one, 1) < 0 ||
	    bind(other, (struct sockaddr *)&six, sizeof(six)) < 0 || listen(other, 1) < 0)
		return 1;
	return mark_and_wait(mark);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_worlds_start_from_a_seed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_seed_below_home_is_copied, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_databases_come_from_the_seed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_seed_of_another_tree_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_freeze_takes_one_instant_with_wal, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_freeze_takes_one_instant_with_a_rollback_journal, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_the_world_stands_still_while_it_is_copied, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_freeze_names_who_holds_a_lock, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_world_goes_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_world_goes_on_when_the_task_is_killed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_directories_are_shared_among_worlds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_listening_sockets_are_listed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_living_world_is_kept_with_its_seed, set_up, tear_down),
	};

	if (argc == 3 && text_equal(argv[1], "--write"))
		return write_for_ever(argv[2]);
	if (argc == 4 && (text_equal(argv[1], "--sql") || text_equal(argv[1], "--number")))
		return run_sql(argv[2], argv[3], text_equal(argv[1], "--number"));
	if (argc == 4 && text_equal(argv[1], "--count"))
		return count_for_ever(argv[2], argv[3]);
	if (argc == 4 && text_equal(argv[1], "--lock"))
		return lock_for_ever(argv[2], argv[3]);
	if (argc == 3 && text_equal(argv[1], "--listen"))
		return listen_for_ever(argv[2]);
	if (argc == 2)
		cmocka_set_test_filter(argv[1]);
	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
