/* SPDX-License-Identifier: MIT */
/*
 * Bell: how a socket sleeps and how its peers wake it. One page, "<id>.bell", written by the owner
 * and by all of its peers (one of the named exceptions to "one writer per word").
 *
 *   waiting      the owner sets 1 (asleep in the kernel) or 2 (asleep on its descriptor) before it sleeps, and
 *                with 1 also 4 if it will take the message that it is woken for; a ringer exchanges it for 0
 *                and, if it was not 0, wakes the owner.
 *   changed      anyone sets 1: "the set of your peers changed, look"; the owner sets it back to 0.
 *   has_waiters  a reader of the owner's shared ring sets 1 before it sleeps: "look whom to wake".
 *
 * No wakeup is lost (a Dekker pair, a sequentially consistent fence or operation on both sides):
 *
 *   owner (bell_announce)                     ringer (after its change)
 *   P1: waiting := how                        S1: the change and a fence, or one operation
 *   P2: fence; looks for work                 S2: loads waiting (bell_ring)
 *   P3: futex_wait(waiting, how)              S3: if set: exchange(waiting, 0); wake
 *
 * Either P2 sees S1's work, or S2 sees P1's word. In the latter case the word is 0 before the wake,
 * so a wait that comes later returns at once (P3 compares in the kernel). The word is its own futex,
 * so nothing counts up and nothing wraps.
 *
 * One message of a ring that several take from needs one of them. Only a sleeper with 4, a receive that has no other
 * ring to take from, stands for that: of these one is woken. Whoever sleeps otherwise may not take it (a poll, a
 * descriptor, a wait for an event): they are woken as well.
 *
 * Died ...                      state                               repair
 * owner between P1 and P3       waiting is 1, nobody sleeps         the next ringer wakes nobody: one call
 * ringer between S1 and S3      work is there, the owner sleeps     the owner's slice ends (BELL_SLICE_NS)
 * ringer inside S3              waiting is 0, the owner sleeps      likewise
 * one with 4, woken             the message is there, others sleep  their slices end; descriptors tell of deaths
 * A liar can keep the word at 0: the owner then wakes once per slice.
 */
#ifndef SHMQ_TRANSPORT_BELL_H
#define SHMQ_TRANSPORT_BELL_H

#include "base/atomic.h"

/* The longest sleep without a look at the peers: bounds what a death at the wrong instruction costs. */
#define BELL_SLICE_NS UINT64_C(100000000)

#define BELL_WAITING 1u
#define BELL_FD      2u
#define BELL_TAKES   4u
#define BELL_MAGIC   UINT64_C(0x316c6c6571686d73)

struct bell_page {
    uint64_t magic;
    uint8_t pad0[56];
    shared_u32 waiting;
    uint8_t pad1[124];
    shared_u32 changed;
    shared_u32 has_waiters;
    uint8_t pad2[3896];
};

_Static_assert(offsetof(struct bell_page, waiting) == 64, "layout");
_Static_assert(offsetof(struct bell_page, changed) == 192, "layout");
_Static_assert(sizeof(struct bell_page) == 4096, "layout");

struct store;

struct bell {
    struct bell_page *page;
    char name[40]; /* "<id>.bell"; its descriptor's FIFO is "<id>.fifo" */
    struct store *store; /* borrowed, of who has the bell */
};

int bell_new(struct bell *bell, struct store *store, const char *id_hex);
int bell_attach(struct bell *bell, struct store *store, const char *id_hex);
void bell_detach(struct bell *bell);
void bell_unlink(struct store *store, const char *id_hex);

/* Slow half of bell_ring(): returns how many system calls woke somebody (0 or 1). */
unsigned bell_wake(struct bell *bell);

/* S2: after a seq_cst publication. */
static inline unsigned bell_ring(struct bell *bell)
{
    if (likely(peer_u32_seq_cst(&bell->page->waiting) == 0))
        return 0;
    return bell_wake(bell);
}

/* P1, P2. Call bell_retract() whatever happens next. */
static inline void bell_announce(struct bell *bell, uint32_t how)
{
    store_relaxed(&bell->page->waiting, how); /* the fence orders it */
    fence_seq_cst();
}

static inline void bell_retract(struct bell *bell)
{
    store_relaxed(&bell->page->waiting, 0);
}

/* P3. 0: woken, spuriously perhaps; -ETIMEDOUT, -EINTR. */
int bell_sleep(struct bell *bell, uint32_t how, uint64_t timeout_ns);

/* The descriptor: the reading end of a FIFO that ringers write a byte to. */
int bell_fd_open(struct bell *bell);
void bell_fd_name(const struct bell *bell, char fifo[40]);
void bell_fd_drain(int fd);
void bell_fd_close(struct bell *bell, int fd); /* and remove it: as if it had not been opened */
void bell_fd_raise(int fd);

#endif
