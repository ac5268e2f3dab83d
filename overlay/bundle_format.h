/* SPDX-License-Identifier: Apache-2.0 */
/* What bundle.c writes and bundle_read.c reads: for these two alone. */
#ifndef SBX_OVERLAY_BUNDLE_FORMAT_H
#define SBX_OVERLAY_BUNDLE_FORMAT_H

#include <stdbool.h>
#include <sys/stat.h>

/* In the order in which they are made; compared to the letter when a bundle is opened. sqlar's is that of
 * sqlite3(1). */
#define BUNDLE_TABLES                                                                                                  \
	{                                                                                                              \
		"CREATE TABLE sqlar(\n  name TEXT PRIMARY KEY,\n  mode INT,\n  mtime INT,\n  sz INT,\n  data BLOB\n)", \
			"CREATE TABLE sbx_entry(name TEXT PRIMARY KEY, kind TEXT, nanoseconds INT, size INT, target "  \
			"TEXT, opaque INT)",                                                                           \
			"CREATE TABLE sbx_attribute(name TEXT, attribute TEXT, value BLOB, PRIMARY KEY(name, "         \
			"attribute))",                                                                                 \
			"CREATE TABLE sbx_piece(name TEXT, offset INT, sz INT, data BLOB, PRIMARY KEY(name, offset))", \
	}

enum bundle_kind {
	BUNDLE_FILE,
	BUNDLE_PIECES, /* a file whose data is in sbx_piece */
	BUNDLE_DIRECTORY,
	BUNDLE_LINK,
	BUNDLE_PIPE,
	BUNDLE_WHITEOUT,
	BUNDLE_SAME, /* another name of the file `target` */
};

#define BUNDLE_KINDS                                                                                                   \
	{                                                                                                              \
		[BUNDLE_FILE] = "file", [BUNDLE_PIECES] = "pieces", [BUNDLE_DIRECTORY] = "directory",                  \
		[BUNDLE_LINK] = "link", [BUNDLE_PIPE] = "pipe", [BUNDLE_WHITEOUT] = "whiteout",                        \
		[BUNDLE_SAME] = "same",                                                                                \
	}

/* What st_mode says of each. */
static inline mode_t bundle_type_of(enum bundle_kind kind)
{
	switch (kind) {
	case BUNDLE_DIRECTORY:
		return S_IFDIR;
	case BUNDLE_LINK:
		return S_IFLNK;
	case BUNDLE_PIPE:
		return S_IFIFO;
	case BUNDLE_WHITEOUT:
		return S_IFCHR;
	case BUNDLE_FILE:
	case BUNDLE_PIECES:
	case BUNDLE_SAME:
		break;
	}
	return S_IFREG;
}

#endif
