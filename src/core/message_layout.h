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

#include <stdbool.h>
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

/*
 * What REQ and REP exchange, if nobody stands between them: an empty part, which ends the envelope (RFC 28), and the
 * body. With a body short enough for a slot that is two words, the headers of both parts, and the body's bytes.
 */
#define EMPTY_PART      PART_HEADER /* the size of it, packed */
#define DELIMITED_WORDS 2

static inline uint64_t delimited_size(uint64_t body)
{
    return EMPTY_PART + PART_HEADER + part_padded(body);
}

static inline void delimited_headers(uint64_t words[DELIMITED_WORDS], uint64_t body)
{
    words[0] = 0;
    words[1] = body;
}

/* Is that what SIZE packed bytes, which begin with WORDS, are? Then the body has words[1] bytes. */
static inline bool is_delimited(const uint64_t words[DELIMITED_WORDS], uint64_t size, uint64_t body_max)
{
    return words[0] == 0 && words[1] <= body_max && size == delimited_size(words[1]);
}

#endif
