/* SPDX-License-Identifier: MIT */
/*
 * Arena: blocks of the owner's segment, for messages, rings and pipe records.
 *
 * All bookkeeping is private memory of the owner; peers see offsets only. Sizes are rounded to
 * classes (eight per doubling, 128 bytes and up); a class keeps its free blocks last-in first-out,
 * so that a hot block is used again while it is in the cache. Blocks are carved from extents that
 * double, so memory starts small and grows as it is used; memory is really allocated when a block is
 * made, so a full file system is -ENOSPC here and never SIGBUS. One thread at a time.
 */
#ifndef SHMQ_TRANSPORT_ARENA_H
#define SHMQ_TRANSPORT_ARENA_H

#include "transport/segment.h"

#ifndef ARENA_CLASSES /* models have fewer */
#define ARENA_CLASSES 320
#endif

struct block;

/* What a block stands for, beside bytes of this memory: a descriptor of GPU memory, a stream's frame, … */
struct block_kind {
    /* No ticket, hazard word or claim keeps the block any more, and its memory is about to be used again. */
    void (*release)(struct block *block);
};

struct block {
    struct block *next;  /* in a list of free or retired blocks */
    struct block *chain; /* the further blocks of the same message */
    unsigned char *data;
    uint64_t offset;
    uint64_t size; /* of its class */
    uint32_t class;
    uint64_t missing; /* bytes that have no memory: none, all, or all whole pages inside */
    const struct block_kind *kind; /* NULL, as arena_alloc() gives it: bytes and no more */
};

struct arena {
    struct segment *segment;
    struct block *free_blocks[ARENA_CLASSES];
    struct block *kept; /* rings that were freed, and may be looked at still */
    uint64_t bump[SEGMENT_EXTENTS];   /* carved up to here, from the extent's start */
    uint64_t filled[SEGMENT_EXTENTS]; /* allocated up to here */
    uint64_t limit;                   /* bytes of messages; UINT64_MAX: none */
    uint64_t in_use;                  /* bytes of message blocks handed out */
    uint64_t free_bytes;              /* bytes of free blocks that still have memory */
    uint64_t largest;                 /* block ever */
};

void arena_init(struct arena *arena, struct segment *segment);
void arena_deinit(struct arena *arena);

/* A block of at least SIZE bytes with memory. NULL: errno ENOSPC, ENOMEM; ENOBUFS: over the limit. */
struct block *arena_alloc(struct arena *arena, uint64_t size);

/* One from the free list or NULL, without a system call. */
struct block *arena_reuse(struct arena *arena, uint64_t size);

/* A block of whole pages, which gets memory bit by bit: for rings. Not under the limit. What is not missing, from
 * its beginning on, has some. */
struct block *arena_alloc_sparse(struct arena *arena, uint64_t size);
int arena_fill_sparse(struct arena *arena, struct block *block, uint64_t from, uint64_t to);
void arena_free_sparse(struct arena *arena, struct block *block, uint64_t filled);
/* The same for one that somebody may just be reading: its memory is zeroed, and stays, for the next ring. */
void arena_keep_sparse(struct arena *arena, struct block *block, uint64_t filled);

void arena_free(struct arena *arena, struct block *block);

/* Free the private description of a chain of blocks whose memory stays as it is. */
void block_forget(struct block *chain);

#endif
