/* SPDX-License-Identifier: Apache-2.0 */
/* When a service is ready: `ready:` of sbx.yaml, `webServer` of Playwright.
 *
 * A state machine without threads, forks and blocking calls, for the poll loop of a world's PID 1:
 *
 *	readiness_new(&options, now, &ready, error)	patterns and URL are checked here
 *	loop:	poll on readiness_pollfds(), until readiness_deadline() at the latest
 *		readiness_feed() with what the service wrote
 *		if (readiness_wants_command()) start it; readiness_command_ended() with its wait status
 *		readiness_step()			READY, FAILED (error filled), or WAITING
 *	readiness_free()
 *
 * That the service itself ended is the caller's news, not this module's. Times are milliseconds of CLOCK_MONOTONIC. */
#ifndef SBX_POOL_READINESS_H
#define SBX_POOL_READINESS_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

/* Playwright's default. */
#define READINESS_TIMEOUT_MS  60000
#define READINESS_FURTHER_MAX 8
#define READINESS_POLLFDS_MAX (4 + 2 * READINESS_FURTHER_MAX)

enum readiness_stream {
	READINESS_STDOUT,
	READINESS_STDERR,
	READINESS_STREAM_COUNT,
};

/* A regular expression as JavaScript and .NET write it, PCRE2's: POSIX has no named groups, no \d and no lazy repeats.
 */
struct readiness_pattern {
	char *text;  /* NULL: none */
	char *flags; /* of i, m, s, u, g, y; NULL: none */
};

struct readiness_options {
	char *url;     /* NULL: none */
	uint16_t port; /* 0: none */
	struct readiness_pattern patterns[READINESS_STREAM_COUNT];
	struct text_list command;		       /* empty: none; ready when it exits with 0 */
	bool any;				       /* one condition is enough, as for Playwright; else all */
	uint16_t further_ports[READINESS_FURTHER_MAX]; /* must be open as well, whatever `any` says */
	size_t further_port_count;
	uint64_t timeout_ms;  /* 0: READINESS_TIMEOUT_MS */
	uint64_t interval_ms; /* 0: soon at first, then every 250 ms */
};

void readiness_options_release(struct readiness_options *options);
/** Checks them without making anything. Errors: EINVAL, the object is the value. */
int readiness_options_check(const struct readiness_options *options, struct error *error);

enum readiness_state {
	READINESS_WAITING,
	READINESS_READY,
	READINESS_FAILED,
};

struct readiness;

/** @options  borrowed as long as the machine lives   Errors: as readiness_options_check(). */
int readiness_new(const struct readiness_options *options, uint64_t now_ms, struct readiness **ret_readiness,
		  struct error *error);
void readiness_free(struct readiness **readiness);

/** Goes as far as can be gone now. The answer stays once it is READY or FAILED.
 *  @error  FAILED: ETIMEDOUT, the cause says what each condition that does not hold was last like */
enum readiness_state readiness_step(struct readiness *readiness, uint64_t now_ms, struct error *error);
/** @return how many were filled; those that rest are left out */
size_t readiness_pollfds(const struct readiness *readiness, struct pollfd fds[static READINESS_POLLFDS_MAX]);
/** When readiness_step() is to be called at the latest; UINT64_MAX once it has an answer. */
uint64_t readiness_deadline(const struct readiness *readiness);

/** What the service wrote. The patterns see the last 64 KiB of each stream. */
void readiness_feed(struct readiness *readiness, enum readiness_stream stream, const void *bytes, size_t size);

/** Whether the command is to be started now. @return true once for each start; it is the caller's to time out */
bool readiness_wants_command(struct readiness *readiness, uint64_t now_ms);
void readiness_command_ended(struct readiness *readiness, int wait_status, uint64_t now_ms);

/** NAME=VALUE of the named groups that matched, names in upper case as Playwright sets them. Borrowed. */
const struct text_list *readiness_variables(const struct readiness *readiness);
/** The address that answered, as "127.0.0.1:5555", or NULL. Borrowed. */
const char *readiness_address(const struct readiness *readiness);

#endif
