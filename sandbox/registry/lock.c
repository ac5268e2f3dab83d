/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/registry/lock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/tree.h"
#include "sandbox/registry/claim.h"

static char *file_name(const char *prefix, const char *name, char file[static LOCK_FILE_NAME_SIZE])
{
	(void)snprintf(file, LOCK_FILE_NAME_SIZE, "%s%s", prefix, name);
	return file;
}

char *lock_socket_name(const char *name, char file[static LOCK_FILE_NAME_SIZE])
{
	return file_name(SOCKET_PREFIX, name, file);
}

static void wait_ms(long ms)
{
	const struct timespec time = { .tv_nsec = ms * 1000000 };

	(void)nanosleep(&time, NULL);
}

/* ---- The row's line ----------------------------------------------------------------------------------------------
 *
 * {"check":"0123456789abcdef","version":1,"id":…}   with the checksum over all that follows its closing quote. */

#define CHECK_START "{\"check\":\""

enum {
	CHECK_DIGITS = 16,
	CHECK_END = sizeof(CHECK_START) - 1 + CHECK_DIGITS + 1,
	ROW_VERSION = 1,
	/* Six bytes for one is the most that JSON makes of any. */
	COMMAND_BYTES_MAX = 32 << 10,
};

/* FNV-1a: against torn writes, not against people. http://www.isthe.com/chongo/tech/comp/fnv/ */
static uint64_t checksum(const char *bytes, size_t size)
{
	uint64_t sum = 0xcbf29ce484222325;

	for (size_t i = 0; i < size; i++)
		sum = (sum ^ (unsigned char)bytes[i]) * 0x100000001b3;
	return sum;
}

static size_t count_fitting(const struct text_list *command)
{
	size_t bytes = 0;
	size_t count = 0;

	while (count < command->count && (bytes += 6 * strlen(command->items[count]) + 3) <= COMMAND_BYTES_MAX)
		count++;
	return count;
}

static void format_line(const struct worker_row *row, struct text_buffer *out)
{
	struct worker_row shown = *row; /* borrows */
	char digits[CHECK_DIGITS + 1];

	shown.command.count = count_fitting(&row->command);
	shown.is_command_cut |= shown.command.count < row->command.count;

	text_buffer_add_text(out, CHECK_START "0000000000000000\"");
	json_add_number(out, "version", ROW_VERSION);
	worker_row_write(&shown, out);
	json_end_object(out);
	(void)snprintf(digits, sizeof(digits), "%016llx",
		       (unsigned long long)checksum(out->bytes + CHECK_END, out->length - CHECK_END));
	memcpy(out->bytes + sizeof(CHECK_START) - 1, digits, CHECK_DIGITS);
}

/* Reads the row of one line, without its padding. -EBADMSG: torn, or not ours. */
static int read_line(const char *line, size_t size, struct json *json, struct worker_row *ret_row)
{
	char digits[CHECK_DIGITS + 1];

	while (size > 0 && (line[size - 1] == ' ' || line[size - 1] == '\n'))
		size--;
	if (size <= CHECK_END || memcmp(line, CHECK_START, sizeof(CHECK_START) - 1) != 0)
		return -EBADMSG;
	(void)snprintf(digits, sizeof(digits), "%016llx",
		       (unsigned long long)checksum(line + CHECK_END, size - CHECK_END));
	if (memcmp(line + sizeof(CHECK_START) - 1, digits, CHECK_DIGITS) != 0 || json_read(json, line, size, NULL) < 0)
		return -EBADMSG;
	return worker_row_read(json_root(json), ret_row);
}

