# SPDX-License-Identifier: Apache-2.0
# Small programs that scenario tests start things with: tests/tools/NAME.c, in the tests $TOOLS/NAME.
TOOL_PROGRAMS := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/tools/*.c)))

$(BUILD)/tests/tools/%: tests/tools/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -static -o $@ $<

.PHONY: tool-programs
tool-programs: $(TOOL_PROGRAMS)

test: tool-programs
