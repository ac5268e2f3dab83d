/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run/hook.h"

#include <stdint.h>

/* .incbin instead of a generated source: no tool, no array of a hundred thousand numbers to compile. */
#define EMBED(symbol, path)                                                                                            \
	__asm__(".pushsection .rodata\n" #symbol ":\n.incbin \"" path "\"\n" #symbol "_end:\n.byte 0\n.popsection\n"); \
	extern const char symbol[] __attribute__((visibility("hidden")));                                              \
	extern const char symbol##_end[] __attribute__((visibility("hidden")))
#define EMBEDDED_SIZE(symbol) ((size_t)((uintptr_t)symbol##_end - (uintptr_t)(symbol)))

EMBED(hook_script, "sandbox/run/hook/hook.cjs");
EMBED(hook_reporter, "sandbox/run/hook/reporter.cjs");

struct hook_file hook_file(unsigned index)
{
	return index == 0 ? (struct hook_file){ .name = "hook.cjs",
						.text = hook_script,
						.size = EMBEDDED_SIZE(hook_script) }
			  : (struct hook_file){ .name = "reporter.cjs",
						.text = hook_reporter,
						.size = EMBEDDED_SIZE(hook_reporter) };
}
