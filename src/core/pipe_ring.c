/* SPDX-License-Identifier: MIT */
/* The rings of a pipe: the one that this side sends on, and the peer's that it reads. */
#include "core/pipe.h"

#include <stdlib.h>

#include "core/peer.h"
#include "core/session.h"
#include "core/tx.h"

uint64_t pipe_mark(int hwm)
{
    return hwm == 0 ? RING_SLOTS_MAX : (uint64_t)hwm;
}

/* ---- sending ---- */

int pipe_open_out(struct pipe *pipe, int peer_type)
{
    struct shm_socket *s = pipe->socket;
    uint32_t kind = s->kind->ring(s, peer_type);
    if (pipe->out != NULL || kind == 0)
        return 0;
    if (s->tx.has_shared) {
        pipe->out = &s->tx.shared;
    } else {
        bool control = s->kind->sends_control;
        uint64_t limit = control ? RING_SLOTS_MAX : pipe_mark(s->options.send_hwm);
        if (kind == RING_BROADCAST)
            limit = 1; /* conflated: only the newest message counts */
        int error = ring_out_open(&pipe->own_ring, &s->arena, kind, limit, s->options.lock_memory && !control);
        if (error < 0)
            return error;
        pipe->own_ring.retired = &s->tx.retired;
        pipe->own_ring.header->newest_only = kind == RING_BROADCAST;
        pipe->base_limit = pipe->own_ring.limit;
        pipe->out = &pipe->own_ring;
    }
    if (pipe->out->kind != RING_BROADCAST || !s->tx.has_shared)
        store_relaxed(&pipe->record->start, 0);
    store_release(&pipe->record->ring_offset, ring_out_offset(pipe->out));
    return 0;
}

int pipe_open_shared_ring(struct shm_socket *s, uint32_t kind)
{
    if (s->tx.has_shared)
        return 0;
    int error = ring_out_open(&s->tx.shared, &s->arena, kind, pipe_mark(s->options.send_hwm), s->options.lock_memory);
    if (error < 0)
        return error;
    s->tx.shared.retired = &s->tx.retired;
    if (kind == RING_SPMC) {
        struct claims *claims = calloc(1, sizeof *claims);
        error = claims == NULL ? -ENOMEM
                               : claims_new(claims, s->store, s->segment.id_hex,
                                            s->tx.shared.mask + 1);
        if (error < 0) {
            free(claims);
            ring_out_close(&s->tx.shared);
            return error;
        }
        s->tx.shared.claims = claims;
    } else {
        s->tx.shared.header->newest_only = s->options.conflate != 0;
    }
    store_release(&s->segment.header->ring_offset, ring_out_offset(&s->tx.shared));
    s->tx.has_shared = true;
    return 0;
}

void pipe_limit_shared(struct shm_socket *s)
{
    tx_share_memory(s);
    if (!s->tx.has_shared || s->tx.shared.kind != RING_SPMC)
        return;
    uint64_t limit = pipe_mark(s->options.send_hwm);
    for (uint32_t i = 0; i < s->pipes.count; i++) {
        struct pipe *pipe = s->pipes.list[i];
        if (!pipe_has_met(pipe))
            continue;
        uint64_t mark = peer_u32(&pipe->theirs->receive_limit);
        limit = mark > 0 && mark < limit ? mark : limit;
    }
    s->tx.shared.limit = limit;
}

/* ---- receiving ---- */

/* Go back from ticket START by as much history as SHM_HISTORY asks for and the ring still has. */
static uint64_t back_from(const struct ring_in *ring, uint64_t start, uint64_t history)
{
    uint64_t oldest = peer_u64(&ring->header->oldest); /* hint */
    uint64_t slots = ring->mask + 1, most = slots - slots / 8, back = history < most ? history : most;
    uint64_t from = start > back ? start - back : 0;
    return from > oldest ? from : oldest;
}

