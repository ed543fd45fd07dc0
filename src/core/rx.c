/* SPDX-License-Identifier: MIT */
#include "core/rx.h"

#include <stdlib.h>
#include <string.h>

#include "core/event.h"
#include "core/message_layout.h"
#include "core/peer.h"
#include "core/session.h"
#include "core/view_ref.h"
#include "transport/slot.h"

#define LEAVINGS_MAX (UINT64_C(256) << 20) /* bytes of publishers that have gone */

/* ---- a message begins ---- */

static bool conflates(const struct shm_socket *s, const struct pipe *pipe)
{
    return s->options.conflate || s->rx.is_conflated || pipe->in.newest_only;
}

static void count_lost(struct shm_socket *s, struct pipe *pipe)
{
    uint64_t lost = pipe->in.lost;
    pipe->in.lost = 0;
    if (conflates(s, pipe))
        return; /* to miss all but the newest is what was asked for */
    stat_add(s, STAT_LOST, lost);
    if (pipe->record != NULL)
        count_add(&pipe->record->lost, lost);
    event_push(s, SHM_EVENT_LAPPED, pipe, NULL, lost);
}

/* Does a packed message refer to further blocks? */
static bool has_blocks(const void *bytes, uint64_t size)
{
    uint64_t word;
    for (uint64_t at = 0; size - at >= PART_HEADER && at < size;
         at += PART_HEADER + part_padded(word & PART_SIZE_MASK)) {
        memcpy(&word, (const char *)bytes + at, sizeof word);
        if ((word & PART_BLOCK) || part_padded(word & PART_SIZE_MASK) > size - at - PART_HEADER)
            return true;
    }
    return false;
}

/*
 * Pre-accept: the publisher does not know our hazard words yet, so they protect nothing. Copy the block; the copy is
 * valid if the slot still has the same message afterwards. 1; 0: wait until we are accepted; 2: overwritten, retry.
 */
static int copy_unprotected(struct shm_socket *s, struct pipe *pipe)
{
    struct incoming *in = &s->rx.message;
    struct ring_taken *taken = &in->taken;
    if (!taken->is_block)
        return 1;
    hazard_clear(&s->hazards, HAZARD_IN_HAND);
    taken->protected = false;
    uint64_t words = (taken->size + 7) / 8;
    if (words > in->copy_words) {
        uint64_t *larger = realloc(in->copy, 8 * words);
        if (larger == NULL)
            return 0;
        in->copy = larger;
        in->copy_words = words;
    }
    if (remote_read(pipe->in.remote, taken->offset, in->copy, taken->size) < 0)
        return 0;
    if (!ring_in_still(&pipe->in))
        return 2;
    taken->bytes = (const unsigned char *)in->copy;
    return taken->packed && has_blocks(in->copy, taken->size) ? 0 : 1;
}

static int take_pre_accept(struct shm_socket *s, struct pipe *pipe)
{
    int result = 2;
    for (int attempt = 0; attempt < 16 && result == 2; attempt++) {
        result = ring_in_take(&pipe->in, &s->rx.message.taken, &s->hazards, pipe->hazard_tag);
        if (result == 1)
            result = copy_unprotected(s, pipe);
    }
    return result == 2 ? 0 : result;
}

static int take(struct shm_socket *s, struct pipe *pipe)
{
    struct ring_taken *taken = &s->rx.message.taken;
    if (unlikely(pipe->adopt_due)) {
        int adopted = ring_in_adopt(&pipe->in, taken);
        if (adopted == 1 && !taken->redelivered)
            return adopted; /* our own claim, whose message we could not map when we made it */
        /* Bounded by the slots, in case a faulty peer keeps making claims in a dead one's name. */
        for (uint64_t n = 0; n < pipe->in.mask && adopted == 1 && !s->options.redeliver; n++) {
            slot_finish(&pipe->in, taken->ticket);
            stat_add(s, STAT_LOST, 1);
            adopted = ring_in_adopt(&pipe->in, taken);
        }
        if (adopted == 1)
            stat_add(s, STAT_REDELIVERED, 1);
        if (adopted != 0)
            return adopted;
        pipe->adopt_due = false;
    }
    if (unlikely(pipe->state == PIPE_PRE_ACCEPT) && pipe->in.kind == RING_BROADCAST)
        return take_pre_accept(s, pipe);
    int result = ring_in_take(&pipe->in, taken, &s->hazards, pipe->hazard_tag);
    if (unlikely(pipe->in.owed != 0))
        pipe->adopt_due = true;
    return result;
}

/* Undo rx_begin(): the message stays unread. */
static void put_back(struct shm_socket *s)
{
    struct incoming *in = &s->rx.message;
    if (in->pipe->in.kind == RING_SPMC) {
        ring_in_owe(&in->pipe->in, &in->taken);
        in->pipe->adopt_due = true;
    }
    if (in->taken.protected)
        hazard_clear(&s->hazards, HAZARD_IN_HAND);
    in->active = false;
    in->pipe = NULL;
}

