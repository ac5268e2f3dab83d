/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/pool/document.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/macro.h"
#include "base/text.h"

#define TOO_DEEP "it is nested too deeply, or an alias names what it stands in"

struct reader {
	const char *name;
	yaml_document_t *document;
	size_t nodes; /* made so far */
	size_t bytes; /* of their texts */
	struct error *error;
};

static int fail_at(struct reader *reader, unsigned line, unsigned column, int number, const char *cause,
		   const char *remedy)
{
	owned_text object = text_format("%s:%u:%u", reader->name, line, column);

	return error_set(reader->error, .number = number, .step = "read", .object = object, .cause = cause,
			 .remedy = remedy);
}

static int fail_node(struct reader *reader, const yaml_node_t *node, int number, const char *cause, const char *remedy)
{
	return fail_at(reader, (unsigned)node->start_mark.line + 1, (unsigned)node->start_mark.column + 1, number,
		       cause, remedy);
}

/* ---- scalars ---- */

static bool is_null_word(const yaml_node_t *node)
{
	static const char *const words[] = { "", "~", "null", "Null", "NULL" };
	const char *text = (const char *)node->data.scalar.value;

	if (node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (text_equal(text, words[i]))
			return true;
	return false;
}

/* The core schema's, which libyaml sets where nothing is written. YAML 1.2, 10.2. */
static bool is_core_tag(const char *tag)
{
	static const char prefix[] = "tag:yaml.org,2002:";
	static const char *const names[] = { "str", "seq", "map", "int", "float", "bool", "null" };

	for (size_t i = 0; text_starts_with(tag, prefix) && i < ARRAY_SIZE(names); i++)
		if (text_equal(tag + strlen(prefix), names[i]))
			return true;
	return false;
}

static int check_node(struct reader *reader, const yaml_node_t *node)
{
	if (node->type == YAML_SCALAR_NODE)
		reader->bytes += node->data.scalar.length;
	if (++reader->nodes > DOCUMENT_NODES_MAX || reader->bytes > DOCUMENT_TEXT_MAX)
		return fail_node(reader, node, E2BIG, "its values are too many or too long, once aliases are followed",
				 NULL);
	if (node->tag && !is_core_tag((const char *)node->tag))
		return fail_node(reader, node, EINVAL, "tags have no meaning here", "leave out what begins with '!'");
	if (node->type == YAML_SCALAR_NODE && memchr(node->data.scalar.value, '\0', node->data.scalar.length))
		return fail_node(reader, node, EINVAL, "it holds a NUL, which no path, name or argument can", NULL);
	return 0;
}

/* ---- the tree ---- */

static int build(struct reader *reader, int index, unsigned depth, struct document_node *ret_node);

static struct document_node *add_child(struct document_node *node)
{
	/* In powers of two, so that a long list is not copied for each item. */
	if ((node->count & (node->count - 1)) == 0) {
		node->children =
			reallocarray(node->children, node->count ? 2 * node->count : 1, sizeof(*node->children));
		if (!node->children)
			abort();
	}
	node->children[node->count] = (struct document_node){ 0 };
	return &node->children[node->count++];
}

const struct document_node *document_member(const struct document_node *map, const char *key)
{
	for (size_t i = 0; i < map->count; i++)
		if (text_equal(map->children[i].key, key))
			return &map->children[i];
	return NULL;
}

static int build_pair(struct reader *reader, const yaml_node_pair_t *pair, unsigned depth, struct document_node *map)
{
	const yaml_node_t *key = yaml_document_get_node(reader->document, pair->key);
	struct document_node *child;
	int result;

	if (key->type != YAML_SCALAR_NODE)
		return fail_node(reader, key, EINVAL, "a key must be a word", NULL);
	result = check_node(reader, key);
	if (result < 0)
		return result;
	if (document_member(map, (const char *)key->data.scalar.value)) {
		owned_text cause = text_format("the key '%s' stands here twice", (const char *)key->data.scalar.value);

		return fail_node(reader, key, EINVAL, cause, "leave one of them out");
	}
	child = add_child(map);
	/* The key first: what releases the tree after a failure finds it. */
	child->key = text_duplicate((const char *)key->data.scalar.value);
	child->key_line = (unsigned)key->start_mark.line + 1;
	child->key_column = (unsigned)key->start_mark.column + 1;
	return build(reader, pair->value, depth + 1, child);
}

/* Takes over from a merged map what the map itself does not have. */
static void merge_map(struct document_node *map, struct document_node *merged)
{
	for (size_t i = 0; i < merged->count; i++) {
		struct document_node *from = &merged->children[i];

		if (document_member(map, from->key))
			continue;
		*add_child(map) = *from;
		*from = (struct document_node){ 0 };
	}
}

static int build_merge(struct reader *reader, int index, unsigned depth, struct document_node *map)
{
	__attribute__((cleanup(document_release))) struct document_node merged = { 0 };
	const yaml_node_t *node = yaml_document_get_node(reader->document, index);
	int result = build(reader, index, depth + 1, &merged);

	if (result < 0)
		return result;
	if (merged.kind == DOCUMENT_MAP) {
		merge_map(map, &merged);
		return 0;
	}
	for (size_t i = 0; merged.kind == DOCUMENT_LIST && i < merged.count; i++) {
		if (merged.children[i].kind != DOCUMENT_MAP)
			return fail_node(reader, node, EINVAL, "what is merged must be a map", NULL);
		merge_map(map, &merged.children[i]);
	}
	return merged.kind == DOCUMENT_LIST ? 0 : fail_node(reader, node, EINVAL, "what is merged must be a map", NULL);
}

static bool is_merge(struct reader *reader, const yaml_node_pair_t *pair)
{
	const yaml_node_t *key = yaml_document_get_node(reader->document, pair->key);

	return key->type == YAML_SCALAR_NODE && key->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       text_equal((const char *)key->data.scalar.value, "<<");
}

static int build_map(struct reader *reader, const yaml_node_t *node, unsigned depth, struct document_node *map)
{
	int result = 0;

	/* What stands in the map itself is stronger than what is merged, wherever `<<` stands. */
	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top && result == 0; pair++)
		if (!is_merge(reader, pair))
			result = build_pair(reader, pair, depth, map);
	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top && result == 0; pair++)
		if (is_merge(reader, pair))
			result = build_merge(reader, pair->value, depth, map);
	return result;
}

