/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: names are gathered first and sorted, since a directory lists them in whatever order; then each is
 * opened by its name below the directory given and written as one row in each table. The tree stands still
 * meanwhile. */
#include "overlay/bundle.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <zlib.h>

#include "base/descent.h"
#include "base/fd.h"
#include "base/inodes.h"
#include "base/macro.h"
#include "base/part.h"
#include "base/path.h"
#include "base/sqlite.h"
#include "base/tree.h"
#include "overlay/bundle_format.h"
#include "overlay/format.h"

#define STEP_WRITE "write the bundle"

enum { APPLICATION_AT = 68 }; /* in the header: https://sqlite.org/fileformat.html, 1.3.18 */

static const char *const kind_words[] = BUNDLE_KINDS;
static const char *const tables[] = BUNDLE_TABLES;

enum statement { INSERT_SQLAR, INSERT_ENTRY, INSERT_ATTRIBUTE, INSERT_PIECE, STATEMENT_COUNT };

static const char *const statement_texts[STATEMENT_COUNT] = {
	[INSERT_SQLAR] = "INSERT INTO sqlar(name, mode, mtime, sz, data) VALUES(?1, ?2, ?3, ?4, ?5)",
	[INSERT_ENTRY] =
		"INSERT INTO sbx_entry(name, kind, nanoseconds, size, target, opaque) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
	[INSERT_ATTRIBUTE] = "INSERT INTO sbx_attribute(name, attribute, value) VALUES(?1, ?2, ?3)",
	[INSERT_PIECE] = "INSERT INTO sbx_piece(name, offset, sz, data) VALUES(?1, ?2, ?3, ?4)",
};

struct bundle_writer {
	int directory_fd;
	char *name;
	enum bundle_existing existing;
	struct part part;
	sqlite3 *database;
	sqlite3_stmt *statements[STATEMENT_COUNT];
	struct inodes linked; /* path: the name of the first */
	/* Directories below the one that is being added which their owner, the caller, had closed. They are opened for
	 * good, since it is a copy of ours, and written as they were. */
	struct text_list opened;
	mode_t *modes;			/* theirs */
	const struct bundle_twin *twin; /* of the tree that is being added; NULL */
	uint64_t entries;
	uint64_t bytes;
	unsigned char *data;	   /* BUNDLE_WHOLE_MAX */
	unsigned char *compressed; /* room for as much, compressed */
};

/* A row on its way. */
struct row {
	const char *name;
	enum bundle_kind kind;
	mode_t mode; /* permission bits */
	struct timespec modified;
	int64_t size;
	const char *target;
	bool is_opaque;
	const void *data; /* BUNDLE_FILE */
	size_t data_size;
};

static int fail_database(const struct bundle_writer *writer, int code, struct error *error)
{
	return sqlite_fail(writer->database, code, STEP_WRITE, writer->name, error);
}

/* ---- rows ---- */

/* As sqlar_compress() does it: as it is where that is no longer. @return what to store, borrowed */
static const void *compress_data(struct bundle_writer *writer, const void *data, size_t size, size_t *ret_size)
{
	uLongf length = compressBound(BUNDLE_WHOLE_MAX);

	*ret_size = size;
	if (size == 0 || compress(writer->compressed, &length, data, size) != Z_OK || length >= size)
		return data;
	*ret_size = length;
	return writer->compressed;
}

static int step(struct bundle_writer *writer, sqlite3_stmt *statement, struct error *error)
{
	int code = sqlite3_step(statement);

	(void)sqlite3_reset(statement);
	(void)sqlite3_clear_bindings(statement);
	return code == SQLITE_DONE ? 0 : fail_database(writer, code, error);
}

static int bind_name(sqlite3_stmt *statement, int number, const char *name)
{
	return name ? sqlite3_bind_text(statement, number, name, -1, SQLITE_STATIC)
		    : sqlite3_bind_null(statement, number);
}

