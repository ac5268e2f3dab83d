/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks in a world that is built here by hand: HOME copy-on-write with a tree and a database in it, layers on a tmpfs,
 * the rest of the root read-only. Each test is a child with a user and a mount namespace of its own, each task a child
 * of that, as it is a fork of PID 1. The host's directory for cp and keep is opened before: the world's mounts do not
 * bind it. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/mount.h"
#include "base/path.h"
#include "base/sqlite.h"
#include "overlay/database.h"
#include "sandbox/policy/landlock.h"
#include "sandbox/worker/task.h"
#include "sandbox/worker/task_parts.h"
#include "tests/unit/namespace.h"

/* What lies on the host: made for each test, in a directory of its own. */
struct place {
	char *base;
	char *home;
	char *tree;
	char *database;
	char *host; /* for cp and keep */
	int host_fd;
};

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...)
{
	char command[4096];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	if (system(command) != 0) {
		fprintf(stderr, "failed: %s\n", command);
		_exit(INSIDE_FAILED);
	}
}

static sqlite3 *open_database(const char *path)
{
	sqlite3 *database = NULL;

	EXPECT(sqlite3_open(path, &database) == SQLITE_OK);
	return database;
}

static void run_sql(const char *path, const char *sql)
{
	sqlite3 *database = open_database(path);

	EXPECT(sqlite3_exec(database, sql, NULL, NULL, NULL) == SQLITE_OK);
	EXPECT(sqlite3_close(database) == SQLITE_OK);
}

static int set_up(void **state)
{
	const char *directory = getenv("TMPDIR");
	struct place *place = calloc(1, sizeof(*place));

	place->base = text_format("%s/sbx-task.XXXXXX", directory && directory[0] == '/' ? directory : "/var/tmp");
	if (!mkdtemp(place->base))
		return -1;
	place->home = path_join(place->base, "home");
	place->tree = path_join(place->base, "home/app");
	place->database = path_join(place->tree, "TestDb.db");
	place->host = path_join(place->base, "host");
	shell("cd '%s' && mkdir -p home/app/sub home/.ssh host scratch outside && echo secret >home/.ssh/id &&"
	      "echo one >home/app/file && echo two >home/app/sub/file && echo gone >home/app/gone &&"
	      "echo kept >home/app/kept && ln -s file home/app/link && chmod 0750 home/app/sub",
	      place->base);
	run_sql(place->database, "CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT);"
				 "INSERT INTO person VALUES(1, 'Ada')");
	place->host_fd = open(place->host, O_PATH | O_DIRECTORY | O_CLOEXEC);
	*state = place;
	return place->host_fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;

	close(place->host_fd);
	shell("chmod -R u+rwx '%s' && rm -rf '%s'", place->base, place->base);
	free(place->base);
	free(place->home);
	free(place->tree);
	free(place->database);
	free(place->host);
	free(place);
	return 0;
}

/* ---- the world ---- */

struct stage {
	const struct place *place;
	struct spec spec;
	struct worker_plan plan;
	struct world world;
	int writable_fds[2];
};

static void explain(const struct error *error)
{
	char text[2048];

	error_format(error, text, sizeof(text));
	fprintf(stderr, "%s\n", text);
}

static void fill_database(struct stage *stage)
{
	struct world_database *database = calloc(1, sizeof(*database));
	struct database_snapshot_request request = { .source = stage->place->database };
	struct database_report report;
	struct error error = { 0 };
	int parent_fd;

	EXPECT(layers_place(&stage->world.layers, stage->place->database, &parent_fd, &request.target_name) == 0);
	request.target_fd = parent_fd;
	EXPECT(database_snapshot(&request, &report, &error) == 0);
	database->path = stage->place->database;
	world_database_note(database, parent_fd, request.target_name);
	EXPECT(database->is_noted);
	stage->world.databases = database;
	stage->world.database_count = 1;
	close(parent_fd);
}

enum world_kind {
	WORLD_NEW,
	WORLD_KEPT, /* its layers lie in the host's directory, where keep() put them */
};

