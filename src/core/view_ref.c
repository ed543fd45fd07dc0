/* SPDX-License-Identifier: MIT */
#include "core/view_ref.h"

/* ---- the kinds ---- */

static void release_hazard(struct view_ref *ref)
{
    struct shm_socket *s = ref->peer->socket;
    hazard_clear(&s->hazards, (unsigned)(ref - s->view_refs));
}

static void release_claim(struct view_ref *ref)
{
    claims_done(ref->claim, ref->ticket, ref->owner); /* C2 */
    bell_ring(&ref->peer->bell);
}

static const struct view_kind by_hazard = {release_hazard}, by_claim = {release_claim};

/* ---- taking ---- */

/* The index of a free reference; 0: none is free. */
static inline unsigned unused(struct shm_socket *s)
{
    for (unsigned i = HAZARD_IN_HAND + 1; i < SEGMENT_HAZARDS; i++)
        if (atomic_load_explicit(&s->view_refs[i].refs, memory_order_acquire) == 0)
            return i;
    return 0;
}

static inline struct view_ref *take(struct view_ref *ref, const struct view_kind *kind, struct peer *peer)
{
    ref->kind = kind;
    ref->peer = peer;
    peer_take_view(peer);
    atomic_store_explicit(&ref->refs, 1, memory_order_relaxed);
    return ref;
}

struct view_ref *view_ref_block(struct pipe *pipe, uint64_t offset)
{
    struct shm_socket *s = pipe->socket;
    unsigned i = unused(s);
    if (i == 0)
        return NULL;
    hazard_set(&s->hazards, i, hazard_word(pipe->hazard_tag, offset));
    return take(&s->view_refs[i], &by_hazard, pipe->peer);
}

static struct view_ref *view_ref_claim(struct pipe *pipe, uint64_t ticket)
{
    unsigned i = unused(pipe->socket);
    if (i == 0)
        return NULL;
    struct view_ref *ref = take(&pipe->socket->view_refs[i], &by_claim, pipe->peer);
    ref->claim = &pipe->in.claims->words[ticket & pipe->in.mask];
    ref->ticket = ticket;
    ref->owner = pipe->in.claims->owner;
    return ref;
}

struct view_ref *view_ref_message(struct shm_socket *s)
{
    struct incoming *in = &s->rx.message;
    const struct ring_in *ring = &in->pipe->in;
    if (in->ref == NULL && ring->kind == RING_SPMC)
        in->ref = view_ref_claim(in->pipe, in->taken.ticket);
    else if (in->ref == NULL && (ring->kind != RING_BROADCAST || in->taken.protected))
        in->ref = view_ref_block(in->pipe, in->taken.offset);
    if (in->ref != NULL)
        atomic_fetch_add_explicit(&in->ref->refs, 1, memory_order_relaxed);
    return in->ref;
}

/* ---- releasing ---- */

void view_ref_release(struct view_ref *ref)
{
    /* 0 means free, so the last holder leaves the count at 1 until it has released all. Nobody else can change it. */
    int refs;
    while ((refs = atomic_load_explicit(&ref->refs, memory_order_acquire)) > 1)
        if (atomic_compare_exchange_weak_explicit(&ref->refs, &refs, refs - 1, memory_order_release,
                                                  memory_order_relaxed))
            return;
    struct peer *peer = ref->peer;
    ref->kind->release(ref);
    atomic_store_explicit(&ref->refs, 0, memory_order_release); /* free for the next */
    peer_release_view(peer);
}
