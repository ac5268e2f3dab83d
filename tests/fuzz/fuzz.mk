# SPDX-License-Identifier: Apache-2.0
# Fuzzers: tests/fuzz/fuzz_INPUT.c, inputs that once told something in tests/fuzz/corpus/INPUT.
#   make fuzz FUZZ=json SECONDS=60   libFuzzer (clang) goes on from the corpus; what it finds new stays in build/fuzz/corpus
#   make fuzz-replay                 the corpora, under the sanitizers, with any compiler
FUZZERS        := $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZ           ?= $(FUZZERS)
SECONDS        ?= 60
SANITIZERS     := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# The fortified calls would hide the functions that the sanitizers watch. Both need the shared C library.
SANITIZED       = DYNAMIC=1 HARDENING=-U_FORTIFY_SOURCE OPTIMIZE='-O1 -g'

FUZZ_REPLAYERS := $(FUZZERS:%=$(BUILD)/tests/fuzz/replay_%)
FUZZ_PROGRAMS  := $(FUZZERS:%=$(BUILD)/tests/fuzz/fuzz_%)
FUZZ_LINK       = $(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LINK_ORDER) $(LIBRARIES)

$(FUZZ_REPLAYERS): $(BUILD)/tests/fuzz/replay_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/fuzz.o \
		$(BUILD)/tests/fuzz/replay.o $(ARCHIVES)
	$(FUZZ_LINK)

$(FUZZ_PROGRAMS): $(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/fuzz.o $(ARCHIVES)
	$(FUZZ_LINK) -fsanitize=fuzzer

# AddressSanitizer lives in a world: PID 1 is a clone of the process that it watches, and the payload is another program.
# LeakSanitizer does not, it wants to trace a process that is not dumpable, and looks at the unit tests and fuzzers alone.
.PHONY: sanitize
sanitize:
	$(MAKE) BUILD=$(BUILD)/sanitize $(SANITIZED) SANITIZE='$(SANITIZERS)' $(BUILD)/sanitize/sbx unit-programs
	SBX_TEST_BUILD=$(BUILD)/sanitize SBX_SCENARIOS='00?-*' ./scripts/run-tests

.PHONY: fuzz-replayers fuzz-replay fuzz-programs fuzz
fuzz-replayers: $(FUZZ_REPLAYERS)
fuzz-programs: $(FUZZ_PROGRAMS)

fuzz-replay:
	$(MAKE) BUILD=$(BUILD)/sanitize $(SANITIZED) SANITIZE='$(SANITIZERS)' fuzz-replayers
	for input in $(FUZZERS); do \
		printf 'fuzz-replay %s: ' $$input; \
		$(BUILD)/sanitize/tests/fuzz/replay_$$input tests/fuzz/corpus/$$input || exit 1; \
	done

fuzz:
	$(MAKE) CC=$(CLANG) BUILD=$(BUILD)/fuzz $(SANITIZED) SANITIZE='$(SANITIZERS) -fsanitize=fuzzer-no-link' \
		$(FUZZ:%=$(BUILD)/fuzz/tests/fuzz/fuzz_%)
	for input in $(FUZZ); do \
		mkdir -p $(BUILD)/fuzz/corpus/$$input; \
		echo "fuzz $$input"; \
		$(BUILD)/fuzz/tests/fuzz/fuzz_$$input -max_total_time=$(SECONDS) \
			-max_len=$$(test $$input = bundle && echo 65536 || echo 4096) -timeout=10 -rss_limit_mb=2048 \
			-print_final_stats=1 -verbosity=0 -artifact_prefix=$(BUILD)/fuzz/$$input- \
			$(BUILD)/fuzz/corpus/$$input tests/fuzz/corpus/$$input </dev/null || exit 1; \
	done

-include $(wildcard $(BUILD)/tests/fuzz/*.d)
