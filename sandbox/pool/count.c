/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/pool/count.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/number.h"
#include "base/text.h"
#include "sandbox/worker/machine.h"

enum {
	PERCENT_MAX = 10000,
	/* What a world itself takes: its kernel objects and PID 1 (design: 686 KiB), rounded up. */
	WORLD_BYTES = 1 << 20,
	PROCESSES_MAX = 65536, /* looked at */
};

int count_parse(const char *text, struct count *ret_count)
{
	struct count count = { .is_auto = text_equal(text, "auto") };
	owned_text digits = text_duplicate(text);
	size_t length = strlen(digits);
	bool is_percent = length > 0 && digits[length - 1] == '%';
	uint64_t number = 0;
	int result = 0;

	if (is_percent)
		digits[length - 1] = '\0';
	if (!count.is_auto)
		result = number_parse(digits, 1, is_percent ? PERCENT_MAX : COUNT_WORKERS_MAX, &number);
	if (result < 0)
		return result;
	if (is_percent)
		count.percent = (unsigned)number;
	else
		count.number = (unsigned)number;
	*ret_count = count;
	return 0;
}

unsigned count_percent(unsigned percent, unsigned processors)
{
	return MIN(MAX(1u, processors * percent / 100), (unsigned)COUNT_WORKERS_MAX);
}

/* ---- the machine ---- */

static unsigned read_processors(void)
{
	cpu_set_t set;
	long count;

	/* With more than 1,024 of them it fails; nobody starts as many workers. */
	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		count = sysconf(_SC_NPROCESSORS_ONLN);
	else
		count = CPU_COUNT(&set);
	return (unsigned)MAX(count, 1L);
}

/* "MemAvailable:   123 kB" of /proc/meminfo, "Pss:  123 kB" of smaps_rollup. */
static uint64_t read_kilobytes(const char *path, const char *key)
{
	owned_text text = NULL;
	const char *found;
	uint64_t kilobytes = 0;

	if (fd_read_file(AT_FDCWD, path, 0, &text, NULL) < 0)
		return 0;
	found = strstr(text, key);
	if (found && sscanf(found + strlen(key), " %" SCNu64, &kilobytes) != 1)
		kilobytes = 0;
	return kilobytes * 1024;
}

static unsigned count_inotify(const char *pid)
{
	owned_text path = text_format("/proc/%s/fd", pid);
	DIR *directory = opendir(path);
	struct dirent *entry;
	unsigned count = 0;

	while (directory && (entry = readdir(directory)) != NULL) {
		char target[64];
		ssize_t size = readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);

		if (size > 0) {
			target[size] = '\0';
			count += text_equal(target, "anon_inode:inotify");
		}
	}
	if (directory)
		(void)closedir(directory);
	return count;
}

/* Calls `look` for each process. */
static void for_each_process(void (*look)(void *argument, const char *pid), void *argument)
{
	DIR *directory = opendir("/proc");
	struct dirent *entry;
	unsigned count = 0;

	while (directory && (entry = readdir(directory)) != NULL && count < PROCESSES_MAX)
		if (isdigit((unsigned char)entry->d_name[0])) {
			look(argument, entry->d_name);
			count++;
		}
	if (directory)
		(void)closedir(directory);
}

/* Other users' cannot be looked into, and have a budget of their own. */
static void add_inotify(void *argument, const char *pid)
{
	*(uint64_t *)argument += count_inotify(pid);
}

static uint64_t read_inotify_left(void)
{
	uint64_t limit = 0;
	uint64_t used = 0;

	if (machine_read_number("/proc/sys/fs/inotify/max_user_instances", &limit) < 0)
		return 0;
	for_each_process(add_inotify, &used);
	return limit > used ? limit - used : 1;
}

static uint64_t read_namespaces(void)
{
	uint64_t least = 0;

	for (size_t i = 0; i < machine_namespace_count; i++) {
		owned_text path = text_format("/proc/sys/user/%s", machine_namespaces[i].limit);
		uint64_t limit = 0;

		if (machine_read_number(path, &limit) == 0 && (least == 0 || limit < least))
			least = MAX(limit, UINT64_C(1));
	}
	return least;
}

void count_read_machine(struct count_machine *ret_machine)
{
	*ret_machine = (struct count_machine){ .processors = read_processors(),
					       .memory_bytes = read_kilobytes("/proc/meminfo", "MemAvailable:"),
					       .inotify_instances = read_inotify_left(),
					       .namespaces = read_namespaces() };
}

/* ---- one worker ---- */

struct family {
	pid_t *pids;
	pid_t *parents;
	bool *is_member;
	size_t count;
};