static int add_sqlar(struct bundle_writer *writer, const struct row *row, struct error *error)
{
	sqlite3_stmt *statement = writer->statements[INSERT_SQLAR];
	size_t size = 0;
	const void *data = row->kind == BUNDLE_FILE ? compress_data(writer, row->data, row->data_size, &size) : NULL;

	(void)bind_name(statement, 1, row->name);
	(void)sqlite3_bind_int64(statement, 2, (int64_t)(bundle_type_of(row->kind) | row->mode));
	(void)sqlite3_bind_int64(statement, 3, (int64_t)row->modified.tv_sec);
	(void)sqlite3_bind_int64(statement, 4, row->kind == BUNDLE_LINK ? -1 : (int64_t)row->data_size);
	if (row->kind == BUNDLE_LINK)
		(void)bind_name(statement, 5, row->target);
	else if (row->kind == BUNDLE_FILE)
		(void)sqlite3_bind_blob64(statement, 5, size > 0 ? data : "", size, SQLITE_STATIC);
	return step(writer, statement, error);
}

static int add_row(struct bundle_writer *writer, const struct row *row, struct error *error)
{
	sqlite3_stmt *statement = writer->statements[INSERT_ENTRY];
	int result;

	if (strlen(row->name) > BUNDLE_NAME_MAX)
		return error_set(error, .number = ENAMETOOLONG, .step = STEP_WRITE, .object = row->name);
	if (writer->entries++ == BUNDLE_ENTRIES_MAX)
		return error_set(error, .number = E2BIG, .step = STEP_WRITE, .object = row->name,
				 .cause = "a bundle holds no more than 1,000,000 files and directories");
	result = add_sqlar(writer, row, error);
	if (result < 0)
		return result;
	(void)bind_name(statement, 1, row->name);
	(void)bind_name(statement, 2, kind_words[row->kind]);
	(void)sqlite3_bind_int64(statement, 3, row->modified.tv_nsec);
	(void)sqlite3_bind_int64(statement, 4, row->size);
	(void)bind_name(statement, 5, row->target);
	(void)sqlite3_bind_int64(statement, 6, row->is_opaque);
	return step(writer, statement, error);
}

static int count_bytes(struct bundle_writer *writer, uint64_t bytes, const char *name, struct error *error)
{
	writer->bytes += bytes;
	if (writer->bytes <= BUNDLE_BYTES_MAX)
		return 0;
	return error_set(error, .number = EFBIG, .step = STEP_WRITE, .object = name,
			 .cause = "a bundle holds no more than 8 GiB");
}

/* ---- attributes ---- */

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_attribute(struct bundle_writer *writer, const char *name, int fd, const char *attribute,
			 struct error *error)
{
	sqlite3_stmt *statement = writer->statements[INSERT_ATTRIBUTE];
	ssize_t size = fgetxattr(fd, attribute, writer->data, BUNDLE_ATTRIBUTE_MAX);

	if (size < 0)
		return error_set(error, .number = errno, .step = STEP_WRITE, .object = name);
	(void)bind_name(statement, 1, name);
	(void)bind_name(statement, 2, attribute);
	(void)sqlite3_bind_blob64(statement, 3, size > 0 ? (const void *)writer->data : "", (uint64_t)size,
				  SQLITE_STATIC);
	return step(writer, statement, error);
}

static int add_attributes(struct bundle_writer *writer, const char *name, int fd, struct error *error)
{
	char *names = (char *)writer->data;
	ssize_t size = flistxattr(fd, names, BUNDLE_ATTRIBUTE_MAX);
	owned_list list = { 0 };
	int result = 0;

	if (size < 0)
		return errno == EOPNOTSUPP ? 0 : error_set(error, .number = errno, .step = STEP_WRITE, .object = name);
	for (const char *at = names; at < names + size; at += strlen(at) + 1)
		if (text_starts_with(at, "user.") && format_is_visible(at))
			text_list_add(&list, at);
	if (list.count > BUNDLE_ATTRIBUTES_MAX)
		return error_set(error, .number = E2BIG, .step = STEP_WRITE, .object = name,
				 .cause = "it has more than 64 extended attributes");
	if (list.count > 0)
		qsort(list.items, list.count, sizeof(*list.items), compare_texts);
	for (size_t i = 0; i < list.count && result == 0; i++)
		result = add_attribute(writer, name, fd, list.items[i], error);
	return result;
}

