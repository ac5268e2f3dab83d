# SPDX-License-Identifier: Apache-2.0
# What hook.c embeds with .incbin, which the compiler's -MMD does not see.
$(BUILD)/sandbox/run/hook.o: sandbox/run/hook/hook.cjs sandbox/run/hook/reporter.cjs
$(BUILD)/sandbox/run/report_page.o: sandbox/run/page/report.css sandbox/run/page/report.js
