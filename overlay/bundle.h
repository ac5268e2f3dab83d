/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle: what one worker changed, and what is known of it, in one file that goes to another machine.
 *
 * It is an SQLite archive (https://sqlite.org/sqlar.html): `sqlite3 FILE -At` lists it. The names in it are relative:
 *   bundle.json       what it is of: the caller's
 *   files/PATH        what the worker's writable layers hold of the absolute PATH, databases as consistent copies
 *   seed/PATH         the same of the seed that the worker began from: files/ holds it as well, as it became
 *   logs/NAME, …      what else the caller puts there
 * What a row of `sqlar` cannot say stands in tables of our own:
 *   sbx_entry         one row for each of sqlar's: kind, nanoseconds of its time, size, target, whether it is opaque
 *   sbx_attribute     extended attributes, "user.…"
 *   sbx_piece         the data of files that are large or have holes; their rows in sqlar say 0 bytes
 * The same entries make the same bytes: rows come in the order of their names, nothing is random, and no time is in it
 * but those of the files.
 *
 * A bundle that is read is untrusted, whoever sent it: the schema must be ours to the letter (no view, no trigger), and
 * a row that is not what the writer makes is refused by its name. Nothing is written outside of the directory given,
 * not through symbolic links, and no device, no setuid or setgid file and no more than the limits below is made. */
#ifndef SBX_OVERLAY_BUNDLE_H
#define SBX_OVERLAY_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

enum {
	BUNDLE_VERSION = 1,
	BUNDLE_APPLICATION = 0x73627862, /* "sbxb": PRAGMA application_id */
	BUNDLE_WHOLE_MAX = 64 << 20,	 /* of a file that is one row, as sqlite3(1) reads it */
	BUNDLE_PIECE_MAX = 4 << 20,	 /* of a piece of one that is not */
	BUNDLE_ENTRIES_MAX = 1000000,
	BUNDLE_NAME_MAX = 4000,
	BUNDLE_ATTRIBUTES_MAX = 64, /* of one entry */
	BUNDLE_ATTRIBUTE_MAX = 64 << 10,
};
#define BUNDLE_BYTES_MAX (UINT64_C(8) << 30)  /* of data, holes not counted */
#define BUNDLE_SIZE_MAX	 (UINT64_C(64) << 30) /* of one file, with its holes */

#define BUNDLE_FILES "files"
#define BUNDLE_SEED  "seed"

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

struct bundle_writer;

/* What has its name already. */
enum bundle_existing {
	BUNDLE_REFUSE, /* stays: EEXIST */
	BUNDLE_REPLACE,
};

/** Begins one, under a temporary name beside its own. What killed ones left there under such names is removed.
 *  @directory_fd  borrowed until bundle_discard()   @name  one path component
 *  @ret_writer    the caller's, bundle_discard() in any case
 *  Errors: EEXIST, here or from bundle_finish() */
int bundle_begin(int directory_fd, const char *name, enum bundle_existing existing, struct bundle_writer **ret_writer,
		 struct error *error);

/** Adds a file with this text, mode 0644, of no time. @name  relative, as above */
int bundle_add_text(struct bundle_writer *writer, const char *name, const char *text, size_t size, struct error *error);

/** Whether an entry is left out, with all that is in it. @path  relative to what is added, "" for that itself */
typedef bool bundle_skip(void *data, const char *path);

/* What has been added before, and holds much of the same. */
struct bundle_twin {
	const char *name; /* what it was called; all below it was added but for what `skip` leaves out here as well */
	int fd;		  /* borrowed */
};

/** Adds a file or directory with all that is in it: data with holes, permission bits, times, "user.…" attributes,
 *  symbolic and hard links, pipes, whiteouts and opaque directories. Sockets and other devices are left out.
 *  @name    what it is called in the bundle   @fd  borrowed; of a directory O_PATH will do
 *  @twin    a file that is the same at the same path there is another name of that; may be NULL
 *  @skip    may be NULL
 *  Errors: E2BIG, EFBIG over the limits; ENAMETOOLONG */
int bundle_add_tree(struct bundle_writer *writer, const char *name, int fd, const struct bundle_twin *twin,
		    bundle_skip *skip, void *data, struct error *error);

/** Brings it to disk and gives it its name. @ret_bytes  of the file; may be NULL */
int bundle_finish(struct bundle_writer *writer, uint64_t *ret_bytes, struct error *error);
/** Lets go; removes what was not finished. Takes NULL. */
void bundle_discard(struct bundle_writer *writer);
static inline void bundle_discardp(struct bundle_writer **writer)
{
	bundle_discard(*writer);
}
#define owned_bundle_writer __attribute__((cleanup(bundle_discardp))) struct bundle_writer *

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

struct bundle;

/** Whether a file is a bundle, or one in the making, by its first bytes and its name: what it holds may still be
 *  damaged. @path  relative to the directory */
bool bundle_is_one(int directory_fd, const char *path);

/** Opens one, which is not changed.
 *  @directory_fd  borrowed until bundle_close()   @name  one path component
 *  Errors: EBADMSG no bundle, damaged, or with more in it than a bundle has; ENOTSUP of a newer version */
int bundle_open(int directory_fd, const char *name, struct bundle **ret_bundle, struct error *error);
void bundle_close(struct bundle *bundle);
static inline void bundle_closep(struct bundle **bundle)
{
	bundle_close(*bundle);
}
#define owned_bundle __attribute__((cleanup(bundle_closep))) struct bundle *

/** Reads a file of it. @ret_text  the caller's, NUL-terminated   Errors: ENOENT, EBADMSG, EFBIG */
int bundle_read_text(struct bundle *bundle, const char *name, size_t size_max, char **ret_text, size_t *ret_size,
		     struct error *error);

/** Unpacks all of it below a directory, which is empty and the caller's alone, on a file system with user attributes
 *  where there are any. On failure what was unpacked so far is left to the caller to remove.
 *  Errors: EBADMSG, ELOOP, E2BIG, EFBIG naming the entry; of the system calls */
int bundle_unpack(struct bundle *bundle, int directory_fd, struct error *error);

#endif
