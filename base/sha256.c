/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sha256.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/macro.h"

/* FIPS 180-4, 4.2.2. */
static const uint32_t constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t word, unsigned bits)
{
	return word >> bits | word << (32 - bits);
}

static void add_block(struct sha256 *hash, const unsigned char *block)
{
	uint32_t words[64];
	uint32_t v[8];

	for (unsigned i = 0; i < 16; i++) {
		memcpy(&words[i], block + (size_t)4 * i, 4);
		words[i] = be32toh(words[i]);
	}
	for (unsigned i = 16; i < 64; i++) {
		uint32_t low = rotate(words[i - 15], 7) ^ rotate(words[i - 15], 18) ^ words[i - 15] >> 3;
		uint32_t high = rotate(words[i - 2], 17) ^ rotate(words[i - 2], 19) ^ words[i - 2] >> 10;

		words[i] = words[i - 16] + low + words[i - 7] + high;
	}
	memcpy(v, hash->state, sizeof(v));
	for (unsigned i = 0; i < 64; i++) {
		uint32_t one = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25);
		uint32_t first = v[7] + one + ((v[4] & v[5]) ^ (~v[4] & v[6])) + constants[i] + words[i];
		uint32_t zero = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22);
		uint32_t second = zero + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));

		memmove(v + 1, v, 7 * sizeof(*v));
		v[4] += first;
		v[0] = first + second;
	}
	for (unsigned i = 0; i < 8; i++)
		hash->state[i] += v[i];
}

void sha256_init(struct sha256 *hash)
{
	*hash = (struct sha256){ .state = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
					    0x1f83d9ab, 0x5be0cd19 } };
}

void sha256_add(struct sha256 *hash, const void *bytes, size_t size)
{
	const unsigned char *next = bytes;

	while (size > 0) {
		size_t used = hash->size % sizeof(hash->block);
		size_t part = MIN(size, sizeof(hash->block) - used);

		memcpy(hash->block + used, next, part);
		hash->size += part;
		next += part;
		size -= part;
		if (used + part == sizeof(hash->block))
			add_block(hash, hash->block);
	}
}

char *sha256_finish(struct sha256 *hash, char text[static SHA256_TEXT_SIZE])
{
	uint64_t bits = htobe64(hash->size * 8);
	static const unsigned char one = 0x80;
	static const unsigned char zero = 0;

	sha256_add(hash, &one, 1);
	while (hash->size % sizeof(hash->block) != sizeof(hash->block) - sizeof(bits))
		sha256_add(hash, &zero, 1);
	sha256_add(hash, &bits, sizeof(bits));
	for (unsigned i = 0; i < 8; i++)
		(void)snprintf(text + (size_t)8 * i, 9, "%08x", hash->state[i]);
	return text;
}

int sha256_of_fd(int fd, char text[static SHA256_TEXT_SIZE])
{
	struct sha256 hash;
	char bytes[64 << 10];

	sha256_init(&hash);
	for (;;) {
		ssize_t got = RETRY_EINTR(read(fd, bytes, sizeof(bytes)));

		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		sha256_add(&hash, bytes, (size_t)got);
	}
	(void)sha256_finish(&hash, text);
	return 0;
}
