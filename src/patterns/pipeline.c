/* SPDX-License-Identifier: MIT */
/*
 * PUSH and PULL: work sharing. By default all pullers claim from one SPMC ring of the pusher, whoever is free first.
 * With SHM_ROUND_ROBIN, and with SHM_CONFLATE, which keeps one message per peer, each puller has its own ring and they
 * are served in strict turns. DEALER sends in the same turns, and receives.
 */
#include <errno.h>
#include <string.h>

#include "core/pattern.h"
#include "patterns/reqrep.h"

static uint32_t ring_push(struct shm_socket *s, int peer)
{
    return s->options.conflate ? RING_BROADCAST : s->options.round_robin ? RING_SPSC : RING_SPMC;
}
static uint32_t shared_ring_push(struct shm_socket *s)
{
    return ring_push(s, -1) == RING_SPMC ? RING_SPMC : 0;
}
static uint32_t ring_pull(struct shm_socket *s, int peer)
{
    return 0;
}
/* Claims on a PUSH's queue need no consent. */
static uint32_t pre_accept_ring_pull(struct shm_socket *s, int peer)
{
    return RING_SPMC;
}
static uint32_t ring_dealer(struct shm_socket *s, int peer)
{
    return s->options.conflate ? RING_BROADCAST : RING_SPSC;
}

/* A DEALER tags its requests with its own number, and a REP's replies bring it back. A REP's replies to a dead DEALER
 * queue for the next binder of its name, which recognizes by the tag that they are not its own. */
static uint32_t own_tag(const struct shm_socket *s)
{
    uint32_t tag;
    memcpy(&tag, s->segment.header->id, sizeof tag);
    return (tag & REQUEST_NUMBER) | 1; /* not 0, which means no request */
}

/* ---- in turns ---- */

static int send_in_turn(struct shm_socket *s, const struct part *part)
{
    if (s->tx.message.active)
        return tx_continue(s, part);
    if (s->options.conflate && part->more)
        return -EINVAL;
    struct pipe *pipe = tx_choose(s);
    return pipe == NULL ? -EAGAIN : tx_part(s, pipe->out, pipe, part, s->type == SHM_DEALER ? own_tag(s) : 0);
}

static bool can_send_in_turn(struct shm_socket *s)
{
    return tx_can_choose(s);
}

/* ---- from the shared ring ---- */

static bool may_queue(struct shm_socket *s)
{
    for (uint32_t i = 0; i < s->pipes.count; i++)
        if (pipe_is_open(s->pipes.list[i]))
            return true;
    return false;
}

static int send_shared(struct shm_socket *s, const struct part *part)
{
    if (s->tx.message.active)
        return tx_continue(s, part);
    if (!may_queue(s) || !ring_has_room(s, &s->tx.shared, NULL))
        return -EAGAIN;
    return tx_part(s, &s->tx.shared, NULL, part, 0);
}

static int send_push(struct shm_socket *s, const struct part *part)
{
    return s->options.round_robin || s->options.conflate ? send_in_turn(s, part) : send_shared(s, part);
}

static bool can_send_push(struct shm_socket *s)
{
    if (s->options.round_robin || s->options.conflate)
        return can_send_in_turn(s);
    return may_queue(s) && ring_has_room(s, &s->tx.shared, NULL);
}

/* ---- receiving ---- */

static int advance(struct shm_socket *s)
{
    int result = rx_begin_fair(s);
    if (likely(!s->options.conflate) || result != 1)
        return result;
    for (uint64_t n = 0; n < PASSED_OVER_MAX && ring_in_has_more(&s->rx.message.pipe->in); n++) {
        struct pipe *pipe = s->rx.message.pipe;
        rx_end(s);
        result = rx_begin(s, pipe);
        if (result != 1)
            return result;
    }
    return 1;
}

static int advance_dealer(struct shm_socket *s)
{
    int result = 0;
    for (uint64_t n = 0; n < PASSED_OVER_MAX && (result = advance(s)) == 1; n++) {
        if (s->rx.message.pipe->member.type != SHM_REP || (s->rx.message.taken.tag & REQUEST_NUMBER) == own_tag(s))
            return 1;
        rx_end(s);
    }
    return result == 1 ? 0 : result;
}

const struct kind kind_push = {
    .type = SHM_PUSH,
    .fits = KIND_BIT(SHM_PULL),
    .sends_plain = true,
    .options = (const int[]){SHM_CONFLATE, SHM_ROUND_ROBIN, 0},
    .ring = ring_push,
    .shared_ring = shared_ring_push,
    .send = send_push,
    .can_send = can_send_push,
};

const struct kind kind_pull = {
    .type = SHM_PULL,
    .fits = KIND_BIT(SHM_PUSH),
    .receives_plain = true,
    .adopts = true,
    .options = (const int[]){SHM_CONFLATE, SHM_REDELIVER, 0},
    .ring = ring_pull,
    .pre_accept_ring = pre_accept_ring_pull,
    .advance = advance,
};

const struct kind kind_dealer = {
    .type = SHM_DEALER,
    .fits = KIND_BIT(SHM_REP) | KIND_BIT(SHM_DEALER) | KIND_BIT(SHM_ROUTER),
    .sends_plain = true,
    .receives_plain = true,
    .options = (const int[]){SHM_CONFLATE, SHM_ROUTING_ID, SHM_PROBE_ROUTER, 0},
    .ring = ring_dealer,
    .pipe_new = skip_answers_to_others,
    .pipe_up = probe_router,
    .send = send_in_turn,
    .can_send = can_send_in_turn,
    .advance = advance_dealer,
};
