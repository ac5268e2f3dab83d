# SPDX-License-Identifier: Apache-2.0
# Unit tests: tests/unit/test_MODULE.c, one program each, against all archives (the linker leaves out main.o, whose only use is main).
UNIT_SOURCES  := $(sort $(wildcard tests/unit/test_*.c))
UNIT_PROGRAMS := $(UNIT_SOURCES:%.c=$(BUILD)/%)

$(BUILD)/tests/unit/test_%: tests/unit/test_%.c $(ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -o $@ $< $(LINK_ORDER) $(LIBRARIES) -lcmocka

.PHONY: unit-programs
unit-programs: $(UNIT_PROGRAMS)

.PHONY: test
test: $(BUILD)/sbx unit-programs
	SBX_TEST_BUILD=$(BUILD) ./scripts/run-tests
