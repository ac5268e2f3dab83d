# SPDX-License-Identifier: Apache-2.0
# `make test-kernels`: the core scenarios in boots of Debian's packaged kernels under qemu's software emulation.
# KERNELS, in the environment, names other apt packages; dependencies: scripts/install-dependencies --kernels.
.PHONY: test-kernels
test-kernels: sbx tool-programs
	./scripts/test-kernels
