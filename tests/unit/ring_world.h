/* SPDX-License-Identifier: MIT */
/* One ring in plain memory, with a sender's end and two readers' ends, for the unit tests of rings. */
#ifndef SHMQ_TEST_RING_WORLD_H
#define SHMQ_TEST_RING_WORLD_H

#include "support/harness.h"
#include "transport/remote.h"
#include "transport/slot.h"

enum { SLOTS = 8, RING_AT = 4096, BLOCKS_AT = 32768, BLOCK_SIZE = 256, BLOCKS = 32, READERS = 2, TAG = 5 };

extern struct segment_header mine; /* of a reader, for its hazard words */
extern struct claims_header claims_header;
extern struct block blocks[BLOCKS];
extern struct remote remote;
extern struct ring_out out;
extern struct ring_in in[READERS];
extern struct hazards hazards;
extern struct block *retired;
extern struct ring_taken taken; /* by the last take() */

/* An empty ring of that KIND, of which FIRST messages were sent and read. */
void make(uint32_t kind, uint64_t first);
/* A test body, for such rings of that KIND, with first tickets near which numbers wrap as well. */
void for_each_first(uint32_t kind, void (*body)(uint64_t first));

/* Message n: its size and bytes tell it from the others. */
size_t size_of(uint64_t n);
const unsigned char *bytes_of(uint64_t n);
void publish(uint64_t n);
void publish_block(struct block *block);

int take(struct ring_in *ring);
void consume(struct ring_in *ring); /* what was taken, as core/rx.c does */
void expect(struct ring_in *ring, uint64_t n); /* take and consume message n */
void expect_nothing(struct ring_in *ring);

#endif
