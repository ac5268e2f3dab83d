/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: header and schema are looked at before anything else is asked of SQLite. Entries come in the order of
 * their names, so a directory before what is in it; each is made anew (O_EXCL and the like) below a parent that is
 * opened beneath the directory given, without symbolic links. What came from nowhere but the index of a damaged file,
 * twice or too late, meets something that is there already, and is refused. Modes and times of directories come last,
 * from the end to the beginning. */
#include "overlay/bundle.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <zlib.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/sqlite.h"
#include "base/tree.h"
#include "overlay/bundle_format.h"
#include "overlay/format.h"

#define STEP_OPEN   "read the bundle"
#define STEP_UNPACK "unpack the bundle"

enum {
	HEADER_SIZE = 100,			  /* https://sqlite.org/fileformat.html, 1.3 */
	CELL_MAX = BUNDLE_WHOLE_MAX + (64 << 10), /* of what SQLite shall read as one value */
	TARGET_MAX = 4095,
	ATTRIBUTE_NAME_MAX = 255,
};

static const char *const kind_words[] = BUNDLE_KINDS;
static const char *const tables[] = BUNDLE_TABLES;

struct bundle {
	char *name;
	sqlite3 *database;
	sqlite3_stmt *pieces;
	sqlite3_stmt *attributes;
	unsigned char *data; /* BUNDLE_WHOLE_MAX */
	uint64_t bytes;
	uint64_t entries;
};

/* An entry as it was read; borrowed until the next. */
struct entry {
	const char *name;
	enum bundle_kind kind;
	mode_t mode; /* permission bits */
	struct timespec modified;
	int64_t size;
	const char *target;
	bool is_opaque;
	const void *data;
	size_t stored;
};

static int refuse(const char *name, const char *cause, struct error *error)
{
	return error_set(error, .number = EBADMSG, .step = STEP_UNPACK, .object = name, .cause = cause,
			 .remedy = "do not trust it: a bundle that sbx made has no such entry");
}

/* ---- opening ---- */

static uint32_t number_at(const unsigned char *header, size_t offset)
{
	uint32_t number;

	memcpy(&number, header + offset, sizeof(number));
	return be32toh(number);
}

static int fail_open(const char *name, int number, const char *cause, const char *remedy, struct error *error)
{
	return error_set(error, .number = number, .step = STEP_OPEN, .object = name, .cause = cause, .remedy = remedy);
}

static int check_header(const char *name, const unsigned char *header, uint64_t size, struct error *error)
{
	static const char magic[16] = "SQLite format 3";
	uint32_t page_size = (uint32_t)header[16] << 8 | header[17];
	uint32_t version = number_at(header, 60);

	if (memcmp(header, magic, sizeof(magic)) != 0 || number_at(header, 68) != BUNDLE_APPLICATION)
		return fail_open(name, EBADMSG, "it is no bundle of sbx", "name a file that 'sbx bundle' made", error);
	if (version > BUNDLE_VERSION)
		return fail_open(name, ENOTSUP, "it was made by a newer version of sbx",
				 "replay it with that version, or a later one", error);
	/* 1, 1: a rollback journal, as every bundle has it; 2 would be a WAL. */
	if (version < 1 || page_size != 4096 || header[18] != 1 || header[19] != 1)
		return fail_open(name, EBADMSG, "its header is none of a bundle", NULL, error);
	if ((uint64_t)number_at(header, 28) * page_size != size)
		return fail_open(name, EBADMSG, "it is cut short, or longer than it says", "copy it again", error);
	return 0;
}

