// SPDX-License-Identifier: Apache-2.0
export default () => {
	process.env.FROM_GLOBAL_SETUP = 'storage state';
};
