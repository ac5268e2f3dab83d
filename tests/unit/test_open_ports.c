/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "sandbox/pool/open_ports.h"
#include <cmocka.h>

#define HEAD "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
#define LINE(address, port, state)                                                                                     \
	"   0: " address ":" port " 00000000:0000 " state " 00000000:00000000 00:00000000 00000000\n"

static void test_what_listens_is_told_once_and_in_order(void **state)
{
	unsigned ports[OPEN_PORTS_MAX];
	size_t count = 0;

	(void)state;
	open_ports_read(HEAD LINE("0100007F", "2409", "0A") LINE("0100007F", "115D", "0A")
				LINE("0100007F", "0050", "01"),
			ports, &count);
	open_ports_read(HEAD LINE("00000000000000000000000001000000", "115D", "0A"), ports, &count);
	assert_int_equal(count, 2);
	assert_int_equal(ports[0], 4445);
	assert_int_equal(ports[1], 9225);
}

static void test_no_more_than_there_is_room_for(void **state)
{
	unsigned ports[OPEN_PORTS_MAX];
	size_t count = 0;

	(void)state;
	for (size_t i = 0; i < 3; i++)
		open_ports_read(LINE("00000000", "0001", "0A") LINE("00000000", "0003", "0A")
					LINE("00000000", "0005", "0A") LINE("00000000", "0007", "0A")
						LINE("00000000", "0009", "0A") LINE("00000000", "0002", "0A")
							LINE("00000000", "0004", "0A") LINE("00000000", "0006", "0A")
								LINE("00000000", "0008", "0A"),
				ports, &count);
	assert_int_equal(count, OPEN_PORTS_MAX);
	for (size_t i = 1; i < count; i++)
		assert_true(ports[i] > ports[i - 1]);
}

static void test_anything_else_is_passed_over(void **state)
{
	unsigned ports[OPEN_PORTS_MAX];
	size_t count = 0;

	(void)state;
	open_ports_read("", ports, &count);
	open_ports_read("\n\n0:", ports, &count);
	open_ports_read("no table at all", ports, &count);
	assert_int_equal(count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_listens_is_told_once_and_in_order),
		cmocka_unit_test(test_no_more_than_there_is_room_for),
		cmocka_unit_test(test_anything_else_is_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
