/* SPDX-License-Identifier: Apache-2.0 */
/* File descriptors with one owner each.
 *
 * `owned_fd` closes itself at the end of its scope; handing it on is fd_take(). A plain `int fd` is borrowed. Every fd
 * is CLOEXEC at birth. Cleanups keep errno. */
#ifndef SBX_BASE_FD_H
#define SBX_BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

/** Closes *fd if it is >= 0 and sets it to -1. Keeps errno. */
void fd_close(int *fd);
#define owned_fd __attribute__((cleanup(fd_close))) int

/** Hands the descriptor on: returns *fd and leaves -1 behind. */
int fd_take(int *fd);

/** Size of a buffer for fd_proc_path(). */
#define FD_PROC_PATH_SIZE 32

/** Writes "/proc/self/fd/N": a name for the object itself, whatever its path is or was. Returns `path`. */
char *fd_proc_path(int fd, char path[static FD_PROC_PATH_SIZE]);

/** Writes all of `data`, over signals and short writes. @return 0 or -errno (EAGAIN of a non-blocking fd included) */
int fd_write_all(int fd, const void *data, size_t size);

/** Reads to end of file or `size` bytes. @return bytes read or -errno */
ssize_t fd_read_all(int fd, void *data, size_t size);

/** Reads a whole file of at most `size_max` bytes (0: 1 MiB) below `dirfd` into a fresh, NUL-terminated buffer.
 *  Works on /proc files, whose st_size is 0.
 *  @ret_text  the caller's, free(3)   @ret_size  without the NUL; may be NULL
 *  @return 0 or -errno (EFBIG: longer than size_max) */
int fd_read_file(int dirfd, const char *path, size_t size_max, char **ret_text, size_t *ret_size);

/** Makes a file that must not exist, and brings it and its name to the disk. @return 0 or -errno */
int fd_write_durable(int directory_fd, const char *name, const void *data, size_t size);

/** Makes a close-on-exec pipe. ends[0] is read. @return 0 or -errno */
int fd_pipe(int ends[static 2], int flags);

/** Duplicates to a number >= 3, close-on-exec. @return fd or -errno */
int fd_duplicate(int fd);

/** Sees to it that 0, 1 and 2 are open: a closed one becomes /dev/null, read side refusing writes and vice versa.
 *  To be called first in main, so that no later open lands there. @return 0 or -errno */
int fd_ensure_standard(void);

/** Closes all descriptors but those given (negative ones are passed over), for a process that goes on without its
 *  maker's: a copy of a pipe's or socket's end keeps the other side from ever seeing its end.
 *  @return 0 or -errno: then some are open still */
int fd_close_others(const int *kept, size_t count);

/** Sends `size` bytes and up to 16 descriptors in one message. @return 0 or -errno */
int fd_send(int socket, const void *data, size_t size, const int *fds, size_t fd_count);

/** Receives one message and its descriptors (CLOEXEC). Too many descriptors, or a cut message: -EBADMSG, none is kept.
 *  @ret_fd_count  how many of fds[] were filled   @return bytes, 0 at end of file, or -errno */
ssize_t fd_receive(int socket, void *data, size_t size, int *fds, size_t fd_max, size_t *ret_fd_count, int flags);

#endif