/* That directory as a mount of this namespace, as overlayfs wants it (finding 9), and writable. */
static int open_kept_layers(const struct place *place)
{
	struct {
		uint64_t set, clear, propagation, userns_fd;
	} attributes = { .clear = 1 /* MOUNT_ATTR_RDONLY */ };

	EXPECT(mount(place->host, place->host, NULL, MS_BIND, NULL) == 0);
	EXPECT(syscall(SYS_mount_setattr, AT_FDCWD, place->host, 0, &attributes, sizeof(attributes)) == 0);
	return open(place->host, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void enter_world(struct stage *stage, const struct place *place, enum world_kind kind)
{
	struct layer_request request = { .path = place->home, .purpose = LAYER_FOR_HOME };
	owned_text scratch = path_join(place->base, "scratch");
	owned_text ssh = path_join(place->home, ".ssh");
	const struct layers_skip skip = { 0 };
	struct error error = { 0 };
	int base_fd;

	*stage = (struct stage){ .place = place };
	spec_init(&stage->spec);
	stage->plan = (struct worker_plan){
		.spec = &stage->spec, .tree = place->tree, .home = place->home, .workdir = place->tree, .upper_fd = -1
	};
	stage->world.plan = &stage->plan;
	EXPECT(mount_restrict(AT_FDCWD, "/", MOUNT_RECURSIVE | MOUNT_READ_ONLY | MOUNT_PRIVATE) == 0);
	EXPECT(mount("scratch", scratch, "tmpfs", 0, "mode=0755") == 0);
	if (layers_open(&stage->world.layers, &request, 1, &skip, LAYERS_SOMEWHERE, &error) < 0) {
		explain(&error);
		_exit(INSIDE_FAILED);
	}
	stage->world.scratch_fd = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	base_fd = kind == WORLD_KEPT ? open_kept_layers(place) : stage->world.scratch_fd;
	EXPECT(base_fd >= 0 && layers_prepare(&stage->world.layers, base_fd, &error) == 0);
	EXPECT(layers_hide(&stage->world.layers, ssh, &error) == 1);
	if (kind == WORLD_NEW)
		fill_database(stage);
	if (layers_mount(&stage->world.layers, &error) < 0) {
		explain(&error);
		_exit(INSIDE_FAILED);
	}
	/* Only now: the working directory would else be the one below. */
	stage->writable_fds[0] = open(place->home, O_PATH | O_CLOEXEC);
	stage->world.writable_fds = stage->writable_fds;
	stage->world.writable_count = 1;
	EXPECT(chdir("/") == 0);
}

/* ---- tasks ---- */

struct outcome {
	int status;	    /* as task_run() returned, or 128 + signal */
	struct error error; /* of a failure */
	char *text;	    /* the answer */
};

static struct outcome run_task(const struct stage *stage, enum task_kind kind, int first_fd, const char *a,
			       const char *b, const char *c)
{
	struct shared {
		int status;
		struct error error;
	} *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int out_fd = memfd_create("answer", MFD_CLOEXEC);
	struct task task = { .kind = kind };
	struct outcome outcome = { 0 };
	struct stat status;
	int wait_status;
	pid_t pid;

	if (first_fd >= 0)
		task.fds[task.fd_count++] = first_fd;
	if (first_fd < 0 || kind == TASK_KEEP)
		task.fds[task.fd_count++] = out_fd;
	for (size_t i = 0; i < 3; i++)
		if ((const char *[]){ a, b, c }[i])
			text_list_add(&task.arguments, (const char *[]){ a, b, c }[i]);
	EXPECT(shared != MAP_FAILED && out_fd >= 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
		shared->status = task_run(&stage->world, &task, &shared->error);
		_exit(0);
	}
	EXPECT(pid > 0 && waitpid(pid, &wait_status, 0) == pid);
	outcome.status = WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : shared->status;
	outcome.error = shared->error;
	EXPECT(fstat(out_fd, &status) == 0);
	outcome.text = calloc(1, (size_t)status.st_size + 1);
	EXPECT(pread(out_fd, outcome.text, (size_t)status.st_size, 0) == status.st_size);
	close(out_fd);
	munmap(shared, sizeof(*shared));
	text_list_release(&task.arguments);
	return outcome;
}

#define EXPECT_SUCCESS(outcome)                                                                                        \
	do {                                                                                                           \
		if ((outcome).status != 0) {                                                                           \
			fprintf(stderr, "%s:%d: status %d\n", __FILE__, __LINE__, (outcome).status);                   \
			explain(&(outcome).error);                                                                     \
			_exit(INSIDE_FAILED);                                                                          \
		}                                                                                                      \
	} while (0)

#define EXPECT_TEXT(got, want)                                                                                         \
	do {                                                                                                           \
		if (strcmp((got), (want)) != 0) {                                                                      \
			fprintf(stderr, "%s:%d: want:\n%s\ngot:\n%s\n", __FILE__, __LINE__, (want), (got));            \
			_exit(INSIDE_FAILED);                                                                          \
		}                                                                                                      \
	} while (0)

/* The answer without the path of HOME, which no test knows beforehand. */
static char *relative(const struct stage *stage, const char *text)
{
	struct text_buffer out = { 0 };
	size_t length = strlen(stage->place->home);

	text_buffer_add_text(&out, "");
	for (const char *at = text; *at;) {
		if (strncmp(at, stage->place->home, length) == 0) {
			text_buffer_add_text(&out, "~");
			at += length;
		} else {
			text_buffer_add(&out, at++, 1);
		}
	}
	return out.bytes;
}

static void expect_diff(const struct stage *stage, const char *want)
{
	struct outcome outcome = run_task(stage, TASK_DIFF, -1, "table", NULL, NULL);
	owned_text got = relative(stage, outcome.text);

	EXPECT_SUCCESS(outcome);
	EXPECT_TEXT(got, want);
	free(outcome.text);
}

/* ---- diff ---- */

static int nothing_is_listed_of_a_new_world(void *argument)
{
	struct stage stage;

	enter_world(&stage, argument, WORLD_NEW);
	expect_diff(&stage, "");
	/* Looking changes nothing, and being looked at is no change. */
	run_sql(stage.place->database, "SELECT * FROM person");
	expect_diff(&stage, "");
	return INSIDE_OK;
}

static int changes_are_listed(void *argument)
{
	struct outcome outcome;
	struct stage stage;
	owned_json json = { 0 };
	owned_text got = NULL;

	enter_world(&stage, argument, WORLD_NEW);
	shell("cd '%s' && echo more >>file && rm gone && mkdir new && echo x >'new/a\033[31m' && touch kept &&"
	      "chmod 0700 sub && ln -s y new/link",
	      stage.place->tree);
	expect_diff(&stage, "C ~/app/file\nD ~/app/gone\nA ~/app/new\nA ~/app/new/a\\x1b[31m\nA ~/app/new/link\n"
			    "C ~/app/sub\n");
	outcome = run_task(&stage, TASK_DIFF, -1, "json", NULL, NULL);
	EXPECT_SUCCESS(outcome);
	EXPECT(json_read(&json, outcome.text, strlen(outcome.text), NULL) == 0);
	got = relative(&stage, outcome.text);
	EXPECT(strstr(got, "{\"kind\":\"C\",\"path\":\"~/app/"
			   "file\",\"type\":\"file\",\"mode\":\"0644\",\"bytes\":9,\"changed\":\"2"));
	EXPECT(strstr(got, "{\"kind\":\"A\",\"path\":\"~/app/new/link\",\"type\":\"link\""));
	EXPECT(strstr(got, "{\"kind\":\"C\",\"path\":\"~/app/"
			   "sub\",\"type\":\"directory\",\"mode\":\"0700\",\"bytes\":0,\"changed\":\"2"));
	return INSIDE_OK;
}

static int a_diff_is_limited_to_places(void *argument)
{
	struct outcome outcome;
	struct stage stage;
	owned_text got = NULL;
	owned_text place = NULL;

	enter_world(&stage, argument, WORLD_NEW);
	shell("cd '%s' && echo more >>file && mkdir new newer && echo x >new/a && echo x >newer/b", stage.place->tree);
	place = text_format("%s/new", stage.place->tree);
	outcome = run_task(&stage, TASK_DIFF, -1, "table", place, NULL);
	EXPECT_SUCCESS(outcome);
	got = relative(&stage, outcome.text);
	EXPECT_TEXT(got, "A ~/app/new\nA ~/app/new/a\n");
	return INSIDE_OK;
}

static int an_empty_diff_is_an_empty_array(void *argument)
{
	struct outcome outcome;
	struct stage stage;

	enter_world(&stage, argument, WORLD_NEW);
	outcome = run_task(&stage, TASK_DIFF, -1, "json", NULL, NULL);
	EXPECT_SUCCESS(outcome);
	EXPECT_TEXT(outcome.text, "[]\n");
	return INSIDE_OK;
}

static int a_written_database_is_listed_once(void *argument)
{
	struct stage stage;
	sqlite3 *database;

	enter_world(&stage, argument, WORLD_NEW);
	database = open_database(stage.place->database);
	EXPECT(sqlite3_exec(database, "BEGIN; INSERT INTO person VALUES(2, 'Grace')", NULL, NULL, NULL) == SQLITE_OK);
	/* In its journal only so far. */
	expect_diff(&stage, "");
	EXPECT(sqlite3_exec(database, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
	expect_diff(&stage, "C ~/app/TestDb.db\n");
	return INSIDE_OK;
}

static int rows_in_the_wal_are_a_change(void *argument)
{
	struct stage stage;
	struct stat status;
	sqlite3 *database;

	enter_world(&stage, argument, WORLD_NEW);
	run_sql(stage.place->database, "PRAGMA journal_mode=wal");
	EXPECT(stat(stage.place->database, &status) == 0);
	/* As a database that was in WAL mode on the host. */
	stage.world.databases[0].modified_ns = status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec;
	expect_diff(&stage, "");
	database = open_database(stage.place->database);
	EXPECT(sqlite3_exec(database, "INSERT INTO person VALUES(2, 'Grace')", NULL, NULL, NULL) == SQLITE_OK);
	expect_diff(&stage, "C ~/app/TestDb.db\n");
	return INSIDE_OK;
}

/* As after a copy by hand, which is made of an idle WAL's database: byte for byte the source. */
static int a_change_in_the_wal_alone_is_listed(void *argument)
{
	const struct place *place = argument;
	struct world_database *database;
	owned_text bytes = NULL;
	struct stage stage;
	sqlite3 *connection;
	owned_fd fd = -1;
	size_t size;

	run_sql(place->database, "PRAGMA journal_mode=wal");
	enter_world(&stage, place, WORLD_NEW);
	EXPECT(fd_read_file(stage.world.layers.items[0].lower_fd, "app/TestDb.db", 0, &bytes, &size) == 0);
	fd = open(place->database, O_WRONLY | O_TRUNC | O_CLOEXEC);
	EXPECT(fd >= 0 && fd_write_all(fd, bytes, size) == 0);
	database = &stage.world.databases[0];
	world_database_note(database, AT_FDCWD, place->database);
	expect_diff(&stage, "");
	connection = open_database(place->database);
	EXPECT(sqlite3_exec(connection, "INSERT INTO person VALUES(2, 'Grace')", NULL, NULL, NULL) == SQLITE_OK);
	expect_diff(&stage, "C ~/app/TestDb.db\n");
	return INSIDE_OK;
}

static int removed_and_made_databases_are_listed(void *argument)
{
	struct stage stage;

	enter_world(&stage, argument, WORLD_NEW);
	shell("cd '%s' && rm TestDb.db && echo x >TestDb.db-other", stage.place->tree);
	expect_diff(&stage, "D ~/app/TestDb.db\nA ~/app/TestDb.db-other\n");
	return INSIDE_OK;
}

static int mount_points_of_sbx_are_not_listed(void *argument)
{
	struct stage stage;

	enter_world(&stage, argument, WORLD_NEW);
	shell("cd '%s' && mkdir -p made/on/the/way made/by/payload", stage.place->tree);
	spec_add_volume(&stage.spec, &(struct volume){ .kind = VOLUME_TMPFS, .target = (char[]){ "made/on/the/way" } });
	expect_diff(&stage, "A ~/app/made/by\nA ~/app/made/by/payload\n");
	return INSIDE_OK;
}

static int an_unreadable_directory_is_told(void *argument)
{
	struct outcome outcome;
	struct stage stage;

	enter_world(&stage, argument, WORLD_NEW);
	shell("cd '%s' && mkdir closed && echo x >closed/x && echo y >z && chmod 0 closed", stage.place->tree);
	outcome = run_task(&stage, TASK_DIFF, -1, "table", NULL, NULL);
	/* The rest is listed, and the capability that would open it is gone. */
	EXPECT(outcome.status == -EACCES);
	EXPECT(strstr(outcome.text, "/app/z\n") && !strstr(outcome.text, "closed/x"));
	EXPECT(strstr(outcome.error.cause, "1 directories"));
	return INSIDE_OK;
}

/* ---- cp ---- */

static struct outcome copy_out(const struct stage *stage, const char *inside, const char *name)
{
	return run_task(stage, TASK_COPY_OUT, stage->place->host_fd, inside, name, NULL);
}

static struct outcome copy_in(const struct stage *stage, const char *name, const char *inside)
{
	return run_task(stage, TASK_COPY_IN, stage->place->host_fd, name, inside, NULL);
}

static char *read_host(const struct stage *stage, const char *name)
{
	char *text = NULL;

	EXPECT(fd_read_file(stage->place->host_fd, name, 0, &text, NULL) == 0);
	return text;
}

static mode_t host_mode(const struct stage *stage, const char *name)
{
	struct stat status;

	return fstatat(stage->place->host_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : status.st_mode;
}

static int files_are_copied_out(void *argument)
{
	struct outcome outcome;
	struct stage stage;

	enter_world(&stage, argument, WORLD_NEW);
	shell("cd '%s' && echo more >>file && chmod 06755 file", stage.place->tree);
	outcome = copy_out(&stage, "file", "renamed"); /* relative: below the tree */
	EXPECT_SUCCESS(outcome);
	EXPECT_TEXT(read_host(&stage, "renamed"), "one\nmore\n");
	EXPECT(host_mode(&stage, "renamed") == (S_IFREG | 0755)); /* no setuid on the host */
	outcome = copy_out(&stage, "file", ".");
	EXPECT_SUCCESS(outcome);
	EXPECT_TEXT(read_host(&stage, "file"), "one\nmore\n");
	outcome = copy_out(&stage, "sub/file", "file"); /* over what is there */
	EXPECT_SUCCESS(outcome);
	EXPECT_TEXT(read_host(&stage, "file"), "two\n");
	outcome = copy_out(&stage, "link", "link");
	EXPECT_SUCCESS(outcome);
	EXPECT(S_ISLNK(host_mode(&stage, "link")));
	outcome = copy_out(&stage, "missing", "x");
	EXPECT(outcome.status == -ENOENT && strcmp(outcome.error.object, "missing") == 0);
	return INSIDE_OK;
}

static int directories_are_copied_out(void *argument)
{
	struct outcome outcome;
	struct stage stage;

	enter_world(&stage, argument, WORLD_NEW);
	shell("cd '%s' && chmod 0777 sub", stage.place->tree);
	outcome = copy_out(&stage, "sub", "new");
	EXPECT_SUCCESS(outcome);
	EXPECT_TEXT(read_host(&stage, "new/file"), "two\n");
	outcome = copy_out(&stage, "sub", "new"); /* exists now: into it */
	EXPECT_SUCCESS(outcome);
	EXPECT_TEXT(read_host(&stage, "new/sub/file"), "two\n");
	outcome = copy_out(&stage, "sub/.", ".");
	EXPECT_SUCCESS(outcome);
	EXPECT_TEXT(read_host(&stage, "file"), "two\n");
	/* A directory of the user's keeps its bits, whatever the payload's has. */
	EXPECT(host_mode(&stage, ".") != (S_IFDIR | 0777));
	outcome = copy_out(&stage, "sub", "file");
	EXPECT(outcome.status == -ENOTDIR);
	outcome = copy_out(&stage, "file", "absent/");
	EXPECT(outcome.status == -ENOENT);
	outcome = copy_out(&stage, stage.place->tree, ".");
	EXPECT_SUCCESS(outcome);
	EXPECT_TEXT(read_host(&stage, "app/kept"), "kept\n");
	return INSIDE_OK;
}

static int a_copy_out_stays_in_its_directory(void *argument)
{
	static const char *const names[] = { "../outside/x", "/x", "a/b", "..", "", "./../x" };
	const struct place *place = argument;
	owned_text outside = path_join(place->base, "outside/victim");
	struct outcome outcome;
	struct stage stage;

	/* A link on the host, made by whom ever, is replaced and not followed. */
	EXPECT(symlinkat("../outside/victim", place->host_fd, "link") == 0);
	EXPECT(symlinkat("../outside", place->host_fd, "directory") == 0);
	enter_world(&stage, place, WORLD_NEW);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		outcome = copy_out(&stage, "file", names[i]);
		EXPECT(outcome.status == -EINVAL);
		outcome = copy_out(&stage, "TestDb.db", names[i]);
		EXPECT(outcome.status == -EINVAL);
	}
	outcome = copy_out(&stage, "file", "link");
	EXPECT_SUCCESS(outcome);
	EXPECT(S_ISREG(host_mode(&stage, "link")));
	outcome = copy_out(&stage, "sub", "directory");
	EXPECT(outcome.status == -ENOTDIR);
	EXPECT(access(outside, F_OK) < 0);
	outside[strlen(outside) - strlen("victim")] = '\0';
	shell("test -z \"$(ls -A '%s')\"", outside);
	return INSIDE_OK;
}

/* A payload's link would have the user copy sbx's own environment into an artifact. */
static int proc_is_not_copied(void *argument)
{
	struct outcome outcome;
	struct stage stage;

	enter_world(&stage, argument, WORLD_NEW);
	shell("cd '%s' && ln -s /proc/self results && mkdir reports && ln -s /proc/self/environ reports/environ",
	      stage.place->tree);
	outcome = copy_out(&stage, "results/environ", "x");
	EXPECT(outcome.status == -EACCES);
	outcome = copy_out(&stage, "results/.", "x");
	EXPECT(outcome.status == -EACCES);
	outcome = copy_out(&stage, "/proc", "x");
	EXPECT(outcome.status == -EACCES);
	outcome = copy_out(&stage, "/proc/self/fd/0", "x");
	EXPECT(outcome.status == -EACCES);
	outcome = copy_in(&stage, ".", "results/task");
	EXPECT(outcome.status == -EACCES);
	outcome = copy_out(&stage, "reports", "x");
	EXPECT_SUCCESS(outcome);
	EXPECT(S_ISLNK(host_mode(&stage, "x/environ")));
	return INSIDE_OK;
}

static int proc_in_a_directory_is_left_out(void *argument)
{
	owned_text point = NULL;
	struct outcome outcome;
	struct stage stage;

	enter_world(&stage, argument, WORLD_NEW);
	point = path_join(stage.place->tree, "sub/proc");
	/* Small, and enough to tell: the file system is what counts. */
	EXPECT(mkdir(point, 0755) == 0 && mount("/proc/sys/fs/mqueue", point, NULL, MS_BIND, NULL) == 0);
	outcome = copy_out(&stage, "sub", "copy");
	EXPECT_SUCCESS(outcome);
	EXPECT(host_mode(&stage, "copy/file") != 0 && host_mode(&stage, "copy/proc") == 0);
	return INSIDE_OK;
}

/* They would command the next overlay that has the copy in a layer. */
static int attributes_of_overlayfs_are_left_out(void *argument)
{
	owned_text file = NULL;
	owned_fd copy_fd = -1;
	struct outcome outcome;
	struct stage stage;
	char value[8];

	enter_world(&stage, argument, WORLD_NEW);
	file = path_join(stage.place->tree, "file");
	EXPECT(setxattr(file, "user.note", "n", 1, 0) == 0);
	/* Kernels before 6.7 refuse what later ones escape (finding 48). */
	EXPECT(setxattr(file, "user.overlay.redirect", "/", 1, 0) == 0 || errno == EPERM || errno == EOPNOTSUPP);
	outcome = copy_out(&stage, "file", "copy");
	EXPECT_SUCCESS(outcome);
	copy_fd = openat(stage.place->host_fd, "copy", O_RDONLY | O_CLOEXEC);
	EXPECT(copy_fd >= 0 && fgetxattr(copy_fd, "user.note", value, sizeof(value)) == 1);
	EXPECT(fgetxattr(copy_fd, "user.overlay.redirect", value, sizeof(value)) < 0 && errno == ENODATA);
	return INSIDE_OK;
}

static int a_database_is_copied_out_whole(void *argument)
{
	owned_text copy = NULL;
	struct outcome outcome;
	struct stage stage;
	sqlite3 *database;
	int64_t count = 0;

	enter_world(&stage, argument, WORLD_NEW);
	database = open_database(stage.place->database);
	EXPECT(sqlite3_exec(database, "PRAGMA journal_mode=wal; INSERT INTO person VALUES(2, 'Grace')", NULL, NULL,
			    NULL) == SQLITE_OK);
	for (int i = 0; i < 2; i++) { /* the second time over the first */
		outcome = copy_out(&stage, "TestDb.db", ".");
		EXPECT_SUCCESS(outcome);
	}
	EXPECT(faccessat(stage.place->host_fd, "TestDb.db-wal", F_OK, 0) < 0);
	EXPECT(sqlite3_close(database) == SQLITE_OK);
	/* The host's directory is read-only by its path in here: a copy is looked at. */
	copy = path_join(stage.place->home, "looked-at.db");
	shell("cp '%s/TestDb.db' '%s'", stage.place->host, copy);
	database = open_database(copy);
	EXPECT(sqlite_number(database, "SELECT count(*) FROM person", &count) == SQLITE_ROW && count == 2);
	/* Damaged: as it is. */
	shell("cd '%s' && { printf 'SQLite format 3\\000'; echo junk; } >broken.db", stage.place->tree);
	outcome = copy_out(&stage, "broken.db", ".");
	EXPECT_SUCCESS(outcome);
	EXPECT(host_mode(&stage, "broken.db") != 0);
	shell("test \"$(ls -A '%s')\" = \"$(printf 'TestDb.db\\nbroken.db')\"", stage.place->host);
	return INSIDE_OK;
}

static int files_are_copied_in(void *argument)
{
	const struct place *place = argument;
	struct outcome outcome;
	struct stage stage;

	shell("cd '%s' && echo new >new && mkdir -p dir/deep && echo a >dir/deep/a && chmod 04755 new", place->host);
	enter_world(&stage, place, WORLD_NEW);
	outcome = copy_in(&stage, "new", "file");
	EXPECT_SUCCESS(outcome);
	outcome = copy_in(&stage, "new", "sub");
	EXPECT_SUCCESS(outcome);
	outcome = copy_in(&stage, "dir", stage.place->home);
	EXPECT_SUCCESS(outcome);
	outcome = copy_in(&stage, "dir/.", "sub/");
	EXPECT_SUCCESS(outcome);
	outcome = copy_in(&stage, "dir", "fresh");
	EXPECT_SUCCESS(outcome);
	shell("cd '%s' && test \"$(cat file sub/new sub/deep/a fresh/deep/a ../dir/deep/a)\" = "
	      "\"$(printf 'new\\nnew\\na\\na\\na')\" && test -z \"$(find . -perm /6000)\"",
	      stage.place->tree);
	outcome = copy_in(&stage, "new", "absent/");
	EXPECT(outcome.status == -ENOENT);
	outcome = copy_in(&stage, "new", "/usr/new");
	EXPECT(outcome.status == -EROFS && strstr(outcome.error.remedy, "/tmp"));
	/* A payload's link leads where it would lead the payload: never to the host. */
	shell("cd '%s' && ln -s /usr out", stage.place->tree);
	outcome = copy_in(&stage, "new", "out");
	EXPECT(outcome.status == -EROFS);
	outcome = copy_in(&stage, "../outside", "x");
	EXPECT(outcome.status == -EINVAL);
	return INSIDE_OK;
}

/* ---- db ---- */

static struct outcome query(const struct stage *stage, const char *format, const char *database, const char *sql)
{
	return run_task(stage, TASK_DB_QUERY, -1, format, database, sql);
}

static int databases_are_listed(void *argument)
{
	struct outcome outcome;
	struct stage stage;
	owned_text got = NULL;

	enter_world(&stage, argument, WORLD_NEW);
	shell("cd '%s' && { printf 'SQLite format 3\\000'; head -c 4096 /dev/zero; } >broken.db", stage.place->tree);
	outcome = run_task(&stage, TASK_DB_LIST, -1, "json", NULL, NULL);
	EXPECT_SUCCESS(outcome);
	got = relative(&stage, outcome.text);
	EXPECT(strstr(got, "{\"path\":\"~/app/TestDb.db\",\"bytes\":8192,\"journal\":\"delete\",\"tables\":1,"
			   "\"changed\":false,\"problem\":null}"));
	EXPECT(strstr(got, "\"path\":\"~/app/broken.db\",\"bytes\":null"));
	run_sql(stage.place->database, "CREATE TABLE role(id); PRAGMA journal_mode=wal");
	outcome = run_task(&stage, TASK_DB_LIST, -1, "json", NULL, NULL);
	EXPECT(strstr(outcome.text, "\"journal\":\"wal\",\"tables\":2,\"changed\":true"));
	outcome = run_task(&stage, TASK_DB_LIST, -1, "table", NULL, NULL);
	EXPECT(strncmp(outcome.text, "PATH ", 5) == 0);
	return INSIDE_OK;
}

static int questions_are_answered(void *argument)
{
	struct outcome outcome;
	struct stage stage;

	enter_world(&stage, argument, WORLD_NEW);
	outcome =
		query(&stage, "table", "", "SELECT id, name AS 'na\033me' FROM person; SELECT NULL AS n, x'00ff' AS b");
	EXPECT_SUCCESS(outcome);
	EXPECT_TEXT(outcome.text, "id  na\\x1bme\n1   Ada\n\nn  b\n   x'00ff'\n");
	outcome = query(&stage, "json", "TestDb.db",
			"SELECT id, name, 1.5 AS r, 9e999 AS i, -9e999 AS j, NULL AS n, x'00fF' AS b,"
			" 'a' || char(0) || 'b' AS z, CAST(x'ff' AS TEXT) AS u FROM person");
	EXPECT_SUCCESS(outcome);
	EXPECT_TEXT(outcome.text, "[\n{\"id\":1,\"name\":\"Ada\",\"r\":1.5,\"i\":9.0e+999,\"j\":-9.0e+999,\"n\":null,"
				  "\"b\":\"00ff\",\"z\":\"a\\u0000b\",\"u\":\"\\udcff\"}\n]\n");
	outcome = query(&stage, "json", "", "SELECT * FROM person WHERE id = 9");
	EXPECT_TEXT(outcome.text, "[]\n");
	outcome = query(&stage, "table", "", "SELECT * FROM persons");
	EXPECT(outcome.status == -EINVAL && strcmp(outcome.error.cause, "no such table: persons") == 0);
	outcome = query(&stage, "table", "", "DELETE FROM person");
	EXPECT(outcome.status == -EROFS);
	outcome = query(&stage, "table", "absent.db", "SELECT 1");
	EXPECT(outcome.status == -ENOENT);
	expect_diff(&stage, "");
	return INSIDE_OK;
}

static int a_database_is_chosen(void *argument)
{
	owned_text second = NULL;
	struct outcome outcome;
	struct stage stage;

	enter_world(&stage, argument, WORLD_NEW);
	second = path_join(stage.place->tree, "sub/Other.db");
	run_sql(second, "CREATE TABLE other(x); INSERT INTO other VALUES(7)");
	outcome = query(&stage, "json", "", "SELECT 1");
	EXPECT(outcome.status == -EINVAL && strstr(outcome.error.cause, "sub/Other.db") &&
	       strstr(outcome.error.remedy, "--db"));
	outcome = query(&stage, "json", "Other.db", "SELECT x FROM other");
	EXPECT_TEXT(outcome.text, "[\n{\"x\":7}\n]\n");
	outcome = query(&stage, "json", "sub/Other.db", "SELECT x FROM other");
	EXPECT_TEXT(outcome.text, "[\n{\"x\":7}\n]\n");
	outcome = query(&stage, "json", second, "SELECT x FROM other");
	EXPECT_TEXT(outcome.text, "[\n{\"x\":7}\n]\n");
	shell("rm '%s/TestDb.db' '%s'", stage.place->tree, second);
	stage.world.database_count = 0;
	outcome = query(&stage, "json", "", "SELECT 1");
	EXPECT(outcome.status == -ENOENT && outcome.error.remedy[0]);
	return INSIDE_OK;
}

/* ---- keep ---- */

static int keep(void *argument)
{
	struct outcome outcome;
	struct stage stage;
	struct stat status;

	enter_world(&stage, argument, WORLD_NEW);
	shell("cd '%s' && echo more >>file && rm -r gone sub && mkdir sub && echo n >sub/new && chmod 04755 file &&"
	      "mkfifo pipe && chmod 0 sub",
	      stage.place->tree);
	run_sql(stage.place->database, "INSERT INTO person VALUES(2, 'Grace')");
	outcome = run_task(&stage, TASK_KEEP, stage.place->host_fd, NULL, NULL, NULL);
	EXPECT_SUCCESS(outcome);
	/* app, TestDb.db, file, gone, sub, sub/new, pipe */
	EXPECT(strncmp(outcome.text, "{\"entries\":7,\"bytes\":", 21) == 0);
	EXPECT(strcmp(outcome.text + strlen(outcome.text) - 2, "}\n") == 0);
	/* sbx's own whiteout is none of the worker's state; the program's is. */
	EXPECT(fstatat(stage.place->host_fd, "upper-0/.ssh", &status, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT);
	EXPECT(fstatat(stage.place->host_fd, "upper-0/app/gone", &status, AT_SYMLINK_NOFOLLOW) == 0);
	EXPECT(S_ISCHR(status.st_mode) && status.st_rdev == 0);
	EXPECT(host_mode(&stage, "upper-0/app/file") == (S_IFREG | 0755));
	/* A second time the name is taken, and nothing of the first is touched. */
	outcome = run_task(&stage, TASK_KEEP, stage.place->host_fd, NULL, NULL, NULL);
	EXPECT(outcome.status == -EEXIST);
	return INSIDE_OK;
}

static int keep_within_bytes(void *argument)
{
	struct outcome outcome;
	struct stage stage;

	enter_world(&stage, argument, WORLD_NEW);
	shell("cd '%s' && head -c 9000 /dev/zero | tr '\\0' x >big", stage.place->tree);
	outcome = run_task(&stage, TASK_KEEP, stage.place->host_fd, "-1", NULL, NULL);
	EXPECT(outcome.status == -EINVAL);
	outcome = run_task(&stage, TASK_KEEP, stage.place->host_fd, "8999", NULL, NULL);
	EXPECT(outcome.status == -EFBIG);
	return INSIDE_OK;
}

static int enter_again(void *argument)
{
	const struct place *place = argument;
	struct stage stage;

	enter_world(&stage, place, WORLD_KEPT);
	shell("cd '%s' && chmod u+rwx sub && test \"$(cat file sub/new)\" = \"$(printf 'one\\nmore\\nn')\" &&"
	      "test -p pipe && test ! -e gone && test ! -e ../.ssh && test ! -e sub/file",
	      place->tree);
	expect_diff(&stage, "C ~/app/TestDb.db\nC ~/app/file\nD ~/app/gone\nA ~/app/pipe\nC ~/app/sub\n"
			    "D ~/app/sub/file\nA ~/app/sub/new\n");
	return INSIDE_OK;
}

/* ---- confinement ---- */

/* @return the wait status of a child that does `body(path)` confined */
static int confined(const char *path, void (*body)(const char *path))
{
	struct error error = { 0 };
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (task_forbid_writing(NULL, 0, &error) < 0 || task_confine(&error) < 0)
			_exit(100);
		body(path);
		_exit(0);
	}
	EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid);
	return status;
}

static void open_to_read(const char *path)
{
	_exit(open(path, O_RDONLY | O_CLOEXEC) >= 0 ? 0 : errno);
}

static void open_to_write(const char *path)
{
	_exit(open(path, O_WRONLY | O_CLOEXEC) >= 0 ? 0 : errno);
}

static void make_socket(const char *path)
{
	(void)path;
	(void)socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void execute(const char *path)
{
	(void)path;
	(void)execl("/bin/true", "true", NULL);
}

static void trace(const char *path)
{
	(void)path;
	(void)!process_vm_readv(getppid(), NULL, 0, NULL, 0, 0);
}

static void make_process(const char *path)
{
	(void)path;
	(void)fork();
}

static void kill_parent(const char *path)
{
	(void)path;
	(void)kill(getppid(), 0);
}

static void mount_again(const char *path)
{
	(void)mount("x", path, "tmpfs", 0, NULL);
}

static void look_at_itself(const char *path)
{
	(void)path;
	char *text = NULL;
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	bool is_bare = fd >= 0 && fd_read_file(AT_FDCWD, "/proc/self/status", 0, &text, NULL) == 0 &&
		       strstr(text, "CapEff:\t0000000000000000") && strstr(text, "CapBnd:\t0000000000000000") &&
		       strstr(text, "CapPrm:\t0000000000000000") && strstr(text, "NoNewPrivs:\t1");

	_exit(is_bare ? 0 : 1);
}

static int the_reader_is_confined(void *argument)
{
	static const struct {
		const char *name;
		void (*body)(const char *path);
	} killed[] = {
		{ "socket", make_socket }, { "execve", execute },   { "process_vm_readv", trace },
		{ "fork", make_process },  { "kill", kill_parent }, { "mount", mount_again },
	};
	const struct place *place = argument;
	owned_text file = path_join(place->tree, "file");
	owned_text closed = path_join(place->tree, "kept");
	struct stage stage;
	int status;

	enter_world(&stage, place, WORLD_NEW);
	shell("chmod 0 '%s'", closed);
	status = confined(file, open_to_read);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	/* By Landlock, where the kernel has it: everything else would let it. */
	status = confined(file, open_to_write);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == (landlock_level() > 0 ? EACCES : 0));
	/* By the lack of CAP_DAC_OVERRIDE. */
	EXPECT(open(closed, O_RDONLY | O_CLOEXEC) >= 0);
	status = confined(closed, open_to_read);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == EACCES);
	status = confined(file, look_at_itself);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(killed); i++) {
		status = confined(file, killed[i].body);
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS) {
			fprintf(stderr, "%s is not killed: %d\n", killed[i].name, status);
			return INSIDE_FAILED;
		}
	}
	return INSIDE_OK;
}