static int build(struct reader *reader, int index, unsigned depth, struct document_node *ret_node)
{
	const yaml_node_t *node = yaml_document_get_node(reader->document, index);
	int result = check_node(reader, node);

	if (result == 0 && depth > DOCUMENT_DEPTH_MAX)
		result = fail_node(reader, node, E2BIG, TOO_DEEP, NULL);
	if (result < 0)
		return result;
	ret_node->line = (unsigned)node->start_mark.line + 1;
	ret_node->column = (unsigned)node->start_mark.column + 1;
	switch (node->type) {
	case YAML_SCALAR_NODE:
		ret_node->kind = is_null_word(node) ? DOCUMENT_NULL : DOCUMENT_TEXT;
		ret_node->is_quoted = node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
		ret_node->text = text_duplicate((const char *)node->data.scalar.value);
		return 0;
	case YAML_SEQUENCE_NODE:
		ret_node->kind = DOCUMENT_LIST;
		for (const yaml_node_item_t *item = node->data.sequence.items.start;
		     item < node->data.sequence.items.top && result == 0; item++)
			result = build(reader, *item, depth + 1, add_child(ret_node));
		return result;
	case YAML_MAPPING_NODE:
		ret_node->kind = DOCUMENT_MAP;
		return build_map(reader, node, depth, ret_node);
	case YAML_NO_NODE:
	default:
		return 0;
	}
}

/* ---- the file ---- */

