/* SPDX-License-Identifier: MIT */
/*
 * libzmq: PAIR back and forth, PUSH/PULL one way, over ipc or tcp on the loopback device.
 *
 * Its I/O threads are left to the scheduler while the callers are pinned like all others: for libzmq that
 * is faster than a thread that shares the caller's CPU.
 */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#include "bounce.h"

/* Messages queued on each side: more than a turn has, which suits libzmq best. */
#define HIGH_WATER 100000

enum { OVER_IPC, OVER_TCP };

struct place {
    char endpoint[128]; /* side 0 stores the address that it is bound to */
};

struct ends {
    void *context, *socket;
    unsigned char *buffer;
};

_Noreturn static void fail(const char *call)
{
    pair_fail("%s: %s", call, zmq_strerror(zmq_errno()));
}

static int prepare(struct bench *bench, struct lane *lane)
{
    struct place *place = lane->shared;

    if (lane->kind == OVER_IPC)
        snprintf(place->endpoint, sizeof place->endpoint, "ipc://%s/zmq-%d", bench->directory, lane->id);
    else
        snprintf(place->endpoint, sizeof place->endpoint, "tcp://127.0.0.1:*");
    return 0;
}

static void open_ends(struct lane *lane, int side)
{
    struct ends *ends = pair_new(sizeof *ends);
    struct place *place = lane->shared;
    int type = lane->way == LANE_BOUNCE ? ZMQ_PAIR : side == 0 ? ZMQ_PUSH : ZMQ_PULL;
    int high_water = lane->size > 4096 ? 16 : HIGH_WATER, linger = 0;
    size_t length = sizeof place->endpoint;

    ends->buffer = pair_buffer(lane->size);
    pair_unpin();
    ends->context = zmq_ctx_new();
    ends->socket = zmq_socket(ends->context, type);
    if (!ends->socket)
        fail("zmq_socket");
    zmq_setsockopt(ends->socket, ZMQ_SNDHWM, &high_water, sizeof high_water);
    zmq_setsockopt(ends->socket, ZMQ_RCVHWM, &high_water, sizeof high_water);
    zmq_setsockopt(ends->socket, ZMQ_LINGER, &linger, sizeof linger);
    if (side == 0) {
        if (zmq_bind(ends->socket, place->endpoint) != 0)
            fail("zmq_bind");
        zmq_getsockopt(ends->socket, ZMQ_LAST_ENDPOINT, place->endpoint, &length);
    } else if (zmq_connect(ends->socket, place->endpoint) != 0) {
        fail("zmq_connect");
    }
    pair_pin();
    lane->state = ends;
}

static void close_ends(struct lane *lane, int side)
{
    struct ends *ends = lane->state;

    zmq_close(ends->socket);
    zmq_ctx_term(ends->context);
    free(ends->buffer);
    free(ends);
}

static void send_one(struct lane *lane, uint64_t number)
{
    struct ends *ends = lane->state;

    put_number(ends->buffer, number);
    if (zmq_send(ends->socket, ends->buffer, lane->size, 0) < 0)
        fail("zmq_send");
}

static void recv_one(struct lane *lane, uint64_t number)
{
    struct ends *ends = lane->state;

    if (zmq_recv(ends->socket, ends->buffer, lane->size, 0) < 0)
        fail("zmq_recv");
    check_number(ends->buffer, number);
}

static void run(struct lane *lane, int side, size_t rounds, uint32_t *ticks)
{
    lane_run(lane, side, rounds, ticks, send_one, recv_one);
}

static void fill(struct lane *lane, int kind, const char *name)
{
    lane->name = name;
    lane->kind = kind;
    lane->shared_size = sizeof(struct place);
    lane->prepare = prepare;
    lane->open = open_ends;
    lane->close = close_ends;
    lane->run = run;
}

void peer_zmq_ipc(struct lane *lane)
{
    fill(lane, OVER_IPC, "libzmq ipc");
}

void peer_zmq_tcp(struct lane *lane)
{
    fill(lane, OVER_TCP, "libzmq tcp");
}
