# SPDX-License-Identifier: Apache-2.0
# Programs of tests/scenario/070-attack.bats: static, since they are payloads.
ATTACK_PROGRAMS := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/attack/*.c)))

$(BUILD)/tests/attack/%: tests/attack/%.c tests/attack/attack.h
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -static -o $@ $<

test: $(ATTACK_PROGRAMS)
