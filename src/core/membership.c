/* SPDX-License-Identifier: MIT */
/*
 * Attachments: a socket's places at endpoints, and how it keeps up with who comes and goes there.
 *
 * Whoever changes something at an endpoint sets `changed` in the bells of those whom it concerns; the
 * next call on such a socket compares the endpoint's table with its pipes (socket_sync). Deaths do
 * not announce themselves: socket_check_peers asks the kernel about the life locks, whenever a sleep
 * lasts a slice, while spinning, and now and then while polling.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/pipe.h"
#include "core/session.h"

/* ---- the binder's side ---- */

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

/* Nobody is led by ID's name here any more, unless it is ours. */
static void forget_binder(struct shm_socket *s, const char *file, const uint8_t *id)
{
    char id_hex[2 * SEGMENT_ID_SIZE + 1];
    if (memcmp(id, s->segment.header->id, SEGMENT_ID_SIZE) == 0)
        return;
    segment_id_hex(id_hex, id);
    remote_unnamed(s->directory, file, ANY_PLACE, id_hex);
}

/* The answer in this place is about to be written over: its binder is forgotten once all places have been looked at, or
 * another one's turns up. (Mostly all are one's, and to look for its name goes through all places.) */
static void overwrite(struct shm_socket *s, struct membership *membership, uint32_t slot)
{
    struct accepted before;
    if (!endpoint_accept_read(&membership->endpoint, slot, &before))
        return;
    if (membership->has_overwritten && memcmp(membership->overwritten, before.binder_id, sizeof before.binder_id) != 0)
        forget_binder(s, membership->endpoint.file, membership->overwritten);
    memcpy(membership->overwritten, before.binder_id, sizeof before.binder_id);
    membership->has_overwritten = true;
}

static void forget_overwritten(struct shm_socket *s, struct membership *membership)
{
    if (membership->has_overwritten)
        forget_binder(s, membership->endpoint.file, membership->overwritten);
    membership->has_overwritten = false;
}

/* RESUME: how far the connector's ring has been read before, if a record of ours does not say. */
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

/* A connector died, and nobody needs what it sent or was told. */
static void clear_place(struct shm_socket *s, struct membership *membership, uint32_t slot, const struct member *peer)
{
    overwrite(s, membership, slot);
    endpoint_clear(&membership->endpoint, slot);
    remote_unnamed(s->directory, membership->endpoint.file, slot, peer->id_hex);
}

static void reject(struct shm_socket *s, struct membership *membership, uint32_t slot, const struct member *peer,
                   uint64_t resume, int why)
{
    struct pipe unlinked = {.member = *peer, .membership = membership};
    bool unauthenticated = why == -EBADMSG;
    membership->rejected[slot] = unauthenticated || why == -EPROTO ? for_good(peer->gen) : peer->gen;
    answer(membership, slot, peer, unauthenticated ? VERDICT_UNTRUSTED : VERDICT_REJECTED, 0, resume, s);
    notify_member(s, peer->id_hex);
    if (unauthenticated)
        session_report(s, &unlinked);
    else
        event_push(s, SHM_EVENT_REJECTED, &unlinked, NULL, 0);
}

/* Where did a binder before us stop reading this connector's ring? 0 if there was none; below 0: that
 * cannot be found out now. */
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
    /* It died: its own pipe record says. */
    segment_id_hex(id_hex, old.binder_id);
    int error = remote_open(&dead, s->directory, id_hex);
    if (error < 0)
        return pipe_error_passes(error) ? error : 0;
    const struct pipe_record *record = record_at(dead, old.pipe_offset);
    if (record != NULL && !record_tail(record, pipe_token(peer->id, peer->pipe_offset), resume))
        *resume = 0;
    error = record == NULL ? dead->shortage : 0;
    dead->is_needed = true; /* by the connectors in other places */
    remote_close(dead);
    return error;
}

/* Has a binder before us something that its connector has to look at: messages, or views of the connector's
 * memory that outlive it? Relaxed, for its lock was ours to take, so all that it stored is here. */
