# SPDX-License-Identifier: Apache-2.0
# Several versions of one runner; the runners of the default tests are tests/scenario/130-runners.bats.
.PHONY: test-playwright
test-playwright: $(BUILD)/sbx
	./scripts/test-playwright $(PLAYWRIGHTS)