/* ---- data ---- */

static int read_at(int fd, void *data, size_t size, off_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t got = RETRY_EINTR(pread(fd, (char *)data + done, size - done, offset + (off_t)done));

		if (got <= 0)
			return got < 0 ? -errno : -ESTALE;
		done += (size_t)got;
	}
	return 0;
}

static int add_piece(struct bundle_writer *writer, const char *name, int fd, off_t offset, size_t size,
		     struct error *error)
{
	sqlite3_stmt *statement = writer->statements[INSERT_PIECE];
	size_t stored = 0;
	const void *data;
	int result = read_at(fd, writer->data, size, offset);

	if (result < 0)
		return error_set(error, .number = -result, .step = STEP_WRITE, .object = name);
	result = count_bytes(writer, size, name, error);
	if (result < 0)
		return result;
	data = compress_data(writer, writer->data, size, &stored);
	(void)bind_name(statement, 1, name);
	(void)sqlite3_bind_int64(statement, 2, offset);
	(void)sqlite3_bind_int64(statement, 3, (int64_t)size);
	(void)sqlite3_bind_blob64(statement, 4, data, stored, SQLITE_STATIC);
	return step(writer, statement, error);
}

/* Its data, between its holes. */
static int add_pieces(struct bundle_writer *writer, const char *name, int fd, off_t size, struct error *error)
{
	off_t at = 0;

	while (at < size) {
		off_t data = lseek(fd, at, SEEK_DATA);
		off_t hole;

		if (data < 0 && errno == ENXIO)
			return 0;
		hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return error_set(error, .number = errno, .step = STEP_WRITE, .object = name);
		for (at = data; at < MIN(hole, size);) {
			size_t piece = (size_t)MIN((off_t)BUNDLE_PIECE_MAX, MIN(hole, size) - at);
			int result = add_piece(writer, name, fd, at, piece, error);

			if (result < 0)
				return result;
			at += (off_t)piece;
		}
		at = hole;
	}
	return 0;
}

static int add_file(struct bundle_writer *writer, struct row *row, int fd, const struct stat *status,
		    struct error *error)
{
	bool has_holes = status->st_size > 0 && lseek(fd, 0, SEEK_HOLE) < status->st_size;
	int result;

	if ((uint64_t)status->st_size > BUNDLE_SIZE_MAX)
		return error_set(error, .number = EFBIG, .step = STEP_WRITE, .object = row->name,
				 .cause = "a bundle takes no file of more than 64 GiB");
	row->size = status->st_size;
	if (has_holes || status->st_size > BUNDLE_WHOLE_MAX) {
		row->kind = BUNDLE_PIECES;
		result = add_row(writer, row, error);
		if (result == 0)
			result = add_attributes(writer, row->name, fd, error);
		return result < 0 ? result : add_pieces(writer, row->name, fd, status->st_size, error);
	}
	row->kind = BUNDLE_FILE;
	row->data = writer->data;
	row->data_size = (size_t)status->st_size;
	result = read_at(fd, writer->data, row->data_size, 0);
	if (result < 0)
		return error_set(error, .number = -result, .step = STEP_WRITE, .object = row->name);
	result = count_bytes(writer, row->data_size, row->name, error);
	if (result == 0)
		result = add_row(writer, row, error);
	return result < 0 ? result : add_attributes(writer, row->name, fd, error);
}

/* ---- entries ---- */

