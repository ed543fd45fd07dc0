/* SPDX-License-Identifier: MIT */
/* One arena in a segment of its own, for the unit tests of arenas. */
#ifndef SHMQ_TEST_ARENA_WORLD_H
#define SHMQ_TEST_ARENA_WORLD_H

#include "support/harness.h"
#include "transport/arena.h"

#define PAGE   UINT64_C(4096)
#define KIB(n) (UINT64_C(1024) * (n))
#define MIB(n) (UINT64_C(1048576) * (n))

extern struct segment segment;
extern struct arena arena;

void open_arena(void);
void close_arena(void);
void in_arena(void (*body)(void));

/* A block of bytes, which must be had. */
struct block *alloc(uint64_t size);
bool is_all(const struct block *block, int byte);

/* Bytes of memory that the file has, by the kernel's word; and that is what the arena's counter says. */
uint64_t memory(void);
void check_counter(void);
uint64_t file_size(void);

#endif
