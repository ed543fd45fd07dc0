/* SPDX-License-Identifier: MIT */
/* Intake: messages on their way in. Taking, parts, letting go, views. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/message_layout.h"
#include "core/socket.h"
#include "core/trust.h"

/* ---- a message begins ---- */

static void count_lost(struct shm_socket *s, struct link *link)
{
    uint64_t lost = link->in.lost;
    link->in.lost = 0;
    stat_add(s, STAT_LOST, lost);
    if (link->record != NULL)
        count_add(&link->record->lost, lost);
    event_push(s, SHM_EVENT_LAPPED, link, NULL, lost);
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
 * The publisher does not know us yet and does not mind our pins: take a copy, which is good if the slot
 * still is what it was. 1; 0 it has to wait for the link; 2 the publisher was faster.
 */
static int copy_unpinned(struct shm_socket *s, struct link *link)
{
    struct incoming *in = &s->in;
    struct ring_taken *taken = &in->taken;
    if (!taken->is_block)
        return 1;
    pin_clear(&s->pins, PIN_IN_HAND);
    taken->pinned = false;
    uint64_t words = (taken->size + 7) / 8;
    if (words > in->copy_words) {
        uint64_t *larger = realloc(in->copy, 8 * words);
        if (larger == NULL)
            return 0;
        in->copy = larger;
        in->copy_words = words;
    }
    if (remote_read(link->in.remote, taken->offset, in->copy, taken->size) < 0)
        return 0;
    if (!ring_in_still(&link->in))
        return 2;
    taken->bytes = (const unsigned char *)in->copy;
    return taken->packed && has_blocks(in->copy, taken->size) ? 0 : 1;
}

static int take_early(struct shm_socket *s, struct link *link)
{
    int result = 2;
    for (int attempt = 0; attempt < 16 && result == 2; attempt++) {
        result = ring_in_take(&link->in, &s->in.taken, &s->pins, link->pin_tag);
        if (result == 1)
            result = copy_unpinned(s, link);
    }
    return result == 2 ? 0 : result;
}

static int take(struct shm_socket *s, struct link *link)
{
    struct ring_taken *taken = &s->in.taken;
    if (unlikely(link->adopt_due)) {
        int adopted = ring_in_adopt(&link->in, taken);
        if (adopted == 1 && !taken->redelivered)
            return adopted; /* its own, which it could not look at when it took it */
        /* No more than there are slots, should somebody go on claiming for the dead. */
        for (uint64_t n = 0; n < link->in.mask && adopted == 1 && !s->options.redeliver; n++) {
            claims_done(&link->in.claims->words[taken->ticket & link->in.mask], taken->ticket, link->in.claims->owner);
            stat_add(s, STAT_LOST, 1);
            adopted = ring_in_adopt(&link->in, taken);
        }
        if (adopted == 1)
            stat_add(s, STAT_REDELIVERED, 1);
        if (adopted != 0)
            return adopted;
        link->adopt_due = false;
    }
    if (unlikely(link->early) && link->in.kind == RING_PRIVATE)
        return take_early(s, link);
    int result = ring_in_take(&link->in, taken, &s->pins, link->pin_tag);
    if (unlikely(link->in.owed != 0))
        link->adopt_due = true;
    return result;
}

/* As if it had not begun. */
static void put_back(struct shm_socket *s)
{
    struct incoming *in = &s->in;
    if (in->link->in.kind == RING_SHARED) {
        ring_in_owe(&in->link->in, &in->taken);
        in->link->adopt_due = true;
    }
    if (in->taken.pinned)
        pin_clear(&s->pins, PIN_IN_HAND);
    in->active = false;
    in->link = NULL;
}

/* With a key: what was taken holds, or is gone. What cannot even be located does not hold. */
static int authenticate(struct shm_socket *s, struct link *link, int result)
{
    struct incoming *in = &s->in;
    if (result > 0)
        result = trust_open(s, link, &in->taken);
    if (result >= 0)
        return 1;
    if (link_error_passes(result)) {
        put_back(s);
        return result;
    }
    stat_add(s, STAT_AUTH_FAILED, 1);
    in_end(s);
    return -EBADMSG;
}

int in_begin(struct shm_socket *s, struct link *link)
{
    if (!link->has_in)
        return 0;
    int result = take(s, link);
    if (unlikely(link->in.lost != 0))
        count_lost(s, link);
    if (result == 0) {
        link_end_read(link);
        if (unlikely(link->state == LINK_GONE) && !link->drained) {
            link->drained = true; /* it can be forgotten now: at the next look */
            store_relaxed(&s->bell.page->attention, 1);
        }
        return 0;
    }
    if (unlikely(link_error_passes(result)))
        return result;
    if (unlikely(result < 0) && s->trust == NULL) {
        link_break(link);
        return -EPROTO;
    }
    struct incoming *in = &s->in;
    in->active = true;
    in->given = false;
    in->link = link;
    in->at = 0;
    in->hold = NULL;
    return likely(s->trust == NULL) ? 1 : authenticate(s, link, result);
}

int in_begin_gone(struct shm_socket *s)
{
    for (uint32_t i = 0; unlikely(s->gone_count > 0) && i < s->link_count; i++)
        if (s->links[i]->state == LINK_GONE) {
            int result = in_begin(s, s->links[i]);
            if (result != 0)
                return result;
        }
    return 0;
}

int in_begin_fair(struct shm_socket *s)
{
    uint32_t count = s->link_count;
    int gone = in_begin_gone(s);
    if (gone != 0)
        return gone;
    uint32_t next = s->receive_next;
    for (uint32_t i = 0; i < count; i++) {
        if (next >= count)
            next = 0;
        struct link *link = s->links[next++];
        int result = in_begin(s, link);
        if (result != 0) {
            s->receive_next = next;
            return result;
        }
    }
    return 0;
}

void socket_adopt(struct shm_socket *s)
{
    for (uint32_t i = 0; i < s->link_count; i++)
        s->links[i]->adopt_due = s->links[i]->has_in && s->links[i]->in.kind == RING_SHARED;
}

/* ---- its parts ---- */

int in_next(struct shm_socket *s, struct part *part)
{
    struct incoming *in = &s->in;
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
        if (left < sizeof offset || s->trust != NULL)
            return -EPROTO;
        peer_copy(&offset, taken->bytes + in->at + PART_HEADER, sizeof offset);
        struct remote *remote = in->link->in.remote;
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

void link_skip_to_head(struct link *link)
{
    ring_in_skip_to_head(&link->in);
    if (link->record != NULL)
        store_relaxed(&link->record->tail, link->in.tail); /* private: pins keep blocks, not the tail */
}

void link_end_read(struct link *link)
{
    if (link->unannounced == 0)
        return;
    link->unannounced = 0;
    fence_seq_cst(); /* S1 is the store of the tail */
    if (link->state == LINK_UP && bell_ring(&link->peer->bell))
        stat_add(link->socket, STAT_WAKES, 1);
}

/* The sender's slots are given back one by one; looking after its sleep is done once per quarter of
 * its mark, and whenever the ring is found empty. */
static void advance(struct link *link)
{
    struct ring_in *ring = &link->in;
    ring->tail = link->socket->in.taken.ticket + 1;
    if (link->record == NULL)
        return;
    store_release(&link->record->tail, ring->tail); /* R3 */
    store_relaxed(&link->record->received, ++link->received);
    if (++link->unannounced >= link->announce_every)
        link_end_read(link);
}

void in_end(struct shm_socket *s)
{
    struct incoming *in = &s->in;
    struct link *link = in->link;
    struct ring_taken *taken = &in->taken;

    in->active = false;
    in->link = NULL;
    if (link->in.kind != RING_SHARED)
        advance(link);
    if (link->in.kind == RING_SHARED && link->record != NULL)
        store_relaxed(&link->record->received, ++link->received);
    if (in->hold != NULL) {
        hold_release(in->hold);
    } else if (link->in.kind == RING_SHARED) {
        struct claims *claims = link->in.claims;
        claims_done(&claims->words[taken->ticket & link->in.mask], taken->ticket, claims->owner); /* C2 */
        if (bell_ring(&link->peer->bell))
            stat_add(s, STAT_WAKES, 1);
    }
    if (taken->pinned)
        pin_clear(&s->pins, PIN_IN_HAND);
    in->hold = NULL;
}

void in_leave(struct shm_socket *s)
{
    if (s->in.given) {
        in_end(s);
        return;
    }
    trust_untake(s->in.link, &s->in.taken);
    put_back(s);
}

int in_fail(struct shm_socket *s, int error)
{
    struct link *link = s->in.link;
    if (link_error_passes(error)) {
        put_back(s);
        return error;
    }
    in_end(s);
    link_break(link);
    return -EPROTO;
}

/* ---- views ---- */

/* The peer's references are counted in two words, so that taking one needs no locked instruction. */
static void keep_peer(struct hold *hold, struct peer *peer)
{
    hold->peer = peer;
    peer->taken++;
}

void hold_release(struct hold *hold)
{
    /* The last one leaves the count at 1 until all is done: 0 means free. Nobody can race for it. */
    int refs;
    while ((refs = atomic_load_explicit(&hold->refs, memory_order_acquire)) > 1)
        if (atomic_compare_exchange_weak_explicit(&hold->refs, &refs, refs - 1, memory_order_release,
                                                  memory_order_relaxed))
            return;
    struct peer *peer = hold->peer;
    struct shm_socket *s = peer->socket;
    if (hold->claim != NULL) {
        claims_done(hold->claim, hold->ticket, hold->owner); /* C2 */
        bell_ring(&peer->bell);
    } else {
        pin_clear(&s->pins, (unsigned)(hold - s->holds));
    }
    atomic_store_explicit(&hold->refs, 0, memory_order_release); /* free for the next */
    peer_release(peer);
}

static struct hold *free_hold(struct shm_socket *s)
{
    for (int i = PIN_IN_HAND + 1; i < SEGMENT_PINS; i++)
        if (atomic_load_explicit(&s->holds[i].refs, memory_order_acquire) == 0)
            return &s->holds[i];
    return NULL;
}

struct hold *hold_block(struct link *link, uint64_t offset)
{
    struct shm_socket *s = link->socket;
    struct hold *hold = free_hold(s);
    if (hold == NULL)
        return NULL;
    hold->claim = NULL;
    keep_peer(hold, link->peer);
    atomic_store_explicit(&hold->refs, 1, memory_order_relaxed);
    pin_set(&s->pins, (unsigned)(hold - s->holds), pin_word(link->pin_tag, offset));
    return hold;
}

static struct hold *hold_claim(struct link *link, uint64_t ticket)
{
    struct hold *hold = free_hold(link->socket);
    if (hold == NULL)
        return NULL;
    hold->claim = &link->in.claims->words[ticket & link->in.mask];
    hold->ticket = ticket;
    hold->owner = link->in.claims->owner;
    keep_peer(hold, link->peer);
    atomic_store_explicit(&hold->refs, 1, memory_order_relaxed);
    return hold;
}

/* What keeps the current message; NULL: all places are taken. */
static struct hold *make_hold(struct shm_socket *s)
{
    struct incoming *in = &s->in;
    if (in->link->in.kind == RING_SHARED)
        return hold_claim(in->link, in->taken.ticket);
    if (in->link->in.kind == RING_PRIVATE && !in->taken.pinned)
        return NULL;
    return hold_block(in->link, in->taken.offset);
}

struct hold *in_hold(struct shm_socket *s)
{
    struct incoming *in = &s->in;
    if (in->hold == NULL)
        in->hold = make_hold(s);
    if (in->hold != NULL)
        atomic_fetch_add_explicit(&in->hold->refs, 1, memory_order_relaxed);
    return in->hold;
}
