# SPDX-License-Identifier: Apache-2.0
# The manual page and the completions, printed by sbx from its own tables.

.PHONY: manual
manual: $(BUILD)/sbx.1 $(BUILD)/completion/sbx.bash $(BUILD)/completion/_sbx $(BUILD)/completion/sbx.fish

$(BUILD)/sbx.1: $(BUILD)/sbx
	$< man > $@.new && mv $@.new $@

$(BUILD)/completion/sbx.bash: SHELL_NAME := bash
$(BUILD)/completion/_sbx: SHELL_NAME := zsh
$(BUILD)/completion/sbx.fish: SHELL_NAME := fish
$(BUILD)/completion/sbx.bash $(BUILD)/completion/_sbx $(BUILD)/completion/sbx.fish: $(BUILD)/sbx
	@mkdir -p $(@D)
	$< completion $(SHELL_NAME) > $@.new && mv $@.new $@
