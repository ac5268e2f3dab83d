# SPDX-License-Identifier: Apache-2.0
# What must hold before a change goes in: `make check` is all of it. The cheap gates also run with the tests, scripts/test.

# Versions are named: another one lays sources out differently, and finds other things.
CLANG        ?= clang-14
CLANG_FORMAT ?= clang-format-14
CLANG_TIDY   ?= clang-tidy-14

GATE_SOURCES := $(SOURCES) $(sort $(wildcard sandbox/policy/generate/*.c))
ALL_C        := $(GATE_SOURCES) $(foreach folder,$(LAYERS) tests/unit tests/bench tests/fuzz tests/attack tests/fault, \
                $(sort $(wildcard $(folder)/*.h))) $(sort $(wildcard tests/unit/*.c tests/bench/*.c tests/fuzz/*.c tests/attack/*.c \
                tests/fault/*.c tests/scenario/*.c))
ALL_SHELL    := .ci/run $(sort $(shell grep -lE '^\#!/bin/(ba)?sh' scripts/* tests/bench/run tests/bench/suite tests/bench/idle tests/scenario/* 2>/dev/null)) \
                $(sort $(wildcard tests/scenario/*.bats tests/scenario/*.bash))

.PHONY: check
check: lint format-check tidy clang sanitize fuzz-replay reproducible test

.PHONY: lint
lint: $(SECCOMP_HEADERS)
	./scripts/check-layers $(LAYERS)
	./scripts/check-house $(ALL_C)
	shellcheck $(ALL_SHELL)
	cppcheck --quiet --std=c11 --language=c --platform=unix64 --enable=warning,performance,portability --error-exitcode=1 \
		-D__x86_64__ -D__linux__ -D_GNU_SOURCE -I. -I$(BUILD) $(GATE_SOURCES) $(wildcard tests/bench/*.c tests/fuzz/*.c)

.PHONY: format format-check
format:
	$(CLANG_FORMAT) -i $(ALL_C)

format-check:
	$(CLANG_FORMAT) --dry-run --Werror $(ALL_C)

.PHONY: tidy
tidy:
	$(MAKE) --jobs=$$(nproc) --keep-going --output-sync $(GATE_SOURCES:%.c=$(BUILD)/tidy/%)

# After the object, which knows the headers: what has not changed since it was clean is not looked at again.
$(BUILD)/tidy/%: %.c $(BUILD)/%.o .clang-tidy
	mkdir -p $(@D)
	$(CLANG_TIDY) --quiet $< -- -std=gnu17 $(CPPFLAGS) 2>$@.log || { grep -v 'warnings generated\.$$' $@.log; exit 1; }
	touch $@

.PHONY: clang
clang:
	$(MAKE) CC=$(CLANG) BUILD=$(BUILD)/clang $(BUILD)/clang/sbx unit-programs

.PHONY: reproducible
reproducible:
	./scripts/check-reproducible $(BUILD)/reproducible
