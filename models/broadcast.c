/* SPDX-License-Identifier: MIT */
/*
 * The ring with broadcast tails: R2, R5 to R8, `oldest`, and the blocks of a publisher that waits for nobody.
 *
 * One publisher that overwrites its two slots at once, READERS readers. Bit i of FAST_OUT, FAST_IN, VIEW:
 * the i-th message that is sent, or received, goes the fast way, or is read by a view. BLOCK: messages lie
 * in BLOCKS blocks, no more: the oldest is given up for the newest, unless it is protected.
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
#ifndef BLOCKS
#define BLOCKS 1
#endif
#define RUNS_PIPE
#define RUNS_TX
#define RUNS_RX
#include "world.h"

#ifndef FAST_OUT
#define FAST_OUT 0
#endif
#ifndef FAST_IN
#define FAST_IN 0
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

#define RING &sockets[0].tx.shared
static struct pipe *const from[PROCESSES] = {NULL, &pipes[2], &pipes[3]};
static struct pipe *lists[4] = {&pipes[0], &pipes[1], &pipes[2], &pipes[3]};
static struct memory memory[PROCESSES] = {{RECORDS}, {RECORDS}, {RECORDS}};
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
static uint64_t sent, received[PROCESSES], values[PROCESSES][2 * MESSAGES];

static void publish_until(uint64_t end)
{
    struct shm_socket *s = &sockets[0];
    for (; sent < end; sent++)
#ifdef BLOCK
        if (!send_block(s, &s->tx.shared, NULL, VALUE(sent)))
            break;
#else
        send_value(s, &s->tx.shared, NULL, VALUE(sent), FAST_OUT >> sent & 1);
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
    uint64_t value = receive_value(&sockets[p], from[p], FAST_IN >> n & 1, VIEW >> n & 1);
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