static bool is_to_be_seen(struct remote *binder, const struct accepted *said)
{
    const struct pipe_record *record = record_at(binder, said->pipe_offset);
    if (record == NULL)
        return false;
    if (said->resume != UINT64_MAX && hazards_any(binder->header, peer_u32_once(&record->hazard_tag)))
        return true; /* the hazards of one that died are nobody's */
    uint64_t offset = peer_u64(&record->ring_offset);
    const struct ring_header *ring =
        offset != 0 && offset % 64 == 0 ? remote_at(binder, offset, sizeof *ring) : NULL;
    return ring != NULL &&
           peer_u64(&ring->head) > peer_u64(&record->start);
}

/*
 * A binder before us answered this connector, sent to it (or has views of what it had sent), and has gone, and
 * the connector has not come to look since. Our answer would hide that one for ever, and what was sent with it.
 * So the connector is told to look first; it says so in its record, and calls. (Or it cannot be found out now:
 * later, then.)
 */
static bool has_to_look_first(struct shm_socket *s, struct membership *membership, uint32_t slot, const struct member *peer)
{
    struct accepted old;
    struct remote *before, *connector;
    char id_hex[2 * SEGMENT_ID_SIZE + 1];
    bool looked = true, is_short;

    if (!endpoint_accept_read(&membership->endpoint, slot, &old) || old.peer_gen != peer->gen ||
        old.verdict != VERDICT_ACCEPTED || old.binder_gen == membership->gen)
        return false;
    segment_id_hex(id_hex, old.binder_id);
    int error = remote_open(&before, s->directory, id_hex);
    if (error < 0) {
        membership->look_again = membership->look_again || pipe_error_passes(error);
        return pipe_error_passes(error);
    }
    error = remote_open(&connector, s->directory, peer->id_hex);
    is_short = pipe_error_passes(error);
    if (error == 0) {
        const struct pipe_record *record = record_at(connector, peer->pipe_offset);
        is_short = record == NULL && connector->shortage < 0;
        if (record != NULL)
            looked = peer_u64_acquire(&record->last_connected) ==
                     pipe_token(old.binder_id, old.pipe_offset);
        remote_met_at(connector, membership->endpoint.file, slot);
        remote_close(connector);
    }
    /* Not of one who looked: the binder before us may live, and have given the memory of its ring back. */
    if (!looked && !is_to_be_seen(before, &old)) {
        looked = true; /* there is nothing to look at */
        is_short = before->shortage < 0;
    }
    before->is_needed = true; /* our answer takes its name away, and removes it */
    remote_close(before);
    if (!is_short && (looked || !endpoint_connector_lives(&membership->endpoint, slot)))
        return false;
    membership->look_again = true;
    if (!is_short)
        notify_member(s, peer->id_hex);
    return true;
}

/*
 * Who leaves takes its record back first and frees its memory then. So when that memory makes no sense,
 * look whether the one it was announced for is still there, before it is called a liar. The fence of that look
 * (endpoint.c: between the record and its generation) keeps it behind what was read of the memory.
 */
static bool connector_stays(struct membership *membership, uint32_t slot, uint64_t gen)
{
    struct member now;
    return endpoint_connector(&membership->endpoint, slot, &now) == 1 && now.gen == gen;
}

static bool binder_stays(struct membership *membership, uint64_t gen)
{
    struct member now;
    return endpoint_binder(&membership->endpoint, &now) == 1 && now.gen == gen;
}

/* A pipe that is up, at each look: has its ring come, does its proof hold? */
static void look_at(struct shm_socket *s, struct pipe *pipe)
{
    struct membership *membership = pipe->membership;
    struct member peer = pipe->member;
    int error = pipe_renew(pipe);
    bool stays = error >= 0 || (membership->bound ? connector_stays(membership, pipe->slot, peer.gen) : binder_stays(membership, peer.gen));
    if (!stays)
        return;
    if (pipe_error_passes(error)) {
        membership->look_again = true;
    } else if (error == -EBADMSG || error == -EEXIST) {
        if (membership->bound) {
            reject(s, membership, pipe->slot, &peer, load_relaxed(&pipe->record->tail), error);
            membership->rejected[pipe->slot] = for_good(peer.gen); /* it was linked to: no way back */
        } else {
            pipe->refused = peer.gen;
            session_report(s, pipe);
        }
        pipe_turn_away(pipe);
    } else if (error < 0) {
        pipe_break(pipe);
    }
}

