/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay/wal.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/macro.h"

enum {
	WAL_HEADER = 32, /* of the file; fileformat2.html 4.1 */
	FRAME_HEADER = 24,
	WAL_MAGIC = 0x377f0682, /* one more: its checksums are of big-endian words */
	WAL_VERSION = 3007000,
	/* The index, in pieces; walformat.html 2.2. */
	PIECE_BYTES = 32 << 10,
	PIECE_FRAMES = 4096,
	PIECE_SLOTS = 8192,
	INDEX_HEADER = 136,
	FIRST_FRAMES = PIECE_FRAMES - INDEX_HEADER / 4,
	HASH_FACTOR = 383,
};

/* Once more behind itself, and then what checkpoints and readers note. In the machine's byte order, but for the salts,
 * which are as in the file. */
struct index_header {
	uint32_t version;
	uint32_t unused;
	uint32_t changes;
	uint8_t is_initialized;
	uint8_t is_big_endian; /* the checksums in the file */
	uint16_t page_size;    /* 1: 65536 */
	uint32_t last_frame;
	uint32_t page_count;
	uint32_t frame_sum[2];
	uint8_t salt[8];
	uint32_t sum[2];
};

_Static_assert(sizeof(struct index_header) == 48, "walformat.html 2.2.1");
_Static_assert(offsetof(struct index_header, last_frame) == WAL_STATE_OFFSET &&
		       offsetof(struct index_header, sum) == WAL_STATE_OFFSET + WAL_STATE_BYTES,
	       "what tells one commit from the next");

struct wal {
	sqlite3_file *database; /* its shared memory is this one's */
	sqlite3_file *log;
	uint32_t page_size;
	struct index_header header; /* with what was added since */
	uint32_t committed;	    /* the last frame of others */
	/* By page: the last frame that has it, 0: none. */
	uint32_t *frames;
	uint32_t frame_room;
	uint8_t *frame; /* that is being written */
};

