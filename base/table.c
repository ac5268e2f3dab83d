/* SPDX-License-Identifier: Apache-2.0 */
#include "base/table.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/number.h"
#include "base/utf8.h"

#define NS_PER_SECOND 1000000000

enum { GAP = 2 }; /* between columns */

struct table_cell {
	bool is_missing;
	enum table_style style;
	int64_t number;
	char *text;
	struct text_list list;
};

void table_release(struct table *table)
{
	for (size_t i = 0; i < table->cell_count; i++) {
		text_free(&table->cells[i].text);
		text_list_release(&table->cells[i].list);
	}
	free(table->cells);
	table->cells = NULL;
	table->cell_count = 0;
}

/* ---- Filling ----------------------------------------------------------------------------------------------------- */

static const struct table_column *column_of(const struct table *table, size_t cell)
{
	return &table->columns[cell % table->column_count];
}

static struct table_cell *add_cell(struct table *table)
{
	/* Grown at powers of two. */
	if ((table->cell_count & (table->cell_count - 1)) == 0) {
		table->cells = reallocarray(table->cells, table->cell_count ? 2 * table->cell_count : 1,
					    sizeof(*table->cells));
		if (!table->cells)
			abort();
	}
	table->cells[table->cell_count] = (struct table_cell){ 0 };
	return &table->cells[table->cell_count++];
}

void table_add_text(struct table *table, const char *text)
{
	struct table_cell *cell;

	assert(column_of(table, table->cell_count)->kind == TABLE_TEXT);
	cell = add_cell(table);
	cell->text = text_duplicate(text);
	cell->is_missing = !text;
}

void table_add_number(struct table *table, int64_t number)
{
	enum table_kind kind = column_of(table, table->cell_count)->kind;

	assert(kind != TABLE_TEXT && kind != TABLE_LIST);
	add_cell(table)->number = number;
}

void table_add_list(struct table *table, const struct text_list *list)
{
	struct table_cell *cell;

	assert(column_of(table, table->cell_count)->kind == TABLE_LIST);
	cell = add_cell(table);
	for (size_t i = 0; i < list->count; i++)
		text_list_add(&cell->list, list->items[i]);
}

void table_add_missing(struct table *table)
{
	add_cell(table)->is_missing = true;
}

void table_set_style(struct table *table, enum table_style style)
{
	assert(table->cell_count > 0);
	table->cells[table->cell_count - 1].style = style;
}

/* ---- Cells ------------------------------------------------------------------------------------------------------- */

char *table_time(int64_t time_ns, char text[static TABLE_TIME_SIZE])
{
	/* Rounded down before 1970, too. */
	int64_t seconds = time_ns / NS_PER_SECOND - (time_ns % NS_PER_SECOND < 0);
	time_t time = seconds;
	struct tm date;

	if (!gmtime_r(&time, &date) ||
	    snprintf(text, TABLE_TIME_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", date.tm_year + 1900, date.tm_mon + 1,
		     date.tm_mday, date.tm_hour, date.tm_min, date.tm_sec,
		     (int)((time_ns - seconds * NS_PER_SECOND) / 1000000)) >= TABLE_TIME_SIZE)
		text[0] = '\0';
	return text;
}

static char *format_age(int64_t age_ns)
{
	static const struct {
		int64_t seconds;
		const char *unit;
	} units[] = { { 86400, "day" }, { 3600, "hour" }, { 60, "minute" }, { 1, "second" } };
	int64_t seconds = age_ns / NS_PER_SECOND;

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		int64_t count = seconds / units[i].seconds;

		if (count > 0)
			return text_format("%lld %s%s ago", (long long)count, units[i].unit, count > 1 ? "s" : "");
	}
	return text_duplicate("just now");
}