/* The peer went. It may have begun, and sent, since we last looked: without memory or descriptors to see
 * that, and to go on reading it, the pipe stays as it is until there are some. */
static bool can_go(struct pipe *pipe)
{
    struct membership *membership = pipe->membership;
    if (membership == NULL)
        return true;
    bool can = (pipe->broken || pipe->has_in || !pipe_error_passes(pipe_renew(pipe))) &&
               (membership->bound || pipe_reserve(pipe) == 0);
    membership->look_again = membership->look_again || !can;
    return can;
}

static bool has_partner(const struct shm_socket *s)
{
    for (uint32_t i = 0; i < s->pipes.count; i++)
        if (s->pipes.list[i]->state == PIPE_UP || s->pipes.list[i]->state == PIPE_QUEUED)
            return true;
    return false;
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
    bool unwanted = !fits || (s->kind->one_peer && has_partner(s));
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
    error = pipe_up(pipe, peer, peer->pipe_offset, resume);
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
        } else if (!pipe_error_passes(error) && !endpoint_connector_lives(&membership->endpoint, slot))
            clear_place(s, membership, slot, peer);
        else
            membership->look_again = true; /* out of memory or descriptors: what a dead one sent is kept, too */
        return;
    }
    membership->pipes[slot] = pipe;
    answer(membership, slot, peer, VERDICT_ACCEPTED, pipe->record_block->offset, UINT64_MAX, s);
    pipe_notify(pipe);
    if (!endpoint_connector_lives(&membership->endpoint, slot))
        pipe_gone(pipe, true);
}

static void sync_bound(struct shm_socket *s, struct membership *membership)
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
            if (pipe->state == PIPE_UP && !can_go(pipe))
                continue;
            pipe_gone(pipe, true); /* by death, unless its record says that it left */
            pipe->membership = NULL;
            membership->pipes[slot] = pipe = NULL;
        }
        if (pipe == NULL && present)
            accept_peer(s, membership, slot, &peer);
        else if (pipe != NULL && pipe->state == PIPE_UP)
            look_at(s, pipe);
    }
    forget_overwritten(s, membership);
}

/* ---- the connector's side ---- */

/* A binder that left says how far it had read, though we may never have seen it. */
static void note_resume(struct pipe *pipe, uint64_t resume)
{
    struct ring_out *ring = &pipe->own_ring;
    if (pipe->out != ring || ring->kind != RING_SPSC || resume == UINT64_MAX || resume <= ring->acked ||
        resume > ring->head)
        return;
    ring->acked = resume;
    store_relaxed(&pipe->record->start, resume);
}

