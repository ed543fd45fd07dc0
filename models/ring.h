/* SPDX-License-Identifier: MIT */
/*
 * What the models of rings share: process 0 sends, the others receive; each says which pipes and sockets these are.
 *
 * Bit i of FAST_OUT, FAST_IN, VIEW: message i is sent, received by the fast way, is read by a view. BLOCK: messages
 * lie in blocks, of which there are BLOCKS. Each receiver looks TRIES times while the sender is at work.
 */
#ifndef SHMQ_MODELS_RING_H
#define SHMQ_MODELS_RING_H

#ifndef BLOCKS
#define BLOCKS 1
#endif
#ifndef FAST_OUT
#define FAST_OUT 0
#endif
#ifndef FAST_IN
#define FAST_IN 0
#endif
#ifndef VIEW
#define VIEW 0
#endif
#ifndef TRIES
#define TRIES MESSAGES
#endif

#define RUNS_PIPE
#define RUNS_TX
#define RUNS_RX
#include "kernel.h"

#define RING &sockets[0].tx.shared
static struct pipe *lists[4] = {&pipes[0], &pipes[1], &pipes[2], &pipes[3]};
static struct memory memory[PROCESSES] = {{RECORDS}, {RECORDS}, {RECORDS}};
static uint64_t sent, received[PROCESSES], values[PROCESSES][4 * MESSAGES];

/* Until END messages are sent, or one is not. */
static void send_until(uint64_t end, struct ring_out *ring, struct pipe *to)
{
    for (; sent < end; sent++)
#ifdef BLOCK
        if (!send_block(&sockets[0], ring, to, VALUE(sent)))
#else
        if (!send_value(&sockets[0], ring, to, VALUE(sent), FAST_OUT >> sent & 1))
#endif
            break;
}

static bool receive_from(struct pipe *from, int p)
{
    uint64_t n = received[p], value = receive_value(&sockets[p], from, FAST_IN >> n & 1, VIEW >> n & 1);
    if (value == 0)
        return false;
    values[p][received[p]++] = value;
    return true;
}

/* All at once, and to their ends: process 0, and each of RECEIVERS, whose argument is its number. */
static void run_processes(void *(*sender)(void *), void *(*receiver)(void *), int receivers)
{
    pthread_t threads[PROCESSES];
    for (int p = 0; p <= receivers; p++)
        pthread_create(&threads[p], NULL, p == 0 ? sender : receiver, (void *)(intptr_t)p);
    for (int p = 0; p <= receivers; p++)
        pthread_join(threads[p], NULL);
}

#endif
