/* SPDX-License-Identifier: MIT */
/*
 * Seqlock: a record of several words in shared memory, with one writer. A reader gets a copy of one state of it, or
 * none; it writes nothing and keeps nobody waiting.
 *
 *      gen       fields
 *     +--------+--------+--------+-- --+
 *     |   g    |   a    |   b    | ... |     all words: the writer. gen counts the halves of its changes;
 *     +--------+--------+--------+-- --+     the fields change only while gen says that they are not valid
 *
 * Which half is the valid one is the record's choice. SEQLOCK_ODD: it is nobody's at first, for a zeroed file names
 * nobody, and may be withdrawn. SEQLOCK_EVEN: it is valid as it was made.
 *
 *     writer                                        reader
 *     G1  gen := not valid, if it was    release    G4  g := gen; not valid: none     acquire, or seq_cst
 *         release fence                             G5  fields                        relaxed
 *     G2  fields                         relaxed        acquire fence
 *     G3  gen := valid    release, or seq_cst       G6  gen still g? else again       relaxed
 *
 * Edges
 *   G3 -> G4   who loads g sees the fields of g, and whatever the writer stored before (a pipe record, a mapping).
 *   G1 -> G6   by the two fences: who sees a field of a later change finds a later gen at G6.
 *   G1 -> G4   the release: who sees that a record was withdrawn sees what its owner had said elsewhere before.
 *   seq_cst    G3 and G4 of two records that are each written by the reader of the other (endpoint.h): one of the two
 *              sees the other.
 *
 * Linearization: of a change, G3; of a withdrawal, G1; of a read, any moment between G4 and G6.
 * Progress: the writer never waits. A reader tries SEQLOCK_TRIES times and takes the record for none after that:
 * then its writer changes it without a pause, or lies.
 *
 * Died ...             state                         repair
 * before G1            the record as it was          none
 * from G1 to G3        not valid                     readers take it for none; whoever is the writer next begins
 *                                                    with G1, which leaves such a generation alone
 * after G3             the new record                none
 *
 * Of what must not be lost by a death from G1 to G3 there are two records (seqlock_newest()): the older of them is
 * written, and counts once its generation is valid and the greater. A reader holds both generations against G6.
 *
 * Wrap and ABA: gen only grows; a reader would have to sleep through 2^63 changes between G4 and G6.
 */
#ifndef SHMQ_BASE_SEQLOCK_H
#define SHMQ_BASE_SEQLOCK_H

#include <string.h>

#include "base/atomic.h"

#define SEQLOCK_TRIES 16

enum seqlock { SEQLOCK_EVEN = 0, SEQLOCK_ODD = 1 };

static inline bool seqlock_is_valid(uint64_t gen, enum seqlock valid)
{
    return (gen & 1) == (uint64_t)valid;
}

/* ---- the writer ---- */

/* G1. NOW is what the writer loaded of *GEN. Returns what it is from here on; the fields may be written. */
static inline uint64_t seqlock_begin(shared_u64 *gen, uint64_t now, enum seqlock valid)
{
    if (seqlock_is_valid(now, valid))
        store_release(gen, ++now);
    fence_release();
    return now;
}

/* G3. VALUE: one more than seqlock_begin() returned, or than both of two generations. */
static inline void seqlock_end(shared_u64 *gen, uint64_t value)
{
    store_release(gen, value);
}

/* G3, of a record whose readers are looked for next. */
static inline void seqlock_end_seq_cst(shared_u64 *gen, uint64_t value)
{
    store_seq_cst(gen, value);
}

/* ---- readers ---- */

/* G4 */
static inline uint64_t seqlock_look(const shared_u64 *gen)
{
    return peer_u64_acquire(gen);
}

/* G4, by one who has written a record of its own before. */
static inline uint64_t seqlock_look_seq_cst(const shared_u64 *gen)
{
    return peer_u64_seq_cst(gen);
}

/* G6: is what was read since G4, where the generation was SEEN, of one state? */
static inline bool seqlock_holds(const shared_u64 *gen, uint64_t seen)
{
    fence_acquire();
    return peer_u64(gen) == seen;
}

/* G6, of two records. */
static inline bool seqlock_both_hold(const shared_u64 *first, const shared_u64 *second, const uint64_t seen[2])
{
    fence_acquire();
    return peer_u64(first) == seen[0] && peer_u64(second) == seen[1];
}

/* Which of two SEQLOCK_ODD records counts, by their generations; -1: none does. */
static inline int seqlock_newest(uint64_t first, uint64_t second)
{
    if (!(first & 1))
        return second & 1 ? 1 : -1;
    return (second & 1) && second > first;
}

/*
 * Of a file that is read, not mapped. Two copies, the second begun when the first was there, that are the same: then
 * the generation in them stood from one to the other, and so did all the rest.
 */
static inline bool seqlock_same(const void *copy, const void *later, size_t size)
{
    return memcmp(copy, later, size) == 0;
}

#endif
