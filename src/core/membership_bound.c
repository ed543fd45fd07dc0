/* SPDX-License-Identifier: MIT */
/* The binder's side of a membership: accept or reject each connector, and settle what earlier binders left behind. */
#include <stdlib.h>
#include <string.h>

#include "core/event.h"
#include "core/membership.h"
#include "core/peer.h"
#include "core/pipe.h"
#include "core/rx.h"
#include "core/session.h"

static int make_places(struct membership *membership, uint32_t high)
{
    if (high <= membership->capacity)
        return 0;
    uint32_t capacity = high < 16 ? 16 : 2 * high;
    struct pipe **pipes = realloc(membership->pipes, capacity * sizeof(struct pipe *));
    if (pipes == NULL)
        return -ENOMEM;
    membership->pipes = pipes;
    uint64_t *rejected = realloc(membership->rejected, capacity * sizeof *rejected);
    if (rejected == NULL)
        return -ENOMEM;
    membership->rejected = rejected;
    memset(pipes + membership->capacity, 0, (capacity - membership->capacity) * sizeof(struct pipe *));
    memset(rejected + membership->capacity, 0, (capacity - membership->capacity) * sizeof *rejected);
    membership->capacity = capacity;
    return 0;
}

/* The accept record in SLOT is about to be overwritten. Forget the binder that wrote it, but only after the whole pass
 * or when another binder's record turns up: forgetting scans all slots, and most records are the same binder's. */
static void overwrite(struct shm_socket *s, struct membership *membership, uint32_t slot)
{
    struct accepted before;
    if (!endpoint_accept_read(&membership->endpoint, slot, &before))
        return;
    if (membership->has_overwritten && memcmp(membership->overwritten, before.binder_id, sizeof before.binder_id) != 0)
        membership_forget_binder(s, membership->endpoint.file, membership->overwritten);
    memcpy(membership->overwritten, before.binder_id, sizeof before.binder_id);
    membership->has_overwritten = true;
}

static void forget_overwritten(struct shm_socket *s, struct membership *membership)
{
    if (membership->has_overwritten)
        membership_forget_binder(s, membership->endpoint.file, membership->overwritten);
    membership->has_overwritten = false;
}

/* Write the accept record. RESUME: how far the connector's ring was read, when no pipe record of ours tells. */
static void answer(struct membership *membership, uint32_t slot, const struct member *peer, uint64_t verdict,
                   uint64_t pipe_offset, uint64_t resume, struct shm_socket *s)
{
    struct accepted words = {.peer_gen = peer->gen,
                           .binder_gen = membership->gen,
                           .verdict = verdict,
                           .pipe_offset = pipe_offset,
                           .resume = resume};
    memcpy(words.binder_id, s->segment.header->id, sizeof words.binder_id);
    overwrite(s, membership, slot);
    endpoint_accept_write(&membership->endpoint, slot, &words);
}

/* The connector died, and nobody needs its messages or its accept record. */
static void clear_place(struct shm_socket *s, struct membership *membership, uint32_t slot, const struct member *peer)
{
    overwrite(s, membership, slot);
    endpoint_clear(&membership->endpoint, slot);
    remote_unnamed(s->store, membership->endpoint.file, slot, peer->id_hex);
}

static void reject(struct shm_socket *s, struct membership *membership, uint32_t slot, const struct member *peer,
                   uint64_t resume, int why)
{
    struct pipe unlinked = {.member = *peer, .membership = membership};
    bool unauthenticated = why == -EBADMSG;
    membership->rejected[slot] = unauthenticated || why == -EPROTO ? for_good(peer->gen) : peer->gen;
    answer(membership, slot, peer, unauthenticated ? VERDICT_UNTRUSTED : VERDICT_REJECTED, 0, resume, s);
    peer_notify(s, peer->id_hex);
    if (unauthenticated)
        session_report(s, &unlinked);
    else
        event_push(s, SHM_EVENT_REJECTED, &unlinked, NULL, 0);
}

/* Find where an earlier binder stopped reading this connector's ring; 0 if there was none. Negative: out of memory or
 * descriptors, try again. */
static int resume_point(struct shm_socket *s, struct membership *membership, uint32_t slot, const struct member *peer,
                        uint64_t *resume)
{
    struct accepted old;
    struct remote *dead;
    char id_hex[2 * SEGMENT_ID_SIZE + 1];

    *resume = 0;
    if (!endpoint_accept_read(&membership->endpoint, slot, &old) || old.peer_gen != peer->gen)
        return 0;
    if (old.resume != UINT64_MAX) {
        *resume = old.resume;
        return 0;
    }
    if (old.verdict != VERDICT_ACCEPTED)
        return 0;
    /* It died without noting that in the accept record; its pipe record still tells. */
    segment_id_hex(id_hex, old.binder_id);
    int error = remote_open(&dead, s->store, id_hex);
    if (error < 0)
        return error_passes(error) ? error : 0;
    const struct pipe_record *record = record_at(dead, old.pipe_offset);
    if (record != NULL && !record_tail(record, pipe_token(peer->id, peer->pipe_offset), resume))
        *resume = 0;
    error = record == NULL ? dead->shortage : 0;
    dead->is_needed = true; /* connectors in other slots may still look at it */
    remote_close(dead);
    return error;
}

