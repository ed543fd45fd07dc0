/* SPDX-License-Identifier: MIT */
/* Intake: messages on their way in. Taking, parts, letting go, views. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/message_layout.h"
#include "core/socket.h"
#include "core/session.h"

/* ---- a message begins ---- */

static void count_lost(struct shm_socket *s, struct pipe *pipe)
{
    uint64_t lost = pipe->in.lost;
    pipe->in.lost = 0;
    stat_add(s, STAT_LOST, lost);
    if (pipe->record != NULL)
        count_add(&pipe->record->lost, lost);
    event_push(s, SHM_EVENT_LAPPED, pipe, NULL, lost);
}

/* Does a packed message refer to blocks beside its own? */
static bool has_blocks(const void *bytes, uint64_t size)
{
    uint64_t word;
    for (uint64_t at = 0; size - at >= PART_HEADER && at < size; at += PART_HEADER + part_padded(word & PART_SIZE_MASK)) {
        memcpy(&word, (const char *)bytes + at, sizeof word);
        if ((word & PART_BLOCK) || part_padded(word & PART_SIZE_MASK) > size - at - PART_HEADER)
            return true;
    }
    return false;
}

/*
 * The publisher does not know us yet and does not mind our hazards: take a copy, which is good if the slot
 * still is what it was. 1; 0 it has to wait for the pipe; 2 the publisher was faster.
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
            return adopted; /* its own, which it could not look at when it took it */
        /* No more than there are slots, should somebody go on claiming for the dead. */
        for (uint64_t n = 0; n < pipe->in.mask && adopted == 1 && !s->options.redeliver; n++) {
            claims_done(&pipe->in.claims->words[taken->ticket & pipe->in.mask], taken->ticket, pipe->in.claims->owner);
            stat_add(s, STAT_LOST, 1);
            adopted = ring_in_adopt(&pipe->in, taken);
        }
        if (adopted == 1)
            stat_add(s, STAT_REDELIVERED, 1);
        if (adopted != 0)
            return adopted;
        pipe->adopt_due = false;
    }
    if (unlikely(pipe->pre_accept) && pipe->in.kind == RING_BROADCAST)
        return take_pre_accept(s, pipe);
    int result = ring_in_take(&pipe->in, taken, &s->hazards, pipe->hazard_tag);
    if (unlikely(pipe->in.owed != 0))
        pipe->adopt_due = true;
    return result;
}

/* As if it had not begun. */
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

/* With a key: what was taken holds, or is gone. What cannot even be located does not hold. */
static int authenticate(struct shm_socket *s, struct pipe *pipe, int result)
{
    struct incoming *in = &s->rx.message;
    if (result > 0)
        result = session_open(s, pipe, &in->taken);
    if (result >= 0)
        return 1;
    if (pipe_error_passes(result)) {
        put_back(s);
        return result;
    }
    stat_add(s, STAT_AUTH_FAILED, 1);
    in_end(s);
    return -EBADMSG;
}

int in_begin(struct shm_socket *s, struct pipe *pipe)
{
    if (!pipe->has_in)
        return 0;
    int result = take(s, pipe);
    if (unlikely(pipe->in.lost != 0))
        count_lost(s, pipe);
    if (result == 0) {
        pipe_end_read(pipe);
        if (unlikely(pipe->state == PIPE_GONE) && !pipe->drained) {
            pipe->drained = true; /* it can be forgotten now: at the next look */
            store_relaxed(&s->bell.page->changed, 1);
        }
        return 0;
    }
    if (unlikely(pipe_error_passes(result)))
        return result;
    if (unlikely(result < 0) && s->auth == NULL) {
        pipe_break(pipe);
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

int in_begin_gone(struct shm_socket *s)
{
    for (uint32_t i = 0; unlikely(s->pipes.draining > 0) && i < s->pipes.count; i++)
        if (s->pipes.list[i]->state == PIPE_GONE) {
            int result = in_begin(s, s->pipes.list[i]);
            if (result != 0)
                return result;
        }
    return 0;
}

int in_begin_fair(struct shm_socket *s)
{
    uint32_t count = s->pipes.count;
    int gone = in_begin_gone(s);
    if (gone != 0)
        return gone;
    uint32_t next = s->pipes.receive_next;
    for (uint32_t i = 0; i < count; i++) {
        if (next >= count)
            next = 0;
        struct pipe *pipe = s->pipes.list[next++];
        int result = in_begin(s, pipe);
        if (result != 0) {
            s->pipes.receive_next = next;
            return result;
        }
    }
    return 0;
}

void socket_adopt(struct shm_socket *s)
{
    for (uint32_t i = 0; i < s->pipes.count; i++)
        s->pipes.list[i]->adopt_due = s->pipes.list[i]->has_in && s->pipes.list[i]->in.kind == RING_SPMC;
}

/* ---- its parts ---- */

int in_next(struct shm_socket *s, struct part *part)
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
    if (taken->size - in->at < PART_HEADER) /* without a part it would never end, and nothing come after it */
        return -EPROTO;
    peer_copy(&word, taken->bytes + in->at, sizeof word); /* once: it may change under us */
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

void pipe_skip_to_head(struct pipe *pipe)
{
    ring_in_skip_to_head(&pipe->in);
    if (pipe->record != NULL)
        store_relaxed(&pipe->record->tail, pipe->in.tail); /* private: hazards keep blocks, not the tail */
}

void pipe_end_read(struct pipe *pipe)
{
    if (pipe->unannounced == 0)
        return;
    pipe->unannounced = 0;
    fence_seq_cst(); /* S1 is the store of the tail */
    if (pipe->state == PIPE_UP && bell_ring(&pipe->peer->bell))
        stat_add(pipe->socket, STAT_WAKES, 1);
}

/* The sender's slots are given back one by one; looking after its sleep is done once per quarter of
 * its mark, and whenever the ring is found empty. */
static void advance(struct pipe *pipe)
{
    struct ring_in *ring = &pipe->in;
    ring->tail = pipe->socket->rx.message.taken.ticket + 1;
    if (pipe->record == NULL)
        return;
    store_release(&pipe->record->tail, ring->tail); /* R3 */
    store_relaxed(&pipe->record->received, ++pipe->received);
    if (++pipe->unannounced >= pipe->announce_every)
        pipe_end_read(pipe);
}

void in_end(struct shm_socket *s)
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
        struct claims *claims = pipe->in.claims;
        claims_done(&claims->words[taken->ticket & pipe->in.mask], taken->ticket, claims->owner); /* C2 */
        if (bell_ring(&pipe->peer->bell))
            stat_add(s, STAT_WAKES, 1);
    }
    if (taken->protected)
        hazard_clear(&s->hazards, HAZARD_IN_HAND);
    in->ref = NULL;
}

