/* SPDX-License-Identifier: MIT */
/*
 * PAIR: one peer. Further connectors are rejected; when the peer goes, one of them gets its place. The loss of the peer
 * is reported once, by EPIPE: after the last of its messages and before the first of its successor's.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/pattern.h"

struct pair {
    bool broken_pipe;
};

static uint32_t ring(struct shm_socket *s, int peer)
{
    return RING_SPSC;
}

static int open_pair(struct shm_socket *s)
{
    s->kind_data = calloc(1, sizeof(struct pair));
    return s->kind_data == NULL ? -ENOMEM : 0;
}

static void close_pair(struct shm_socket *s)
{
    free(s->kind_data);
}

static void peer_gone(struct shm_socket *s, struct pipe *pipe)
{
    struct pair *pair = s->kind_data;
    if (pipe->state != PIPE_LEAVING) /* the peer went; we did not */
        pair->broken_pipe = true;
}

static int pipe_error(struct shm_socket *s)
{
    struct pair *pair = s->kind_data;
    if (!pair->broken_pipe)
        return 0;
    pair->broken_pipe = false;
    return -EPIPE;
}

static int send_part(struct shm_socket *s, const struct part *part)
{
    int error = pipe_error(s);
    if (error < 0)
        return error;
    if (s->tx.message.active)
        return tx_continue(s, part);
    struct pipe *pipe = tx_choose(s);
    return pipe == NULL ? -EAGAIN : tx_part(s, pipe->out, pipe, part, 0);
}

static bool can_send(struct shm_socket *s)
{
    struct pair *pair = s->kind_data;
    return pair->broken_pipe || tx_can_choose(s);
}

static int advance(struct shm_socket *s)
{
    const struct pair *pair = s->kind_data;
    int result = likely(!pair->broken_pipe) ? rx_begin_fair(s) : rx_begin_draining(s);
    return result != 0 ? result : pipe_error(s);
}

const struct kind kind_pair = {
    .type = SHM_PAIR,
    .fits = KIND_BIT(SHM_PAIR),
    .one_peer = true,
    .retries = true,
    .sends_plain = true,
    .receives_plain = true,
    .ring = ring,
    .open = open_pair,
    .close = close_pair,
    .pipe_gone = peer_gone,
    .send = send_part,
    .can_send = can_send,
    .advance = advance,
};
