# SPDX-License-Identifier: Apache-2.0
# Programs of tests/scenario/060-kill.bats, static, since one is a payload. `make test` lets something go wrong at a
# sample of the system calls of the start; `make test-fault` at each, as who calls it: an ordinary user.
FAULT_PROGRAMS := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/fault/*.c)))

$(BUILD)/tests/fault/%: tests/fault/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -static -o $@ $<

test: $(FAULT_PROGRAMS)

.PHONY: test-fault
test-fault: $(BUILD)/sbx $(FAULT_PROGRAMS)
	SBX_KILL_ALL=1 SBX=$(abspath $(BUILD)/sbx) TOOLS=$(abspath $(BUILD)/tests/tools) BATS_TMPDIR=$${TMPDIR:-/tmp} \
		bats --timing tests/scenario/060-kill.bats
