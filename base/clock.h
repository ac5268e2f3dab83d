/* SPDX-License-Identifier: Apache-2.0 */
/* What time it is, and times as one number. */
#ifndef SBX_BASE_CLOCK_H
#define SBX_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/** Nanoseconds of a time: since what it counts from. */
int64_t clock_to_ns(const struct timespec *time);

/** Since some moment that stays while the machine is up: CLOCK_MONOTONIC, for how long something takes. */
int64_t clock_ns(void);
uint64_t clock_us(void);
uint64_t clock_ms(void);

/** Nanoseconds since 1970: CLOCK_REALTIME, for people and files. */
int64_t clock_wall_ns(void);

#endif
