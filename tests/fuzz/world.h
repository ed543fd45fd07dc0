/* SPDX-License-Identifier: MIT */
/*
 * A world without a kernel: transport/os.h and a store (store.h) over plain memory, for targets that run a
 * hundred thousand times a second. Files are heap buffers of exactly the size of their mappings, so that the
 * sanitizer sees every overrun. Locks, lengths and names of files are the liar's words, too.
 */
#ifndef SHMQ_FUZZ_WORLD_H
#define SHMQ_FUZZ_WORLD_H

#include <stddef.h>
#include <stdint.h>

#include "transport/store.h"

/* Forget all files. Everything must have been unmapped. */
void world_reset(void);

/* A file of a liar's, SIZE bytes long; its bytes at OFFSET, for COUNT of them, in one mapping. */
int world_file(const char *name, uint64_t size);
void *world_bytes(int file, uint64_t offset, size_t count);
/* After writing: what nobody maps is out of reach again. */
void world_seal(void);

struct store *world_store(void);

/* The ids of the liars that a target invents: 32 digits. */
#define LIAR_ID   "11111111111111111111111111111111"
#define LIAR_WORD UINT64_C(0x1111111111111111)

#endif
