/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/pool/progress.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"

enum {
	PHASE_SIZE = 200,
	ROWS_BESIDE = 4, /* of the terminal: a prompt and a message or two */
};

struct row {
	char phase[PHASE_SIZE];
	enum progress_state state;
	uint64_t since_ms; /* 0: not begun */
	uint64_t now_ms;
};

struct progress {
	struct progress_options options;
	struct row *rows;
	unsigned shown; /* how many live lines stand above the cursor */
	bool is_hidden;
	bool is_finished;
};

static bool is_set(const char *variable)
{
	const char *value = getenv(variable);

	return value && value[0] && !text_equal(value, "false") && !text_equal(value, "0");
}

enum progress_mode progress_choose_mode(int fd, unsigned workers)
{
	const char *terminal = getenv("TERM");
	struct winsize size;

	if (is_set("GITHUB_ACTIONS"))
		return PROGRESS_GITHUB;
	if (is_set("CI") || !isatty(fd) || !terminal || text_equal(terminal, "dumb") || text_equal(terminal, ""))
		return PROGRESS_PLAIN;
	/* Lines that have scrolled away cannot be written again. */
	if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_row < workers + ROWS_BESIDE)
		return PROGRESS_PLAIN;
	return PROGRESS_LIVE;
}

static void put(const struct progress *progress, const char *text)
{
	/* Nobody there to see it: no reason to fail. */
	(void)fd_write_all(progress->options.fd, text, strlen(text));
}

struct progress *progress_new(const struct progress_options *options)
{
	struct progress *progress = calloc(1, sizeof(*progress));

	if (!progress)
		abort();
	progress->options = *options;
	progress->rows = calloc(options->workers + 1, sizeof(*progress->rows));
	if (!progress->rows)
		abort();
	if (options->mode == PROGRESS_GITHUB) {
		owned_text line = text_format("::group::%s\n", options->title);

		put(progress, line);
	}
	return progress;
}

static const char *colour_of(const struct progress *progress, enum progress_state state)
{
	static const char *const colours[] = {
		[PROGRESS_BUSY] = "\033[33m", [PROGRESS_GOOD] = "\033[32m", [PROGRESS_BAD] = "\033[31m"
	};

	return progress->options.has_colour ? colours[state] : "";
}

static void add_row(const struct progress *progress, unsigned worker, struct text_buffer *out)
{
	const struct row *row = &progress->rows[worker];
	owned_text line = text_format("w%-3u %6.1f s  %s", worker, (double)(row->now_ms - row->since_ms) / 1000,
				      row->phase[0] ? row->phase : "waits");

	if (progress->options.width > 1 && strlen(line) >= progress->options.width)
		text_copy(line, progress->options.width, line);
	text_buffer_format(out, "\r\033[K%s%s%s\n", colour_of(progress, row->state), line,
			   progress->options.has_colour ? "\033[0m" : "");
}

void progress_hide(struct progress *progress)
{
	if (progress->shown > 0) {
		owned_text up = text_format("\033[%uA\033[J", progress->shown);

		put(progress, up);
	}
	progress->shown = 0;
	progress->is_hidden = true;
}

void progress_show(struct progress *progress)
{
	owned_buffer out = { 0 };

	progress->is_hidden = false;
	if (progress->options.mode != PROGRESS_LIVE || progress->is_finished)
		return;
	if (progress->shown > 0)
		text_buffer_format(&out, "\033[%uA", progress->shown);
	for (unsigned i = 0; i < progress->options.workers; i++)
		add_row(progress, i, &out);
	put(progress, out.bytes ? out.bytes : "");
	progress->shown = progress->options.workers;
}

void progress_set(struct progress *progress, unsigned worker, enum progress_state state, const char *phase,
		  uint64_t now_ms)
{
	struct row *row = &progress->rows[worker];
	owned_text line = NULL;

	if (row->since_ms == 0)
		row->since_ms = now_ms;
	row->now_ms = now_ms;
	row->state = state;
	text_escape(row->phase, sizeof(row->phase), phase);
	if (progress->is_finished || progress->options.mode != PROGRESS_LIVE) {
		line = text_format("w%u: %s (%.1f s)", worker, row->phase, (double)(now_ms - row->since_ms) / 1000);
		progress_say(progress, line);
	} else if (!progress->is_hidden) {
		progress_show(progress);
	}
}

void progress_say(struct progress *progress, const char *line)
{
	/* Output of a service may be in it: a terminal must not be commanded by it. */
	owned_text shown = text_escaped_lines(line);
	owned_text message = text_format("sbx: %s\n", shown);
	bool was_hidden = progress->is_hidden;

	progress_hide(progress);
	put(progress, message);
	progress->is_hidden = was_hidden;
	if (!was_hidden)
		progress_show(progress);
}

void progress_finish(struct progress *progress)
{
	if (progress->is_finished)
		return;
	progress->is_finished = true;
	progress->shown = 0;
	if (progress->options.mode == PROGRESS_GITHUB)
		put(progress, "::endgroup::\n");
}

void progress_free(struct progress *progress)
{
	if (!progress)
		return;
	progress_finish(progress);
	free(progress->rows);
	free(progress);
}