/* The first ticket to read. BEGAN: where a pre-accept read has got to; UINT64_MAX: there was none. */
static int first_ticket(struct pipe *pipe, uint64_t resume, uint64_t began, uint64_t *first)
{
    struct shm_socket *s = pipe->socket;
    uint64_t start = s->auth != NULL ? session_start(pipe) : peer_u64(&pipe->theirs->start); /* a number: R2 */
    if (start == UINT64_MAX)
        return 0; /* the peer has not met us yet */
    if (pipe->in.kind == RING_BROADCAST && began != UINT64_MAX)
        start = began;
    else if (pipe->in.kind == RING_BROADCAST && s->options.history > 0 && !pipe->in.newest_only)
        start = back_from(&pipe->in, start, (uint64_t)s->options.history);
    *first = resume > start ? resume : start;
    return 1;
}

int pipe_open_in(struct pipe *pipe, uint64_t resume)
{
    struct shm_socket *s = pipe->socket;
    uint64_t offset, first, began = pipe->began ? pipe->in.tail : UINT64_MAX;

    if (pipe->theirs == NULL || pipe->superseded || pipe->fault_noted)
        return pipe->has_in;
    resume = session_resume(pipe, resume);
    int authenticated = session_check(pipe);
    if (authenticated <= 0 || pipe->has_in)
        return authenticated;
    offset = peer_u64_acquire(&pipe->theirs->ring_offset);
    if (offset == 0)
        return 0;
    int error = ring_in_open(&pipe->in, pipe->peer->remote, offset);
    if (error < 0)
        return pipe->peer->remote->shortage < 0 ? pipe->peer->remote->shortage : error;
    /* Until the connector has met us, its `start` is meant for the previous binder. */
    if (pipe->in.kind == RING_BROADCAST && !pipe->in.newest_only && !record_is_about(pipe->theirs, pipe_my_token(pipe)))
        error = 0;
    else
        error = first_ticket(pipe, resume, began, &first);
    if (error <= 0) {
        pipe->in.tail = began;
        return error;
    }
    pipe->began = false;
    error = session_begin(pipe, &first);
    if (error <= 0)
        return error;
    if (pipe->in.kind == RING_SPMC) {
        error = claims_attach(&pipe->peer->claims, s->store, pipe->member.id_hex, pipe->in.mask + 1);
        if (error < 0)
            return error;
        pipe->in.claims = &pipe->peer->claims;
    }
    pipe->in.tail = first;
    if (pipe->in.newest_only && s->kind->filters) {
        pipe->in.newest_only = false;
        s->rx.is_conflated = true;
    }
    uint64_t mark = pipe_mark(s->options.receive_hwm), limit = peer_u64_once(&pipe->in.header->limit);
    mark = (mark < limit ? mark : limit) / 4;
    pipe->announce_every = mark < 1 ? 1 : mark > 4096 ? 4096 : (uint32_t)mark;
    store_relaxed(&pipe->record->first, first);
    store_release(&pipe->record->tail, first);
    pipe->has_in = true;
    return 1;
}

/* ---- before the binder has accepted us ---- */

uint32_t pipe_pre_accept_kind(struct shm_socket *s, const struct member *binder)
{
    bool may = s->kind->pre_accept_ring != NULL && kind_fits(s->kind, binder->type);
    return may ? s->kind->pre_accept_ring(s, (int)binder->type) : 0;
}

bool pipe_pre_accept_open(struct pipe *pipe, struct peer *peer, const struct member *member, uint32_t kind)
{
    struct shm_socket *s = pipe->socket;
    uint64_t offset = peer_u64_acquire(&peer->remote->header->ring_offset);
    if (offset == 0 || ring_in_open(&pipe->in, peer->remote, offset) < 0 || pipe->in.kind != kind ||
        pipe->in.newest_only)
        return false;
    if (kind == RING_BROADCAST) {
        uint64_t head = peer_u64(&pipe->in.header->head); /* hint */
        pipe->in.tail = back_from(&pipe->in, head, (uint64_t)s->options.history);
        return true;
    }
    pipe->in.claims = &peer->claims;
    return claims_attach(&peer->claims, s->store, member->id_hex, pipe->in.mask + 1) == 0;
}
