/* SPDX-License-Identifier: Apache-2.0 */
/* A function of a test in a child with namespaces of its own. */
#ifndef SBX_TESTS_UNIT_NAMESPACE_H
#define SBX_TESTS_UNIT_NAMESPACE_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	INSIDE_OK = 0,
	INSIDE_SKIPPED = 77, /* this machine lacks something; the child has said what */
	INSIDE_FAILED = 99,
};

/* What the child may say instead of assert_*: cmocka's longjmp must not leave it. */
#define EXPECT(condition)                                                                                              \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "%s:%d: not true inside: %s (errno: %s)\n", __FILE__, __LINE__, #condition,    \
				strerror(errno));                                                                      \
			_exit(INSIDE_FAILED);                                                                          \
		}                                                                                                      \
	} while (0)

static inline void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	EXPECT(fd >= 0);
	EXPECT(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* Runs `body(argument)` in a child in new namespaces `flags` (0: none); with CLONE_NEWUSER the caller is `inside_uid`
 * there. @return its exit status: what `body` returned, or INSIDE_SKIPPED where the namespaces cannot be had. */
static inline int run_inside(int flags, unsigned inside_uid, int (*body)(void *), void *argument)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		unsigned uid = geteuid();
		unsigned gid = getegid();
		char map[64];

		if (flags != 0 && unshare(flags) < 0) {
			fprintf(stderr, "skipped: no namespaces here: %s\n", strerror(errno));
			_exit(INSIDE_SKIPPED);
		}
		if (flags & CLONE_NEWUSER) {
			write_text("/proc/self/setgroups", "deny");
			snprintf(map, sizeof(map), "%u %u 1", inside_uid, uid);
			write_text("/proc/self/uid_map", map);
			snprintf(map, sizeof(map), "%u %u 1", inside_uid, gid);
			write_text("/proc/self/gid_map", map);
		}
		_exit(body(argument));
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return INSIDE_FAILED;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* For the tests themselves: skip, or demand success. */
#define assert_inside(flags, uid, body, argument)                                                                      \
	do {                                                                                                           \
		int inside_status = run_inside((flags), (uid), (body), (argument));                                    \
		if (inside_status == INSIDE_SKIPPED && !getenv("SBX_MUST_WORK"))                                       \
			skip();                                                                                        \
		assert_int_equal(inside_status, INSIDE_OK);                                                            \
	} while (0)

#endif