/* With a key: verify the message or drop it. One that cannot even be located counts as invalid. */
static int authenticate(struct shm_socket *s, struct pipe *pipe, int result)
{
    struct incoming *in = &s->rx.message;
    if (result > 0)
        result = session_open(s, pipe, &in->taken);
    if (result >= 0)
        return 1;
    if (error_passes(result)) {
        put_back(s);
        return result;
    }
    stat_add(s, STAT_AUTH_FAILED, 1);
    rx_end(s);
    return -EBADMSG;
}

int rx_begin(struct shm_socket *s, struct pipe *pipe)
{
    if (!pipe->has_in)
        return 0;
    int result = take(s, pipe);
    if (unlikely(pipe->in.lost != 0))
        count_lost(s, pipe);
    if (result == 0) {
        rx_end_read(pipe);
        if (unlikely(pipe->state == PIPE_DRAINING) && !pipe->drained) {
            pipe->drained = true; /* the control plane frees it at the next look */
            socket_look_again(s);
        }
        return 0;
    }
    if (unlikely(error_passes(result)))
        return result;
    if (unlikely(result < 0) && s->auth == NULL) {
        pipe_note_fault(pipe);
        return -EPROTO;
    }
    struct incoming *in = &s->rx.message;
    in->active = true;
    in->given = false;
    in->pipe = pipe;
    in->at = 0;
    in->ref = NULL;
    return likely(s->auth == NULL) ? 1 : authenticate(s, pipe, result);
}

int rx_begin_draining(struct shm_socket *s)
{
    for (uint32_t i = 0; unlikely(s->pipes.draining > 0) && i < s->pipes.count; i++)
        if (s->pipes.list[i]->state == PIPE_DRAINING) {
            int result = rx_begin(s, s->pipes.list[i]);
            if (result != 0)
                return result;
        }
    return 0;
}

int rx_begin_fair(struct shm_socket *s)
{
    uint32_t count = s->pipes.count;
    int gone = rx_begin_draining(s);
    if (gone != 0)
        return gone;
    uint32_t next = s->pipes.receive_next;
    for (uint32_t i = 0; i < count; i++) {
        if (next >= count)
            next = 0;
        struct pipe *pipe = s->pipes.list[next++];
        int result = rx_begin(s, pipe);
        if (result != 0) {
            s->pipes.receive_next = next;
            return result;
        }
    }
    return 0;
}

void rx_adopt(struct shm_socket *s)
{
    for (uint32_t i = 0; i < s->pipes.count; i++)
        s->pipes.list[i]->adopt_due = s->pipes.list[i]->has_in && s->pipes.list[i]->in.kind == RING_SPMC;
}

/* ---- its parts ---- */

int rx_next(struct shm_socket *s, struct part *part)
{
    struct incoming *in = &s->rx.message;
    struct ring_taken *taken = &in->taken;
    uint64_t word, offset;

    part->block = NULL;
    in->previous = in->at;
    if (!taken->packed) {
        if (in->at != 0)
            return 0;
        in->at = 1;
        part->data = taken->bytes;
        part->size = taken->size;
        part->more = false;
        return 1;
    }
    if (in->at >= taken->size && in->at > 0)
        return 0;
    if (taken->size - in->at < PART_HEADER) /* a message without a part could never be ended */
        return -EPROTO;
    peer_copy(&word, taken->bytes + in->at, sizeof word); /* only once: the peer may change it */
    uint64_t size = word & PART_SIZE_MASK, left = taken->size - in->at - PART_HEADER;
    if (word & PART_BLOCK) {
        if (left < sizeof offset || s->auth != NULL)
            return -EPROTO;
        peer_copy(&offset, taken->bytes + in->at + PART_HEADER, sizeof offset);
        struct remote *remote = in->pipe->in.remote;
        part->data = offset % 64 == 0 ? remote_at(remote, offset, size) : NULL;
        if (part->data == NULL)
            return offset % 64 == 0 && remote->shortage < 0 ? remote->shortage : -EPROTO;
        if (!taken->is_block)
            taken->offset = offset;
        in->at += PART_HEADER + sizeof offset;
    } else {
        if (left < part_padded(size))
            return -EPROTO;
        part->data = taken->bytes + in->at + PART_HEADER;
        in->at += PART_HEADER + part_padded(size);
    }
    part->size = size;
    part->more = in->at < taken->size;
    return 1;
}

/* ---- it ends ---- */

void rx_skip_to_head(struct pipe *pipe)
{
    ring_in_skip_to_head(&pipe->in);
    if (pipe->record != NULL)
        store_relaxed(&pipe->record->tail, pipe->in.tail); /* relaxed: hazard words protect blocks here, not the tail */
}

