/* SPDX-License-Identifier: MIT */
/*
 * How the parts of a message lie in its bytes, when it has more than one (META_PACKED): one after
 * the other, each beginning at a multiple of 8 with a word
 *
 *     size | PART_BLOCK if what follows is the offset of a block instead of the bytes
 *
 * A message is one slot of a ring, however many parts it has: so it is atomic, counts once against a
 * high-water mark and is claimed once.
 */
#ifndef SHMQ_CORE_MESSAGE_LAYOUT_H
#define SHMQ_CORE_MESSAGE_LAYOUT_H

#include <stdint.h>

#define PART_BLOCK     (UINT64_C(1) << 63)
#define PART_SIZE_MASK ((UINT64_C(1) << 56) - 1)
#define PART_HEADER    8

/* From this size on a part of a packed message gets a block of its own instead of being copied along
 * with its neighbours whenever their block has to grow. */
#define PART_OWN_BLOCK 1024

static inline uint64_t part_padded(uint64_t size)
{
    return (size + 7) & ~UINT64_C(7);
}

#endif
