/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles: a database from somebody else. Whatever it holds, nothing is made but below the directory given. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/tree.h"
#include "overlay/bundle.h"
#include "tests/fuzz/fuzz.h"

/* Nothing of it may be a device but a whiteout, or have a setuid bit; what is beside it stays alone. */
static void look(int directory_fd)
{
	struct stat status;

	MUST(fstatat(directory_fd, "evil", &status, AT_SYMLINK_NOFOLLOW) < 0);
	MUST(fstatat(directory_fd, "unpacked", &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int directory_fd = fuzz_directory();
	owned_bundle bundle = NULL;
	owned_fd fd = -1;
	owned_text text = NULL;
	struct error error = { 0 };

	fuzz_write("bundle", data, size);
	(void)tree_remove(directory_fd, "unpacked", NULL);
	MUST(mkdirat(directory_fd, "unpacked", 0700) == 0);
	fd = openat(directory_fd, "unpacked", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MUST(fd >= 0);
	if (bundle_open(directory_fd, "bundle", &bundle, &error) < 0) {
		MUST(error.number > 0 && error.step[0]);
		return 0;
	}
	(void)bundle_read_text(bundle, "bundle.json", 1 << 20, &text, NULL, &error);
	if (bundle_unpack(bundle, fd, &error) < 0)
		MUST(error.number > 0 && error.step[0]);
	look(directory_fd);
	(void)tree_remove(directory_fd, "unpacked", NULL);
	return 0;
}
