/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 against the examples of FIPS 180-4 and its users, at every length around a block. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/sha256.h"

static void test_known_texts(void **state)
{
	static const struct {
		const char *text;
		const char *hash;
	} known[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		char text[SHA256_TEXT_SIZE];
		struct sha256 hash;

		sha256_init(&hash);
		sha256_add(&hash, known[i].text, strlen(known[i].text));
		assert_string_equal(sha256_finish(&hash, text), known[i].hash);
	}
}

static void test_million_times_a(void **state)
{
	owned_fd fd = memfd_create("a", MFD_CLOEXEC);
	char bytes[10000];
	char text[SHA256_TEXT_SIZE];

	(void)state;
	memset(bytes, 'a', sizeof(bytes));
	for (int i = 0; i < 100; i++)
		assert_int_equal(fd_write_all(fd, bytes, sizeof(bytes)), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(sha256_of_fd(fd, text), 0);
	assert_string_equal(text, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* However it is cut into pieces. */
static void test_pieces_make_no_difference(void **state)
{
	unsigned char bytes[200];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 7);
	for (size_t size = 0; size <= sizeof(bytes); size++) {
		char whole[SHA256_TEXT_SIZE];
		char pieces[SHA256_TEXT_SIZE];
		struct sha256 hash;

		sha256_init(&hash);
		sha256_add(&hash, bytes, size);
		(void)sha256_finish(&hash, whole);
		sha256_init(&hash);
		for (size_t at = 0; at < size; at += 13)
			sha256_add(&hash, bytes + at, MIN(size - at, (size_t)13));
		assert_string_equal(sha256_finish(&hash, pieces), whole);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_texts),
		cmocka_unit_test(test_million_times_a),
		cmocka_unit_test(test_pieces_make_no_difference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
