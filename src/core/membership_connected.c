/* SPDX-License-Identifier: MIT */
/* The connector's side of a membership: it keeps up with the binders that come and go at its endpoint. */
#include <stdlib.h>
#include <string.h>

#include "core/event.h"
#include "core/membership.h"
#include "core/peer.h"
#include "core/pipe.h"
#include "core/session.h"

/* As connector_stays() of membership_bound.c, of the binder. */
static bool binder_stays(struct membership *membership, uint64_t gen)
{
    struct member now;
    return endpoint_binder(&membership->endpoint, &now) == 1 && now.gen == gen;
}

/* At each look: has its ring come, does its proof hold? */
static void look_at(struct shm_socket *s, struct pipe *pipe)
{
    uint64_t gen = pipe->member.gen;
    int error = pipe_renew(pipe);
    if (error >= 0 || !binder_stays(pipe->membership, gen))
        return;
    if (error_passes(error)) {
        pipe->membership->look_again = true;
    } else if (error == -EBADMSG || error == -EEXIST) {
        pipe->refused = gen;
        session_report(s, pipe);
        pipe_turn_away(pipe);
    } else {
        pipe_break(pipe);
    }
}

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

/* ---- what stands at the endpoint ---- */

struct seen {
    bool has_record;      /* `record` is for us, whatever it says */
    struct accepted record;
    bool has_binder;
    struct member binder;
};

static void look(struct membership *membership, struct seen *seen)
{
    /* The accept record first: then a binder that differs from the one who wrote it came after it. */
    seen->has_record = endpoint_accept_read(&membership->endpoint, membership->endpoint.slot, &seen->record) == 1 &&
                       seen->record.peer_gen == membership->gen;
    seen->has_binder = endpoint_binder(&membership->endpoint, &seen->binder) == 1;
}

static bool is_accepted_by(const struct seen *seen, uint64_t binder_gen)
{
    return seen->has_record && seen->record.verdict == VERDICT_ACCEPTED && seen->record.binder_gen == binder_gen;
}

/* Is the binder that the pipe knows not there any more? */
static bool has_gone(const struct pipe *pipe, const struct seen *seen)
{
    return !seen->has_binder || seen->binder.gen != pipe->member.gen;
}

/* ---- keeping up ---- */

/* The binder turned us away. Say so once. */
static void note_rejection(struct shm_socket *s, struct pipe *pipe, const struct seen *seen)
{
    const struct accepted *said = &seen->record;
    struct pipe unmet = {.member = seen->binder, .membership = pipe->membership};
    if (pipe->rejected != said->gen && said->verdict != VERDICT_UNTRUSTED) {
        event_push(s, SHM_EVENT_REJECTED, &unmet, NULL, 0);
    } else if (pipe->rejected != said->gen && pipe->refused != said->binder_gen) {
        pipe->refused = said->binder_gen;
        session_report(s, &unmet);
    }
    pipe->rejected = said->gen;
}

/* Tell what it means that the pipe could not meet the binder (ERROR), or did (0). */
static void note_result(struct shm_socket *s, struct pipe *pipe, const struct accepted *said, const char *id_hex, int error)
{
    struct membership *membership = pipe->membership;
    if (!error_passes(error)) {
        pipe->accepted_gen = said->binder_gen;
        note_resume(pipe, said->resume); /* not before: what it read may be freed now, but for its views */
    }
    if (error == -EBADMSG) { /* the binder will find the same, by our proof */
        pipe->refused = said->binder_gen;
        session_report(s, pipe);
        peer_notify(s, id_hex);
    }
    if (error == -EPROTO) {
        stat_add(s, STAT_PROTOCOL_ERRORS, 1);
        event_push(s, SHM_EVENT_BROKEN, pipe, NULL, 0);
    }
    if (error < 0 && pipe->accepted_gen == said->binder_gen) {
        store_release(&pipe->record->last_connected, pipe_token(said->binder_id, said->pipe_offset));
        if (error != -EEXIST) { /* else the next binder asks how far that one had read */
            endpoint_done(&membership->endpoint, said->binder_gen);
            membership_forget_binder(s, membership->endpoint.file, said->binder_id);
        }
    }
}

/* A binder has accepted us. That counts also when it has gone since: it may have sent before that. */
static void meet_binder(struct shm_socket *s, struct pipe *pipe, const struct seen *seen)
{
    struct membership *membership = pipe->membership;
    const struct accepted *said = &seen->record;
    bool there = seen->has_binder && seen->binder.gen == said->binder_gen;
    struct member binder = seen->binder;
    if (!there) {
        binder = (struct member){.gen = said->binder_gen};
        memcpy(binder.id, said->binder_id, sizeof binder.id);
        segment_id_hex(binder.id_hex, binder.id);
    }
    struct peer *before = pipe_pre_accept_end(pipe, false);
    pipe->faulty = false;
    int error = pipe_meet_peer(pipe, &binder, said->pipe_offset, 0);
    if (before != NULL)
        before->remote->is_needed = error_passes(error);
    peer_drop(before);
    if ((error == -EPROTO || error == -EBADMSG) && !binder_stays(membership, said->binder_gen))
        error = -ENOENT;
    else if (error == -ENOENT && there && endpoint_binder_lives(&membership->endpoint))
        error = -EAGAIN; /* it is there, so this passes */
    note_result(s, pipe, said, binder.id_hex, error);
    if (seen->has_binder && !there && pipe->accepted_gen == said->binder_gen) /* its successor may be waiting for this look */
        membership->untold = !peer_notify(s, seen->binder.id_hex);
    membership->look_again = membership->untold || (error < 0 && pipe->accepted_gen != said->binder_gen);
    if (error < 0)
        return;
    pipe_notify(pipe);
    if ((!there || !endpoint_binder_lives(&membership->endpoint)) && membership_can_go(pipe))
        pipe_gone(pipe, true);
}