/* ---- requests ---- */

static int malformed_requests_are_refused(void *argument)
{
	struct outcome outcome;
	struct stage stage;

	enter_world(&stage, argument, WORLD_NEW);
	outcome = run_task(&stage, (enum task_kind)0, -1, NULL, NULL, NULL);
	EXPECT(outcome.status == -EINVAL);
	outcome = run_task(&stage, (enum task_kind)99, -1, NULL, NULL, NULL);
	EXPECT(outcome.status == -EINVAL);
	outcome = run_task(&stage, (enum task_kind) - 1, -1, NULL, NULL, NULL);
	EXPECT(outcome.status == -EINVAL);
	outcome = run_task(&stage, TASK_DIFF, -1, NULL, NULL, NULL);
	EXPECT(outcome.status == -EINVAL);
	outcome = run_task(&stage, TASK_DIFF, -1, "yaml", NULL, NULL);
	EXPECT(outcome.status == -EINVAL);
	outcome = run_task(&stage, TASK_INSPECT, -1, NULL, NULL, NULL);
	EXPECT_SUCCESS(outcome);
	EXPECT(strncmp(outcome.text, "{\"spec\":{", 9) == 0);
	return INSIDE_OK;
}

#define INSIDE_TEST(name)                                                                                              \
	static void test_##name(void **state)                                                                          \
	{                                                                                                              \
		assert_inside(CLONE_NEWUSER | CLONE_NEWNS, 1000, name, *state);                                        \
	}