/* Opens it to be read, even where its owner, the caller, closed it. */
static int open_entry(int root_fd, const char *path, const struct stat *status)
{
	owned_fd held = path_open(root_fd, path, O_PATH, 0, PATH_BENEATH);
	int fd = path_open(root_fd, path, O_RDONLY | O_NONBLOCK, 0, PATH_BENEATH);
	char name[FD_PROC_PATH_SIZE];

	if (fd != -EACCES || held < 0)
		return fd;
	if (chmod(fd_proc_path(held, name), (status->st_mode & 07777) | S_IRUSR | S_IXUSR) < 0)
		return -errno;
	fd = path_open(root_fd, path, O_RDONLY | O_NONBLOCK, 0, PATH_BENEATH);
	(void)!chmod(name, status->st_mode & 07777);
	return fd;
}

static int add_link(struct bundle_writer *writer, struct row *row, int root_fd, const char *path, struct error *error)
{
	owned_fd fd = path_open(root_fd, path, O_PATH | O_NOFOLLOW, 0, PATH_BENEATH);
	char target[PATH_MAX];
	ssize_t length = fd < 0 ? -1 : readlinkat(fd, "", target, sizeof(target) - 1);
	int result;

	if (length < 0)
		return error_set(error, .number = fd < 0 ? -fd : errno, .step = STEP_WRITE, .object = row->name);
	target[length] = '\0';
	row->kind = BUNDLE_LINK;
	row->target = target;
	result = add_row(writer, row, error);
	row->target = NULL;
	return result;
}

/* @return 1: it is another name of one that is there, and has been added; 0; or -errno */
static int add_same(struct bundle_writer *writer, struct row *row, const struct stat *status, struct error *error)
{
	struct inodes_entry *first;
	bool is_new = true;
	int result;

	if (!S_ISREG(status->st_mode) || status->st_nlink < 2)
		return 0;
	first = inodes_look_up(&writer->linked, status->st_dev, status->st_ino, &is_new);
	if (is_new) {
		first->path = text_duplicate(row->name);
		return 0;
	}
	row->kind = BUNDLE_SAME;
	row->target = first->path;
	result = add_row(writer, row, error);
	return result < 0 ? result : 1;
}

static bool has_attributes(int fd)
{
	char names[256];

	ssize_t length = flistxattr(fd, names, sizeof(names));

	return length > 0 || (length < 0 && errno != EOPNOTSUPP);
}

/* Whether two files cannot be told apart. What has attributes, or several names, is not looked at. */
static bool is_twin(int fd, const struct stat *status, int twin_fd)
{
	char bytes[2][32 << 10];
	struct stat twin;

	if (twin_fd < 0 || fstat(twin_fd, &twin) < 0 || !S_ISREG(twin.st_mode) || twin.st_size != status->st_size ||
	    (twin.st_mode & 07777) != (status->st_mode & 07777) || twin.st_nlink != 1 || status->st_nlink != 1 ||
	    twin.st_mtim.tv_sec != status->st_mtim.tv_sec || twin.st_mtim.tv_nsec != status->st_mtim.tv_nsec ||
	    has_attributes(fd) || has_attributes(twin_fd))
		return false;
	for (off_t at = 0; at < status->st_size; at += (off_t)sizeof(bytes[0])) {
		size_t size = (size_t)MIN((off_t)sizeof(bytes[0]), status->st_size - at);

		if (read_at(fd, bytes[0], size, at) < 0 || read_at(twin_fd, bytes[1], size, at) < 0 ||
		    memcmp(bytes[0], bytes[1], size) != 0)
			return false;
	}
	return true;
}

/* @return 1: it is the same as its twin, and has been added; 0; or -errno */
static int add_twin(struct bundle_writer *writer, struct row *row, int fd, const char *path, const struct stat *status,
		    struct error *error)
{
	owned_fd twin_fd = -1;
	owned_text name = NULL;
	int result;

