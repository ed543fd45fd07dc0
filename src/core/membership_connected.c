/* SPDX-License-Identifier: MIT */
/* The connector's side of a membership: follow the binders that come and go at the endpoint. */
#include <stdlib.h>
#include <string.h>

#include "core/event.h"
#include "core/membership.h"
#include "core/peer.h"
#include "core/pipe.h"
#include "core/session.h"

/* Like connector_stays() in membership_bound.c, for the binder. */
static bool binder_stays(struct membership *membership, uint64_t gen)
{
    struct member now;
    return endpoint_binder(&membership->endpoint, &now) == 1 && now.gen == gen;
}

/* At each look: check for the peer's ring and verify its proof. */
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

/* A binder that left published how far it had read, even if we never met it: do not send that again. */
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
    bool has_record;      /* `record` is for our generation; any verdict */
    struct accepted record;
    bool has_binder;
    struct member binder;
};

static void look(struct membership *membership, struct seen *seen)
{
    /* Read the accept record first: then a binder other than its writer must have come later. */
    seen->has_record = endpoint_accept_read(&membership->endpoint, membership->endpoint.slot, &seen->record) == 1 &&
                       seen->record.peer_gen == membership->gen;
    seen->has_binder = endpoint_binder(&membership->endpoint, &seen->binder) == 1;
}

static bool is_accepted_by(const struct seen *seen, uint64_t binder_gen)
{
    return seen->has_record && seen->record.verdict == VERDICT_ACCEPTED && seen->record.binder_gen == binder_gen;
}

/* Is the binder that this pipe met no longer at the endpoint? */
static bool has_gone(const struct pipe *pipe, const struct seen *seen)
{
    return !seen->has_binder || seen->binder.gen != pipe->member.gen;
}

/* ---- keeping up ---- */

/* The binder rejected us: report it once. */
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

/* Record the outcome of pipe_meet_peer(): events, and which binder is done with. */
static void note_result(struct shm_socket *s, struct pipe *pipe, const struct accepted *said, const char *id_hex,
                        int error)
{
    struct membership *membership = pipe->membership;
    if (!error_passes(error)) {
        pipe->accepted_gen = said->binder_gen;
        note_resume(pipe, said->resume); /* after meeting: blocks freed by this may be under its hazard words */
    }
    if (error == -EBADMSG) { /* wake the binder: our proof will fail for it, too */
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
        if (error != -EEXIST) { /* then the next binder needs this one's pipe record, for the read position */
            endpoint_done(&membership->endpoint, said->binder_gen);
            membership_forget_binder(s, membership->endpoint.file, said->binder_id);
        }
    }
}

/* A binder has accepted us. Meet it even if it has gone since: it may have sent messages first. */
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
        error = -EAGAIN; /* the binder lives, so its files will appear */
    note_result(s, pipe, said, binder.id_hex, error);
    /* The next binder may wait until we have met this one (has_to_look_first()). */
    if (seen->has_binder && !there && pipe->accepted_gen == said->binder_gen)
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
        pipe_turn_away(pipe); /* its verdict changed after it had accepted us: our proof failed */
    if (pipe_has_met(pipe)) {
        look_at(s, pipe);
        return;
    }
    /* If the binder accepted us before it died, keep our read position. */
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
        socket_look_again(s); /* a message is being read: meet the binder after that */
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
    /* The binder has not accepted us but will want our messages: leave them to it, as if we had died. */
    bool inherits = queued && binder_lives && pipe_has_unread(pipe) && !session_pending(pipe) &&
                    pipe->refused != binder.gen && s->kind->ring(s, -1) != RING_BROADCAST;

    if (queued && !inherits && pipe->out == &pipe->own_ring)
        stat_add(s, STAT_DROPPED, pipe->own_ring.head - pipe->own_ring.acked);
    pipe_leave(pipe);
    pipe->membership = NULL;
    if (!inherits)
        endpoint_retract(&membership->endpoint);
    struct accepted said; /* its binder may have gone and left its files for us to remove */
    bool orphans = !inherits && endpoint_accept_read(&membership->endpoint, membership->endpoint.slot, &said) &&
                   !is_binder(&membership->endpoint, said.binder_id);
    endpoint_leave(&membership->endpoint, !inherits);
    if (orphans)
        membership_forget_binder(s, membership->endpoint.file, said.binder_id);
    if (binder_lives)
        peer_notify(s, binder.id_hex);
    /* The binder may have accepted us without our noticing: then it reads our ring and may hold views. */
    pipe->own_ring.stays = pipe->own_ring.stays || queued;
    bool viewed = binder_lives && pipe->own_ring.kind == RING_BROADCAST && pipe->own_ring.in_flight != NULL;
    if (queued && !inherits && !viewed)
        pipe_free(pipe);
}
