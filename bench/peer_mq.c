/* SPDX-License-Identifier: MIT */
/* POSIX message queues: one each way, unlinked as soon as they are open. */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bounce.h"

struct queues {
    mqd_t to[2]; /* [side that reads] */
};

static mqd_t inbox, outbox;
static char *buffer;

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
    const struct queues *queues = lane->shared;

    for (int side = 0; side < 2; side++)
        if (queues->to[side] >= 0)
            mq_close(queues->to[side]);
}

static int prepare(struct bench *bench, struct lane *lane)
{
    struct queues *queues = lane->shared;

    for (int side = 0; side < 2; side++)
        queues->to[side] = nameless_queue(lane, side);
    if (queues->to[0] < 0 || queues->to[1] < 0)
        return bench_failed(bench, "mq_open: %s", strerror(errno));
    return 0;
}

static void choose_boxes(struct lane *lane, int side)
{
    const struct queues *queues = lane->shared;

    inbox = queues->to[side];
    outbox = queues->to[1 - side];
    buffer = (char *)pair_buffer(lane->size);
}

static void send_one(struct lane *lane, uint64_t number)
{
    put_number(buffer, number);
    if (mq_send(outbox, buffer, lane->size, 0) != 0)
        pair_fail("mq_send: %s", strerror(errno));
}

static void recv_one(struct lane *lane, uint64_t number)
{
    if (mq_receive(inbox, buffer, lane->size, NULL) < 0)
        pair_fail("mq_receive: %s", strerror(errno));
    check_number(buffer, number);
}

static void run(struct lane *lane, int side, size_t rounds, uint32_t *ticks)
{
    lane_run(lane, side, rounds, ticks, send_one, recv_one);
}

void peer_mq(struct lane *lane)
{
    lane->name = "POSIX mq";
    lane->shared_size = sizeof(struct queues);
    lane->prepare = prepare;
    lane->release = release;
    lane->open = choose_boxes;
    lane->run = run;
}
