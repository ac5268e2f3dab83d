/* SPDX-License-Identifier: Apache-2.0 */
/* A file of --env-file, and the environment that is built from it. */
#include <string.h>

#include "sandbox/policy/environment.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *caller[] = { (char[]){ "HOME=/home/user" }, (char[]){ "AWS_SECRET_ACCESS_KEY=x" }, NULL };
	char *forced[] = { (char[]){ "SBX=1" }, NULL };
	struct environment_options options;
	struct error error = { 0 };
	owned_list built = { 0 };
	owned_list dropped = { 0 };
	bool has_forced = false;

	environment_options_init(&options);
	if (environment_options_read_text(&options, "file", (const char *)data, size, &error) < 0) {
		MUST(error.number != 0 && options.from_files.count == 0);
		environment_options_release(&options);
		return 0;
	}
	environment_build(caller, &options, NULL, forced, &built, &dropped);
	for (size_t i = 0; i < built.count; i++) {
		const char *equals = strchr(built.items[i], '=');

		MUST(equals && equals > built.items[i]);
		has_forced = has_forced || strcmp(built.items[i], "SBX=1") == 0;
		for (size_t j = 0; j < i; j++) {
			size_t length = (size_t)(equals - built.items[i]) + 1;

			MUST(strncmp(built.items[i], built.items[j], length) != 0);
		}
	}
	MUST(has_forced);
	environment_options_release(&options);
	return 0;
}