	if (!writer->twin || !S_ISREG(status->st_mode))
		return 0;
	twin_fd = path_open(writer->twin->fd, path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0, PATH_BENEATH);
	if (!is_twin(fd, status, twin_fd))
		return 0;
	name = path_join(writer->twin->name, path);
	row->kind = BUNDLE_SAME;
	row->target = name;
	result = add_row(writer, row, error);
	return result < 0 ? result : 1;
}

static int add_open(struct bundle_writer *writer, struct row *row, int fd, const struct stat *status,
		    struct error *error)
{
	int result;

	if (S_ISREG(status->st_mode))
		return add_file(writer, row, fd, status, error);
	row->kind = BUNDLE_DIRECTORY;
	row->is_opaque = format_is_opaque(fd);
	result = add_row(writer, row, error);
	return result < 0 ? result : add_attributes(writer, row->name, fd, error);
}

/* The permission bits that a directory had before it was opened. */
static mode_t mode_of(const struct bundle_writer *writer, const char *path, const struct stat *status)
{
	for (size_t i = 0; i < writer->opened.count && S_ISDIR(status->st_mode); i++)
		if (text_equal(writer->opened.items[i], path))
			return writer->modes[i];
	return status->st_mode & (S_ISDIR(status->st_mode) ? 03777 : 0777);
}

static int add_entry(struct bundle_writer *writer, const char *name, int root_fd, const char *path, struct error *error)
{
	struct row row = { .name = name };
	struct stat status;
	owned_fd fd = -1;
	int result;

	fd = path_open(root_fd, path, O_PATH | O_NOFOLLOW, 0, PATH_BENEATH);
	if (fd < 0 || fstat(fd, &status) < 0)
		return error_set(error, .number = fd < 0 ? -fd : errno, .step = STEP_WRITE, .object = name);
	row.mode = mode_of(writer, path, &status);
	row.modified = status.st_mtim;
	if (S_ISLNK(status.st_mode))
		return add_link(writer, &row, root_fd, path, error);
	if (S_ISFIFO(status.st_mode) || format_is_whiteout(&status)) {
		row.kind = S_ISFIFO(status.st_mode) ? BUNDLE_PIPE : BUNDLE_WHITEOUT;
		/* A whiteout has a time that nobody sees. */
		if (row.kind == BUNDLE_WHITEOUT)
			row.modified = (struct timespec){ 0 };
		return add_row(writer, &row, error);
	}
	if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode))
		return 0;
	result = add_same(writer, &row, &status, error);
	if (result != 0)
		return MIN(result, 0);
	fd_close(&fd);
	fd = open_entry(root_fd, path, &status);
	if (fd < 0)
		return error_set(error, .number = -fd, .step = STEP_WRITE, .object = name);
	result = add_twin(writer, &row, fd, path, &status, error);
	return result != 0 ? MIN(result, 0) : add_open(writer, &row, fd, &status, error);
}

/* ---- trees ---- */

static void note_opened(struct bundle_writer *writer, const char *path, mode_t mode)
{
	writer->modes = reallocarray(writer->modes, writer->opened.count + 1, sizeof(*writer->modes));
	if (!writer->modes)
		abort();
	writer->modes[writer->opened.count] = mode & 03777;
	text_list_add(&writer->opened, path);
}

/* All names below a directory that are not left out, "." first. */
static int gather(struct bundle_writer *writer, int fd, bundle_skip *skip, void *data, struct text_list *ret_paths,
		  struct error *error)
{
	owned_descent way = { 0 };
	int result = descent_start(&way, fd, 0);

