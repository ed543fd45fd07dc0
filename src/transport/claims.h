/* SPDX-License-Identifier: MIT */
/*
 * Claims: who takes which message of a ring that several readers share (PUSH -> PULL).
 *
 * One 64-bit word per ring slot, in the file "<id>.claims" that all readers of the ring may write
 * (one of the named exceptions to "one writer per word"):
 *
 *      63            18 17  16 15      0
 *     +----------------+------+---------+
 *     | ticket         | state| owner   |     FREE (0, never used), CLAIMED, DONE
 *     +----------------+------+---------+
 *
 *   file:  header (magic, slots) | hint | word[0] word[1] ... word[slots-1]
 *
 * An owner is a byte of the file, write-locked through its mapping (os.h) as long as it lives.
 *
 * Edges
 *   C1  reader: CAS  (older, DONE or FREE) -> (t, CLAIMED, me), relaxed. Only after the slot's
 *       sequence says that t is published, which is what makes the payload visible. Linearization point of
 *       "t is taken".
 *   C2  reader: store (t, DONE, me), seq_cst (S1 of the sender's bell), when the message is done. Pairs with C3: the
 *       sender writes over the slot, or frees the block, after the reader's last load.
 *   C3  sender: load, acquire. A slot whose word is not DONE for its last ticket is not reused; the
 *       ticket that would fall on it is skipped (slot.h: odd sequence).
 *   C4  survivor: CAS (t, CLAIMED, dead) -> (t, CLAIMED, me): adoption, relaxed. The slot and the
 *       block are as they were, for nobody reuses them before C2; the lock that the kernel took from the
 *       dead one makes visible what that one had seen. Nothing is ever put back or rewound.
 *   H   hint: "all tickets below are taken"; racy, a starting point only. The sender helps it
 *       forward by looking at the words, so a claimer that died before writing it holds nothing up.
 *
 * Died ...                     state                   repair
 * before C1                    unclaimed               any other reader claims it
 * between C1 and C2            CLAIMED by a dead one   C4 by any reader (or dropped, SHM_REDELIVER 0)
 * after C2                     DONE                    none
 * in C4                        CLAIMED by dead or me   the same again
 *
 * Wrap: the words hold 46 bits of the ticket and are compared by their difference, which is never more
 * than a ring. ABA: a word would have to sleep through 2^46 messages, 80 days at 10 M/s, between load
 * and CAS. Progress: C1
 * fails only because another reader took t: lock-free. An owner number is not reused while a word
 * still names it.
 */
#ifndef SHMQ_TRANSPORT_CLAIMS_H
#define SHMQ_TRANSPORT_CLAIMS_H

#include "base/atomic.h"

#define CLAIMS_MAGIC      UINT64_C(0x31736d6c63716d73)
#define CLAIMS_HEADER     4096
#define CLAIMS_BYTE_OWNER 16
#ifndef CLAIMS_OWNERS /* models have fewer */
#define CLAIMS_OWNERS     65535u
#endif

enum { CLAIM_FREE = 0, CLAIM_CLAIMED = 1, CLAIM_DONE = 2 };

struct claims_header {
    uint64_t magic;
    uint64_t slots;
    uint8_t pad0[112];
    shared_u64 hint;
    uint8_t pad1[3960];
};

_Static_assert(offsetof(struct claims_header, hint) == 128, "layout");
_Static_assert(sizeof(struct claims_header) == CLAIMS_HEADER, "layout");

struct store;

struct claims {
    struct claims_header *header;
    shared_u64 *words;
    uint64_t slots;
    uint32_t owner; /* mine; 0: the sender */
    struct store *store; /* borrowed, of who has the claims */
    char name[48];
};

static inline uint64_t claim_word(uint64_t ticket, uint64_t state, uint32_t owner)
{
    return ticket << 18 | state << 16 | owner; /* the ticket's low 46 bits */
}
static inline uint64_t claim_ticket(uint64_t word)
{
    return word >> 18;
}
static inline unsigned claim_state(uint64_t word)
{
    return (unsigned)(word >> 16) & 3;
}
static inline uint32_t claim_owner(uint64_t word)
{
    return (uint32_t)(word & 0xffff);
}

/* Is ticket T taken, given the word of its slot? */
static inline bool claim_is_taken(uint64_t word, uint64_t ticket)
{
    return claim_state(word) != CLAIM_FREE && (int64_t)((word >> 18 << 18) - (ticket << 18)) >= 0;
}

int claims_new(struct claims *claims, struct store *store, const char *id_hex, uint64_t slots);
int claims_attach(struct claims *claims, struct store *store, const char *id_hex, uint64_t slots);
void claims_detach(struct claims *claims);
void claims_unlink(struct store *store, const char *id_hex);

/* C1. SEEN is the word as it was loaded. */
static inline bool claims_take(struct claims *claims, uint64_t slot, uint64_t seen, uint64_t ticket)
{
    uint64_t mine = claim_word(ticket, CLAIM_CLAIMED, claims->owner);
    return peer_u64_replace(&claims->words[slot], seen, mine);
}

/* C2 */
static inline void claims_done(shared_u64 *word, uint64_t ticket, uint32_t owner)
{
    store_seq_cst(word, claim_word(ticket, CLAIM_DONE, owner)); /* S1 of a bell follows */
}

/* Find a message claimed by somebody dead and take it over (C4): its ticket, or UINT64_MAX. */
uint64_t claims_adopt(struct claims *claims);

#endif
