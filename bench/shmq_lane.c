/* SPDX-License-Identifier: MIT */
#include "shmq_lane.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bounce.h"

/* Has side I received something? Only PUB/SUB asks: a PUB drops what nobody listens to. */
struct heard {
    atomic_bool side[2];
};

void shmq_fail(const char *call)
{
    pair_fail("%s: %s", call, shm_strerror(errno));
}

shm_socket_t *shmq_socket(int type, int64_t spin_ns)
{
    shm_socket_t *socket = shm_socket(type);

    if (!socket)
        shmq_fail("shm_socket");
    if (shm_setsockopt(socket, SHM_SPIN_NS, &spin_ns, sizeof spin_ns) != 0)
        shmq_fail("SHM_SPIN_NS");
    return socket;
}

void shmq_set_int(shm_socket_t *socket, int option, int value)
{
    if (shm_setsockopt(socket, option, &value, sizeof value) != 0)
        pair_fail("option %d: %s", option, shm_strerror(errno));
}

void shmq_bind(shm_socket_t *socket, const char *endpoint)
{
    if (shm_bind(socket, endpoint) != 0)
        shmq_fail("shm_bind");
}

void shmq_connect(shm_socket_t *socket, const char *endpoint)
{
    if (shm_connect(socket, endpoint) != 0)
        shmq_fail("shm_connect");
}

static shm_socket_t *lane_socket(const struct lane *lane, int type)
{
    shm_socket_t *socket = shmq_socket(type, lane->spin_ns);

    if (lane->depth > 0 && type != SHM_SUB)
        shmq_set_int(socket, SHM_SNDHWM, lane->depth);
    if (lane->depth > 0 && type != SHM_PUB && type != SHM_PUSH)
        shmq_set_int(socket, SHM_RCVHWM, lane->depth);
    if (type == SHM_PUB && lane->way == LANE_STREAM)
        shmq_set_int(socket, SHM_LOSSLESS, 1);
    if (type == SHM_SUB && shm_setsockopt(socket, SHM_SUBSCRIBE, "", 0) != 0)
        shmq_fail("SHM_SUBSCRIBE");
    return socket;
}

/* One socket on each side, both ways; side 0 binds. */
static void open_two_way(struct link *link, const struct lane *lane, int side, int type)
{
    char name[64];

    snprintf(name, sizeof name, "shm://bench/%d", lane->id);
    link->tx = link->rx = lane_socket(lane, type);
    if (side == 0)
        shmq_bind(link->tx, name);
    else
        shmq_connect(link->tx, name);
}

/* A sender on each side, bound to the side's name; a stream only needs side 0's. */
static void open_one_way(struct link *link, const struct lane *lane, int side, int sender, int receiver)
{
    char own[64], other[64];

    snprintf(own, sizeof own, "shm://bench/%d/%d", lane->id, side);
    snprintf(other, sizeof other, "shm://bench/%d/%d", lane->id, 1 - side);
    if (side == 0 || lane->way == LANE_BOUNCE) {
        link->tx = lane_socket(lane, sender);
        shmq_bind(link->tx, own);
    }
    if (side == 1 || lane->way == LANE_BOUNCE) {
        link->rx = lane_socket(lane, receiver);
        shmq_connect(link->rx, other);
    }
}

static void bounce_views(struct lane *lane, int side, size_t rounds, uint32_t *ticks);

static void open_link(struct lane *lane, int side)
{
    struct link *link = pair_new(sizeof *link);
    bool copies = lane->run != bounce_views;

    link->out = pair_buffer(copies ? lane->size : 64);
    link->in = pair_buffer(copies ? lane->size : 64);
    shm_msg_init(&link->msg);
    switch ((enum shmq_kind)lane->kind) {
    case SHMQ_PUBSUB:
        open_one_way(link, lane, side, SHM_PUB, SHM_SUB);
        break;
    case SHMQ_PUSHPULL:
        open_one_way(link, lane, side, SHM_PUSH, SHM_PULL);
        break;
    case SHMQ_REQREP:
        open_two_way(link, lane, side, side == 0 ? SHM_REQ : SHM_REP);
        break;
    default:
        open_two_way(link, lane, side, SHM_PAIR);
        break;
    }
    lane->state = link;
}