/* The descriptor is closed before SQLite opens the file: base/sqlite.h. */
static int check_file(int directory_fd, const char *name, struct error *error)
{
	owned_fd fd = openat(directory_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	unsigned char header[HEADER_SIZE] = { 0 };
	struct stat status;
	ssize_t size;

	if (fd < 0 || fstat(fd, &status) < 0)
		return fail_open(name, errno, NULL, NULL, error);
	if (!S_ISREG(status.st_mode))
		return fail_open(name, EBADMSG, "it is no file", NULL, error);
	size = fd_read_all(fd, header, sizeof(header));
	if (size < 0)
		return fail_open(name, (int)-size, NULL, NULL, error);
	return check_header(name, header, (uint64_t)status.st_size, error);
}

static const char *column_text(sqlite3_stmt *statement, int column)
{
	return sqlite3_column_type(statement, column) == SQLITE_TEXT
		       ? (const char *)sqlite3_column_text(statement, column)
		       : NULL;
}

/* Whether what it holds is the tables, to the letter, and the indexes that come with their keys. */
static int check_schema(struct bundle *bundle, struct error *error)
{
	owned_statement statement = NULL;
	size_t found = 0;
	int code = sqlite3_prepare_v2(bundle->database,
				      "SELECT type, sql FROM sqlite_schema ORDER BY type <> 'table', rowid", -1,
				      &statement, NULL);

	while (code == SQLITE_OK || code == SQLITE_ROW) {
		const char *sql;

		code = sqlite3_step(statement);
		if (code != SQLITE_ROW)
			break;
		sql = column_text(statement, 1);
		/* Of a key. SQLite reads an SQL text that is stored as a blob as well. */
		if (sqlite3_column_type(statement, 1) == SQLITE_NULL && text_equal(column_text(statement, 0), "index"))
			continue;
		if (found == ARRAY_SIZE(tables) || !text_equal(sql, tables[found++]))
			return fail_open(bundle->name, EBADMSG, "it holds tables, views or triggers that no bundle has",
					 "do not trust it", error);
	}
	if (code != SQLITE_DONE)
		return sqlite_fail(bundle->database, code, STEP_OPEN, bundle->name, error);
	return found == ARRAY_SIZE(tables)
		       ? 0
		       : fail_open(bundle->name, EBADMSG, "it lacks a table of a bundle", NULL, error);
}

static int open_database(struct bundle *bundle, int directory_fd, struct error *error)
{
	int code = sqlite_open(directory_fd, bundle->name, SQLITE_RULE_UNTOUCHED, &bundle->database);
	int result;

	if (code != SQLITE_OK)
		return sqlite_fail(bundle->database, code, STEP_OPEN, bundle->name, error);
	(void)sqlite3_limit(bundle->database, SQLITE_LIMIT_LENGTH, CELL_MAX);
	(void)sqlite3_limit(bundle->database, SQLITE_LIMIT_ATTACHED, 0);
	(void)sqlite3_limit(bundle->database, SQLITE_LIMIT_TRIGGER_DEPTH, 0);
	code = sqlite_run(bundle->database, "PRAGMA cell_size_check=1; PRAGMA mmap_size=0");
	if (code != SQLITE_OK)
		return sqlite_fail(bundle->database, code, STEP_OPEN, bundle->name, error);
	result = check_schema(bundle, error);
	if (result < 0)
		return result;
	code = sqlite3_prepare_v2(bundle->database,
				  "SELECT offset, sz, data FROM sbx_piece WHERE name = ?1 ORDER BY offset", -1,
				  &bundle->pieces, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_prepare_v2(bundle->database,
					  "SELECT attribute, value FROM sbx_attribute WHERE name = ?1", -1,
					  &bundle->attributes, NULL);
	return code == SQLITE_OK ? 0 : sqlite_fail(bundle->database, code, STEP_OPEN, bundle->name, error);
}

int bundle_open(int directory_fd, const char *name, struct bundle **ret_bundle, struct error *error)
{
	struct bundle *bundle;
	int result = check_file(directory_fd, name, error);

	if (result < 0)
		return result;
	bundle = calloc(1, sizeof(*bundle));
	if (!bundle)
		abort();
	bundle->name = text_duplicate(name);
	bundle->data = malloc(BUNDLE_WHOLE_MAX);
	if (!bundle->data)
		abort();
	result = open_database(bundle, directory_fd, error);
	if (result < 0) {
		bundle_close(bundle);
		return result;
	}
	*ret_bundle = bundle;
	return 0;
}

void bundle_close(struct bundle *bundle)
{
	if (!bundle)
		return;
	sqlite_finalize(&bundle->pieces);
	sqlite_finalize(&bundle->attributes);
	sqlite_close(&bundle->database);
	text_free(&bundle->name);
	free(bundle->data);
	free(bundle);
}

/* ---- entries ---- */

static int fail_read(const struct bundle *bundle, int code, struct error *error)
{
	return sqlite_fail(bundle->database, code, STEP_UNPACK, bundle->name, error);
}

/* A text without a NUL in it. */
static const char *plain_text(sqlite3_stmt *statement, int column, size_t size_max)
{
	const char *text = column_text(statement, column);
	size_t size = text ? (size_t)sqlite3_column_bytes(statement, column) : 0;

	return text && size > 0 && size <= size_max && strlen(text) == size ? text : NULL;
}

/* Whether it is a way down: no "..", no "", not absolute. */
static bool is_way_down(const char *name)
{
	owned_text copy = text_duplicate(name);
	char *rest = copy;

	for (char *part = strsep(&rest, "/"); part; part = strsep(&rest, "/"))
		if (!tree_is_entry_name(part) || strlen(part) > NAME_MAX)
			return false;
	return true;
}

static bool read_number(sqlite3_stmt *statement, int column, int64_t min, int64_t max, int64_t *ret_number)
{
	int64_t number = sqlite3_column_int64(statement, column);

	if (sqlite3_column_type(statement, column) != SQLITE_INTEGER || number < min || number > max)
		return false;
	*ret_number = number;
	return true;
}

static bool read_kind(sqlite3_stmt *statement, int column, enum bundle_kind *ret_kind)
{
	const char *word = column_text(statement, column);

	for (size_t i = 0; i < ARRAY_SIZE(kind_words); i++)
		if (text_equal(word, kind_words[i])) {
			*ret_kind = (enum bundle_kind)i;
			return true;
		}
	return false;
}

/* name, mode, mtime, sz, data, kind, nanoseconds, size, target, opaque */
#define ENTRY_COLUMNS                                                                                                  \
	"s.name, s.mode, s.mtime, s.sz, s.data, e.kind, e.nanoseconds, e.size, e.target, e.opaque "                    \
	"FROM sqlar AS s LEFT JOIN sbx_entry AS e ON e.name = s.name "

static int check_mode(struct entry *entry, int64_t mode, struct error *error)
{
	mode_t permitted = entry->kind == BUNDLE_DIRECTORY ? 03777 : 0777;

	if ((mode & S_IFMT) == S_IFBLK || ((mode & S_IFMT) == S_IFCHR && entry->kind != BUNDLE_WHITEOUT))
		return refuse(entry->name, "it is a device", error);
	if ((mode & S_IFMT) != bundle_type_of(entry->kind))
		return refuse(entry->name, "it is of two types at once", error);
	entry->mode = (mode_t)mode & 07777;
	if (entry->mode & ~permitted)
		return refuse(entry->name, "it has a setuid or setgid bit", error);
	return 0;
}

static int check_data(sqlite3_stmt *statement, struct entry *entry, int64_t size, struct error *error)
{
	bool has_target = entry->kind == BUNDLE_LINK || entry->kind == BUNDLE_SAME;

	if (entry->size > (int64_t)BUNDLE_SIZE_MAX)
		return refuse(entry->name, "it is larger than 64 GiB", error);
	if (entry->kind == BUNDLE_FILE) {
		if (sqlite3_column_type(statement, 4) != SQLITE_BLOB || size != entry->size || size < 0)
			return refuse(entry->name, "its data is not as large as it says", error);
		entry->data = sqlite3_column_blob(statement, 4);
		entry->stored = (size_t)sqlite3_column_bytes(statement, 4);
	}
	if (!has_target)
		return 0;
	entry->target = plain_text(statement, 8, entry->kind == BUNDLE_LINK ? TARGET_MAX : BUNDLE_NAME_MAX);
	if (!entry->target || (entry->kind == BUNDLE_SAME && !is_way_down(entry->target)))
		return refuse(entry->name, "what it leads to is no name", error);
	return 0;
}

static int read_entry(sqlite3_stmt *statement, struct entry *ret_entry, struct error *error)
{
	struct entry entry = { .name = plain_text(statement, 0, BUNDLE_NAME_MAX) };
	int64_t mode = 0;
	int64_t size = 0;
	int64_t opaque = 0;
	int64_t seconds = 0;
	int64_t nanoseconds = 0;
	int result;

	if (!entry.name)
		return refuse(column_text(statement, 0), "its name is empty, too long, or no text", error);
	if (!is_way_down(entry.name))
		return refuse(entry.name, "its name leads out of the bundle", error);
	if (!read_kind(statement, 5, &entry.kind))
		return refuse(entry.name, "it is not said what it is", error);
	if (!read_number(statement, 1, 0, UINT32_MAX, &mode) ||
	    !read_number(statement, 2, INT64_MIN, INT64_MAX, &seconds) ||
	    !read_number(statement, 3, -1, BUNDLE_WHOLE_MAX, &size) ||
	    !read_number(statement, 6, 0, 999999999, &nanoseconds) ||
	    !read_number(statement, 7, 0, INT64_MAX, &entry.size) || !read_number(statement, 9, 0, 1, &opaque))
		return refuse(entry.name, "one of its numbers is none, or too large", error);
	entry.modified = (struct timespec){ .tv_sec = seconds, .tv_nsec = nanoseconds };
	entry.is_opaque = opaque == 1;
	result = check_mode(&entry, mode, error);
	if (result == 0)
		result = check_data(statement, &entry, size, error);
	if (result < 0)
		return result;
	*ret_entry = entry;
	return 0;
}

/* ---- data ---- */

/* @size  as it was before it was compressed, at most BUNDLE_WHOLE_MAX   @return borrowed; NULL: it is not so large */
static const void *inflate_data(struct bundle *bundle, const void *stored, size_t stored_size, size_t size)
{
	uLongf length = (uLongf)size;

	if (stored_size == size)
		return stored ? stored : "";
	if (stored_size > size || uncompress(bundle->data, &length, stored, stored_size) != Z_OK || length != size)
		return NULL;
	return bundle->data;
}

static int count_bytes(struct bundle *bundle, uint64_t bytes, const char *name, struct error *error)
{
	bundle->bytes += bytes;
	if (bundle->bytes <= BUNDLE_BYTES_MAX)
		return 0;
	return error_set(error, .number = EFBIG, .step = STEP_UNPACK, .object = name,
			 .cause = "a bundle holds no more than 8 GiB");
}

static int write_at(int fd, const void *data, size_t size, off_t offset)
{
	return lseek(fd, offset, SEEK_SET) < 0 ? -errno : fd_write_all(fd, data, size);
}

static int write_piece(struct bundle *bundle, const struct entry *entry, int fd, int64_t *end, struct error *error)
{
	int64_t offset = 0;
	int64_t size = 0;
	const void *data = NULL;
	int result;

	if (!read_number(bundle->pieces, 0, *end, entry->size, &offset) ||
	    !read_number(bundle->pieces, 1, 1, MIN(entry->size - offset, (int64_t)BUNDLE_PIECE_MAX), &size))
		return refuse(entry->name, "a piece of it lies elsewhere than in it", error);
	if (sqlite3_column_type(bundle->pieces, 2) == SQLITE_BLOB)
		data = inflate_data(bundle, sqlite3_column_blob(bundle->pieces, 2),
				    (size_t)sqlite3_column_bytes(bundle->pieces, 2), (size_t)size);
	if (!data)
		return refuse(entry->name, "its data is not as large as it says", error);
	*end = offset + size;
	result = count_bytes(bundle, (uint64_t)size, entry->name, error);
	if (result == 0)
		result = write_at(fd, data, (size_t)size, offset);
	else
		return result;
	return result < 0 ? error_set(error, .number = -result, .step = STEP_UNPACK, .object = entry->name) : 0;
}

static int write_pieces(struct bundle *bundle, const struct entry *entry, int fd, struct error *error)
{
	int64_t end = 0;
	int code = SQLITE_DONE;
	int result = 0;

	if (ftruncate(fd, entry->size) < 0)
		return error_set(error, .number = errno, .step = STEP_UNPACK, .object = entry->name);
	(void)sqlite3_bind_text(bundle->pieces, 1, entry->name, -1, SQLITE_STATIC);
	while (result == 0 && (code = sqlite3_step(bundle->pieces)) == SQLITE_ROW)
		result = write_piece(bundle, entry, fd, &end, error);
	if (result == 0 && code != SQLITE_DONE)
		result = fail_read(bundle, code, error);
	(void)sqlite3_reset(bundle->pieces);
	(void)sqlite3_clear_bindings(bundle->pieces);
	return result;
}

static int write_data(struct bundle *bundle, const struct entry *entry, int fd, struct error *error)
{
	const void *data;
	int result;

	if (entry->kind == BUNDLE_PIECES)
		return write_pieces(bundle, entry, fd, error);
	data = inflate_data(bundle, entry->data, entry->stored, (size_t)entry->size);
	if (!data)
		return refuse(entry->name, "its data is not as large as it says", error);
	result = count_bytes(bundle, (uint64_t)entry->size, entry->name, error);
	if (result < 0)
		return result;
	result = fd_write_all(fd, data, (size_t)entry->size);
	return result < 0 ? error_set(error, .number = -result, .step = STEP_UNPACK, .object = entry->name) : 0;
}

/* ---- making ---- */

static int fail_make(const struct entry *entry, struct error *error)
{
	if (errno == EEXIST || errno == ELOOP || errno == ENOTDIR || errno == EXDEV)
		return refuse(entry->name,
			      errno == EEXIST ? "it is there twice" : "it lies in something that is no directory",
			      error);
	return error_set(error, .number = errno, .step = STEP_UNPACK, .object = entry->name);
}

/* Opens the directory that the entry lies in; what of it is missing was no entry, and is made. */
static int open_parent(int root_fd, const struct entry *entry, const char **ret_name, int *ret_fd, struct error *error)
{
	owned_fd fd = fd_duplicate(root_fd);
	const char *rest = entry->name;

	while (fd >= 0 && strchr(rest, '/')) {
		char part[NAME_MAX + 1];
		size_t length = strcspn(rest, "/");
		int next;

		memcpy(part, rest, length);
		part[length] = '\0';
		next = path_open(fd, part, O_PATH | O_DIRECTORY, 0, PATH_BENEATH);
		if (next == -ENOENT && mkdirat(fd, part, 0755) == 0)
			next = path_open(fd, part, O_PATH | O_DIRECTORY, 0, PATH_BENEATH);
		fd_close(&fd);
		fd = next;
		rest += length + 1;
	}
	if (fd < 0) {
		errno = -fd;
		return fail_make(entry, error);
	}
	*ret_name = rest;
	*ret_fd = fd_take(&fd);
	return 0;
}

static int set_attribute(struct bundle *bundle, const struct entry *entry, int fd, struct error *error)
{
	const char *attribute = plain_text(bundle->attributes, 0, ATTRIBUTE_NAME_MAX);
	int type = sqlite3_column_type(bundle->attributes, 1);
	const void *value = sqlite3_column_blob(bundle->attributes, 1);
	int size = sqlite3_column_bytes(bundle->attributes, 1);

	/* overlayfs's own would command the mount. */
	if (!attribute || !text_starts_with(attribute, "user.") || !format_is_visible(attribute) ||
	    type != SQLITE_BLOB || size > BUNDLE_ATTRIBUTE_MAX)
		return refuse(entry->name, "it has an attribute that no bundle has", error);
	if (fsetxattr(fd, attribute, value ? value : "", (size_t)size, XATTR_CREATE) < 0)
		return error_set(error, .number = errno, .step = "set the attribute of the bundle's entry",
				 .object = entry->name);
	return 0;
}

static int set_attributes(struct bundle *bundle, const struct entry *entry, int fd, struct error *error)
{
	unsigned count = 0;
	int code = SQLITE_DONE;
	int result = 0;

	if (entry->is_opaque && fsetxattr(fd, FORMAT_OPAQUE, "y", 1, XATTR_CREATE) < 0)
		return fail_make(entry, error);
	(void)sqlite3_bind_text(bundle->attributes, 1, entry->name, -1, SQLITE_STATIC);
	while (result == 0 && (code = sqlite3_step(bundle->attributes)) == SQLITE_ROW)
		result = count++ == BUNDLE_ATTRIBUTES_MAX ? refuse(entry->name, "it has more than 64 attributes", error)
							  : set_attribute(bundle, entry, fd, error);
	if (result == 0 && code != SQLITE_DONE)
		result = fail_read(bundle, code, error);
	(void)sqlite3_reset(bundle->attributes);
	(void)sqlite3_clear_bindings(bundle->attributes);
	return result;
}

static int make_file(struct bundle *bundle, const struct entry *entry, int parent_fd, const char *name,
		     struct error *error)
{
	owned_fd fd = openat(parent_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, entry->modified };
	int result;

	if (fd < 0)
		return fail_make(entry, error);
	result = write_data(bundle, entry, fd, error);
	if (result == 0)
		result = set_attributes(bundle, entry, fd, error);
	if (result < 0)
		return result;
	return fchmod(fd, entry->mode) < 0 || futimens(fd, times) < 0 ? fail_make(entry, error) : 0;
}

static int make_directory(struct bundle *bundle, const struct entry *entry, int parent_fd, const char *name,
			  struct error *error)
{
	owned_fd fd = -1;

	if (mkdirat(parent_fd, name, 0700) < 0)
		return fail_make(entry, error);
	fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? fail_make(entry, error) : set_attributes(bundle, entry, fd, error);
}

static int make_same(int root_fd, const struct entry *entry, int parent_fd, const char *name, struct error *error)
{
	owned_text parent = strchr(entry->target, '/') ? path_parent(entry->target) : text_duplicate(".");
	owned_fd target_fd = path_open(root_fd, parent, O_PATH | O_DIRECTORY, 0, PATH_BENEATH);
	const char *target = path_name(entry->target);
	struct stat status;

	if (target_fd < 0 || fstatat(target_fd, target, &status, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(status.st_mode))
		return refuse(entry->name, "it is another name of a file that is not there", error);
	return linkat(target_fd, target, parent_fd, name, 0) < 0 ? fail_make(entry, error) : 0;
}

static int make_entry(struct bundle *bundle, const struct entry *entry, int root_fd, struct error *error)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, entry->modified };
	owned_fd parent_fd = -1;
	const char *name = "";
	int result;

	if (bundle->entries++ == BUNDLE_ENTRIES_MAX)
		return error_set(error, .number = E2BIG, .step = STEP_UNPACK, .object = entry->name,
				 .cause = "a bundle holds no more than 1,000,000 files and directories");
	result = open_parent(root_fd, entry, &name, &parent_fd, error);
	if (result < 0)
		return result;
	switch (entry->kind) {
	case BUNDLE_FILE:
	case BUNDLE_PIECES:
		return make_file(bundle, entry, parent_fd, name, error);
	case BUNDLE_DIRECTORY:
		return make_directory(bundle, entry, parent_fd, name, error);
	case BUNDLE_SAME:
		return make_same(root_fd, entry, parent_fd, name, error);
	case BUNDLE_WHITEOUT:
		result = mknodat(parent_fd, name, S_IFCHR, makedev(0, 0));
		return result < 0 ? fail_make(entry, error) : 0;
	case BUNDLE_LINK:
		result = symlinkat(entry->target, parent_fd, name);
		break;
	case BUNDLE_PIPE:
		result = mkfifoat(parent_fd, name, entry->mode);
		break;
	}
	return result < 0 || utimensat(parent_fd, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? fail_make(entry, error) : 0;
}

/* Its mode and time, when nothing is made in it any more. */
static int finish_directory(const struct entry *entry, int root_fd, struct error *error)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, entry->modified };
	owned_fd fd = -1;

	if (entry->kind != BUNDLE_DIRECTORY)
		return 0;
	fd = path_open(root_fd, entry->name, O_RDONLY | O_DIRECTORY, 0, PATH_BENEATH);
	if (fd < 0)
		errno = -fd;
	return fd < 0 || futimens(fd, times) < 0 || fchmod(fd, entry->mode) < 0 ? fail_make(entry, error) : 0;
}

