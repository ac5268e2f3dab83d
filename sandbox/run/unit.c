/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/unit.h"

#include <stddef.h>

static bool is_due(enum unit_kind kind, const struct unit_past *past)
{
	switch (kind) {
	case UNIT_NEVER:
		break;
	case UNIT_WORKER:
	case UNIT_FILE:
		return past->was_leased;
	case UNIT_FAIL:
		return past->was_red;
	}
	return false;
}

enum unit_world unit_choose(const struct unit_choice *choice, const struct unit_past *past)
{
	if (is_due(choice->fresh, past))
		return UNIT_WORLD_FRESH;
	return is_due(choice->reset, past) ? UNIT_WORLD_RESET : UNIT_WORLD_AS_IT_IS;
}

const char *unit_word(const struct unit_choice *choice)
{
	static const char *const words[] = { [UNIT_WORKER] = "worker", [UNIT_FILE] = "file", [UNIT_FAIL] = "fail" };

	/* The one that begins more often. */
	if (choice->fresh == UNIT_FILE || choice->reset == UNIT_FILE)
		return words[UNIT_FILE];
	return words[choice->fresh ? choice->fresh : choice->reset];
}