/* Did an earlier binder leave something that its connector must see: unread messages, or views of the connector's
 * memory? relaxed: we have taken over its life lock, which makes all of its stores visible. */
static bool is_to_be_seen(struct remote *binder, const struct accepted *said)
{
    const struct pipe_record *record = record_at(binder, said->pipe_offset);
    if (record == NULL)
        return false;
    if (said->resume != UINT64_MAX && hazards_any(binder->header, peer_u32_once(&record->hazard_tag)))
        return true; /* it left, but may hold views; a dead binder's hazard words protect nothing */
    uint64_t offset = peer_u64(&record->ring_offset);
    const struct ring_header *ring =
        offset != 0 && offset % 64 == 0 ? remote_at(binder, offset, sizeof *ring) : NULL;
    return ring != NULL &&
           peer_u64(&ring->head) > peer_u64(&record->start);
}

/*
 * An earlier binder accepted this connector, sent to it or holds views of its memory, and went before the connector
 * looked. Our accept record would replace that binder's and lose its messages. So wake the connector first: it meets
 * the earlier binder, notes that in its pipe record and wakes us. Also true if memory is too short to find out.
 */
static bool has_to_look_first(struct shm_socket *s, struct membership *membership, uint32_t slot,
                              const struct member *peer)
{
    struct accepted old;
    struct remote *before, *connector;
    char id_hex[2 * SEGMENT_ID_SIZE + 1];
    bool looked = true, is_short;

    if (!endpoint_accept_read(&membership->endpoint, slot, &old) || old.peer_gen != peer->gen ||
        old.verdict != VERDICT_ACCEPTED || old.binder_gen == membership->gen)
        return false;
    segment_id_hex(id_hex, old.binder_id);
    int error = remote_open(&before, s->store, id_hex);
    if (error < 0) {
        membership->look_again = membership->look_again || error_passes(error);
        return error_passes(error);
    }
    error = remote_open(&connector, s->store, peer->id_hex);
    is_short = error_passes(error);
    if (error == 0) {
        const struct pipe_record *record = record_at(connector, peer->pipe_offset);
        is_short = record == NULL && connector->shortage < 0;
        if (record != NULL)
            looked = peer_u64_acquire(&record->last_connected) ==
                     pipe_token(old.binder_id, old.pipe_offset);
        remote_met_at(connector, membership->endpoint.file, slot);
        remote_close(connector);
    }
    /* Only if the connector has not looked: otherwise the earlier binder, if alive, may have freed its ring. */
    if (!looked && !is_to_be_seen(before, &old)) {
        looked = true; /* nothing to see */
        is_short = before->shortage < 0;
    }
    before->is_needed = true; /* its files go when our accept record replaces the last one that names it */
    remote_close(before);
    if (!is_short && (looked || !endpoint_connector_lives(&membership->endpoint, slot)))
        return false;
    membership->look_again = true;
    if (!is_short)
        peer_notify(s, peer->id_hex);
    return true;
}

/*
 * A leaving connector first retracts its endpoint record, then frees its memory. So before we call invalid memory a
 * protocol error, check that the same connector is still announced. The seqlock's fence (endpoint.c: between the record
 * and its generation) orders this check after our reads of that memory.
 */
static bool connector_stays(struct membership *membership, uint32_t slot, uint64_t gen)
{
    struct member now;
    return endpoint_connector(&membership->endpoint, slot, &now) == 1 && now.gen == gen;
}

/* At each look: check for the peer's ring and verify its proof. */
static void look_at(struct shm_socket *s, struct pipe *pipe)
{
    struct membership *membership = pipe->membership;
    struct member peer = pipe->member;
    int error = pipe_renew(pipe);
    if (error >= 0 || !connector_stays(membership, pipe->slot, peer.gen))
        return;
    if (error_passes(error)) {
        membership->look_again = true;
    } else if (error == -EBADMSG || error == -EEXIST) {
        reject(s, membership, pipe->slot, &peer, load_relaxed(&pipe->record->tail), error);
        membership->rejected[pipe->slot] = for_good(peer.gen); /* it has seen itself accepted: never retry */
        pipe_turn_away(pipe);
    } else {
        pipe_break(pipe);
    }
}

