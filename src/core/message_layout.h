/* SPDX-License-Identifier: MIT */
/*
 * The layout of a message of several parts (META_PACKED): one after the other, each at a multiple of 8 and beginning
 * with the word
 *
 *     size | PART_BLOCK if what follows is the offset of a block instead of the bytes
 *
 * However many parts it has, a message takes one slot: so it is atomic, counts once against the high-water mark and is
 * claimed once.
 */
#ifndef SHMQ_CORE_MESSAGE_LAYOUT_H
#define SHMQ_CORE_MESSAGE_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#define PART_BLOCK     (UINT64_C(1) << 63)
#define PART_SIZE_MASK ((UINT64_C(1) << 56) - 1)
#define PART_HEADER    8

/* A part of at least this size gets its own block, so that it is not copied again whenever the envelope grows. */
#define PART_OWN_BLOCK 1024

static inline uint64_t part_padded(uint64_t size)
{
    return (size + 7) & ~UINT64_C(7);
}

/*
 * What REQ and REP exchange directly: an empty part, which ends the envelope (RFC 28), and the body. If that fits a
 * slot, it is two words, the headers of both parts, and the body's bytes.
 */
#define EMPTY_PART      PART_HEADER /* its packed size */
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

/* Do SIZE packed bytes that begin with WORDS have this form? Then the body has words[1] bytes. */
static inline bool is_delimited(const uint64_t words[DELIMITED_WORDS], uint64_t size, uint64_t body_max)
{
    return words[0] == 0 && words[1] <= body_max && size == delimited_size(words[1]);
}

#endif
