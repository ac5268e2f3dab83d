/* SPDX-License-Identifier: Apache-2.0 */
/* Strings: bounded copies, growing buffers, and the one escaping routine for what is shown to people. */
#ifndef SBX_BASE_TEXT_H
#define SBX_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/** Copies, cut at a UTF-8 boundary, always terminated. */
void text_copy(char *target, size_t size, const char *source);
/** Appends, cut at a UTF-8 boundary, always terminated. */
void text_append(char *target, size_t size, const char *source);

/** Copies for people's eyes: control characters and bytes that are not UTF-8 become \xNN, newline \n, tab \t, backslash
 *  stays itself. A terminal cannot be commanded by what this wrote. */
void text_escape(char *target, size_t size, const char *source);
/** The same of several lines: newlines and tabs stay. */
void text_escape_lines(char *target, size_t size, const char *source);
/** The same, whole, in memory of its own. @return the caller's */
char *text_escaped(const char *source);
char *text_escaped_lines(const char *source);

bool text_equal(const char *a, const char *b);
bool text_starts_with(const char *text, const char *prefix);
bool text_ends_with(const char *text, const char *suffix);

/** Frees *text and sets it to NULL. */
void text_free(char **text);
#define owned_text __attribute__((cleanup(text_free))) char *

/** printf(3) into fresh memory; aborts when there is none. @return the caller's */
char *text_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
/** strdup(3) that aborts when there is no memory; NULL stays NULL. */
char *text_duplicate(const char *text);

/* A growing byte buffer, always NUL-terminated once something was added. */
struct text_buffer {
	char *bytes;
	size_t length;
	size_t capacity;
};

void text_buffer_release(struct text_buffer *buffer);
#define owned_buffer __attribute__((cleanup(text_buffer_release))) struct text_buffer
void text_buffer_add(struct text_buffer *buffer, const void *bytes, size_t length);
void text_buffer_add_text(struct text_buffer *buffer, const char *text);
void text_buffer_format(struct text_buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A growing NULL-terminated list of strings, as execve(2) takes it. Owns its strings. */
struct text_list {
	char **items; /* NULL-terminated; NULL while empty and never added to */
	size_t count;
};

void text_list_release(struct text_list *list);
#define owned_list __attribute__((cleanup(text_list_release))) struct text_list
void text_list_add(struct text_list *list, const char *text);
/** Takes over `text`, which came from malloc. */
void text_list_take(struct text_list *list, char *text);

/** As one word of a shell: in single quotes where it needs them. @return the caller's */
char *text_quote_word(const char *word);
/** Such words with spaces between them, as one would type the command. @return the caller's */
char *text_join_words(const struct text_list *words);

/** Edit distance (Damerau-Levenshtein, adjacent swaps) capped at 64 characters each, for "did you mean". */
unsigned text_distance(const char *a, const char *b);

#endif
