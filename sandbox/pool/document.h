/* SPDX-License-Identifier: Apache-2.0 */
/* A YAML file as a tree whose every node knows its line and column.
 *
 * Read by libyaml, and bounded, since the file may be anybody's: its size, its depth, and the number of nodes once
 * aliases are followed (ten lines of aliases can name a billion). Anchors, aliases and merge keys (`<<`) are resolved
 * here; a key that stands twice, a tag, a second document, a NUL are errors. */
#ifndef SBX_POOL_DOCUMENT_H
#define SBX_POOL_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum {
	DOCUMENT_SIZE_MAX = 1 << 20,
	DOCUMENT_DEPTH_MAX = 32,
	DOCUMENT_NODES_MAX = 20000,
	DOCUMENT_TEXT_MAX = 4 << 20,
};

enum document_kind {
	DOCUMENT_NULL, /* nothing, ~ or null */
	DOCUMENT_TEXT,
	DOCUMENT_LIST,
	DOCUMENT_MAP,
};

struct document_node {
	enum document_kind kind;
	char *text; /* DOCUMENT_TEXT */
	bool is_quoted;
	unsigned line; /* from 1 */
	unsigned column;
	char *key; /* of a value in a map */
	unsigned key_line;
	unsigned key_column;
	struct document_node *children;
	size_t count;
};

/** @name  what errors call the file   @ret_root  the caller's to release
 *  Errors: EINVAL not YAML, or not this; E2BIG too large or too deep. The object is "NAME:LINE:COLUMN". */
int document_read(const char *name, const char *text, size_t size, struct document_node *ret_root, struct error *error);
void document_release(struct document_node *root);
/** The value of that key in a map, or NULL. */
const struct document_node *document_member(const struct document_node *map, const char *key);

#endif
