# SPDX-License-Identifier: Apache-2.0
# Several versions of one runner; the runners of the default tests are tests/scenario/130-runners.bats.
.PHONY: test-playwright
test-playwright: $(BUILD)/sbx
	./scripts/test-playwright $(PLAYWRIGHTS)

# The hook alone, with the oldest and newest versions of each runner.
.PHONY: test-hook
test-hook:
	./tests/runners/hook-test $(RUNNERS)

# 1,000 leases in a row and 10,000 that compete; the scenarios have a sample.
.PHONY: soak-leases
soak-leases: $(BUILD)/sbx
	./scripts/soak-leases