int lock_write_row(struct lock *lock, const struct worker_row *row, struct error *error)
{
	owned_buffer line = { 0 };
	ssize_t written;
	size_t size;

	format_line(row, &line);
	size = MAX(lock->size, (line.length + ROW_ALIGNMENT) / ROW_ALIGNMENT * ROW_ALIGNMENT);
	if (size > ROW_SIZE_MAX)
		return error_set(error, .number = E2BIG, .step = "write the row of the worker", .object = row->name,
				 .cause = "paths and labels are longer than a lock file may be");
	while (line.length + 1 < size) {
		static const char padding[] = "                                                                ";

		text_buffer_add(&line, padding, MIN(sizeof(padding) - 1, size - 1 - line.length));
	}
	text_buffer_add(&line, "\n", 1);

	written = RETRY_EINTR(pwrite(lock->fd, line.bytes, size, 0));
	if (written != (ssize_t)size)
		return error_set(error, .number = written < 0 ? errno : ENOSPC, .step = "write the row of the worker",
				 .object = row->name);
	lock->size = size;
	return 0;
}

int lock_replace_ports(int lock_fd, const struct text_list *ports, struct error *error)
{
	struct lock lock = { .fd = lock_fd, .directory_fd = -1 };
	owned_json json = { 0 };
	owned_row row = { 0 };
	char line[ROW_SIZE_MAX];
	ssize_t got = RETRY_EINTR(pread(lock_fd, line, sizeof(line), 0));

	if (got < 0 || read_line(line, (size_t)got, &json, &row) < 0)
		return error_set(error, .number = got < 0 ? errno : EBADMSG, .step = "read the row of the worker");
	lock.size = (size_t)got;
	text_list_release(&row.ports);
	for (size_t i = 0; i < ports->count; i++)
		text_list_add(&row.ports, ports->items[i]);
	return lock_write_row(&lock, &row, error);
}

/* ---- Making ------------------------------------------------------------------------------------------------------ */