static int fail_syntax(struct reader *reader, const yaml_parser_t *parser, const char *text, size_t size)
{
	owned_text cause = text_format("%s%s%s", parser->problem ? parser->problem : "it is not YAML",
				       parser->context ? ", " : "", parser->context ? parser->context : "");
	unsigned line = (unsigned)parser->problem_mark.line + 1;
	unsigned column = (unsigned)parser->problem_mark.column + 1;

	if (parser->error == YAML_READER_ERROR) {
		/* It knows the byte only. */
		line = column = 1;
		for (size_t i = 0; i < MIN(size, parser->problem_offset); i++) {
			column = text[i] == '\n' ? 1 : column + 1;
			line += text[i] == '\n' ? 1 : 0;
		}
	}
	return fail_at(reader, line, column, EINVAL, cause,
		       strchr(text, '\t') ? "YAML indents with spaces: look for a tab" : NULL);
}

/* Whether another document follows. */
static int check_end(struct reader *reader, yaml_parser_t *parser, const char *text, size_t size)
{
	yaml_document_t next;
	bool is_end;

	if (!yaml_parser_load(parser, &next))
		return fail_syntax(reader, parser, text, size);
	is_end = !yaml_document_get_root_node(&next);
	yaml_document_delete(&next);
	return is_end ? 0
		      : fail_at(reader, (unsigned)parser->mark.line + 1, 1, EINVAL,
				"a second document begins before here", "leave out what follows '---'");
}

/* The library looks through all open brackets for each that is opened: a file of nothing else takes it hours. So the
 * depth is counted first, as far as the limit. Other mistakes are told when it is read. */
static int check_depth(struct reader *reader, const char *text, size_t size)
{
	yaml_parser_t parser;
	yaml_event_t event;
	unsigned depth = 0;
	bool is_over = false;

	if (!yaml_parser_initialize(&parser))
		abort();
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
	while (!is_over && yaml_parser_parse(&parser, &event)) {
		depth += event.type == YAML_SEQUENCE_START_EVENT || event.type == YAML_MAPPING_START_EVENT;
		depth -= event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT;
		is_over = event.type == YAML_STREAM_END_EVENT || depth > DOCUMENT_DEPTH_MAX + 1;
		if (depth > DOCUMENT_DEPTH_MAX + 1)
			(void)fail_at(reader, (unsigned)event.start_mark.line + 1,
				      (unsigned)event.start_mark.column + 1, E2BIG, TOO_DEEP, NULL);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return depth > DOCUMENT_DEPTH_MAX + 1 ? -E2BIG : 0;
}

int document_read(const char *name, const char *text, size_t size, struct document_node *ret_root, struct error *error)
{
	__attribute__((cleanup(document_release))) struct document_node root = { 0 };
	struct reader reader = { .name = name, .error = error };
	yaml_document_t document;
	yaml_parser_t parser;
	int result = 0;

	if (size > DOCUMENT_SIZE_MAX)
		return fail_at(&reader, 1, 1, E2BIG, "it is larger than 1 MiB", NULL);
	result = check_depth(&reader, text, size);
	if (result < 0)
		return result;
	if (!yaml_parser_initialize(&parser))
		abort();
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
	if (!yaml_parser_load(&parser, &document)) {
		result = fail_syntax(&reader, &parser, text, size);
		yaml_parser_delete(&parser);
		return result;
	}
	reader.document = &document;
	root.line = root.column = 1;
	if (yaml_document_get_root_node(&document)) {
		result = build(&reader, 1, 0, &root);
		if (result == 0)
			result = check_end(&reader, &parser, text, size);
	}
	yaml_document_delete(&document);
	yaml_parser_delete(&parser);
	if (result < 0)
		return result;
	*ret_root = root;
	root = (struct document_node){ 0 };
	return 0;
}

void document_release(struct document_node *root)
{
	for (size_t i = 0; i < root->count; i++)
		document_release(&root->children[i]);
	free(root->children);
	text_free(&root->text);
	text_free(&root->key);
	*root = (struct document_node){ 0 };
}
