/* SPDX-License-Identifier: MIT */
/*
 * The ring with a SPMC tail: C1 to C4, adoption, skipped slots, and the hand-over of blocks.
 *
 * One sender with two slots, pullers 1 and 2. DIE: puller 1 dies before any one of its first DIE stores;
 * puller 2 looks for claims of the dead before each receive. A view holds the claim longer.
 * Shown: each message sent is received once, or twice if its first receiver died; whole; nobody writes
 * what another still reads; what the survivor drains at the end is all there is.
 *
 * run: -DMESSAGES=2 -DTRIES=1                                two pullers, general way
 * run: -DMESSAGES=2 -DTRIES=1 -DFAST_OUT=3 -DFAST_IN=3     fast way
 * run: -DMESSAGES=1 -DDIE=8                                  puller 1 dies anywhere
 * run: -DMESSAGES=3 -DPULLERS=1 -DTRIES=2                    the slot is used again
 * run: -DMESSAGES=3 -DPULLERS=1 -DTRIES=2 -DFAST_OUT=7 -DFAST_IN=7  likewise, fast way
 * run: -DMESSAGES=2 -DPULLERS=1 -DBLOCK -DVIEW=3             a block, by view
 * rc11: -DMESSAGES=2 -DDIE=8 -DTRIES=1 -DBLOCK -DVIEW=3      a block, and a death
 * rc11: -DMESSAGES=2                                         two pullers, two looks each
 * run: -DMESSAGES=3 -DPULLERS=1 -DTRIES=2 -DFAST_OUT=7 -DFAST_IN=7 -DLIMIT=4  fast way, far from its mark
 * run: -DMESSAGES=1 -DDIE=8 -DCOMES                          puller 2 comes, and chooses an owner, while 1 claims and dies
 * rc11: -DMESSAGES=12 -DLAG                                  one who slept for many laps, the hint being low
 */
#ifndef PULLERS
#define PULLERS 2
#endif
#ifndef DIE
#define DIE 0
#endif
#define RUNS_CLAIMS
#include "ring.h"

static struct claims_header claims_header;
static shared_u64 claims_words[SLOTS];
#define CLAIMS(owner_) {.header = &claims_header, .words = claims_words, .slots = SLOTS, .owner = owner_}
static struct claims sender_claims = CLAIMS(0);

static struct pipe *const from[PROCESSES] = {NULL, &pipes[2], &pipes[3]};
static struct peer peers[2 * PROCESSES] = {PEER(0, 1, ), PEER(0, 2, ), PEER(1, 0, .claims = CLAIMS(1)),
                                           PEER(2, 0, .claims = CLAIMS(2))};
static struct pipe pipes[2 * PROCESSES] = {
    PIPE(0, 0, 0, 1, 0, .out = RING),
    PIPE(1, 0, 1, 2, 0, .out = RING),
    PIPE(2, 1, 0, 0, 0, .in = IN(0, RING_SPMC, .claims = &peers[2].claims), .has_in = true),
    PIPE(3, 2, 0, 0, 1, .in = IN(0, RING_SPMC, .claims = &peers[3].claims), .has_in = true),
};
static struct shm_socket sockets[PROCESSES] = {
    SOCKET(0, .pipes = &lists[0], .pipes.count = PULLERS, .tx.has_shared = true,
           .tx.shared = OUT(0, RING_SPMC, .claims = &sender_claims)),
    SOCKET(1, .pipes = &lists[2], .pipes.count = 1, .options.redeliver = 1),
    SOCKET(2, .pipes = &lists[3], .pipes.count = 1, .options.redeliver = 1),
};

model_thread(sender)
{
    send_until(MESSAGES, RING, NULL);
    return NULL;
}

static bool receive(int p)
{
#if DIE
    if (p == 2 && model_is_dead(1))
        rx_adopt(&sockets[p]);
#endif
    return receive_from(from[p], p);
}

/* Owner 1 is puller 1's as long as it lives. */
int os_lock(int fd, uint64_t byte, uint64_t count, int access)
{
    (void)fd, (void)count, (void)access;
    return byte == CLAIMS_BYTE_OWNER + 1 && !model_is_dead(1) ? -EAGAIN : 0;
}

int os_unlock(int fd, uint64_t byte, uint64_t count)
{
    (void)fd, (void)byte, (void)count;
    return 0;
}

static void *puller(void *self)
{
    int p = (int)(intptr_t)self;
    if (DIE && p == 1)
        model_may_die(p);
#ifdef COMES
    if (p == 2)
        assert(choose_owner(&peers[3].claims, 3) == 0);
#endif
    for (int i = 0; i < TRIES; i++)
        receive(p);
    return NULL;
}

#ifdef LAG
/* Puller 1 took all but the last; the hint was set back by one who stood still for long. */
int main(void)
{
    struct shm_socket *s = &sockets[0];
    for (; sent < MESSAGES - 1; sent++)
        assert(send_value(s, RING, NULL, VALUE(sent), false) && receive(1));
    assert(send_value(s, RING, NULL, VALUE(sent), false));
    store_relaxed(&claims_header.hint, 0);
    assert(ring_in_has(&from[2]->in));
    from[2]->in.tail = 0;
    assert(receive(2));
    return 0;
}
#else
int main(void)
{
    pthread_t chooser;
    if (DIE)
        chooser = model_choose(DIE);
    run_processes(sender, puller, PULLERS);
    if (DIE)
        pthread_join(chooser, NULL);
    int left = PULLERS;
    while (receive(left))
        ;
    bool died = DIE && model_is_dead(1);
    uint64_t redelivered = PULLERS == 2 ? sockets[2].stats[STAT_REDELIVERED] : 0;
    assert(redelivered <= died);
    for (uint64_t i = 0; i < sent; i++) {
        uint64_t times = 0;
        for (int p = 1; p <= PULLERS; p++)
            for (uint64_t k = 0; k < received[p]; k++)
                times += values[p][k] == VALUE(i);
        if (died && times == 0) /* done with, but the dead one did not live to tell */
            times += claims_words[i % SLOTS] == claim_word(i, CLAIM_DONE, 1);
        assert(times == 1 || (died && times == 2 && redelivered == 1));
    }
    for (int p = 1; p <= PULLERS; p++)
        for (uint64_t k = 0; k < received[p]; k++)
            assert(values[p][k] >= VALUE(0) && values[p][k] < VALUE(sent));
    return 0;
}
#endif