	text_list_add(ret_paths, ".");
	while (result >= 0) {
		const char *next;
		int more = descent_next(&way, &next);
		owned_text path = NULL;
		owned_text name = NULL;
		struct stat status;

		if (more <= 0 && way.depth == 1) {
			result = more;
			break;
		}
		if (more <= 0) {
			result = more < 0 ? more : descent_leave(&way, NULL);
			continue;
		}
		name = text_duplicate(next);
		path = descent_path(&way)[0] ? path_join(descent_path(&way), name) : text_duplicate(name);
		if (skip && skip(data, path))
			continue;
		text_list_add(ret_paths, path);
		if (ret_paths->count > BUNDLE_ENTRIES_MAX)
			return error_set(error, .number = E2BIG, .step = STEP_WRITE, .object = path,
					 .cause = "a bundle holds no more than 1,000,000 files and directories");
		if (fstatat(descent_fd(&way), name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode)) {
			mode_t mode = status.st_mode & 07777;

			if ((mode & 0500) != 0500 && descent_set_mode(&way, name, &status, mode | 0500) == 0)
				note_opened(writer, path, mode);
			result = descent_enter(&way, name, NULL);
		}
	}
	return result < 0 ? error_set(error, .number = -result, .step = STEP_WRITE, .object = descent_path(&way)) : 0;
}

int bundle_add_tree(struct bundle_writer *writer, const char *name, int fd, const struct bundle_twin *twin,
		    bundle_skip *skip, void *data, struct error *error)
{
	owned_list paths = { 0 };
	struct stat status;
	int result;

	if (fstat(fd, &status) < 0)
		return error_set(error, .number = errno, .step = STEP_WRITE, .object = name);
	if (!S_ISDIR(status.st_mode)) {
		struct row row = { .name = name, .mode = status.st_mode & 0777, .modified = status.st_mtim };

		return add_open(writer, &row, fd, &status, error);
	}
	text_list_release(&writer->opened);
	writer->opened = (struct text_list){ 0 };
	result = gather(writer, fd, skip, data, &paths, error);
	if (result < 0)
		return result;
	qsort(paths.items + 1, paths.count - 1, sizeof(*paths.items), compare_texts);
	writer->twin = twin;
	for (size_t i = 0; i < paths.count && result == 0; i++) {
		owned_text full = i == 0 ? text_duplicate(name) : path_join(name, paths.items[i]);

		result = add_entry(writer, full, fd, paths.items[i], error);
	}
	writer->twin = NULL;
	return result;
}

int bundle_add_text(struct bundle_writer *writer, const char *name, const char *text, size_t size, struct error *error)
{
	const struct row row = {
		.name = name, .kind = BUNDLE_FILE, .mode = 0644, .size = (int64_t)size, .data = text, .data_size = size
	};

	if (size > BUNDLE_WHOLE_MAX)
		return error_set(error, .number = EFBIG, .step = STEP_WRITE, .object = name);
	return add_row(writer, &row, error);
}

/* ---- the file ---- */

static int prepare(struct bundle_writer *writer, struct error *error)
{
	int code = sqlite_open(writer->directory_fd, writer->part.name, SQLITE_RULE_CREATE, &writer->database);
	owned_text marks =
		text_format("PRAGMA application_id=%d; PRAGMA user_version=%d", BUNDLE_APPLICATION, BUNDLE_VERSION);

	/* It gets its name when it is whole: a journal on the disk would be for nothing. OFF is not to be had where
	 * SQLite is in its defensive mode. */
	if (code == SQLITE_OK)
		code = sqlite_run(writer->database,
				  "PRAGMA page_size=4096; PRAGMA encoding='UTF-8'; "
				  "PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF; BEGIN EXCLUSIVE");
	if (code == SQLITE_OK)
		code = sqlite_run(writer->database, marks);
	for (size_t i = 0; i < ARRAY_SIZE(tables) && code == SQLITE_OK; i++)
		code = sqlite_run(writer->database, tables[i]);
	for (size_t i = 0; i < STATEMENT_COUNT && code == SQLITE_OK; i++)
		code = sqlite3_prepare_v2(writer->database, statement_texts[i], -1, &writer->statements[i], NULL);
	return code == SQLITE_OK ? 0 : fail_database(writer, code, error);
}