void in_leave(struct shm_socket *s)
{
    if (s->rx.message.given) {
        in_end(s);
        return;
    }
    session_untake(s->rx.message.pipe, &s->rx.message.taken);
    put_back(s);
}

int in_fail(struct shm_socket *s, int error)
{
    struct pipe *pipe = s->rx.message.pipe;
    if (pipe_error_passes(error)) {
        put_back(s);
        return error;
    }
    in_end(s);
    pipe_break(pipe);
    return -EPROTO;
}

/* ---- views ---- */

/* The peer's references are counted in two words, so that taking one needs no locked instruction. */
static void keep_peer(struct view_ref *ref, struct peer *peer)
{
    ref->peer = peer;
    peer->taken++;
}

void view_ref_release(struct view_ref *ref)
{
    /* The last one leaves the count at 1 until all is done: 0 means free. Nobody can race for it. */
    int refs;
    while ((refs = atomic_load_explicit(&ref->refs, memory_order_acquire)) > 1)
        if (atomic_compare_exchange_weak_explicit(&ref->refs, &refs, refs - 1, memory_order_release,
                                                  memory_order_relaxed))
            return;
    struct peer *peer = ref->peer;
    struct shm_socket *s = peer->socket;
    if (ref->claim != NULL) {
        claims_done(ref->claim, ref->ticket, ref->owner); /* C2 */
        bell_ring(&peer->bell);
    } else {
        hazard_clear(&s->hazards, (unsigned)(ref - s->view_refs));
    }
    atomic_store_explicit(&ref->refs, 0, memory_order_release); /* free for the next */
    peer_release(peer);
}

static struct view_ref *unused_view_ref(struct shm_socket *s)
{
    for (int i = HAZARD_IN_HAND + 1; i < SEGMENT_HAZARDS; i++)
        if (atomic_load_explicit(&s->view_refs[i].refs, memory_order_acquire) == 0)
            return &s->view_refs[i];
    return NULL;
}

struct view_ref *view_ref_block(struct pipe *pipe, uint64_t offset)
{
    struct shm_socket *s = pipe->socket;
    struct view_ref *ref = unused_view_ref(s);
    if (ref == NULL)
        return NULL;
    ref->claim = NULL;
    keep_peer(ref, pipe->peer);
    atomic_store_explicit(&ref->refs, 1, memory_order_relaxed);
    hazard_set(&s->hazards, (unsigned)(ref - s->view_refs), hazard_word(pipe->hazard_tag, offset));
    return ref;
}

static struct view_ref *view_ref_claim(struct pipe *pipe, uint64_t ticket)
{
    struct view_ref *ref = unused_view_ref(pipe->socket);
    if (ref == NULL)
        return NULL;
    ref->claim = &pipe->in.claims->words[ticket & pipe->in.mask];
    ref->ticket = ticket;
    ref->owner = pipe->in.claims->owner;
    keep_peer(ref, pipe->peer);
    atomic_store_explicit(&ref->refs, 1, memory_order_relaxed);
    return ref;
}

/* What keeps the current message; NULL: all places are taken. */
static struct view_ref *make_view_ref(struct shm_socket *s)
{
    struct incoming *in = &s->rx.message;
    if (in->pipe->in.kind == RING_SPMC)
        return view_ref_claim(in->pipe, in->taken.ticket);
    if (in->pipe->in.kind == RING_BROADCAST && !in->taken.protected)
        return NULL;
    return view_ref_block(in->pipe, in->taken.offset);
}

struct view_ref *in_view_ref(struct shm_socket *s)
{
    struct incoming *in = &s->rx.message;
    if (in->ref == NULL)
        in->ref = make_view_ref(s);
    if (in->ref != NULL)
        atomic_fetch_add_explicit(&in->ref->refs, 1, memory_order_relaxed);
    return in->ref;
}