enum pass { PASS_MAKE, PASS_FINISH };

static int go_through(struct bundle *bundle, int root_fd, enum pass pass, struct error *error)
{
	static const char *const texts[] = {
		[PASS_MAKE] = "SELECT " ENTRY_COLUMNS "ORDER BY s.name",
		[PASS_FINISH] = "SELECT " ENTRY_COLUMNS "WHERE e.kind = 'directory' ORDER BY s.name DESC",
	};
	owned_statement statement = NULL;
	int code = sqlite3_prepare_v2(bundle->database, texts[pass], -1, &statement, NULL);
	int result = code == SQLITE_OK ? 0 : fail_read(bundle, code, error);

	while (result == 0 && (code = sqlite3_step(statement)) == SQLITE_ROW) {
		struct entry entry;

		result = read_entry(statement, &entry, error);
		if (result == 0)
			result = pass == PASS_MAKE ? make_entry(bundle, &entry, root_fd, error)
						   : finish_directory(&entry, root_fd, error);
	}
	return result == 0 && code != SQLITE_DONE ? fail_read(bundle, code, error) : result;
}

int bundle_unpack(struct bundle *bundle, int directory_fd, struct error *error)
{
	int result = go_through(bundle, directory_fd, PASS_MAKE, error);

	return result < 0 ? result : go_through(bundle, directory_fd, PASS_FINISH, error);
}

