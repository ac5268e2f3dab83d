/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

char *fuzz_text(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	MUST(text);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

char *fuzz_part(const uint8_t **data, size_t *size)
{
	size_t length = *size > 0 ? strnlen((const char *)*data, *size) : 0;
	char *text = fuzz_text(*data, length);
	size_t used = length < *size ? length + 1 : length;

	*data += used;
	*size -= used;
	return text;
}

/* Nothing is left behind: the directory has lost its name, and the files their directory. */
static int directory_fd = -1;

int fuzz_directory(void)
{
	char path[] = "/dev/shm/sbx-fuzz.XXXXXX";

	if (directory_fd >= 0)
		return directory_fd;
	MUST(mkdtemp(path));
	directory_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MUST(directory_fd >= 0);
	return directory_fd;
}

__attribute__((destructor)) static void remove_directory(void)
{
	char path[64];
	char name[FD_PROC_PATH_SIZE];
	ssize_t length;

	if (directory_fd < 0)
		return;
	length = readlink(fd_proc_path(directory_fd, name), path, sizeof(path) - 1);
	if (length <= 0)
		return;
	path[length] = '\0';
	(void)unlinkat(directory_fd, "3xk2m9q0ab/worker.json", 0);
	(void)unlinkat(directory_fd, "3xk2m9q0ab", AT_REMOVEDIR);
	(void)unlinkat(directory_fd, "log", 0);
	(void)rmdir(path);
}

void fuzz_write(const char *path, const void *data, size_t size)
{
	owned_fd fd = openat(fuzz_directory(), path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	MUST(fd >= 0 && fd_write_all(fd, data, size) == 0);
}
