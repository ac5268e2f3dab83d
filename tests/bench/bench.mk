# SPDX-License-Identifier: Apache-2.0
# `make bench`: sbx beside the kernel's floor and its peers, as a table and as build/bench.json. Knobs, in the environment:
# BENCH_ROUNDS (200), BENCH_FILES (largest tree, 1000000), BENCH_SEED (order), SBX_BENCH_DIR (/var/tmp).
BENCH_MODULES  := bench measure report rows statistics
BENCH_PROGRAMS := again compute database filter floor forest fresh http join true
BENCH_OUT      := $(BUILD)/tests/bench

BENCH_OBJECTS  := $(patsubst %,$(BENCH_OUT)/%.o,$(BENCH_MODULES) $(BENCH_PROGRAMS))
-include $(BENCH_OBJECTS:.o=.d)

$(BENCH_OUT)/bench: $(BENCH_MODULES:%=$(BENCH_OUT)/%.o) $(BUILD)/base.a
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBRARIES)

# Static whatever sbx is: what is measured is the kernel, not ld.so.
$(BENCH_PROGRAMS:%=$(BENCH_OUT)/%): $(BENCH_OUT)/%: $(BENCH_OUT)/%.o $(BUILD)/sandbox-policy.a $(BUILD)/base.a
	$(Q)$(CC) -static $(SANITIZE) $(LDFLAGS) -o $@ $^ -lsqlite3 -lcap -lm -lpthread

.PHONY: bench-programs
bench-programs: $(BENCH_OUT)/bench $(BENCH_PROGRAMS:%=$(BENCH_OUT)/%)

.PHONY: bench
bench: sbx bench-programs
	./tests/bench/run $(BUILD)

# The demo's suite N-wide, by sbx and by hand; takes half an hour. OUT: as tests/bench/suite says.
.PHONY: bench-suite
bench-suite: sbx
	./tests/bench/suite $(OUT)