/* ---- one file ---- */

int bundle_read_text(struct bundle *bundle, const char *name, size_t size_max, char **ret_text, size_t *ret_size,
		     struct error *error)
{
	owned_statement statement = NULL;
	struct entry entry;
	const void *data;
	char *text;
	int code =
		sqlite3_prepare_v2(bundle->database, "SELECT " ENTRY_COLUMNS "WHERE s.name = ?1", -1, &statement, NULL);
	int result;

	if (code == SQLITE_OK)
		code = sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	if (code == SQLITE_DONE)
		return error_set(error, .number = ENOENT, .step = STEP_OPEN, .object = name);
	if (code != SQLITE_ROW)
		return fail_read(bundle, code, error);
	result = read_entry(statement, &entry, error);
	if (result < 0)
		return result;
	if (entry.kind != BUNDLE_FILE || !text_equal(entry.name, name))
		return refuse(name, "it is no file", error);
	if ((uint64_t)entry.size > size_max)
		return error_set(error, .number = EFBIG, .step = STEP_OPEN, .object = name);
	data = inflate_data(bundle, entry.data, entry.stored, (size_t)entry.size);
	if (!data)
		return refuse(name, "its data is not as large as it says", error);
	text = malloc((size_t)entry.size + 1);
	if (!text)
		abort();
	memcpy(text, data, (size_t)entry.size);
	text[entry.size] = '\0';
	*ret_text = text;
	if (ret_size)
		*ret_size = (size_t)entry.size;
	return 0;
}