INSIDE_TEST(nothing_is_listed_of_a_new_world)
INSIDE_TEST(changes_are_listed)
INSIDE_TEST(an_empty_diff_is_an_empty_array)
INSIDE_TEST(a_diff_is_limited_to_places)
INSIDE_TEST(keep_within_bytes)
INSIDE_TEST(a_written_database_is_listed_once)
INSIDE_TEST(rows_in_the_wal_are_a_change)
INSIDE_TEST(a_change_in_the_wal_alone_is_listed)
INSIDE_TEST(removed_and_made_databases_are_listed)
INSIDE_TEST(mount_points_of_sbx_are_not_listed)
INSIDE_TEST(an_unreadable_directory_is_told)
INSIDE_TEST(files_are_copied_out)
INSIDE_TEST(directories_are_copied_out)
INSIDE_TEST(a_copy_out_stays_in_its_directory)
INSIDE_TEST(proc_is_not_copied)
INSIDE_TEST(attributes_of_overlayfs_are_left_out)
INSIDE_TEST(proc_in_a_directory_is_left_out)
INSIDE_TEST(a_database_is_copied_out_whole)
INSIDE_TEST(files_are_copied_in)
INSIDE_TEST(databases_are_listed)
INSIDE_TEST(questions_are_answered)
INSIDE_TEST(a_database_is_chosen)
INSIDE_TEST(the_reader_is_confined)
INSIDE_TEST(malformed_requests_are_refused)

