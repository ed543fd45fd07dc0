/* SPDX-License-Identifier: MIT */
#include "core/view_ref.h"

#include "core/event.h"

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

/* relaxed: it only counts. */
static void release_share(struct view_ref *ref)
{
    release_hazard(ref);
    atomic_fetch_sub_explicit(&ref->peer->viewed, ref->bytes, memory_order_relaxed);
}

static const struct view_kind by_hazard = {release_hazard}, by_claim = {release_claim}, by_share = {release_share};

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

/*
 * A publisher never waits, so what views keep of its memory has a bound: each reader's share, which leaves it enough to
 * go on with. A reader whose share is used up gets copies; one message of any size may always be viewed.
 */
static struct view_ref *view_ref_shared(struct shm_socket *s, uint64_t size)
{
    struct incoming *in = &s->rx.message;
    struct peer *peer = in->pipe->peer;
    uint64_t viewed = atomic_load_explicit(&peer->viewed, memory_order_relaxed);
    uint64_t share = peer_u64(&in->pipe->in.header->view_share); /* a number that stands for itself */
    bool used_up = share != 0 && viewed != 0 && (viewed > share || size > share - viewed);
    if (used_up && !peer->share_used)
        event_push(s, SHM_EVENT_SHARE_USED, in->pipe, NULL, share);
    peer->share_used = used_up;
    if (!in->taken.protected || used_up)
        return NULL;
    if (in->ref == NULL && (in->ref = view_ref_block(in->pipe, in->taken.offset)) != NULL) {
        in->ref->kind = &by_share;
        in->ref->bytes = 0;
    }
    if (in->ref != NULL) {
        in->ref->bytes += size;
        atomic_fetch_add_explicit(&peer->viewed, size, memory_order_relaxed);
    }
    return in->ref;
}

struct view_ref *view_ref_message(struct shm_socket *s, uint64_t size)
{
    struct incoming *in = &s->rx.message;
    struct view_ref *ref = in->ref;
    if (in->pipe->in.kind == RING_BROADCAST)
        ref = view_ref_shared(s, size);
    else if (ref == NULL)
        ref = in->ref = in->pipe->in.kind == RING_SPMC ? view_ref_claim(in->pipe, in->taken.ticket)
                                                       : view_ref_block(in->pipe, in->taken.offset);
    if (ref != NULL)
        atomic_fetch_add_explicit(&ref->refs, 1, memory_order_relaxed);
    return ref;
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