static void sync_connected(struct shm_socket *s, struct membership *membership)
{
    struct pipe *pipe = membership->pipes[0];
    struct member binder;
    struct accepted said;
    /* The answer first: then a binder that differs from the one who answered came after it. */
    bool answered = endpoint_accept_read(&membership->endpoint, membership->endpoint.slot, &said) == 1 &&
                    said.peer_gen == membership->gen;
    bool bound = endpoint_binder(&membership->endpoint, &binder) == 1;

    if (membership->untold)
        membership->untold = bound && !notify_member(s, binder.id_hex);
    membership->look_again = membership->untold;
    if (pipe->state == PIPE_UP && (!bound || binder.gen != pipe->member.gen)) {
        if (!can_go(pipe))
            return;
        pipe_gone(pipe, true);
    }
    if (pipe->state == PIPE_UP && answered && said.verdict != VERDICT_ACCEPTED && said.binder_gen == pipe->member.gen)
        pipe_turn_away(pipe); /* with a key: it found out only after it had answered */
    if (pipe->state == PIPE_UP) {
        look_at(s, pipe);
        return;
    }
    /* If it has answered before it went, it is gone on with from where we are, not read anew. */
    bool by_pre_accept = answered && said.verdict == VERDICT_ACCEPTED && said.binder_gen == pipe->member.gen;
    if (pipe->pre_accept && !by_pre_accept && (!bound || binder.gen != pipe->member.gen)) {
        if (!can_go(pipe))
            return;
        pipe_pre_accept_end(pipe, true);
    }
    if (answered && said.verdict == VERDICT_ACCEPTED && said.binder_gen == pipe->accepted_gen)
        note_resume(pipe, said.resume);
    if (!answered || (said.verdict == VERDICT_ACCEPTED && said.binder_gen == pipe->accepted_gen)) {
        if (bound && binder.gen != pipe->accepted_gen && !pipe->pre_accept && endpoint_binder_lives(&membership->endpoint))
            pipe_pre_accept(pipe, &binder);
        return;
    }
    if (pipe->pre_accept && (s->rx.message.pipe == pipe || pipe->in.owed != 0)) { /* a message is being read: once that is done */
        store_relaxed(&s->bell.page->changed, 1);
        return;
    }
    if (said.verdict != VERDICT_ACCEPTED) {
        struct pipe unlinked = {.member = binder, .membership = membership};
        if (pipe->rejected != said.gen && said.verdict != VERDICT_UNTRUSTED)
            event_push(s, SHM_EVENT_REJECTED, &unlinked, NULL, 0);
        else if (pipe->rejected != said.gen && pipe->refused != said.binder_gen) {
            pipe->refused = said.binder_gen;
            session_report(s, &unlinked);
        }
        pipe->rejected = said.gen;
        return;
    }
    struct peer *early = pipe_pre_accept_end(pipe, false);
    /* The answer counts also when the binder has gone since: it may have sent before that. */
    bool there = bound && binder.gen == said.binder_gen;
    struct member next = binder; /* who may be waiting for us to look at this one's answer */
    if (!there) {
        binder = (struct member){.gen = said.binder_gen};
        memcpy(binder.id, said.binder_id, sizeof binder.id);
        segment_id_hex(binder.id_hex, binder.id);
    }
    pipe->broken = false;
    int error = pipe_up(pipe, &binder, said.pipe_offset, 0);
    if (early != NULL)
        early->remote->is_needed = pipe_error_passes(error);
    peer_drop(early);
    if ((error == -EPROTO || error == -EBADMSG) && !binder_stays(membership, said.binder_gen))
        error = -ENOENT;
    else if (error == -ENOENT && there && endpoint_binder_lives(&membership->endpoint))
        error = -EAGAIN; /* it is there, so this passes */
    if (!pipe_error_passes(error)) {
        pipe->accepted_gen = said.binder_gen;
        note_resume(pipe, said.resume); /* not before: what it read may be freed now, but for its views */
    }
    if (error == -EBADMSG) { /* the binder will find the same, by our proof */
        pipe->refused = said.binder_gen;
        session_report(s, pipe);
        notify_member(s, binder.id_hex);
    }
    if (error == -EPROTO) {
        stat_add(s, STAT_PROTOCOL_ERRORS, 1);
        event_push(s, SHM_EVENT_BROKEN, pipe, NULL, 0);
    }
    if (error < 0 && pipe->accepted_gen == said.binder_gen) {
        store_release(&pipe->record->last_connected, pipe_token(said.binder_id, said.pipe_offset));
        if (error != -EEXIST) { /* else the next binder asks how far that one had read */
            endpoint_done(&membership->endpoint, said.binder_gen);
            forget_binder(s, membership->endpoint.file, said.binder_id);
        }
    }
    if (bound && !there && pipe->accepted_gen == said.binder_gen)
        membership->untold = !notify_member(s, next.id_hex);
    membership->look_again = membership->untold || (error < 0 && pipe->accepted_gen != said.binder_gen); /* out of memory or descriptors */
    if (error < 0)
        return;
    pipe_notify(pipe);
    if ((!there || !endpoint_binder_lives(&membership->endpoint)) && can_go(pipe))
        pipe_gone(pipe, true);
}