static void add_process(void *argument, const char *pid)
{
	struct family *family = argument;
	owned_text path = text_format("/proc/%s/stat", pid);
	owned_text text = NULL;
	const char *after_name;
	uint64_t number;
	char state;
	int parent;

	if (number_parse(pid, 1, INT32_MAX, &number) < 0 || fd_read_file(AT_FDCWD, path, 0, &text, NULL) < 0)
		return;
	/* The name in brackets may hold brackets: the last one ends it. */
	after_name = strrchr(text, ')');
	if (!after_name || sscanf(after_name + 1, " %c %d", &state, &parent) != 2)
		return;
	family->pids = reallocarray(family->pids, family->count + 1, sizeof(*family->pids));
	family->parents = reallocarray(family->parents, family->count + 1, sizeof(*family->parents));
	family->is_member = reallocarray(family->is_member, family->count + 1, sizeof(*family->is_member));
	if (!family->pids || !family->parents || !family->is_member)
		abort();
	family->pids[family->count] = (pid_t)number;
	family->parents[family->count] = parent;
	family->is_member[family->count++] = false;
}

/* Orphans of a world are its PID 1's children: descent finds all. */
static bool mark_children(struct family *family, pid_t root)
{
	bool changed = false;

	for (size_t i = 0; i < family->count; i++) {
		bool belongs = family->parents[i] == root;

		for (size_t j = 0; j < family->count && !belongs; j++)
			belongs = family->is_member[j] && family->pids[j] == family->parents[i];
		if (belongs && !family->is_member[i])
			family->is_member[i] = changed = true;
	}
	return changed;
}

static void find_family(pid_t pid, struct family *family)
{
	for_each_process(add_process, family);
	while (mark_children(family, pid))
		;
}

static void release_family(struct family *family)
{
	free(family->pids);
	free(family->parents);
	free(family->is_member);
}

static bool has_variable(pid_t pid, const char *variable)
{
	owned_text path = text_format("/proc/%d/environ", pid);
	owned_text text = NULL;
	size_t size = 0;

	if (fd_read_file(AT_FDCWD, path, 0, &text, &size) < 0)
		return false;
	for (const char *word = text; word < text + size; word += strlen(word) + 1)
		if (text_equal(word, variable))
			return true;
	return false;
}

uint64_t count_memory_of(pid_t pid, const char *variable)
{
	struct family family = { 0 };
	uint64_t bytes = 0;

	find_family(pid, &family);
	for (size_t i = 0; i < family.count; i++) {
		owned_text path = text_format("/proc/%d/smaps_rollup", family.pids[i]);

		if (family.is_member[i] && has_variable(family.pids[i], variable))
			bytes += read_kilobytes(path, "\nPss:");
	}
	release_family(&family);
	return bytes;
}

void count_measure(pid_t pid, struct count_size *ret_size)
{
	struct count_size size = { .memory_bytes = WORLD_BYTES };
	struct family family = { 0 };

	find_family(pid, &family);
	for (size_t i = 0; i < family.count; i++) {
		owned_text name = text_format("%d", family.pids[i]);
		owned_text path = text_format("/proc/%d/smaps_rollup", family.pids[i]);

		if (!family.is_member[i])
			continue;
		size.memory_bytes += read_kilobytes(path, "\nPss:");
		size.inotify_instances += count_inotify(name);
	}
	release_family(&family);
	*ret_size = size;
}

/* ---- both ---- */

unsigned count_fit(const struct count_machine *machine, const struct count_size *size, char *reason)
{
	bool knows_memory = size && size->memory_bytes && machine->memory_bytes;
	bool knows_inotify = size && size->inotify_instances && machine->inotify_instances;
	const struct {
		const char *what;
		bool is_known;
		uint64_t bears;
	} bounds[] = {
		{ "processors", machine->processors > 0, machine->processors },
		{ "memory", knows_memory, knows_memory ? machine->memory_bytes / size->memory_bytes : 0 },
		{ "inotify instances", knows_inotify,
		  knows_inotify ? machine->inotify_instances / size->inotify_instances : 0 },
		{ "namespaces", machine->namespaces > 0, machine->namespaces },
	};
	size_t binding = 0;
	uint64_t least = COUNT_WORKERS_MAX;

	for (size_t i = 0; i < ARRAY_SIZE(bounds); i++)
		if (bounds[i].is_known && bounds[i].bears < least) {
			least = bounds[i].bears;
			binding = i;
		}
	least = MAX(least, UINT64_C(1));
	if (reason && size)
		(void)snprintf(reason, COUNT_REASON_SIZE,
			       "%" PRIu64 " workers, bound by %s: %u processors; a worker takes %" PRIu64
			       " MiB of %" PRIu64 " MiB, %u of %" PRIu64 " inotify instances",
			       least, bounds[binding].what, machine->processors, size->memory_bytes >> 20,
			       machine->memory_bytes >> 20, size->inotify_instances, machine->inotify_instances);
	else if (reason)
		(void)snprintf(reason, COUNT_REASON_SIZE, "%" PRIu64 " workers, bound by %s: %u processors", least,
			       bounds[binding].what, machine->processors);
	return (unsigned)least;
}