static void accept_peer(struct shm_socket *s, struct membership *membership, uint32_t slot, const struct member *peer)
{
    struct pipe *pipe;

    bool again = membership->rejected[slot] == peer->gen;
    bool fits = kind_fits(s->kind, peer->type);
    if (membership->rejected[slot] == for_good(peer->gen) || (again && !fits)) {
        if (!endpoint_connector_lives(&membership->endpoint, slot))
            clear_place(s, membership, slot, peer);
        return;
    }
    if (again && !s->kind->retries)
        return;
    bool unwanted = !fits || (s->kind->one_peer && membership_has_partner(s));
    if ((unwanted && again) || has_to_look_first(s, membership, slot, peer))
        return;
    uint64_t resume;
    int error = resume_point(s, membership, slot, peer, &resume);
    if (error == 0 && unwanted) {
        reject(s, membership, slot, peer, resume, 0);
        return;
    }
    if (error < 0 || pipe_new(&pipe, s, membership, slot, (int)peer->type) < 0) {
        membership->look_again = true; /* out of memory or descriptors */
        return;
    }
    error = pipe_meet_peer(pipe, peer, peer->pipe_offset, resume);
    if (error < 0) {
        bool left = (error == -EPROTO || error == -EBADMSG) && !connector_stays(membership, slot, peer->gen);
        if (error == -EPROTO && !left)
            stat_add(s, STAT_PROTOCOL_ERRORS, 1);
        pipe->membership = NULL;
        pipe_free(pipe);
        if (left)
            return;
        if (error == -EEXIST || error == -EPROTO || error == -EBADMSG) {
            if (!again)
                reject(s, membership, slot, peer, resume, error);
        } else if (!error_passes(error) && !endpoint_connector_lives(&membership->endpoint, slot))
            clear_place(s, membership, slot, peer);
        else
            membership->look_again = true; /* out of memory or descriptors: keep even a dead connector's messages */
        return;
    }
    membership->pipes[slot] = pipe;
    answer(membership, slot, peer, VERDICT_ACCEPTED, pipe->record_block->offset, UINT64_MAX, s);
    pipe_notify(pipe);
    if (!endpoint_connector_lives(&membership->endpoint, slot))
        pipe_gone(pipe, true);
}

void membership_sync_bound(struct shm_socket *s, struct membership *membership)
{
    uint32_t high = endpoint_high(&membership->endpoint);
    struct member peer;

    membership->look_again = true;
    if (make_places(membership, high) < 0)
        return;
    membership->look_again = membership->endpoint.is_short;
    for (uint32_t slot = 0; slot < high; slot++) {
        struct pipe *pipe = membership->pipes[slot];
        bool present = endpoint_connector(&membership->endpoint, slot, &peer) == 1;
        if (pipe != NULL && (!present || peer.gen != pipe->member.gen)) {
            if (pipe_has_met(pipe) && !membership_can_go(pipe))
                continue;
            pipe_gone(pipe, true); /* it died, unless its pipe record says that it left */
            pipe->membership = NULL;
            membership->pipes[slot] = pipe = NULL;
        }
        if (pipe == NULL && present)
            accept_peer(s, membership, slot, &peer);
        else if (pipe != NULL && pipe_has_met(pipe))
            look_at(s, pipe);
    }
    forget_overwritten(s, membership);
}

/* ---- coming and leaving ---- */

/* Clear the slots of connectors that died while no binder was there to notice. */
static void clear_dead_connectors(struct shm_socket *s, struct membership *membership)
{
    struct member peer;
    for (uint32_t slot = 0; slot < endpoint_high(&membership->endpoint); slot++) {
        if (endpoint_connector(&membership->endpoint, slot, &peer) != 1 ||
            endpoint_connector_lives(&membership->endpoint, slot))
            continue;
        clear_place(s, membership, slot, &peer);
    }
}

int membership_join_bound(struct shm_socket *s, struct membership *membership, const char *name)
{
    int error = endpoint_bind(&membership->endpoint, s->store, name);
    if (error < 0)
        return error;
    error = make_places(membership, 16);
    if (error < 0) {
        endpoint_leave(&membership->endpoint, true);
        return error;
    }
    struct member before;
    bool had_one = endpoint_binder(&membership->endpoint, &before) == 1;
    clear_dead_connectors(s, membership);
    endpoint_announce(&membership->endpoint, s->segment.header->id, (uint32_t)s->type, 0);
    membership->gen = endpoint_gen(&membership->endpoint);
    membership->next = s->memberships;
    s->memberships = membership;
    event_push(s, SHM_EVENT_BOUND, NULL, name, 0);
    membership_sync_bound(s, membership);
    if (had_one) /* removes its files, unless a connector has yet to look at them */
        remote_unnamed(s->store, membership->endpoint.file, ANY_PLACE, before.id_hex);
    return 0;
}

void membership_leave_bound(struct shm_socket *s, struct membership *membership)
{
    struct member peer;
    for (uint32_t slot = 0; slot < membership->capacity; slot++) {
        struct pipe *pipe = membership->pipes[slot];
        if (pipe == NULL)
            continue;
        if (s->rx.message.pipe == pipe)
            rx_leave(s); /* this may move the tail that is published below */
        if (pipe_has_met(pipe) && endpoint_connector(&membership->endpoint, slot, &peer)) {
            struct accepted words;
            if (endpoint_accept_read(&membership->endpoint, slot, &words)) {
                words.resume = load_relaxed(&pipe->record->tail);
                endpoint_accept_write(&membership->endpoint, slot, &words);
            }
        }
        /* The connector moves on to the next binder and drains our ring meanwhile. It publishes no tail for that, so
         * an unread ring must stay until the socket closes. */
        pipe->sticky = pipe_has_unread(pipe);
        pipe_leave(pipe);
        pipe->membership = NULL;
    }
    endpoint_leave(&membership->endpoint, true);
}
