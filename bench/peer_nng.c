/* SPDX-License-Identifier: MIT */
/* nng: a PAIR over ipc, back and forth or one way. Its threads are left to the scheduler. */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>

#include "bounce.h"

/* Messages queued on each side: nng's own limit. */
#define HIGH_WATER 8192

struct place {
    char endpoint[128];
};

struct ends {
    nng_socket socket;
    unsigned char *buffer;
};

static void check(int error, const char *call)
{
    if (error != 0)
        pair_fail("%s: %s", call, nng_strerror(error));
}

static int prepare(struct bench *bench, struct lane *lane)
{
    struct place *place = lane->shared;

    snprintf(place->endpoint, sizeof place->endpoint, "ipc://%s/nng-%d", bench->directory, lane->id);
    return 0;
}

static void open_ends(struct lane *lane, int side)
{
    struct ends *ends = pair_new(sizeof *ends);
    struct place *place = lane->shared;
    int queue = lane->size > 4096 ? 4 : HIGH_WATER;

    ends->buffer = pair_buffer(lane->size);
    pair_unpin();
    check(nng_pair0_open(&ends->socket), "nng_pair0_open");
    nng_socket_set_int(ends->socket, NNG_OPT_SENDBUF, queue);
    nng_socket_set_int(ends->socket, NNG_OPT_RECVBUF, queue);
    nng_socket_set_size(ends->socket, NNG_OPT_RECVMAXSZ, 0);
    if (side == 0)
        check(nng_listen(ends->socket, place->endpoint, NULL, 0), "nng_listen");
    else
        check(nng_dial(ends->socket, place->endpoint, NULL, 0), "nng_dial");
    pair_pin();
    lane->state = ends;
}

static void close_ends(struct lane *lane, int side)
{
    struct ends *ends = lane->state;

    nng_close(ends->socket);
    free(ends->buffer);
    free(ends);
}

static void send_one(struct lane *lane, uint64_t number)
{
    struct ends *ends = lane->state;

    put_number(ends->buffer, number);
    check(nng_send(ends->socket, ends->buffer, lane->size, 0), "nng_send");
}

static void recv_one(struct lane *lane, uint64_t number)
{
    struct ends *ends = lane->state;
    size_t size = lane->size;

    check(nng_recv(ends->socket, ends->buffer, &size, 0), "nng_recv");
    check_number(ends->buffer, number);
}

static void run(struct lane *lane, int side, size_t rounds, uint32_t *ticks)
{
    lane_run(lane, side, rounds, ticks, send_one, recv_one);
}

void peer_nng_ipc(struct lane *lane)
{
    lane->name = "nng ipc";
    lane->shared_size = sizeof(struct place);
    lane->prepare = prepare;
    lane->open = open_ends;
    lane->close = close_ends;
    lane->run = run;
}