/* ---- looking ---- */

static void leave_handed(struct shm_socket *s);

static void sync_all(struct shm_socket *s)
{
    for (struct membership *membership = s->memberships; membership != NULL; membership = membership->next) {
        if (membership->bound)
            sync_bound(s, membership);
        else
            sync_connected(s, membership);
    }
    socket_free_pipes(s);
    leave_handed(s);
}

void socket_sync(struct shm_socket *s)
{
    fast_forget(s);
    store_relaxed(&s->bell.page->changed, 0); /* the fence orders it */
    fence_seq_cst();
    uint32_t before = s->pipes.count;
    sync_all(s);
    if (s->pipes.count != before)
        sync_all(s); /* a place that became free may be another's turn (PAIR) */
    socket_adopt(s);
}

/* Has the peer died, as far as the kernel knows? */
bool pipe_is_dead(struct pipe *pipe)
{
    struct membership *membership = pipe->membership;
    if (pipe->state == PIPE_UP && membership != NULL)
        return membership->bound ? !endpoint_connector_lives(&membership->endpoint, pipe->slot)
                             : !endpoint_binder_lives(&membership->endpoint);
    return pipe->peer != NULL && !segment_is_alive(directory_fd(pipe->socket->directory), pipe->member.id_hex);
}

/* Has the binder whose ring is read early answered? */
static bool is_answered(struct pipe *pipe)
{
    struct membership *membership = pipe->membership;
    struct accepted said;
    return endpoint_accept_read(&membership->endpoint, membership->endpoint.slot, &said) == 1 &&
           said.peer_gen == membership->gen && said.verdict == VERDICT_ACCEPTED && said.binder_gen == pipe->member.gen;
}

void socket_check_peers(struct shm_socket *s)
{
    bool died = false;

    s->liveness.checked_at = cpu_ticks();
    for (uint32_t i = s->pipes.count; i-- > 0;) {
        if (i >= s->pipes.count)
            continue;
        struct pipe *pipe = s->pipes.list[i];
        if (pipe->died || pipe->peer == NULL || !pipe_is_dead(pipe))
            continue;
        if (pipe->state == PIPE_UP) {
            if (can_go(pipe))
                pipe_gone(pipe, true);
        } else if (!pipe->pre_accept)
            pipe->died = true;
        else if (!is_answered(pipe) && can_go(pipe)) /* else the answer is looked at below */
            pipe_pre_accept_end(pipe, true);
        died = true;
    }
    socket_adopt(s);
    for (struct membership *membership = s->memberships; membership != NULL; membership = membership->next)
        died = died || membership->look_again; /* or was it that one that died? */
    if (died) {
        /* Other pullers take over what the dead one had in hand. */
        for (uint32_t i = 0; s->tx.shared.claims != NULL && i < s->pipes.count; i++)
            pipe_notify(s->pipes.list[i]);
        sync_all(s);
    }
    socket_free_pipes(s);
    leave_handed(s);
}

/* ---- coming ---- */

static struct membership *find(struct shm_socket *s, const char *name, bool bound)
{
    for (struct membership *membership = s->memberships; membership != NULL; membership = membership->next)
        if (membership->bound == bound && strcmp(membership->endpoint.name, name) == 0)
            return membership;
    return NULL;
}

static void membership_free(struct membership *membership)
{
    free(membership->pipes);
    free(membership->rejected);
    free(membership);
}

/* The binder before us died: what its connectors are, and which of them died as well. */
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

static int join_bound(struct shm_socket *s, struct membership *membership, const char *name)
{
    int error = endpoint_bind(&membership->endpoint, s->directory, name);
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
    sync_bound(s, membership);
    if (had_one) /* unless a connector has still to look at what it left */
        remote_unnamed(s->directory, membership->endpoint.file, ANY_PLACE, before.id_hex);
    return 0;
}

