/* SPDX-License-Identifier: Apache-2.0 */
#include "base/inodes.h"

#include <stdint.h>
#include <stdlib.h>

enum { CAPACITY_MIN = 64 };

static struct inodes_entry *find(const struct inodes *inodes, dev_t device, ino_t inode)
{
	/* Fibonacci hashing: inode numbers come in runs. */
	uint64_t hash = ((uint64_t)inode ^ ((uint64_t)device << 32)) * 0x9E3779B97F4A7C15u;
	size_t mask = inodes->capacity - 1;

	for (size_t i = (size_t)(hash >> 32);; i++) {
		struct inodes_entry *entry = &inodes->entries[i & mask];

		if (!entry->is_used || (entry->inode == inode && entry->device == device))
			return entry;
	}
}

static void grow(struct inodes *inodes)
{
	struct inodes larger = { .count = inodes->count,
				 .capacity = inodes->capacity ? 2 * inodes->capacity : CAPACITY_MIN };

	larger.entries = calloc(larger.capacity, sizeof(*larger.entries));
	if (!larger.entries)
		abort();
	for (size_t i = 0; i < inodes->capacity; i++) {
		const struct inodes_entry *entry = &inodes->entries[i];

		if (entry->is_used)
			*find(&larger, entry->device, entry->inode) = *entry;
	}
	free(inodes->entries);
	*inodes = larger;
}

struct inodes_entry *inodes_look_up(struct inodes *inodes, dev_t device, ino_t inode, bool *ret_is_new)
{
	struct inodes_entry *entry;
	bool is_new;

	if (4 * (inodes->count + 1) > 3 * inodes->capacity)
		grow(inodes);
	entry = find(inodes, device, inode);
	is_new = !entry->is_used;
	if (is_new) {
		*entry = (struct inodes_entry){ .device = device, .inode = inode, .is_used = true };
		inodes->count++;
	}
	if (ret_is_new)
		*ret_is_new = is_new;
	return entry;
}

void inodes_release(struct inodes *inodes)
{
	for (size_t i = 0; i < inodes->capacity; i++)
		free(inodes->entries[i].path);
	free(inodes->entries);
	*inodes = (struct inodes){ 0 };
}
