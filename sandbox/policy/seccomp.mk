# SPDX-License-Identifier: Apache-2.0
# The filters are compiled while sbx is built, by a program of the building machine, from one table; sbx itself links
# nothing of libseccomp for them.
BUILD_CC ?= cc

SECCOMP_GENERATE := $(BUILD)/sandbox/policy/generate/seccomp_generate
SECCOMP_HEADERS  := $(foreach target,x86_64 aarch64,$(BUILD)/sandbox/policy/seccomp_$(target).h)
SECCOMP_NUMBERS  := $(BUILD)/sandbox/policy/syscall_numbers.def

$(SECCOMP_GENERATE): sandbox/policy/generate/seccomp_generate.c sandbox/policy/syscalls.def base/macro.h
	@mkdir -p $(@D)
	$(BUILD_CC) -D_GNU_SOURCE -I. -std=gnu17 -O1 $(WARNINGS) -o $@ $< -lseccomp

$(SECCOMP_HEADERS): $(BUILD)/sandbox/policy/seccomp_%.h: $(SECCOMP_GENERATE)
	$< $* > $@.new && mv -f $@.new $@

$(SECCOMP_NUMBERS): $(SECCOMP_GENERATE)
	$< numbers > $@.new && mv -f $@.new $@

$(BUILD)/sandbox/policy/seccomp.o: $(SECCOMP_HEADERS)

# The test simulates both targets' programs, and reads the table with these numbers.
$(BUILD)/tests/unit/test_seccomp $(BUILD)/tests/unit/test_seccomp.o: $(SECCOMP_HEADERS) $(SECCOMP_NUMBERS) \
	sandbox/policy/syscalls.def tests/unit/bpf_simulator.h
