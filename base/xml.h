/* SPDX-License-Identifier: Apache-2.0 */
/* XML, as far as test reports need it: read tag by tag, and text escaped for writing.
 *
 * What it reads may come from anywhere: no entity but the five of XML and characters by number, no DTD with content,
 * UTF-8 only, at most XML_DEPTH_MAX levels, tags must match. Namespaces are not looked at: a name is what it is
 * without its prefix. */
#ifndef SBX_BASE_XML_H
#define SBX_BASE_XML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

enum { XML_DEPTH_MAX = 64 };

enum xml_kind {
	XML_OPEN,
	XML_CLOSE, /* of <a/>, too */
	XML_TEXT,  /* one piece; comments and CDATA divide it */
};

struct xml_token {
	enum xml_kind kind;
	const char *name; /* XML_OPEN, XML_CLOSE: not terminated */
	size_t name_length;
	size_t start;	/* in the text, of the tag or the piece */
	size_t end;	/* behind it */
	unsigned depth; /* 1: the root's own tags */
	bool is_raw;	/* XML_TEXT: CDATA, nothing in it is escaped */
};

struct xml {
	const char *text; /* borrowed */
	size_t size;
	size_t offset;
	unsigned depth;
	bool has_root;
	bool closes; /* the tag just told was <a/> */
	struct xml_name {
		size_t start;
		size_t length;
	} open[XML_DEPTH_MAX];
};

/** @text  borrowed as long as it is read */
void xml_begin(struct xml *xml, const char *text, size_t size);
/** @return 1, 0 at the end of a whole document, or -EBADMSG */
int xml_next(struct xml *xml, struct xml_token *ret_token);

/** Whether all of it is UTF-8, and characters that XML has: others' readers refuse a document with one that it
 *  lacks. */
bool xml_is_text(const char *text, size_t size);

bool xml_is(const struct xml_token *token, const char *name);
/** The value of an attribute of an XML_OPEN. @return the caller's; NULL: it has none of that name */
char *xml_attribute(const struct xml *xml, const struct xml_token *token, const char *name);
/** Adds what an XML_TEXT says. */
void xml_add_decoded(const struct xml *xml, const struct xml_token *token, struct text_buffer *out);

/** Adds text for an element or a quoted attribute. What XML cannot hold becomes U+FFFD. */
void xml_add_escaped(struct text_buffer *out, const char *text, size_t size);

#endif
