/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/pool/queue.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/macro.h"
#include "base/number.h"
#include "base/text.h"

#define TICKET_PREFIX "ticket."
#define DOOR_SUFFIX   "door"
enum { QUEUE_NAME_MAX = 80 };

/* The number of a ticket of this queue; 0: it is none. */
static uint64_t read_number(const char *name, const char *prefix, size_t prefix_length)
{
	uint64_t number = 0;

	if (strncmp(name, prefix, prefix_length) != 0 ||
	    number_parse(name + prefix_length, 1, UINT64_MAX - 1, &number) < 0)
		return 0;
	return number;
}

/* The greatest number below `limit`; 0: there is none. */
static int find_before(int directory_fd, const char *prefix, size_t prefix_length, uint64_t limit, uint64_t *ret_number)
{
	owned_fd fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	uint64_t greatest = 0;
	int result;

	if (!directory)
		return -errno;
	(void)fd_take(&fd); /* closedir's now */
	/* What cannot be read is not the end: who is before might be in the rest. */
	for (errno = 0; (entry = readdir(directory)) != NULL; errno = 0) {
		uint64_t number = read_number(entry->d_name, prefix, prefix_length);

		if (number < limit)
			greatest = MAX(greatest, number);
	}
	result = -errno;
	(void)closedir(directory);
	if (result == 0)
		*ret_number = greatest;
	return result;
}

static bool is_at(int directory_fd, const char *name, int fd)
{
	struct stat own;
	struct stat there;

	return fstat(fd, &own) == 0 && fstatat(directory_fd, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       own.st_ino == there.st_ino && own.st_dev == there.st_dev;
}

/* One at a time takes a number, so that whoever has the next one sees this ticket, locked. A moment's work, under a
 * lock that ends with its holder. */
static int open_door(int directory_fd, const char *name, int *ret_fd)
{
	for (;;) {
		owned_fd fd = openat(directory_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

		if (fd < 0 || RETRY_EINTR(flock(fd, LOCK_EX)) < 0)
			return -errno;
		if (!is_at(directory_fd, name, fd))
			continue; /* queue_remove() was here */
		*ret_fd = fd_take(&fd);
		return 0;
	}
}

static int take_ticket(struct ticket *ticket)
{
	int result =
		find_before(ticket->directory_fd, ticket->name, ticket->prefix_length, UINT64_MAX, &ticket->number);

	if (result < 0)
		return result;
	ticket->number++;
	(void)snprintf(ticket->name + ticket->prefix_length, sizeof(ticket->name) - ticket->prefix_length, "%" PRIu64,
		       ticket->number);
	ticket->fd =
		openat(ticket->directory_fd, ticket->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (ticket->fd < 0 || RETRY_EINTR(flock(ticket->fd, LOCK_EX)) < 0)
		return -errno;
	return 0;
}

int queue_enter(int directory_fd, const char *queue, struct ticket *ret_ticket, struct error *error)
{
	struct ticket ticket = { .directory_fd = directory_fd, .fd = -1 };
	owned_fd door_fd = -1;
	owned_text door = text_format(TICKET_PREFIX "%.*s." DOOR_SUFFIX, QUEUE_NAME_MAX, queue);
	int result = open_door(directory_fd, door, &door_fd);

	ticket.prefix_length = strlen(door) - strlen(DOOR_SUFFIX);
	text_copy(ticket.name, ticket.prefix_length + 1, door);
	if (result == 0)
		result = take_ticket(&ticket);
	if (result < 0) {
		queue_leave(&ticket);
		return error_set(error, .number = -result, .step = "queue up", .object = queue);
	}
	*ret_ticket = ticket;
	return 0;
}

static void wake(int number)
{
	(void)number;
}

/* flock(2) has no time limit but a signal's. It repeats, since one that comes just before flock() is lost. */
static int lock_until(int fd, uint64_t deadline_ms)
{
	enum { AGAIN_US = 20000 };
	struct sigaction action = { .sa_handler = wake };
	struct sigaction before;
	struct itimerval timer = { .it_interval = { .tv_usec = AGAIN_US } };
	uint64_t now = clock_ms();
	uint64_t left_ms = deadline_ms > now ? deadline_ms - now : 0;
	int result = 0;

	if (deadline_ms == UINT64_MAX)
		return RETRY_EINTR(flock(fd, LOCK_SH)) < 0 ? -errno : 0;
	if (left_ms == 0)
		return flock(fd, LOCK_SH | LOCK_NB) == 0 ? 0 : errno == EWOULDBLOCK ? -ETIMEDOUT : -errno;
	timer.it_value.tv_sec = (time_t)(left_ms / 1000);
	timer.it_value.tv_usec = (suseconds_t)(left_ms % 1000 * 1000);
	(void)sigaction(SIGALRM, &action, &before);
	(void)setitimer(ITIMER_REAL, &timer, NULL);
	while (result == 0 && flock(fd, LOCK_SH) < 0) {
		if (errno != EINTR)
			result = -errno;
		else if (clock_ms() >= deadline_ms)
			result = -ETIMEDOUT;
	}
	timer = (struct itimerval){ 0 };
	(void)setitimer(ITIMER_REAL, &timer, NULL);
	(void)sigaction(SIGALRM, &before, NULL);
	return result;
}

/* @return 1 nobody is before it, 0 look again, or -errno */
static int wait_for_predecessor(const struct ticket *ticket, uint64_t deadline_ms)
{
	char name[sizeof(ticket->name)];
	owned_fd fd = -1;
	uint64_t number = 0;
	int result = find_before(ticket->directory_fd, ticket->name, ticket->prefix_length, ticket->number, &number);

	if (result < 0 || number == 0)
		return result < 0 ? result : 1;
	(void)snprintf(name, sizeof(name), "%.*s%" PRIu64, (int)ticket->prefix_length, ticket->name, number);
	fd = openat(ticket->directory_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	result = lock_until(fd, deadline_ms);
	/* It has left, or was killed. */
	if (result == 0 && is_at(ticket->directory_fd, name, fd))
		(void)unlinkat(ticket->directory_fd, name, 0);
	return result;
}

int queue_wait(const struct ticket *ticket, uint64_t deadline_ms, struct error *error)
{
	int result;

	do
		result = wait_for_predecessor(ticket, deadline_ms);
	while (result == 0);
	return result < 0 ? error_set(error, .number = -result, .step = "wait for one's turn") : 0;
}

void queue_leave(struct ticket *ticket)
{
	if (ticket->fd < 0)
		return;
	(void)unlinkat(ticket->directory_fd, ticket->name, 0);
	fd_close(&ticket->fd);
}

void queue_remove(int directory_fd, const char *queue)
{
	owned_text prefix = text_format(TICKET_PREFIX "%.*s.", QUEUE_NAME_MAX, queue);
	struct dirent **found = NULL;
	int count = scandirat(directory_fd, ".", &found, NULL, NULL);

	for (int i = 0; i < count; i++) {
		if (text_starts_with(found[i]->d_name, prefix))
			(void)unlinkat(directory_fd, found[i]->d_name, 0);
		free(found[i]);
	}
	free(found);
}