bool bundle_is_one(int directory_fd, const char *path)
{
	static const char magic[] = "SQLite format 3"; /* with its NUL */
	unsigned char head[APPLICATION_AT + 4];
	owned_fd fd = path_open(directory_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, PATH_BENEATH);

	if (part_is_name(path_name(path)))
		return true;
	if (fd < 0 || read_at(fd, head, sizeof(head), 0) < 0 || memcmp(head, magic, sizeof(magic)) != 0)
		return false;
	return ((uint32_t)head[APPLICATION_AT] << 24 | (uint32_t)head[APPLICATION_AT + 1] << 16 |
		(uint32_t)head[APPLICATION_AT + 2] << 8 | (uint32_t)head[APPLICATION_AT + 3]) == BUNDLE_APPLICATION;
}

static int fail_existing(const char *name, struct error *error)
{
	return error_set(error, .number = EEXIST, .step = STEP_WRITE, .object = name,
			 .cause = "there is a file of that name", .remedy = "name another one, or replace it: --force");
}

int bundle_begin(int directory_fd, const char *name, enum bundle_existing existing, struct bundle_writer **ret_writer,
		 struct error *error)
{
	struct bundle_writer *writer;
	int result;

	assert(tree_is_entry_name(name));
	/* Before all the work; bundle_finish() makes sure. */
	if (existing == BUNDLE_REFUSE && faccessat(directory_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return fail_existing(name, error);
	writer = calloc(1, sizeof(*writer));
	if (!writer)
		abort();
	writer->directory_fd = directory_fd;
	writer->name = text_duplicate(name);
	writer->existing = existing;
	writer->part = (struct part)PART_NONE;
	/* Pages that are not needed are not there. */
	writer->data = malloc(BUNDLE_WHOLE_MAX);
	writer->compressed = malloc(compressBound(BUNDLE_WHOLE_MAX));
	if (!writer->data || !writer->compressed)
		abort();
	result = part_make_file(directory_fd, 0644, &writer->part);
	if (result < 0)
		result = error_set(error, .number = -result, .step = STEP_WRITE, .object = name);
	else
		result = prepare(writer, error);
	if (result < 0) {
		bundle_discard(writer);
		return result;
	}
	*ret_writer = writer;
	return 0;
}

static void close_database(struct bundle_writer *writer)
{
	for (size_t i = 0; i < STATEMENT_COUNT; i++)
		sqlite_finalize(&writer->statements[i]);
	sqlite_close(&writer->database);
}

/* @return 0 or -errno */
static int give_name(struct bundle_writer *writer, struct stat *ret_status)
{
	if (fstat(writer->part.fd, ret_status) < 0)
		return -errno;
	if (writer->existing == BUNDLE_REFUSE)
		return part_finish(&writer->part, NULL, writer->name);
	return fsync(writer->part.fd) < 0 ? -errno : part_replace(&writer->part, writer->name);
}

int bundle_finish(struct bundle_writer *writer, uint64_t *ret_bytes, struct error *error)
{
	int code = sqlite_run(writer->database, "COMMIT");
	struct stat status;
	int result;

	if (code != SQLITE_OK)
		return fail_database(writer, code, error);
	close_database(writer);
	result = give_name(writer, &status);
	if (result == -EEXIST)
		return fail_existing(writer->name, error);
	if (result < 0)
		return error_set(error, .number = -result, .step = STEP_WRITE, .object = writer->name);
	if (ret_bytes)
		*ret_bytes = (uint64_t)status.st_size;
	return 0;
}

void bundle_discard(struct bundle_writer *writer)
{
	if (!writer)
		return;
	close_database(writer);
	part_close(&writer->part);
	inodes_release(&writer->linked);
	text_list_release(&writer->opened);
	free(writer->modes);
	text_free(&writer->name);
	free(writer->data);
	free(writer->compressed);
	free(writer);
}