static int join_connected(struct shm_socket *s, struct membership *membership, const char *name)
{
    struct pipe *pipe;
    struct member binder;

    int error = endpoint_connect(&membership->endpoint, s->directory, name);
    if (error < 0)
        return error;
    membership->pipes = calloc(1, sizeof(struct pipe *));
    error = membership->pipes == NULL ? -ENOMEM : pipe_new(&pipe, s, membership, 0, -1);
    if (error < 0) {
        endpoint_leave(&membership->endpoint, true);
        return error;
    }
    membership->pipes[0] = pipe;
    pipe->slot = membership->endpoint.slot;
    membership->next = s->memberships;
    s->memberships = membership;
    endpoint_announce(&membership->endpoint, s->segment.header->id, (uint32_t)s->type, pipe->record_block->offset);
    membership->gen = endpoint_gen(&membership->endpoint);
    membership->untold = endpoint_binder(&membership->endpoint, &binder) && !notify_member(s, binder.id_hex);
    sync_connected(s, membership);
    return 0;
}

int socket_join(struct shm_socket *s, const char *name, bool bind)
{
    return find(s, name, bind) == NULL ? socket_join_at(s, name, bind, "") : bind ? -EADDRINUSE : 0;
}

int socket_join_at(struct shm_socket *s, const char *name, bool bind, const char *only)
{
    if (!bind && s->kind->one_peer && has_partner(s))
        return -EISCONN;
    struct membership *membership = calloc(1, sizeof *membership);
    if (membership == NULL)
        return -ENOMEM;
    membership->bound = bind;
    snprintf(membership->handed_to, sizeof membership->handed_to, "%s", only);
    shared_u32 *attached = &s->segment.header->attached; /* before a name leads here; and some may stay when we leave */
    uint32_t before = load_relaxed(attached);
    if (before < 2)
        store_relaxed(attached, before + 1);
    int error = bind ? join_bound(s, membership, name) : join_connected(s, membership, name);
    if (error < 0) {
        store_relaxed(attached, before);
        membership_free(membership);
        return error;
    }
    snprintf(s->identity.last_endpoint, sizeof s->identity.last_endpoint, "shm://%s", name);
    if (s->descriptor.fd >= 0)
        socket_fd_watch(s);
    return 0;
}