static char *join_list(const struct text_list *list, const char *separator)
{
	owned_buffer joined = { 0 };
	char *text;

	text_buffer_add_text(&joined, "");
	for (size_t i = 0; i < list->count; i++) {
		text_buffer_add_text(&joined, i > 0 ? separator : "");
		text_buffer_add_text(&joined, list->items[i]);
	}
	text = joined.bytes;
	joined = (struct text_buffer){ 0 };
	return text;
}

/* A cell as a table shows it, whole. */
static char *show(const struct table_column *column, const struct table_cell *cell, int64_t now_ns)
{
	owned_text joined = NULL;
	char size[32];

	if (cell->is_missing)
		return text_duplicate("");
	switch (column->kind) {
	case TABLE_TEXT:
		return text_escaped(cell->text);
	case TABLE_LIST:
		joined = join_list(&cell->list, column->separator ? column->separator : ", ");
		return text_escaped(joined);
	case TABLE_NUMBER:
		return text_format("%lld", (long long)cell->number);
	case TABLE_BYTES:
		return text_duplicate(number_format_size((uint64_t)MAX(cell->number, (int64_t)0), size, sizeof(size)));
	case TABLE_TIME:
		return format_age(now_ns - cell->number);
	case TABLE_TRUTH:
		return text_duplicate(cell->number ? "yes" : "no");
	}
	return text_duplicate("");
}

