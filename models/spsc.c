/* SPDX-License-Identifier: MIT */
/*
 * The ring with an SPSC tail: R1 to R4, and the hand-over of blocks back to the arena.
 *
 * One sender, one reader, two slots. A view is read after its slot was given back (a hazard word set before R3).
 * If there is one block, each message's is the block of the one before it.
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
#include "ring.h"

static struct pipe *const to = &pipes[0], *const from = &pipes[1];
static struct peer peers[2 * PROCESSES] = {PEER(0, 1, ), PEER(1, 0, )};
static struct pipe pipes[2 * PROCESSES] = {
    PIPE(0, 0, 0, 1, 0, .own_ring = OUT(0, RING_SPSC, ), .out = &pipes[0].own_ring),
    PIPE(1, 1, 0, 0, 0, .in = IN(0, RING_SPSC, ), .has_in = true),
};
static struct shm_socket sockets[PROCESSES] = {
    SOCKET(0, .pipes = &lists[0], .pipes.count = 1),
    SOCKET(1, .pipes = &lists[1], .pipes.count = 1),
};

model_thread(sender)
{
    send_until(MESSAGES, to->out, to);
    return NULL;
}

model_thread(reader)
{
    for (int i = 0; i < MESSAGES; i++)
        receive_from(from, 1);
    return NULL;
}

int main(void)
{
    run_processes(sender, reader, 1);
    while (receive_from(from, 1))
        ;
    assert(received[1] == sent);
    for (uint64_t i = 0; i < received[1]; i++)
        assert(values[1][i] == VALUE(i));
    return 0;
}
