/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/worker/session.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/number.h"
#include "base/text.h"

enum {
	/* A fork bomb outruns any number of looks; its world ends another way. */
	LOOKS_MAX = 8,
};

/* The state's letter and the session of a process; false: it is gone. */
static bool read_process(const char *pid, char *ret_state, pid_t *ret_session)
{
	owned_text path = text_format("/proc/%s/stat", pid);
	owned_text text = NULL;
	const char *after_name;
	int parent;
	int group;
	int session;

	if (fd_read_file(-1, path, 0, &text, NULL) < 0)
		return false;
	/* The name in brackets may hold brackets: the last one ends it. */
	after_name = strrchr(text, ')');
	if (!after_name || sscanf(after_name + 1, " %c %d %d %d", ret_state, &parent, &group, &session) != 4)
		return false;
	*ret_session = session;
	return true;
}

bool session_kill_once(pid_t session)
{
	DIR *processes = opendir("/proc");
	struct dirent *entry;
	bool found = false;

	while (processes && (entry = readdir(processes)) != NULL) {
		uint64_t pid;
		pid_t own_session;
		char state;

		if (number_parse(entry->d_name, 2, INT32_MAX, &pid) < 0 ||
		    !read_process(entry->d_name, &state, &own_session) || own_session != session)
			continue;
		found |= state != 'Z' && kill((pid_t)pid, SIGKILL) == 0;
	}
	if (processes)
		(void)closedir(processes);
	return found;
}

void session_kill(pid_t session)
{
	(void)kill(-session, SIGKILL);
	for (int i = 0; i < LOOKS_MAX && session_kill_once(session); i++)
		;
}
