/* SPDX-License-Identifier: MIT */
/* Unix sockets that keep message boundaries. Large messages have to go in pieces. */
#include "peer.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bounce.h"

/* Under the default limit of a socket's buffer, 208 KiB. */
#define PIECE ((size_t)128 << 10)

static int own; /* this process's descriptor */
static unsigned char *buffer;

/* Both, by side, made before the fork. */
static int prepare(struct bench *bench, struct lane *lane)
{
    int *descriptor = lane->shared;

    descriptor[0] = descriptor[1] = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, descriptor) != 0)
        return bench_failed(bench, "socketpair: %s", strerror(errno));
    return 0;
}

static void release(struct bench *bench, struct lane *lane)
{
    const int *descriptor = lane->shared;

    close(descriptor[0]);
    close(descriptor[1]);
}

static void choose_end(struct lane *lane, int side)
{
    const int *descriptor = lane->shared;

    own = descriptor[side];
    close(descriptor[1 - side]); /* so that a dead peer is noticed */
    buffer = pair_buffer(lane->size);
}

static void send_one(struct lane *lane, uint64_t number)
{
    ssize_t sent;

    put_number(buffer, number);
    for (size_t done = 0; done < lane->size; done += (size_t)sent) {
        size_t rest = lane->size - done;

        sent = send(own, buffer + done, rest < PIECE ? rest : PIECE, MSG_NOSIGNAL);
        if (sent < 0)
            pair_fail("send: %s", strerror(errno));
    }
}

static void recv_one(struct lane *lane, uint64_t number)
{
    ssize_t taken;

    for (size_t done = 0; done < lane->size; done += (size_t)taken) {
        taken = recv(own, buffer + done, lane->size - done, 0);
        if (taken <= 0)
            pair_fail("recv: %s", strerror(errno));
    }
    check_number(buffer, number);
}

static void run(struct lane *lane, int side, size_t rounds, uint32_t *ticks)
{
    lane_run(lane, side, rounds, ticks, send_one, recv_one);
}

void peer_seqpacket(struct lane *lane)
{
    lane->name = "Unix seqpacket";
    lane->shared_size = 2 * sizeof(int);
    lane->prepare = prepare;
    lane->release = release;
    lane->open = choose_end;
    lane->run = run;
}