static void test_a_kept_world_is_entered_again(void **state)
{
	assert_inside(CLONE_NEWUSER | CLONE_NEWNS, 1000, keep, *state);
	assert_inside(CLONE_NEWUSER | CLONE_NEWNS, 1000, enter_again, *state);
}

#define ROW(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(nothing_is_listed_of_a_new_world),
		ROW(changes_are_listed),
		ROW(an_empty_diff_is_an_empty_array),
		ROW(a_diff_is_limited_to_places),
		ROW(keep_within_bytes),
		ROW(a_written_database_is_listed_once),
		ROW(rows_in_the_wal_are_a_change),
		ROW(a_change_in_the_wal_alone_is_listed),
		ROW(removed_and_made_databases_are_listed),
		ROW(mount_points_of_sbx_are_not_listed),
		ROW(an_unreadable_directory_is_told),
		ROW(files_are_copied_out),
		ROW(directories_are_copied_out),
		ROW(a_copy_out_stays_in_its_directory),
		ROW(proc_is_not_copied),
		ROW(attributes_of_overlayfs_are_left_out),
		ROW(proc_in_a_directory_is_left_out),
		ROW(a_database_is_copied_out_whole),
		ROW(files_are_copied_in),
		ROW(databases_are_listed),
		ROW(questions_are_answered),
		ROW(a_database_is_chosen),
		ROW(a_kept_world_is_entered_again),
		ROW(the_reader_is_confined),
		ROW(malformed_requests_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
