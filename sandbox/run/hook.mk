# SPDX-License-Identifier: Apache-2.0
# What hook.c embeds with .incbin, which the compiler's -MMD does not see.
$(BUILD)/sandbox/run/hook.o: sandbox/run/hook/hook.cjs sandbox/run/hook/reporter.cjs
