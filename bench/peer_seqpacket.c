/* SPDX-License-Identifier: MIT */
/* Unix sockets that keep message boundaries. Large messages have to go in pieces. */
#include "peer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bounce.h"
#include "pair.h"

/* Under the default limit of a socket's buffer, 208 KiB. */
#define PIECE ((size_t)128 << 10)

struct ends {
    int descriptor[2]; /* [side]; made before the fork */
    unsigned char *buffer;
};

static int prepare(struct bench *bench, struct lane *lane)
{
    struct ends *ends = calloc(1, sizeof *ends);

    if (!ends || !(ends->buffer = calloc(1, lane->size)))
        return bench_failed(bench, "out of memory");
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends->descriptor) != 0)
        return bench_failed(bench, "socketpair: %s", strerror(errno));
    lane->shared = ends;
    return 0;
}

static void release(struct bench *bench, struct lane *lane)
{
    struct ends *ends = lane->shared;

    if (!ends)
        return;
    close(ends->descriptor[0]);
    close(ends->descriptor[1]);
    free(ends->buffer);
    free(ends);
    lane->shared = NULL;
}

static int own; /* this process's descriptor */

static void choose_end(struct lane *lane, int side)
{
    struct ends *ends = lane->shared;

    own = ends->descriptor[side];
    close(ends->descriptor[1 - side]); /* so that a dead peer is noticed */
}

static void send_one(struct lane *lane, uint64_t number)
{
    struct ends *ends = lane->shared;
    ssize_t sent;

    memcpy(ends->buffer, &number, sizeof number);
    for (size_t done = 0; done < lane->size; done += (size_t)sent) {
        size_t rest = lane->size - done;

        sent = send(own, ends->buffer + done, rest < PIECE ? rest : PIECE, MSG_NOSIGNAL);
        if (sent < 0)
            pair_fail("send: %s", strerror(errno));
    }
}

static void recv_one(struct lane *lane, uint64_t number)
{
    struct ends *ends = lane->shared;
    ssize_t taken;
    uint64_t seen;

    for (size_t done = 0; done < lane->size; done += (size_t)taken) {
        taken = recv(own, ends->buffer + done, lane->size - done, 0);
        if (taken <= 0)
            pair_fail("recv: %s", strerror(errno));
    }
    memcpy(&seen, ends->buffer, sizeof seen);
    if (seen != number)
        pair_fail("seqpacket: a message is missing");
}

static void run(struct lane *lane, int side, size_t rounds, uint32_t *ticks)
{
    if (lane->way == LANE_BOUNCE)
        bounce_run(lane, side, rounds, ticks, send_one, recv_one);
    else
        stream_run(lane, side, rounds, send_one, recv_one);
}

void peer_seqpacket(struct lane *lane)
{
    lane->name = "Unix seqpacket";
    lane->prepare = prepare;
    lane->release = release;
    lane->open = choose_end;
    lane->run = run;
}