static void put32(uint8_t *bytes, uint32_t number)
{
	for (unsigned i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(number >> (24 - 8 * i));
}

/* fileformat2.html 4.2, in the machine's own byte order. */
static void add_sum(uint32_t sum[static 2], const uint8_t *bytes, size_t size)
{
	uint32_t one = sum[0];
	uint32_t two = sum[1];

	for (size_t i = 0; i < size; i += 8) {
		uint32_t words[2];

		memcpy(words, bytes + i, sizeof(words));
		one += words[0] + two;
		two += words[1] + one;
	}
	sum[0] = one;
	sum[1] = two;
}

/* ---- the index ---- */

/* @return NULL: it cannot be had */
static void volatile *map_piece(const struct wal *wal, uint32_t piece, int may_extend)
{
	void volatile *bytes = NULL;

	return wal->database->pMethods->xShmMap(wal->database, (int)piece, PIECE_BYTES, may_extend, &bytes) == SQLITE_OK
		       ? bytes
		       : NULL;
}

struct piece {
	uint32_t volatile *pages; /* of each frame; 0: unused */
	uint16_t volatile *slots; /* by a page's hash, a frame's place among the pages, from 1; 0: free */
	uint32_t before;	  /* frames of earlier pieces */
	uint32_t room;
};

static bool find_piece(const struct wal *wal, uint32_t frame, int may_extend, struct piece *ret_piece)
{
	uint32_t number = frame <= FIRST_FRAMES ? 0 : 1 + (frame - FIRST_FRAMES - 1) / PIECE_FRAMES;
	uint8_t volatile *bytes = map_piece(wal, number, may_extend);

	if (!bytes)
		return false;
	ret_piece->pages = (uint32_t volatile *)(bytes + (number == 0 ? INDEX_HEADER : 0));
	ret_piece->slots = (uint16_t volatile *)(bytes + PIECE_FRAMES * sizeof(uint32_t));
	ret_piece->before = number == 0 ? 0 : FIRST_FRAMES + (number - 1) * PIECE_FRAMES;
	ret_piece->room = number == 0 ? FIRST_FRAMES : PIECE_FRAMES;
	return true;
}

/* What a writer that was killed, or rolled back, left behind the last frame. */
static void clean_piece(const struct piece *piece, uint32_t last)
{
	for (uint32_t i = 0; i < PIECE_SLOTS; i++)
		if (piece->slots[i] > last)
			piece->slots[i] = 0;
	for (uint32_t i = last; i < piece->room; i++)
		piece->pages[i] = 0;
}

static int index_frame(const struct wal *wal, uint32_t frame, uint32_t page)
{
	struct piece piece;
	uint32_t place;
	uint32_t slot = page * HASH_FACTOR % PIECE_SLOTS;

	if (!find_piece(wal, frame, 1, &piece))
		return SQLITE_IOERR_SHMMAP;
	place = frame - piece.before;
	if (place == 1 || piece.pages[place - 1] != 0)
		clean_piece(&piece, place - 1);
	for (uint32_t tries = 0; piece.slots[slot] != 0; tries++) {
		if (tries == place)
			return SQLITE_CORRUPT;
		slot = (slot + 1) % PIECE_SLOTS;
	}
	piece.pages[place - 1] = page;
	piece.slots[slot] = (uint16_t)place;
	return SQLITE_OK;
}

/* ---- reading ---- */

static bool read_header(struct wal *wal)
{
	uint8_t volatile *bytes = map_piece(wal, 0, 0);
	struct index_header copies[2] = { { .version = 0 } };
	uint32_t sum[2] = { 0 };

	if (!bytes)
		return false;
	for (size_t i = 0; i < sizeof(copies); i++)
		((uint8_t *)copies)[i] = bytes[i];
	wal->header = copies[0];
	add_sum(sum, (const uint8_t *)&wal->header, offsetof(struct index_header, sum));
	return memcmp(&copies[0], &copies[1], sizeof(copies[0])) == 0 && wal->header.version == WAL_VERSION &&
	       wal->header.is_initialized && memcmp(sum, wal->header.sum, sizeof(sum)) == 0;
}

static bool is_big_endian_machine(void)
{
	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
}

static int read_frames(struct wal *wal)
{
	struct piece piece = { 0 };

	wal->frame_room = wal->header.page_count + 1;
	wal->frames = calloc(wal->frame_room, sizeof(uint32_t));
	if (!wal->frames)
		return SQLITE_NOMEM;
	for (uint32_t frame = 1; frame <= wal->header.last_frame; frame++) {
		uint32_t page;

		if ((frame == 1 || frame > piece.before + piece.room) && !find_piece(wal, frame, 0, &piece))
			return SQLITE_IOERR_SHMMAP;
		page = piece.pages[frame - piece.before - 1];
		if (page < wal->frame_room)
			wal->frames[page] = frame;
	}
	return SQLITE_OK;
}

static bool open_file(sqlite3 *database, int which, sqlite3_file **ret_file)
{
	return sqlite3_file_control(database, "main", which, ret_file) == SQLITE_OK && *ret_file &&
	       (*ret_file)->pMethods;
}

static struct wal *make_wal(uint32_t page_size)
{
	struct wal *wal = calloc(1, sizeof(*wal));
	uint8_t *frame = malloc(FRAME_HEADER + page_size);

	if (!wal || !frame) {
		free(wal);
		free(frame);
		return NULL;
	}
	wal->page_size = page_size;
	wal->frame = frame;
	return wal;
}

int wal_open(sqlite3 *database, uint32_t page_size, struct wal **ret_wal)
{
	owned_wal wal = make_wal(page_size);
	int code;

	if (!wal)
		return SQLITE_NOMEM;
	if (!open_file(database, SQLITE_FCNTL_FILE_POINTER, &wal->database) || wal->database->pMethods->iVersion < 2 ||
	    !open_file(database, SQLITE_FCNTL_JOURNAL_POINTER, &wal->log) || !read_header(wal))
		return SQLITE_NOTFOUND;
	wal->committed = wal->header.last_frame;
	if (wal->committed > 0 && (wal->header.is_big_endian != is_big_endian_machine() ||
				   wal->header.page_size != (page_size == 65536 ? 1 : page_size)))
		return SQLITE_NOTFOUND;
	code = read_frames(wal);
	if (code != SQLITE_OK)
		return code;
	*ret_wal = wal;
	wal = NULL;
	return SQLITE_OK;
}

void wal_close(struct wal **wal)
{
	if (*wal) {
		free((*wal)->frames);
		free((*wal)->frame);
	}
	free(*wal);
	*wal = NULL;
}

uint32_t wal_page_count(const struct wal *wal)
{
	return wal->header.page_count;
}

static sqlite3_int64 find_frame(const struct wal *wal, uint32_t frame)
{
	return WAL_HEADER + (sqlite3_int64)(frame - 1) * (FRAME_HEADER + wal->page_size);
}

int wal_read_page(const struct wal *wal, uint32_t number, uint8_t *page)
{
	uint32_t frame = number < wal->frame_room ? wal->frames[number] : 0;

	return frame == 0 ? SQLITE_NOTFOUND
			  : wal->log->pMethods->xRead(wal->log, page, (int)wal->page_size,
						      find_frame(wal, frame) + FRAME_HEADER);
}

/* ---- writing ---- */

/* An empty log, or one whose frames are all in the database: its salts are new, so that no old frame counts. */
static int begin_log(struct wal *wal)
{
	uint8_t header[WAL_HEADER] = { 0 };
	uint32_t sum[2] = { 0 };

	sqlite3_randomness((int)sizeof(wal->header.salt), wal->header.salt);
	put32(header, WAL_MAGIC | (uint32_t)is_big_endian_machine());
	put32(header + 4, WAL_VERSION);
	put32(header + 8, wal->page_size);
	memcpy(header + 16, wal->header.salt, sizeof(wal->header.salt));
	add_sum(sum, header, 24);
	put32(header + 24, sum[0]);
	put32(header + 28, sum[1]);
	wal->header.is_big_endian = is_big_endian_machine();
	memcpy(wal->header.frame_sum, sum, sizeof(sum));
	return wal->log->pMethods->xWrite(wal->log, header, sizeof(header), 0);
}

int wal_add(struct wal *wal, uint32_t number, const uint8_t *page, uint32_t page_count)
{
	uint8_t *header = wal->frame;
	sqlite3_int64 at = find_frame(wal, wal->header.last_frame + 1);
	int code = wal->header.last_frame == 0 ? begin_log(wal) : SQLITE_OK;

	put32(header, number);
	put32(header + 4, page_count);
	memcpy(header + 8, wal->header.salt, sizeof(wal->header.salt));
	add_sum(wal->header.frame_sum, header, 8);
	add_sum(wal->header.frame_sum, page, wal->page_size);
	put32(header + 16, wal->header.frame_sum[0]);
	put32(header + 20, wal->header.frame_sum[1]);
	memcpy(wal->frame + FRAME_HEADER, page, wal->page_size);
	if (code == SQLITE_OK)
		code = wal->log->pMethods->xWrite(wal->log, wal->frame, (int)(FRAME_HEADER + wal->page_size), at);
	if (code == SQLITE_OK)
		code = index_frame(wal, wal->header.last_frame + 1, number);
	if (code != SQLITE_OK)
		return code;
	wal->header.last_frame++;
	if (page_count > 0)
		wal->header.page_count = page_count;
	return SQLITE_OK;
}

int wal_commit(struct wal *wal)
{
	uint8_t volatile *bytes = map_piece(wal, 0, 0);
	const uint8_t *header = (const uint8_t *)&wal->header;

	if (wal->header.last_frame == wal->committed)
		return SQLITE_OK;
	if (!bytes)
		return SQLITE_IOERR_SHMMAP;
	wal->header.changes++;
	wal->header.page_size = (uint16_t)(wal->page_size == 65536 ? 1 : wal->page_size);
	memset(wal->header.sum, 0, sizeof(wal->header.sum));
	add_sum(wal->header.sum, header, offsetof(struct index_header, sum));
	/* The second copy first: a reader takes them the other way round, and while they differ reads again. */
	wal->database->pMethods->xShmBarrier(wal->database);
	for (size_t i = 0; i < sizeof(wal->header); i++)
		bytes[sizeof(wal->header) + i] = header[i];
	wal->database->pMethods->xShmBarrier(wal->database);
	for (size_t i = 0; i < sizeof(wal->header); i++)
		bytes[i] = header[i];
	wal->committed = wal->header.last_frame;
	return SQLITE_OK;
}

void wal_read_state(const struct wal *wal, uint8_t state[static WAL_STATE_BYTES])
{
	memcpy(state, (const uint8_t *)&wal->header + WAL_STATE_OFFSET, WAL_STATE_BYTES);
}