void membership_sync_connected(struct shm_socket *s, struct membership *membership)
{
    struct pipe *pipe = membership->pipes[0];
    struct seen seen;

    look(membership, &seen);
    if (membership->untold)
        membership->untold = seen.has_binder && !peer_notify(s, seen.binder.id_hex);
    membership->look_again = membership->untold;
    if (pipe_has_met(pipe) && has_gone(pipe, &seen)) {
        if (!membership_can_go(pipe))
            return;
        pipe_gone(pipe, true);
    }
    if (pipe_has_met(pipe) && seen.has_record && seen.record.verdict != VERDICT_ACCEPTED &&
        seen.record.binder_gen == pipe->member.gen)
        pipe_turn_away(pipe); /* with a key: it found out only after it had accepted us */
    if (pipe_has_met(pipe)) {
        look_at(s, pipe);
        return;
    }
    /* If the binder accepted us before it went, what was pre-read goes on where we are, and is not read anew. */
    if (pipe->state == PIPE_PRE_ACCEPT && !is_accepted_by(&seen, pipe->member.gen) && has_gone(pipe, &seen)) {
        if (!membership_can_go(pipe))
            return;
        pipe_pre_accept_end(pipe, true);
    }
    bool met_before = is_accepted_by(&seen, pipe->accepted_gen);
    if (met_before)
        note_resume(pipe, seen.record.resume);
    if (!seen.has_record || met_before) {
        if (seen.has_binder && seen.binder.gen != pipe->accepted_gen && pipe->state != PIPE_PRE_ACCEPT &&
            endpoint_binder_lives(&membership->endpoint))
            pipe_pre_accept(pipe, &seen.binder);
    } else if (pipe->state == PIPE_PRE_ACCEPT && (s->rx.message.pipe == pipe || pipe->in.owed != 0)) {
        socket_look_again(s); /* a message is being read: once that is done */
    } else if (seen.record.verdict != VERDICT_ACCEPTED) {
        note_rejection(s, pipe, &seen);
    } else {
        meet_binder(s, pipe, &seen);
    }
}

/* ---- coming and leaving ---- */

int membership_join_connected(struct shm_socket *s, struct membership *membership, const char *name)
{
    struct pipe *pipe;
    struct member binder;

    int error = endpoint_connect(&membership->endpoint, s->store, name);
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
    membership->untold = endpoint_binder(&membership->endpoint, &binder) && !peer_notify(s, binder.id_hex);
    membership_sync_connected(s, membership);
    return 0;
}

static bool is_binder(const struct endpoint *endpoint, const uint8_t *id)
{
    struct member now;
    return endpoint_binder_lives(endpoint) && endpoint_binder(endpoint, &now) && memcmp(now.id, id, sizeof now.id) == 0;
}

void membership_leave_connected(struct shm_socket *s, struct membership *membership)
{
    struct pipe *pipe = membership->pipes[0];
    struct member binder;
    bool queued = pipe_is_queued(pipe);
    bool binder_lives = endpoint_binder(&membership->endpoint, &binder) && endpoint_binder_lives(&membership->endpoint);
    /* Messages that the binder has not even seen: it reads them like those of one that died. */
    bool inherits = queued && binder_lives && pipe_has_unread(pipe) && !session_pending(pipe) &&
                    pipe->refused != binder.gen && s->kind->ring(s, -1) != RING_BROADCAST;

    if (queued && !inherits && pipe->out == &pipe->own_ring)
        stat_add(s, STAT_DROPPED, pipe->own_ring.head - pipe->own_ring.acked);
    pipe_leave(pipe);
    pipe->membership = NULL;
    if (!inherits)
        endpoint_retract(&membership->endpoint);
    struct accepted said; /* by one who has gone, and left its files to us */
    bool orphans = !inherits && endpoint_accept_read(&membership->endpoint, membership->endpoint.slot, &said) &&
                   !is_binder(&membership->endpoint, said.binder_id);
    endpoint_leave(&membership->endpoint, !inherits);
    if (orphans)
        membership_forget_binder(s, membership->endpoint.file, said.binder_id);
    if (binder_lives)
        peer_notify(s, binder.id_hex);
    /* It may have linked to us, and we could not look: then it reads, and may have views. */
    pipe->own_ring.stays = pipe->own_ring.stays || queued;
    bool viewed = binder_lives && pipe->own_ring.kind == RING_BROADCAST && pipe->own_ring.in_flight != NULL;
    if (queued && !inherits && !viewed)
        pipe_free(pipe);
}
