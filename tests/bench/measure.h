/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a command and measures it: from before the fork to after the wait, without a shell. */
#ifndef SBX_TESTS_BENCH_MEASURE_H
#define SBX_TESTS_BENCH_MEASURE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/text.h"

/* Where commands run, and what they write into; opened once. */
struct measure {
	char *const *environment; /* borrowed */
	int null_fd;
	int output_fd;	  /* memfd */
	int complaint_fd; /* memfd */
};

struct measure_result {
	uint64_t wall_ns;
	int exit_code;	     /* as a shell says it */
	char output[4096];   /* the beginning of its standard output, if wanted */
	char complaint[512]; /* the beginning of its standard error, if it failed */
};

/** @return 0 or -errno */
int measure_open(struct measure *measure, char *const *environment);
void measure_close(struct measure *measure);

/** @argv       argv[0] is a path; standard input is empty
 *  @directory  where it runs
 *  @return 0 or -errno: it could not be started at all */
int measure_run(const struct measure *measure, char *const *argv, const char *directory, bool wants_output,
		struct measure_result *ret_result);

/** Starts a command that ends with this process at the latest.
 *  @ret_output_fd  the caller's: the read end of its standard output
 *  @return the pid or -errno */
pid_t measure_start(const struct measure *measure, char *const *argv, const char *directory, int *ret_output_fd);

/** The path of a program as execvp(3) would find it in this PATH. @ret_path the caller's   @return 0 or -ENOENT */
int measure_find_program(const char *name, const char *search, char **ret_path);

#endif