static void add_json_cell(const struct table_column *column, const struct table_cell *cell, struct text_buffer *out)
{
	char time[TABLE_TIME_SIZE];

	if (cell->is_missing) {
		json_add_null(out, column->name);
		return;
	}
	switch (column->kind) {
	case TABLE_TEXT:
		json_add_text(out, column->name, cell->text);
		return;
	case TABLE_LIST:
		json_add_list(out, column->name, &cell->list);
		return;
	case TABLE_NUMBER:
	case TABLE_BYTES:
		json_add_number(out, column->name, cell->number);
		return;
	case TABLE_TIME:
		json_add_text(out, column->name, table_time(cell->number, time));
		return;
	case TABLE_TRUTH:
		json_add_bool(out, column->name, cell->number != 0);
		return;
	}
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

/* One object a line, so that people and grep can read it as well. */
static void format_json(const struct table *table, struct text_buffer *out)
{
	json_begin_array(out, NULL);
	for (size_t i = 0; i < table->cell_count; i++) {
		bool is_first = i % table->column_count == 0;

		if (is_first) {
			text_buffer_add_text(out, i > 0 ? ",\n" : "\n");
			json_begin_object(out, NULL);
		}
		add_json_cell(column_of(table, i), &table->cells[i], out);
		if ((i + 1) % table->column_count == 0)
			json_end_object(out);
	}
	text_buffer_add_text(out, table->cell_count > 0 ? "\n]\n" : "]\n");
}

static bool is_right_aligned(const struct table_column *column)
{
	return column->kind == TABLE_NUMBER || column->kind == TABLE_BYTES;
}

/* Cuts `text` to `width` columns, the last of which becomes an ellipsis. */
static void cut(char **text, size_t width)
{
	char *whole = *text;

	if (utf8_text_width(whole) <= width)
		return;
	*text = text_format("%.*s…", (int)utf8_length_of_width(whole, MAX(width, (size_t)1) - 1), whole);
	free(whole);
}

/* What stands in the place of a cell, heads included, and how wide each column is. */
struct layout {
	char **shown; /* (rows + 1) × columns */
	size_t *widths;
	size_t rows; /* with the heads */
	size_t last; /* the last column that a table shows */
};

static void layout_release(struct layout *layout, size_t column_count)
{
	for (size_t i = 0; i < layout->rows * column_count; i++)
		free(layout->shown[i]);
	free(layout->shown);
	free(layout->widths);
}

static void lay_out(const struct table *table, const struct table_options *options, struct layout *layout)
{
	size_t columns = table->column_count;

	layout->rows = table->cell_count / columns + 1;
	layout->shown = calloc(layout->rows * columns, sizeof(*layout->shown));
	layout->widths = calloc(columns, sizeof(*layout->widths));
	if (!layout->shown || !layout->widths)
		abort();
	for (size_t i = 0; i < layout->rows * columns; i++) {
		const struct table_column *column = &table->columns[i % columns];
		size_t width;

		if (!column->title)
			continue;
		layout->last = i % columns;
		layout->shown[i] = i < columns ? text_duplicate(column->title)
					       : show(column, &table->cells[i - columns], options->now_ns);
		if (column->width_max > 0 && !options->no_trunc)
			cut(&layout->shown[i], column->width_max);
		width = utf8_text_width(layout->shown[i]);
		layout->widths[i % columns] = MAX(layout->widths[i % columns], width);
	}
}

static void add_spaces(struct text_buffer *out, size_t count)
{
	for (size_t i = 0; i < count; i++)
		text_buffer_add(out, " ", 1);
}

static void add_styled(struct text_buffer *out, const char *text, const char *style)
{
	assert(text);
	if (style[0] && text[0])
		text_buffer_format(out, "\033[%sm%s\033[0m", style, text);
	else
		text_buffer_add_text(out, text);
}

static void add_row(const struct table *table, const struct table_options *options, const struct layout *layout,
		    size_t row, struct text_buffer *out)
{
	/* ECMA-48, SGR. */
	static const char *const styles[] = {
		[TABLE_PLAIN] = "", [TABLE_GOOD] = "32", [TABLE_BAD] = "31", [TABLE_DIM] = "2"
	};
	size_t columns = table->column_count;
	size_t position = 0;

	for (size_t i = 0; i < columns; i++) {
		const struct table_column *column = &table->columns[i];
		char **text = &layout->shown[row * columns + i];
		const char *style = row == 0 ? "1" : styles[table->cells[(row - 1) * columns + i].style];
		size_t padding;
		size_t width;

		if (!column->title)
			continue;
		if (i == layout->last && options->width > position && !options->no_trunc)
			cut(text, options->width - position);
		width = utf8_text_width(*text);
		padding = layout->widths[i] - MIN(layout->widths[i], width);
		if (is_right_aligned(column))
			add_spaces(out, padding);
		add_styled(out, *text, options->has_colour ? style : "");
		add_spaces(out, GAP + (is_right_aligned(column) ? 0 : padding));
		position += layout->widths[i] + GAP;
	}
	while (out->bytes[out->length - 1] == ' ')
		out->length--;
	text_buffer_add(out, "\n", 1);
}

void table_format(const struct table *table, const struct table_options *options, struct text_buffer *out)
{
	struct layout layout = { 0 };

	assert(table->cell_count % table->column_count == 0);
	if (options->format == TABLE_FORMAT_JSON) {
		format_json(table, out);
		return;
	}
	lay_out(table, options, &layout);
	for (size_t row = 0; row < layout.rows; row++)
		add_row(table, options, &layout, row, out);
	layout_release(&layout, table->column_count);
}

static bool is_set(const char *variable)
{
	const char *value = getenv(variable);

	return value && value[0];
}

void table_options_init(struct table_options *options, int output_fd)
{
	const char *terminal = getenv("TERM");
	bool is_terminal = isatty(output_fd);
	struct winsize size;

	*options = (struct table_options){ 0 };
	options->now_ns = clock_wall_ns();
	if (is_terminal && ioctl(output_fd, TIOCGWINSZ, &size) == 0)
		options->width = size.ws_col;
	options->has_colour = !is_set("NO_COLOR") &&
			      (is_set("FORCE_COLOR") || (is_terminal && terminal && strcmp(terminal, "dumb") != 0));
}

int table_parse_format(const char *text, enum table_format *ret_format)
{
	if (strcmp(text, "table") != 0 && strcmp(text, "json") != 0)
		return -EINVAL;
	*ret_format = text[0] == 't' ? TABLE_FORMAT_TABLE : TABLE_FORMAT_JSON;
	return 0;
}