static void close_link(struct lane *lane, int side)
{
    struct link *link = lane->state;

    if (link->tx && link->tx != link->rx)
        shm_close(link->tx);
    if (link->rx)
        shm_close(link->rx);
    free(link->out);
    free(link->in);
    free(link);
}

/* Publish until both sides have received something; then discard what is still under way. */
static void meet(struct lane *lane, int side)
{
    struct link *link = lane->state;
    struct heard *heard = lane->shared;
    struct timespec moment = {.tv_nsec = 20000};

    if (!link->rx)
        atomic_store(&heard->side[side], true);
    while (!atomic_load(&heard->side[0]) || !atomic_load(&heard->side[1])) {
        if (link->tx && shm_send(link->tx, link->out, lane->size, SHM_DONTWAIT) < 0 && errno != EAGAIN)
            shmq_fail("shm_send");
        if (link->rx && shm_recv(link->rx, link->in, lane->size, SHM_DONTWAIT) >= 0)
            atomic_store(&heard->side[side], true);
        nanosleep(&moment, NULL);
    }
    pair_barrier();
    while (link->rx && shm_recv(link->rx, link->in, lane->size, SHM_DONTWAIT) >= 0)
        ;
    pair_barrier();
}

static void send_copy(struct lane *lane, uint64_t number)
{
    struct link *link = lane->state;

    put_number(link->out, number);
    if (__builtin_expect(shm_send(link->tx, link->out, lane->size, 0) < 0, 0))
        shmq_fail("shm_send");
}

static void recv_copy(struct lane *lane, uint64_t number)
{
    struct link *link = lane->state;

    if (__builtin_expect(shm_recv(link->rx, link->in, lane->size, 0) < 0, 0))
        shmq_fail("shm_recv");
    check_number(link->in, number);
}

static void send_loan(struct lane *lane, uint64_t number)
{
    struct link *link = lane->state;
    shm_msg_t loan;

    if (shm_msg_loan(&loan, link->tx, lane->size) != 0)
        shmq_fail("shm_msg_loan");
    put_number(shm_msg_data(&loan), number);
    if (shm_msg_send(&loan, link->tx, 0) < 0)
        shmq_fail("shm_msg_send");
}

static void recv_view(struct lane *lane, uint64_t number)
{
    struct link *link = lane->state;

    if (shm_msg_recv(&link->msg, link->rx, 0) < 0)
        shmq_fail("shm_msg_recv");
    check_number(shm_msg_data(&link->msg), number);
    shm_msg_close(&link->msg);
}

static void run_copies(struct lane *lane, int side, size_t rounds, uint32_t *ticks)
{
    lane_run(lane, side, rounds, ticks, send_copy, recv_copy);
}

static void bounce_views(struct lane *lane, int side, size_t rounds, uint32_t *ticks)
{
    bounce_run(lane, side, rounds, ticks, send_loan, recv_view);
}

struct lane shmq_bounce_lane(enum shmq_kind kind, size_t size, int64_t spin_ns, size_t rounds)
{
    return (struct lane){
        .name = "shmq",
        .way = LANE_BOUNCE,
        .kind = (int)kind,
        .size = size,
        .rounds = rounds,
        .warm_up = rounds / 10,
        .hops = kind == SHMQ_REQREP ? 1 : 2,
        .spin_ns = spin_ns,
        .shared_size = sizeof(struct heard),
        .open = open_link,
        .meet = kind == SHMQ_PUBSUB ? meet : NULL,
        .close = close_link,
        .run = run_copies,
    };
}

struct lane shmq_stream_lane(enum shmq_kind kind, size_t size, int depth, size_t rounds)
{
    struct lane lane = shmq_bounce_lane(kind, size, SPIN_FOR_EVER, rounds);

    lane.way = LANE_STREAM;
    lane.depth = depth;
    lane.warm_up = rounds / 4 + 1;
    return lane;
}

struct lane shmq_loan_lane(size_t size, size_t rounds)
{
    struct lane lane = shmq_bounce_lane(SHMQ_PAIR, size, SPIN_FOR_EVER, rounds);

    lane.run = bounce_views;
    return lane;
}
