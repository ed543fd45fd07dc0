/* SPDX-License-Identifier: MIT */
/*
 * The ring with an SPSC tail: R1 to R4, and the hand-over of blocks back to the arena.
 *
 * One sender, one reader, two slots. Bit i of FAST_OUT, FAST_IN, VIEW: message i is sent, received by
 * the fast way, is read by a view after its slot was given back (a hazard word set before R3). BLOCK: messages
 * lie in blocks, of which there is one, so that each is the block of the one before it.
 * Shown: what was sent arrives once, in order, whole; nobody writes what another still reads.
 *
 * run: -DMESSAGES=3                                        general way
 * run: -DMESSAGES=3 -DFAST_OUT=7 -DFAST_IN=7             fast way
 * run: -DMESSAGES=3 -DFAST_OUT=5 -DFAST_IN=3             mixed
 * run: -DMESSAGES=3 -DFAST_OUT=7 -DFAST_IN=7 -DSPIN     fast way, polling
 * run: -DMESSAGES=3 -DBLOCK                                blocks, copied
 * run: -DMESSAGES=3 -DBLOCK -DVIEW=7                       blocks, by view
 * rc11: -DMESSAGES=4 -DBLOCK -DBLOCKS=2 -DVIEW=7           two blocks, by view: a hazard word used again
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

static struct pipe *const to = &pipes[0], *const from = &pipes[1];
static struct pipe *lists[2] = {&pipes[0], &pipes[1]};
static struct memory memory[PROCESSES] = {{RECORDS}, {RECORDS}};
static struct peer peers[2 * PROCESSES] = {PEER(0, 1, ), PEER(1, 0, )};
static struct pipe pipes[2 * PROCESSES] = {
    PIPE(0, 0, 0, 1, 0, .own_ring = OUT(0, RING_SPSC, ), .out = &pipes[0].own_ring),
    PIPE(1, 1, 0, 0, 0, .in = IN(0, RING_SPSC, ), .has_in = true),
};
static struct shm_socket sockets[PROCESSES] = {
    SOCKET(0, .pipes = &lists[0], .pipes.count = 1),
    SOCKET(1, .pipes = &lists[1], .pipes.count = 1),
};
static uint64_t sent, received, values[MESSAGES];

model_thread(sender)
{
    for (; sent < MESSAGES; sent++)
#ifdef BLOCK
        if (!send_block(&sockets[0], to->out, to, VALUE(sent)))
#else
        if (!send_value(&sockets[0], to->out, to, VALUE(sent), FAST_OUT >> sent & 1))
#endif
            break;
    return NULL;
}

static bool receive(void)
{
    uint64_t value = receive_value(&sockets[1], from, FAST_IN >> received & 1, VIEW >> received & 1);
    if (value == 0)
        return false;
    values[received++] = value;
    return true;
}

model_thread(reader)
{
    for (int i = 0; i < MESSAGES; i++)
        receive();
    return NULL;
}

int main(void)
{
    pthread_t a, b;
    pthread_create(&a, NULL, sender, NULL);
    pthread_create(&b, NULL, reader, NULL);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    while (receive())
        ;
    assert(received == sent);
    for (uint64_t i = 0; i < received; i++)
        assert(values[i] == VALUE(i));
    return 0;
}
