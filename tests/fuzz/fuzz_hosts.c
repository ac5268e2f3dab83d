/* SPDX-License-Identifier: Apache-2.0 */
/* The host's /etc/hosts, a host name and two --add-host entries; each ended by a NUL, the file last. */
#include <string.h>

#include "netns/hosts.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	owned_text hostname = fuzz_part(&data, &size);
	owned_text first = fuzz_part(&data, &size);
	owned_text second = fuzz_part(&data, &size);
	owned_text file = fuzz_text(data, size);
	owned_text built = NULL;
	struct error error = { 0 };
	char *entries[3] = { NULL, NULL, NULL };
	size_t count = 0;

	if (hosts_check_entry(first, &error) == 0)
		entries[count++] = first;
	if (hosts_check_entry(second, &error) == 0)
		entries[count++] = second;
	error = (struct error){ 0 };
	MUST(hosts_build(file, hostname[0] != '\0' ? hostname : NULL, entries, &built, &error) == 0);
	/* Finding 29: whatever the host says, 127.0.0.1 is the first address of localhost. */
	MUST(strncmp(built, "127.0.0.1", strlen("127.0.0.1")) == 0);
	return 0;
}
