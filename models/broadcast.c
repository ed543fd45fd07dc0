/* SPDX-License-Identifier: MIT */
/*
 * The ring with broadcast tails: R2, R5 to R8, `oldest`, and the blocks of a publisher that waits for nobody.
 *
 * One publisher that overwrites its two slots at once, READERS readers. There are BLOCKS blocks, no more: the oldest
 * is given up for the newest, unless it is protected.
 * PRE_ACCEPT: the reader's hazards are not looked at (pipe_pre_accept). Its copies may race with who writes the block, which is
 * written in relaxed words here: in plain ones, as a caller does, C11 has no words for it.
 * Shown: what a reader gets is whole and in order; what it does not get is counted; a block is not
 * written while it is protected.
 *
 * run: -DMESSAGES=3                                     general way
 * run: -DMESSAGES=3 -DFAST_OUT=7 -DFAST_IN=5          fast way
 * run: -DMESSAGES=2 -DREADERS=2                         two readers
 * run: -DMESSAGES=2 -DBLOCK -DBLOCKS=1                  one block, copied
 * run: -DMESSAGES=2 -DBLOCK -DBLOCKS=1 -DVIEW=7         one block, by view
 * run: -DMESSAGES=3 -DBLOCK -DBLOCKS=2 -DTRIES=1 -DVIEW=7  two blocks, by view
 * run: -DMESSAGES=2 -DBLOCK -DBLOCKS=1 -DPRE_ACCEPT           one block, copied by a reader that the publisher does not know
 * run: -DMESSAGES=2 -DBLOCK -DBLOCKS=1 -DTRIES=1 -DBEFORE  what was there before is given, or counted, at the first look
 */
#ifndef READERS
#define READERS 1
#endif
#include "ring.h"

#ifdef PRE_ACCEPT
#define KNOWN     0
#define IN_STATE , .state = PIPE_PRE_ACCEPT
#define PRE_ACCEPT_IN  .rx.message.copy = copied, .rx.message.copy_words = 2,
static uint64_t copied[2];
#else
#define KNOWN     READERS
#define IN_STATE
#define PRE_ACCEPT_IN
#endif

static struct pipe *const from[PROCESSES] = {NULL, &pipes[2], &pipes[3]};
static struct peer peers[2 * PROCESSES] = {PEER(0, 1, ), PEER(0, 2, ), PEER(1, 0, ), PEER(2, 0, )};
static struct pipe pipes[2 * PROCESSES] = {
    PIPE(0, 0, 0, 1, 0, .out = RING),
    PIPE(1, 0, 1, 2, 0, .out = RING),
    PIPE(2, 1, 0, 0, 0, .in = IN(0, RING_BROADCAST, ), .has_in = true IN_STATE),
    PIPE(3, 2, 0, 0, 1, .in = IN(0, RING_BROADCAST, ), .has_in = true),
};
static struct shm_socket sockets[PROCESSES] = {
    SOCKET(0, .pipes = &lists[0], .pipes.count = KNOWN, .tx.shared = OUT(0, RING_BROADCAST, ), .tx.has_shared = true,
           .options.memory_limit = 1 << 20), /* given, for the default would grow */
    SOCKET(1, .pipes = &lists[2], .pipes.count = 1, PRE_ACCEPT_IN),
    SOCKET(2, .pipes = &lists[3], .pipes.count = 1),
};

model_thread(publisher)
{
    send_until(MESSAGES, RING, NULL);
    return NULL;
}

static bool receive(int p)
{
    return receive_from(from[p], p);
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
#ifdef BEFORE
    send_until(1, RING, NULL);
#endif
    run_processes(publisher, reader, READERS);
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
