/* SPDX-License-Identifier: MIT */
/*
 * The ring with private tails: R2, R5 to R8, `oldest`, and the blocks of a publisher that waits for nobody.
 *
 * One publisher that overwrites its two slots at once, READERS readers. Bit i of QUICK_OUT, QUICK_IN, VIEW:
 * the i-th message that is sent, or received, goes the quick way, or is read by a view. BLOCK: messages lie
 * in BLOCKS blocks, no more: the oldest is given up for the newest, unless it is pinned.
 * EARLY: the reader's pins are not looked at (link_early). Its copies may race with who writes the block, which is
 * written in relaxed words here: in plain ones, as a caller does, C11 has no words for it.
 * Shown: what a reader gets is whole and in order; what it does not get is counted; a block is not
 * written while it is pinned.
 *
 * run: -DMESSAGES=3                                     general way
 * run: -DMESSAGES=3 -DQUICK_OUT=7 -DQUICK_IN=5          quick way
 * run: -DMESSAGES=2 -DREADERS=2                         two readers
 * run: -DMESSAGES=2 -DBLOCK -DBLOCKS=1                  one block, copied
 * run: -DMESSAGES=2 -DBLOCK -DBLOCKS=1 -DVIEW=7         one block, by view
 * run: -DMESSAGES=3 -DBLOCK -DBLOCKS=2 -DTRIES=1 -DVIEW=7  two blocks, by view
 * run: -DMESSAGES=2 -DBLOCK -DBLOCKS=1 -DEARLY           one block, copied by a reader that the publisher does not know
 * run: -DMESSAGES=2 -DBLOCK -DBLOCKS=1 -DTRIES=1 -DBEFORE  what was there before is given, or counted, at the first look
 */
#ifndef BLOCKS
#define BLOCKS 1
#endif
#include "world.h"

#include "core/flow.c"
#include "core/intake.c"
#include "transport/arena.c"
#include "transport/ring_in.c"
#include "transport/ring_out.c"

#ifndef QUICK_OUT
#define QUICK_OUT 0
#endif
#ifndef QUICK_IN
#define QUICK_IN 0
#endif
#ifndef VIEW
#define VIEW 0
#endif
#ifndef READERS
#define READERS 1
#endif
#ifndef TRIES
#define TRIES MESSAGES
#endif

#ifdef EARLY
#define KNOWN     0
#define EARLY_IN  .in.copy = copied, .in.copy_words = 2,
static uint64_t copied[2];
#else
#define KNOWN     READERS
#define EARLY_IN
#define EARLY     0
#endif

#define RING &sockets[0].shared_out
static struct link *const from[PROCESSES] = {NULL, &links[2], &links[3]};
static struct link *lists[4] = {&links[0], &links[1], &links[2], &links[3]};
static struct memory memory[PROCESSES] = {{RECORDS}, {RECORDS}, {RECORDS}};
static struct peer peers[2 * PROCESSES] = {PEER(0, 1, ), PEER(0, 2, ), PEER(1, 0, ), PEER(2, 0, )};
static struct link links[2 * PROCESSES] = {
    LINK(0, 0, 0, 1, 0, .out = RING),
    LINK(1, 0, 1, 2, 0, .out = RING),
    LINK(2, 1, 0, 0, 0, .in = IN(0, RING_PRIVATE, ), .has_in = true, .early = EARLY),
    LINK(3, 2, 0, 0, 1, .in = IN(0, RING_PRIVATE, ), .has_in = true),
};
static struct shm_socket sockets[PROCESSES] = {
    SOCKET(0, .links = &lists[0], .link_count = KNOWN, .shared_out = OUT(0, RING_PRIVATE, ), .has_shared_out = true,
           .options.memory_limit = 1 << 20), /* given, for the default would grow */
    SOCKET(1, .links = &lists[2], .link_count = 1, EARLY_IN),
    SOCKET(2, .links = &lists[3], .link_count = 1),
};
static uint64_t sent, received[PROCESSES], values[PROCESSES][2 * MESSAGES];

static void publish_until(uint64_t end)
{
    struct shm_socket *s = &sockets[0];
    for (; sent < end; sent++)
#ifdef BLOCK
        if (!send_block(s, &s->shared_out, NULL, VALUE(sent)))
            break;
#else
        send_value(s, &s->shared_out, NULL, VALUE(sent), QUICK_OUT >> sent & 1);
#endif
}

model_thread(publisher)
{
    publish_until(MESSAGES);
    return NULL;
}

static bool receive(int p)
{
    uint64_t n = received[p];
    uint64_t value = receive_value(&sockets[p], from[p], QUICK_IN >> n & 1, VIEW >> n & 1);
    if (value == 0)
        return false;
    values[p][received[p]++] = value;
    return true;
}

static void *reader(void *p)
{
    for (int i = 0; i < TRIES; i++) {
        receive((int)(intptr_t)p);
#ifdef BEFORE
        assert(received[(intptr_t)p] + sockets[(intptr_t)p].stats[STAT_LOST] > 0);
#endif
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[PROCESSES];
#ifdef BEFORE
    publish_until(1);
#endif
    pthread_create(&threads[0], NULL, publisher, NULL);
    for (int p = 1; p <= READERS; p++)
        pthread_create(&threads[p], NULL, reader, (void *)(intptr_t)p);
    for (int p = 0; p <= READERS; p++)
        pthread_join(threads[p], NULL);
    for (int p = 1; p <= READERS; p++) {
        while (receive(p))
            ;
        uint64_t lost = sockets[p].stats[STAT_LOST];
        assert(received[p] + lost == sent);
        for (uint64_t i = 0; i < received[p]; i++)
            assert(values[p][i] >= VALUE(i) && values[p][i] <= VALUE(i + lost) &&
                   (i == 0 || values[p][i] > values[p][i - 1]));
    }
    return 0;
}
