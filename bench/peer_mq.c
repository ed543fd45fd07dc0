/* SPDX-License-Identifier: MIT */
/* POSIX message queues: one each way, unlinked as soon as they are open. */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bounce.h"
#include "pair.h"

struct queues {
    mqd_t to[2]; /* [side that reads] */
    char *buffer;
};

static mqd_t nameless_queue(const struct lane *lane, int side)
{
    struct mq_attr attributes = {.mq_maxmsg = 10, .mq_msgsize = (long)lane->size};
    char name[64];
    mqd_t queue;

    snprintf(name, sizeof name, "/shmq-bench-%d-%d-%d", (int)getpid(), lane->id, side);
    queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attributes);
    if (queue >= 0)
        mq_unlink(name);
    return queue;
}

static void release(struct bench *bench, struct lane *lane)
{
    struct queues *queues = lane->shared;

    if (!queues)
        return;
    for (int side = 0; side < 2; side++)
        if (queues->to[side] >= 0)
            mq_close(queues->to[side]);
    free(queues->buffer);
    free(queues);
    lane->shared = NULL;
}

static int prepare(struct bench *bench, struct lane *lane)
{
    struct queues *queues = calloc(1, sizeof *queues);

    if (!queues || !(queues->buffer = calloc(1, lane->size)))
        return bench_failed(bench, "out of memory");
    lane->shared = queues;
    for (int side = 0; side < 2; side++)
        queues->to[side] = nameless_queue(lane, side);
    if (queues->to[0] < 0 || queues->to[1] < 0)
        return bench_failed(bench, "mq_open: %s", strerror(errno));
    return 0;
}

static mqd_t inbox, outbox;

static void choose_boxes(struct lane *lane, int side)
{
    struct queues *queues = lane->shared;

    inbox = queues->to[side];
    outbox = queues->to[1 - side];
}

static void send_one(struct lane *lane, uint64_t number)
{
    struct queues *queues = lane->shared;

    memcpy(queues->buffer, &number, sizeof number);
    if (mq_send(outbox, queues->buffer, lane->size, 0) != 0)
        pair_fail("mq_send: %s", strerror(errno));
}

static void recv_one(struct lane *lane, uint64_t number)
{
    struct queues *queues = lane->shared;
    uint64_t seen;

    if (mq_receive(inbox, queues->buffer, lane->size, NULL) < 0)
        pair_fail("mq_receive: %s", strerror(errno));
    memcpy(&seen, queues->buffer, sizeof seen);
    if (seen != number)
        pair_fail("mq: a message is missing");
}

static void run(struct lane *lane, int side, size_t rounds, uint32_t *ticks)
{
    if (lane->way == LANE_BOUNCE)
        bounce_run(lane, side, rounds, ticks, send_one, recv_one);
    else
        stream_run(lane, side, rounds, send_one, recv_one);
}

void peer_mq(struct lane *lane)
{
    lane->name = "POSIX mq";
    lane->prepare = prepare;
    lane->release = release;
    lane->open = choose_boxes;
    lane->run = run;
}