int socket_open_shared_out(struct shm_socket *s, uint32_t kind)
{
    if (s->tx.has_shared)
        return 0;
    int error = ring_out_open(&s->tx.shared, &s->arena, kind, mark_of(s->options.send_hwm), s->options.lock_memory);
    if (error < 0)
        return error;
    s->tx.shared.retired = &s->tx.retired;
    if (kind == RING_SPMC) {
        struct claims *claims = calloc(1, sizeof *claims);
        error = claims == NULL ? -ENOMEM
                               : claims_new(claims, directory_fd(s->directory), s->segment.id_hex,
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

/* ---- leaving ---- */

static bool has_unread(struct pipe *pipe)
{
    if (pipe->out == NULL)
        return false;
    if (pipe->out->kind == RING_SPSC) {
        pipe_look_at_tail(pipe);
        return pipe->out->head > pipe->out->acked;
    }
    return pipe->out->head > 0;
}

/* Say in the own record that no more will come. */
static void say_end(struct pipe *pipe)
{
    if (pipe->record == NULL)
        return;
    store_relaxed(&pipe->record->end, pipe->out != NULL ? pipe->out->head : 0);
    store_release(&pipe->record->left, 1);
}

static void leave_pipe(struct pipe *pipe)
{
    struct shm_socket *s = pipe->socket;
    fast_forget(s);
    if (s->rx.message.pipe == pipe)
        in_leave(s);
    say_end(pipe);
    if (pipe->state == PIPE_UP) {
        if (pipe->authenticated)
            stat_add(s, STAT_PEERS, (uint64_t)-1);
        if (s->kind->pipe_gone != NULL && pipe->authenticated)
            s->kind->pipe_gone(s, pipe);
        pipe->state = PIPE_LEAVING;
    } else if (pipe->state == PIPE_QUEUED) {
        pipe->state = PIPE_LEAVING;
    }
    peer_drop(pipe_pre_accept_end(pipe, false)); /* LEAVING with a peer means that it knows us */
    pipe->has_in = false;
    session_leave(pipe);
    if (s->tx.message.active && s->tx.message.pipe == pipe) {
        out_cancel(s);
        s->tx.message.active = s->tx.message.discard = true;
        s->tx.message.pipe = NULL;
    }
}

static void leave_bound(struct shm_socket *s, struct membership *membership)
{
    struct member peer;
    for (uint32_t slot = 0; slot < membership->capacity; slot++) {
        struct pipe *pipe = membership->pipes[slot];
        if (pipe == NULL)
            continue;
        if (s->rx.message.pipe == pipe)
            in_leave(s); /* before it is said how far that is */
        if (pipe->state == PIPE_UP && endpoint_connector(&membership->endpoint, slot, &peer)) {
            struct accepted words;
            if (endpoint_accept_read(&membership->endpoint, slot, &words)) {
                words.resume = load_relaxed(&pipe->record->tail);
                endpoint_accept_write(&membership->endpoint, slot, &words);
            }
        }
        /* A connector goes on with the next binder and reads the rest of this one's ring beside it,
         * without saying how far it is. */
        pipe->sticky = has_unread(pipe);
        leave_pipe(pipe);
        pipe->membership = NULL;
    }
    endpoint_leave(&membership->endpoint, true);
}

static bool is_binder(const struct endpoint *endpoint, const uint8_t *id)
{
    struct member now;
    return endpoint_binder_lives(endpoint) && endpoint_binder(endpoint, &now) && memcmp(now.id, id, sizeof now.id) == 0;
}

static void leave_connected(struct shm_socket *s, struct membership *membership)
{
    struct pipe *pipe = membership->pipes[0];
    struct member binder;
    bool queued = pipe->state == PIPE_QUEUED;
    bool binder_lives = endpoint_binder(&membership->endpoint, &binder) && endpoint_binder_lives(&membership->endpoint);
    /* Messages that the binder has not even seen: it reads them like those of one that died. */
    bool inherits = queued && binder_lives && has_unread(pipe) && !session_pending(pipe) &&
                    pipe->refused != binder.gen && s->kind->ring(s, -1) != RING_BROADCAST;

    if (queued && !inherits && pipe->out == &pipe->own_ring)
        stat_add(s, STAT_DROPPED, pipe->own_ring.head - pipe->own_ring.acked);
    leave_pipe(pipe);
    pipe->membership = NULL;
    if (!inherits)
        endpoint_retract(&membership->endpoint);
    struct accepted said; /* by one who has gone, and left its files to us */
    bool orphans = !inherits && endpoint_accept_read(&membership->endpoint, membership->endpoint.slot, &said) &&
                   !is_binder(&membership->endpoint, said.binder_id);
    endpoint_leave(&membership->endpoint, !inherits);
    if (orphans)
        forget_binder(s, membership->endpoint.file, said.binder_id);
    if (binder_lives)
        notify_member(s, binder.id_hex);
    /* It may have linked to us, and we could not look: then it reads, and may have views. */
    pipe->own_ring.stays = pipe->own_ring.stays || queued;
    bool viewed = binder_lives && pipe->own_ring.kind == RING_BROADCAST && pipe->own_ring.in_flight != NULL;
    if (queued && !inherits && !viewed)
        pipe_free(pipe);
}

static void leave(struct shm_socket *s, struct membership *membership)
{
    if (membership->bound)
        leave_bound(s, membership);
    else
        leave_connected(s, membership);
    for (uint32_t i = 0; i < s->pipes.count; i++)
        if (s->pipes.list[i]->membership == membership)
            s->pipes.list[i]->membership = NULL;
    for (uint32_t i = 0; i < s->pipes.count; i++)
        if (s->pipes.list[i]->state == PIPE_LEAVING)
            pipe_notify(s->pipes.list[i]);
    socket_free_pipes(s);
    membership_free(membership);
}

int socket_leave(struct shm_socket *s, const char *name, bool bound)
{
    for (struct membership **at = &s->memberships; *at != NULL; at = &(*at)->next) {
        struct membership *membership = *at;
        bool either = membership->handed_to[0] != '\0'; /* who bound there was not the caller's choice */
        if ((membership->bound != bound && !either) || strcmp(membership->endpoint.name, name) != 0)
            continue;
        *at = membership->next;
        leave(s, membership);
        notify_bell(&s->bell); /* our place or a name may be free for one who was turned away elsewhere */
        return 0;
    }
    return -ENOENT;
}

/* An answer that came after the last look: its binder may have sent, too, before it died. */
static bool has_news(struct membership *membership)
{
    struct accepted said;
    return endpoint_accept_read(&membership->endpoint, membership->endpoint.slot, &said) == 1 &&
           said.peer_gen == membership->gen && said.verdict == VERDICT_ACCEPTED && said.binder_gen != membership->pipes[0]->accepted_gen;
}

/* Is there a pipe to this one that has no place any more? What it sent may lie in memory that has yet to be mapped. */
static bool has_rest_of(const struct shm_socket *s, const char *id_hex)
{
    for (uint32_t i = 0; i < s->pipes.count; i++)
        if (s->pipes.list[i]->membership == NULL && strcmp(s->pipes.list[i]->member.id_hex, id_hex) == 0)
            return true;
    return false;
}

/* One that was handed over, when the other side has gone: no other ever comes. */
static bool has_done(struct shm_socket *s, struct membership *membership)
{
    const struct pipe *pipe = membership->pipes[0];
    if (membership->handed_to[0] == '\0')
        return false;
    membership->met = membership->met || (pipe != NULL && pipe->state == PIPE_UP);
    if (pipe != NULL && (membership->bound || pipe->state != PIPE_QUEUED || pipe->pre_accept || s->rx.message.pipe == pipe))
        return false;
    if (has_rest_of(s, membership->handed_to))
        return false;
    if (membership->met)
        return true;
    /* It was there when it was handed over; it may have died since, or given up. */
    if (membership->bound)
        return !membership->look_again && endpoint_is_empty(&membership->endpoint); /* or not all of it could be looked at */
    return !endpoint_binder_lives(&membership->endpoint) && !has_news(membership);
}

static void leave_handed(struct shm_socket *s)
{
    for (struct membership *membership = s->memberships, *next; membership != NULL; membership = next) {
        char name[ENDPOINT_NAME_MAX + 1], id_hex[2 * SEGMENT_ID_SIZE + 1];
        next = membership->next;
        if (!has_done(s, membership)) {
            membership->look_again = membership->look_again || (membership->handed_to[0] != '\0' && !membership->met); /* it may die first */
            continue;
        }
        memcpy(name, membership->endpoint.name, sizeof name);
        memcpy(id_hex, membership->handed_to, sizeof id_hex);
        socket_leave(s, name, membership->bound);
        handover_forget(s, id_hex);
    }
}

/* May the files go with us? Not while a peer that was promised messages has not mapped them. */
static bool is_awaited(struct shm_socket *s)
{
    for (uint32_t i = 0; i < s->pipes.count; i++) {
        struct pipe *pipe = s->pipes.list[i];
        if (pipe->state != PIPE_LEAVING || !has_unread(pipe))
            continue;
        if (pipe->peer == NULL)
            return true;
        if (!pipe->died && pipe_is_awaited(pipe) &&
            segment_is_alive(directory_fd(s->directory), pipe->member.id_hex))
            return true;
    }
    return false;
}

bool socket_leave_all(struct shm_socket *s)
{
    while (s->memberships != NULL) {
        struct membership *membership = s->memberships;
        s->memberships = membership->next;
        leave(s, membership);
    }
    return is_awaited(s);
}