int lock_is_held(int directory_fd, const char *name)
{
	char file[LOCK_FILE_NAME_SIZE];
	owned_fd fd = openat(directory_fd, file_name(LOCK_PREFIX, name, file),
			     O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (flock(fd, LOCK_SH | LOCK_NB) == 0)
		return 0;
	return errno == EWOULDBLOCK ? 1 : -errno;
}

int lock_wait(int directory_fd, const char *name, struct error *error)
{
	char file[LOCK_FILE_NAME_SIZE];
	owned_fd fd = openat(directory_fd, file_name(LOCK_PREFIX, name, file),
			     O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || RETRY_EINTR(flock(fd, LOCK_SH)) < 0)
		return error_set(error, .number = errno, .step = "wait for the end of the worker", .object = name);
	return 0;
}

/* Makes and locks the file. -EEXIST: there is one. */
static int make_locked(int directory_fd, const char *file, int *ret_fd)
{
	for (;;) {
		/* Sticky: XDG_RUNTIME_DIR may be cleaned of what has been left alone for six hours, but for these. */
		owned_fd fd = openat(directory_fd, file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
				     S_ISVTX | S_IRUSR | S_IWUSR);
		struct stat status;

		if (fd < 0)
			return -errno;
		/* Waits for those who ask, and for a collector that took it for a dead one's. */
		if (RETRY_EINTR(flock(fd, LOCK_EX)) < 0 || fstat(fd, &status) < 0) {
			int number = errno;

			(void)unlinkat(directory_fd, file, 0);
			return -number;
		}
		if (status.st_nlink == 0)
			continue;
		*ret_fd = fd_take(&fd);
		return 0;
	}
}

/* Makes room for the name: waits for a holder that is ending, removes what a dead one left. */
static int clear_name(int directory_fd, const char *name, struct error *error)
{
	enum { WAITS = 10, WAIT_MS = 10 };

	for (int i = 0;; i++) {
		int held = lock_is_held(directory_fd, name);
		int result;

		if (held < 0)
			return error_set(error, .number = -held, .step = "look at the lock file of", .object = name);
		result = held > 0 ? -EBUSY : lock_collect(directory_fd, name, error);
		if (result == 0 || result == -ENOENT)
			return 0;
		if (result != -EBUSY)
			return result;
		if (i == WAITS)
			return error_set(error, .number = EEXIST, .step = "use the name", .object = name,
					 .cause = "a live worker has it",
					 .remedy = "choose another --name, or end that worker with 'sbx stop'");
		wait_ms(WAIT_MS);
	}
}

static void fill_row(struct worker_row *row, const char *id)
{

	text_free(&row->id);
	row->id = text_duplicate(id);
	if (!row->name)
		row->name = text_duplicate(id);
	if (!row->run)
		row->run = text_duplicate(id);
	if (row->started_ns == 0)
		row->started_ns = clock_wall_ns();
	if (row->sbx_pid == 0)
		row->sbx_pid = getpid();
}

/* Makes the file under the name of the row, or under a fresh id. */
static int make_file(int directory_fd, const char *name, char id[static ID_LENGTH + 1], int *ret_fd,
		     struct error *error)
{
	enum { ATTEMPTS = 100 };
	char file[LOCK_FILE_NAME_SIZE];
	int result = -EEXIST;

	for (int i = 0; i < ATTEMPTS && result == -EEXIST; i++) {
		result = make_locked(directory_fd, file_name(LOCK_PREFIX, name ? name : id_make(id), file), ret_fd);
		if (result == -EEXIST && name) {
			int cleared = clear_name(directory_fd, name, error);

			if (cleared < 0)
				return cleared;
		}
	}
	if (result < 0)
		return error_set(error, .number = -result, .step = "make the lock file", .object = file,
				 .cause = result == -EROFS || result == -EACCES ? "the directory cannot be written"
										: NULL);
	return 0;
}

int lock_create(int directory_fd, struct worker_row *row, struct lock *ret_lock, struct error *error)
{
	struct lock lock = { .fd = -1, .directory_fd = directory_fd };
	char id[ID_LENGTH + 1];
	int result = row->name ? name_check(row->name, error) : 0;

	if (result < 0)
		return result;
	id_make(id);
	result = make_file(directory_fd, row->name, id, &lock.fd, error);
	if (result < 0)
		return result;
	fill_row(row, id);
	text_copy(lock.name, sizeof(lock.name), row->name);
	result = lock_write_row(&lock, row, error);
	if (result < 0)
		lock_release(&lock);
	else
		*ret_lock = lock;
	return result;
}

int lock_rename(struct lock *lock, const char *name, struct error *error)
{
	char from[LOCK_FILE_NAME_SIZE];
	char to[LOCK_FILE_NAME_SIZE];
	int result = name_check(name, error);

	if (result == 0)
		result = clear_name(lock->directory_fd, name, error);
	if (result < 0)
		return result;
	/* The lock first: it reserves the name. A socket that is not there was never made. */
	if (renameat2(lock->directory_fd, file_name(LOCK_PREFIX, lock->name, from), lock->directory_fd,
		      file_name(LOCK_PREFIX, name, to), RENAME_NOREPLACE) < 0)
		return error_set(error, .number = errno, .step = "give the worker another name", .object = name);
	(void)renameat(lock->directory_fd, lock_socket_name(lock->name, from), lock->directory_fd,
		       lock_socket_name(name, to));
	text_copy(lock->name, sizeof(lock->name), name);
	return 0;
}

void lock_close(struct lock *lock)
{
	fd_close(&lock->fd);
}

static void remove_files(int directory_fd, const char *name)
{
	char file[LOCK_FILE_NAME_SIZE];

	/* A socket without its lock file would be found by nobody: while it cannot be removed, that stays. */
	if (unlinkat(directory_fd, lock_socket_name(name, file), 0) < 0 && errno != ENOENT)
		return;
	(void)unlinkat(directory_fd, file_name(LOCK_PREFIX, name, file), 0);
}

void lock_release(struct lock *lock)
{
	char file[LOCK_FILE_NAME_SIZE];
	int saved_errno = errno;

	/* Somebody may have removed it by hand, and the name may be another worker's by now. */
	if (lock->fd >= 0 && claim_is_at(lock->directory_fd, file_name(LOCK_PREFIX, lock->name, file), lock->fd))
		remove_files(lock->directory_fd, lock->name);
	lock_close(lock);
	errno = saved_errno;
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

struct scan {
	char *line; /* ROW_SIZE_MAX bytes */
	struct json json;
};

static void scan_release(struct scan *scan)
{
	free(scan->line);
	json_release(&scan->json);
}
#define owned_scan __attribute__((cleanup(scan_release))) struct scan

/* Reads a row over tears. A writer needs microseconds; a row that stays torn is not a row. */
static int read_row(struct scan *scan, int fd, struct worker_row *ret_row)
{
	enum { ATTEMPTS = 8 };

	if (!scan->line)
		scan->line = malloc(ROW_SIZE_MAX);
	if (!scan->line)
		return -ENOMEM;
	for (int i = 0; i < ATTEMPTS; i++) {
		ssize_t size = RETRY_EINTR(pread(fd, scan->line, ROW_SIZE_MAX, 0));

		if (size < 0)
			return -errno;
		if (size == 0)
			return -ENODATA;
		if (read_line(scan->line, (size_t)size, &scan->json, ret_row) == 0)
			return 0;
		if (i >= 3)
			wait_ms(1);
	}
	return -EBADMSG;
}

/* @scan  NULL: without the row   @return 1: added, 0: gone meanwhile, or -errno */
static int read_entry(struct scan *scan, int directory_fd, const char *file, struct lock_entry *entry)
{
	owned_fd fd = openat(directory_fd, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat status;
	int result;

	if (fd < 0)
		return errno == ENOENT || errno == ELOOP || errno == ENXIO ? 0 : -errno;
	entry->is_live = flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	result = scan ? read_row(scan, fd, &entry->row) : -ENODATA;
	if (result == -ENOMEM)
		return result;
	entry->has_row = result == 0;
	/* The lock let go, no maker is kept waiting; then ended, or collected, in between. */
	return fstat(fd, &status) == 0 && status.st_nlink > 0;
}

int lock_read(int directory_fd, const char *name, struct lock_entry *ret_entry)
{
	char file[LOCK_FILE_NAME_SIZE];
	owned_scan scan = { 0 };
	struct lock_entry entry = { 0 };
	int result;

	text_copy(entry.name, sizeof(entry.name), name);
	result = read_entry(&scan, directory_fd, file_name(LOCK_PREFIX, name, file), &entry);
	if (result > 0)
		*ret_entry = entry;
	else
		worker_row_release(&entry.row);
	return result;
}

static void listing_close(DIR **listing)
{
	if (*listing)
		(void)closedir(*listing);
}
#define owned_listing __attribute__((cleanup(listing_close))) DIR *

/* A listing of its own, so that the directory's descriptor keeps its place. */
static DIR *open_listing(int directory_fd)
{
	owned_fd fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *listing = fd < 0 ? NULL : fdopendir(fd);

	if (listing)
		(void)fd_take(&fd); /* closed with it */
	return listing;
}

static void add_entry(struct lock_list *list, const struct lock_entry *entry)
{
	/* Grown at powers of two. */
	if ((list->count & (list->count - 1)) == 0) {
		list->items = reallocarray(list->items, list->count ? 2 * list->count : 1, sizeof(*list->items));
		if (!list->items)
			abort();
	}
	list->items[list->count++] = *entry;
}

static int list_directory(struct scan *scan, int directory_fd, size_t directory, struct lock_list *list)
{
	owned_listing listing = open_listing(directory_fd);
	const struct dirent *found;

	if (!listing)
		return -errno;
	while ((found = readdir(listing))) {
		const char *name = found->d_name + sizeof(LOCK_PREFIX) - 1;
		struct lock_entry entry = { .directory = directory };
		int result;

		if (!text_starts_with(found->d_name, LOCK_PREFIX) || name_check(name, NULL) < 0)
			continue;
		text_copy(entry.name, sizeof(entry.name), name);
		result = read_entry(scan, directory_fd, found->d_name, &entry);
		if (result > 0)
			add_entry(list, &entry);
		else
			worker_row_release(&entry.row);
		if (result < 0)
			return result;
	}
	return 0;
}

static int compare_entries(const void *a, const void *b)
{
	const struct lock_entry *one = a;
	const struct lock_entry *other = b;

	if (one->row.started_ns != other->row.started_ns)
		return one->row.started_ns < other->row.started_ns ? -1 : 1;
	return strcmp(one->name, other->name);
}

static int list_directories(struct scan *scan, const int *directory_fds, size_t directory_count,
			    struct lock_list *ret_list, struct error *error)
{
	owned_lock_list list = { 0 };

	for (size_t i = 0; i < directory_count; i++) {
		int result = list_directory(scan, directory_fds[i], i, &list);

		if (result < 0)
			return error_set(error, .number = -result, .step = "list the lock files");
	}
	if (list.count > 0)
		qsort(list.items, list.count, sizeof(*list.items), compare_entries);
	*ret_list = list;
	list = (struct lock_list){ 0 };
	return 0;
}

int lock_list(const int *directory_fds, size_t directory_count, struct lock_list *ret_list, struct error *error)
{
	owned_scan scan = { 0 };

	return list_directories(&scan, directory_fds, directory_count, ret_list, error);
}

int lock_list_names(const int *directory_fds, size_t directory_count, struct lock_list *ret_list, struct error *error)
{
	return list_directories(NULL, directory_fds, directory_count, ret_list, error);
}

void lock_list_release(struct lock_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		worker_row_release(&list->items[i].row);
	free(list->items);
	*list = (struct lock_list){ 0 };
}

/* ---- Collecting -------------------------------------------------------------------------------------------------- */

/* Opens a dead worker's file, with the right to remove it. */
static int open_dead(int directory_fd, const char *file, int *ret_fd)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	owned_fd fd = openat(directory_fd, file, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_SH | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (fcntl(fd, F_OFD_SETLK, &whole) < 0)
		return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
	/* From here on nobody else may unlink this inode: its name stays its own if it is now. */
	if (!claim_is_at(directory_fd, file, fd))
		return -ENOENT;
	*ret_fd = fd_take(&fd);
	return 0;
}

/* Removes what lies outside the state directory. Only what is named after this worker, is a directory of the caller's,
 * and is claimed by nobody: a row is data, and may say anything. */
static int remove_scratch(const struct worker_row *row, struct error *error)
{
	owned_fd parent = row->scratch ? open(row->scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	char name[sizeof(SCRATCH_PREFIX) + ID_LENGTH];
	owned_fd claim = -1;
	int result;

	if (parent < 0)
		return 0;
	(void)snprintf(name, sizeof(name), "%s%s", SCRATCH_PREFIX, row->id);
	result = claim_take(parent, name, &claim, error);
	if (result < 0)
		return result == -ENOENT ? 0 : result;
	return tree_remove(parent, name, error);
}

int lock_collect(int directory_fd, const char *name, struct error *error)
{
	char file[LOCK_FILE_NAME_SIZE];
	owned_scan scan = { 0 };
	owned_row row = { 0 };
	owned_fd fd = -1;
	int result = open_dead(directory_fd, file_name(LOCK_PREFIX, name, file), &fd);

	if (result < 0)
		return error_set(error, .number = -result, .step = "remove the lock file", .object = file);
	if (read_row(&scan, fd, &row) == 0)
		result = remove_scratch(&row, error);
	if (result < 0)
		return result;
	remove_files(directory_fd, name);
	return 0;
}
