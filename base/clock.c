/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

int64_t clock_to_ns(const struct timespec *time)
{
	return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

static int64_t read_clock(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return clock_to_ns(&now);
}

int64_t clock_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_us(void)
{
	return (uint64_t)clock_ns() / 1000;
}

uint64_t clock_ms(void)
{
	return (uint64_t)clock_ns() / 1000000;
}

int64_t clock_wall_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}
