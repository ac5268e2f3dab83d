/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay/format.h"

#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/text.h"

bool format_is_whiteout(const struct stat *status)
{
	return S_ISCHR(status->st_mode) && status->st_rdev == makedev(0, 0);
}

bool format_is_opaque(int fd)
{
	char value[2];

	/* "x" says that the directory holds whiteouts in the form of attributes, since 6.7: nothing that we make. */
	return fgetxattr(fd, FORMAT_OPAQUE, value, sizeof(value)) == 1 && value[0] == 'y';
}

bool format_is_visible(const char *attribute)
{
	return !text_starts_with(attribute, FORMAT_OWN) || text_starts_with(attribute, FORMAT_ESCAPED);
}