static void give_up(struct pipe *pipe)
{
    uint64_t head = peer_u64(&pipe->in.header->head); /* its last: it has gone */
    if (head > pipe->in.end)
        head = pipe->in.end;
    if (head > pipe->in.tail)
        pipe->in.lost += head - pipe->in.tail;
    if (pipe->in.lost != 0)
        count_lost(pipe->socket, pipe);
    pipe->has_in = false;
}

void rx_bound_leavings(struct shm_socket *s)
{
    uint64_t most = s->options.memory_limit != 0 ? s->options.memory_limit : LEAVINGS_MAX, bytes = 0;
    bool last = true;
    for (uint32_t i = s->pipes.count; i-- > 0;) { /* the newest first */
        struct pipe *pipe = s->pipes.list[i];
        if (pipe->state != PIPE_DRAINING || !pipe->has_in || pipe->in.kind != RING_BROADCAST)
            continue;
        uint64_t memory = peer_u64(&pipe->peer->remote->header->stats[STAT_MEMORY]);
        bytes = bytes > most || memory > most ? most + 1 : bytes + memory;
        if (!last && bytes > most && s->rx.message.pipe != pipe)
            give_up(pipe);
        last = false;
    }
}

void rx_end_read(struct pipe *pipe)
{
    if (pipe->unannounced == 0)
        return;
    pipe->unannounced = 0;
    fence_seq_cst(); /* S1 is the store of the tail */
    if (pipe_has_met(pipe) && bell_ring(&pipe->peer->bell))
        stat_add(pipe->socket, STAT_WAKES, 1);
}

/* Slots are returned to the sender one by one. Whether it waits for room is checked only once per quarter of its
 * high-water mark, and whenever the ring is found empty. */
static void advance(struct pipe *pipe)
{
    struct ring_in *ring = &pipe->in;
    ring->tail = pipe->socket->rx.message.taken.ticket + 1;
    if (pipe->record == NULL)
        return;
    slot_consume(&pipe->record->tail, ring->tail);
    store_relaxed(&pipe->record->received, ++pipe->received);
    if (++pipe->unannounced >= pipe->announce_every)
        rx_end_read(pipe);
}

void rx_end(struct shm_socket *s)
{
    struct incoming *in = &s->rx.message;
    struct pipe *pipe = in->pipe;
    struct ring_taken *taken = &in->taken;

    in->active = false;
    in->pipe = NULL;
    if (pipe->in.kind != RING_SPMC)
        advance(pipe);
    if (pipe->in.kind == RING_SPMC && pipe->record != NULL)
        store_relaxed(&pipe->record->received, ++pipe->received);
    if (in->ref != NULL) {
        view_ref_release(in->ref);
    } else if (pipe->in.kind == RING_SPMC) {
        slot_finish(&pipe->in, taken->ticket);
        if (bell_ring(&pipe->peer->bell))
            stat_add(s, STAT_WAKES, 1);
    }
    if (taken->protected)
        hazard_clear(&s->hazards, HAZARD_IN_HAND);
    in->ref = NULL;
}

void rx_leave(struct shm_socket *s)
{
    if (s->rx.message.given) {
        rx_end(s);
        return;
    }
    session_untake(s->rx.message.pipe, &s->rx.message.taken);
    put_back(s);
}

int rx_fail(struct shm_socket *s, int error)
{
    struct pipe *pipe = s->rx.message.pipe;
    if (error_passes(error)) {
        put_back(s);
        return error;
    }
    rx_end(s);
    pipe_note_fault(pipe);
    return -EPROTO;
}

/* ---- for the caller ---- */

/* Conflated: has something newer come since a poll found the message in hand? A kind that filters may have to keep
 * that. */
static bool is_outdated(struct shm_socket *s)
{
    struct incoming *in = &s->rx.message;
    return !in->given && unlikely(conflates(s, in->pipe)) && ring_in_has_more(&in->pipe->in);
}

int rx_part(struct shm_socket *s, struct part *part)
{
    if (unlikely(s->rx.pending_error != 0)) {
        int error = s->rx.pending_error;
        s->rx.pending_error = 0;
        return error;
    }
    if (unlikely(s->rx.message.active) && is_outdated(s) && !s->kind->filters)
        rx_end(s);
    int result = likely(!s->rx.message.active) || is_outdated(s) ? s->kind->advance(s) : 1;
    if (result <= 0)
        return result;
    part->synthetic = false;
    result = s->kind->next_part != NULL ? s->kind->next_part(s, part) : rx_next(s, part);
    if (unlikely(result < 0) && !error_passes(result)) /* a transient error: the next call retries this part */
        return rx_fail(s, result);
    return result;
}

bool rx_is_ready(struct shm_socket *s)
{
    if (s->kind->advance == NULL)
        return false;
    if (s->rx.message.active || s->rx.pending_error != 0)
        return true;
    int result = s->kind->advance(s);
    if (result < 0 && result != -EFSM)
        s->rx.pending_error = result;
    return result > 0 || s->rx.pending_error != 0;
}
