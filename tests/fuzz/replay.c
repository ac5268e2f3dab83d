/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds files, and those of directories, to a fuzzer: `replay_INPUT FILE|DIRECTORY…`. Prints how many there were, and
 * each by name before it is fed where V is set: the last one is it. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "base/fd.h"
#include "tests/fuzz/fuzz.h"

enum { INPUT_BYTES_MAX = 16 << 20 };

static unsigned count;

static void feed(const char *path)
{
	owned_text text = NULL;
	size_t size = 0;
	uint8_t *exact;

	if (getenv("V"))
		fprintf(stderr, "%s\n", path);
	MUST(fd_read_file(AT_FDCWD, path, INPUT_BYTES_MAX, &text, &size) == 0);
	/* Not text itself: it has a NUL behind it, where a byte too many would not be seen. */
	exact = malloc(size > 0 ? size : 1);
	MUST(exact);
	memcpy(exact, text, size);
	(void)LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	count++;
}

static void feed_all(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;

	if (!directory) {
		feed(path);
		return;
	}
	while ((entry = readdir(directory))) {
		owned_text child = text_format("%s/%s", path, entry->d_name);

		if (entry->d_name[0] != '.')
			feed(child);
	}
	(void)closedir(directory);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		feed_all(argv[i]);
	printf("%u inputs\n", count);
	return count > 0 ? 0 : 1;
}
