# SPDX-License-Identifier: Apache-2.0
# sbx: `make` builds ./sbx (static), `make DYNAMIC=1` a dynamic one, `make help` lists the rest.

# Quiet: what is printed is a warning or an error. V=1 shows the commands.
ifndef V
MAKEFLAGS += --silent
endif

VERSION   := 0.1.0
ifeq ($(origin CC),default)
CC        := gcc
endif
AR        ?= ar
PREFIX    ?= /usr/local
BUILD     ?= build
DESTDIR   ?=

# Folders in link order, each one static archive: a folder includes only what stands left of it (scripts/check-layers).
LAYERS    := base netns overlay sandbox/policy sandbox/registry sandbox/worker sandbox/pool sandbox/run sandbox/verbs

# A compiler of another release may warn of more: WERROR= builds all the same.
WERROR    ?= -Werror
WARNINGS  := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 \
             -Wundef -Wwrite-strings -Wpointer-arith $(WERROR)
# Ubuntu's compiler has a level of its own, which a second one may not redefine.
HARDENING := -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fno-strict-overflow -fcf-protection
# No date and no host path in what is built: two builds in two directories are the same bytes.
REPRODUCE := -ffile-prefix-map=$(CURDIR)=.
OPTIMIZE  ?= -O2 -g
CPPFLAGS  += -D_GNU_SOURCE -DSBX_VERSION='"$(VERSION)"' -I. -I$(BUILD) -isystem /usr/include/libnl3
ALL_CFLAGS = -std=gnu17 $(OPTIMIZE) $(WARNINGS) $(HARDENING) $(REPRODUCE) $(SANITIZE) $(CFLAGS)
LIBRARIES := -lsqlite3 -lz -lcap -lnl-route-3 -lnl-3 -lpcre2-8 -lyaml

ifdef DYNAMIC
ALL_LDFLAGS = -Wl,-z,relro,-z,now -Wl,--as-needed $(SANITIZE) $(LDFLAGS)
LIBRARIES  += -lm
else
# Static, so that nothing is linked at start (0.8 ms) and one file is the whole program. Not static-pie: relocation costs
# start time, and the kernel still places stack and mmap at random.
# The linker warns of functions that would load the name service's libraries at run time: that is an error (finding 58).
# What SQLite refers to, for extensions, is led to base/sqlite.c.
STATIC_LDFLAGS := -static -Wl,--wrap=dlopen -Wl,--fatal-warnings
ALL_LDFLAGS = $(STATIC_LDFLAGS) -Wl,-z,relro,-z,now -Wl,--gc-sections $(SANITIZE) $(LDFLAGS)
LIBRARIES  += -lm -lpthread
endif

SOURCES   := $(foreach layer,$(LAYERS),$(sort $(wildcard $(layer)/*.c)))
OBJECTS   := $(SOURCES:%.c=$(BUILD)/%.o)
ARCHIVES  := $(foreach layer,$(LAYERS),$(BUILD)/$(subst /,-,$(layer)).a)
# The linker resolves from left to right: highest folder first.
LINK_ORDER := $(shell echo $(ARCHIVES) | tr ' ' '\n' | tac)

.PHONY: all
all: sbx

sbx: $(BUILD)/sbx
	cp -f $< $@

$(BUILD)/sbx: $(ARCHIVES)
	$(CC) $(ALL_LDFLAGS) -o $@ -Wl,--whole-archive $(BUILD)/sandbox-verbs.a -Wl,--no-whole-archive $(LINK_ORDER) $(LIBRARIES)

define archive_rule
$(BUILD)/$(subst /,-,$(1)).a: $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard $(1)/*.c)))
	rm -f $$@
	$(AR) rcsD $$@ $$^
endef
$(foreach layer,$(LAYERS),$(eval $(call archive_rule,$(layer))))

$(BUILD)/%.o: %.c $(BUILD)/layers.checked
	mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -ffunction-sections -fdata-sections -MMD -MP -c -o $@ $<

# An #include that points upwards fails the build.
$(BUILD)/layers.checked: $(foreach layer,$(LAYERS),$(wildcard $(layer)/*.[ch])) scripts/check-layers
	mkdir -p $(@D)
	./scripts/check-layers $(LAYERS)
	touch $@

-include $(OBJECTS:.o=.d)

# Parts that a folder brings along stand beside it: generated sources, unit tests, fuzzers, benchmarks.
-include $(sort $(wildcard sandbox/policy/*.mk sandbox/run/*.mk sandbox/verbs/*.mk scripts/*.mk tests/*.mk tests/*/*.mk))

# The manual page and the completions are made by sandbox/verbs/manual.mk.
.PHONY: install
install: $(BUILD)/sbx manual
	install -D -m 755 $(BUILD)/sbx $(DESTDIR)$(PREFIX)/bin/sbx
	install -D -m 644 $(BUILD)/sbx.1 $(DESTDIR)$(PREFIX)/share/man/man1/sbx.1
	install -D -m 644 $(BUILD)/completion/sbx.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/sbx
	install -D -m 644 $(BUILD)/completion/_sbx $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_sbx
	install -D -m 644 $(BUILD)/completion/sbx.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/sbx.fish

define HELP
make                  build ./sbx, one static file
make test             unit tests and scenarios, in random order (scripts/run-tests)
make test-fault       something goes wrong at each system call of the start, test takes a sample
make check            every gate below, then the tests
make lint             house rules, upward includes, shellcheck, cppcheck
make tidy             clang-tidy, by .clang-tidy
make format           lay all C sources out by .clang-format; format-check only looks
make clang            build with clang, warnings as errors as with gcc
make sanitize         unit tests and a few scenarios under AddressSanitizer, UBSan, LeakSanitizer
make fuzz-replay      the fuzzers' corpora under the sanitizers
make fuzz FUZZ=json SECONDS=60   look for more with libFuzzer
make reproducible     build in two directories, compare every byte
make test-playwright  a small suite under sbx test with several versions of Playwright
make test-hook        the runner hook without sbx: versions of Playwright, Jest and Vitest
make soak-leases      1,000 leases in a row, 10,000 that compete; test takes a sample
make test-kernels     the core scenarios in boots of Debian's packaged kernels, under qemu
make bench            sbx beside the kernel's floor and its peers
make bench-suite      the demo suite by sbx and by hand
make install          program, manual page, completions
make clean

PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)  where install puts things
CC=$(CC)  CFLAGS, LDFLAGS, OPTIMIZE="$(OPTIMIZE)"
BUILD=$(BUILD)  where all is built
WERROR=  a warning is no error
DYNAMIC=1  link against shared libraries, for distributions
V=1  show the commands
endef

.PHONY: help
help:
	$(info $(HELP))@:

.PHONY: clean
clean:
	rm -rf $(BUILD) sbx
