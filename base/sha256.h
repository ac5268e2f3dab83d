/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4), to tell whether a file is the one it was. About 200 MB/s: what is large is better told by size
 * and times first. */
#ifndef SBX_BASE_SHA256_H
#define SBX_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { SHA256_TEXT_SIZE = 65 }; /* hexadecimal, with the NUL */

struct sha256 {
	uint32_t state[8];
	uint64_t size;
	unsigned char block[64];
};

void sha256_init(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const void *bytes, size_t size);
/** Ends it. Returns `text`, in lower case. */
char *sha256_finish(struct sha256 *hash, char text[static SHA256_TEXT_SIZE]);

/** Of what is left to read of a file. @return 0 or -errno */
int sha256_of_fd(int fd, char text[static SHA256_TEXT_SIZE]);

#endif
