/* SPDX-License-Identifier: Apache-2.0 */
/* sbx.yaml: any bytes are read or refused. What was read can be released and asked. */
#include <stdlib.h>
#include <string.h>

#include "base/macro.h"
#include "sandbox/pool/project.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct project_key keys[] = {
		{ .name = "net", .takes_value = true },
		{ .name = "environment", .takes_value = true, .repeats = true },
		{ .name = "ulimits", .takes_value = true, .repeats = true },
		{ .name = "verify" },
	};
	/* Terminated, as a file that was read is. */
	char *text = malloc(size + 1);
	owned_project project = { 0 };
	struct error error = { 0 };

	if (!text)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	if (project_read_text("sbx.yaml", "/srv/app", text, size, keys, ARRAY_SIZE(keys), &project, &error) == 0) {
		for (size_t i = 0; i < project.services.count; i++) {
			const struct project_service *service = &project.services.items[i];
			owned_text command = project_substitute(service->command.arguments.items[0], 0, 4);

			if (!command || project_find_service(&project, service->name) != service)
				abort();
		}
	} else if (error.number == 0 || error.cause[0] == '\0' || error.object[0] == '\0') {
		abort();
	}
	free(text);
	return 0;
}
