/* SPDX-License-Identifier: MIT */
/* How a pipe meets its peer: some connectors pre-read the binder's ring, then both sides map each other's record. */
#include "core/pipe.h"

#include <string.h>

#include "core/event.h"
#include "core/peer.h"
#include "core/session.h"

static int open_peer(struct peer **peer, const struct pipe *pipe, const char *id_hex)
{
    const struct membership *membership = pipe->membership;
    if (membership->handed_to[0] != '\0' && strcmp(membership->handed_to, id_hex) != 0)
        return -EPROTO; /* the membership was handed to a different peer */
    return peer_open(peer, pipe->socket, id_hex, membership->endpoint.file, membership->bound ? pipe->slot : ANY_PLACE);
}

/* ---- before the binder has accepted us ---- */

/* With a key: answer the binder's standing challenge at once, so that it can read what we send before our next call. */
static void prove_pre_accept(struct pipe *pipe, const struct member *member)
{
    struct shm_socket *s = pipe->socket;
    struct peer *peer;

    if (!session_is_pre_accept(pipe, member) || open_peer(&peer, pipe, member->id_hex) < 0)
        return;
    uint32_t type = peer_u32_once(&peer->remote->header->type);
    if (kind_fits(s->kind, type) && pipe_open_out(pipe, (int)type) == 0 &&
        session_prove_pre_accept(pipe, member, type, peer->remote->header) == 0)
        peer_notify_bell(&peer->bell);
    peer_drop(peer);
}

/*
 * Some connectors need not wait for the binder's next call. A PULL can claim from a PUSH's queue without its consent. A
 * SUB can read a PUB's history; since the PUB does not know its hazard words yet, blocks are copied (rx.c).
 */
void pipe_pre_accept(struct pipe *pipe, const struct member *member)
{
    struct shm_socket *s = pipe->socket;
    uint32_t kind = pipe_pre_accept_kind(s, member);
    struct peer *peer;

    if (s->auth != NULL) { /* read nothing before the binder has proven itself, but prove ourselves */
        prove_pre_accept(pipe, member);
        return;
    }
    if (kind == 0 || pipe->has_in || pipe->peer != NULL || open_peer(&peer, pipe, member->id_hex) < 0)
        return;
    if (!pipe_pre_accept_open(pipe, peer, member, kind)) {
        peer_drop(peer);
        return;
    }
    /* If the binder has accepted us by now, it may have sent more than the history keeps: meet it instead. */
    struct accepted said;
    if (kind == RING_BROADCAST && endpoint_accept_read(&pipe->membership->endpoint, pipe->slot, &said) == 1 &&
        said.peer_gen == pipe->membership->gen && said.binder_gen == member->gen) {
        peer_drop(peer);
        socket_look_again(s);
        return;
    }
    pipe->peer = peer;
    pipe->member = *member;
    pipe->has_in = true;
    pipe_happens(pipe, PIPE_EVENT_PRE_READ);
}

/* A message in hand keeps the peer's memory mapped by itself. */
struct peer *pipe_pre_accept_end(struct pipe *pipe, bool died)
{
    if (pipe->state != PIPE_PRE_ACCEPT)
        return NULL;
    struct peer *peer = pipe->peer;
    pipe->died = died;
    pipe_happens(pipe, PIPE_EVENT_REQUEUE);
    if (died) {
        pipe_split_drain(pipe);
        return NULL;
    }
    pipe->peer = NULL;
    pipe->has_in = false;
    pipe->began = pipe->in.kind == RING_BROADCAST;
    return peer;
}

/* ---- meeting ---- */

/* The peer is authenticated. Let the kind check it: is the place free, and the routing id? */
static int introduce(struct pipe *pipe)
{
    struct shm_socket *s = pipe->socket;
    return s->kind->pipe_new != NULL ? s->kind->pipe_new(s, pipe) : 0;
}

int pipe_renew(struct pipe *pipe)
{
    bool before = pipe->authenticated;
    int result = pipe_open_in(pipe, 0);
    if (result < 0 || before || !pipe->authenticated)
        return result;
    result = introduce(pipe);
    if (result == 0) {
        pipe_happens(pipe, PIPE_EVENT_PROVE);
    } else {
        pipe->authenticated = pipe->has_in = false;
        session_leave(pipe);
    }
    return result;
}

/* The steps of meeting that may fail, once both records are mapped. */
static int set_up(struct pipe *pipe, uint64_t their_offset, uint64_t resume)
{
    struct shm_socket *s = pipe->socket;
    if (!kind_fits(s->kind, pipe->member.type))
        return -EPROTO;
    int error = pipe_set_apart(pipe);
    if (error == 0)
        error = session_meet(pipe, their_offset);
    if (error == 0)
        error = pipe_open_out(pipe, (int)pipe->member.type);
    if (error == 0)
        error = session_prove(pipe);
    if (error == 0)
        error = pipe_open_in(pipe, resume);
    if (error >= 0)
        error = pipe->authenticated ? introduce(pipe) : 0;
    return error;
}

/* Undo a failed meeting. After a transient error it is tried again, so keep the peer's files and its proof usable. */
static void fail(struct pipe *pipe, int error)
{
    struct peer *peer = pipe->peer;
    if (error_passes(error))
        session_put_back(pipe);
    else
        session_again(pipe);
    peer->remote->is_needed = error_passes(error);
    pipe->peer = NULL;
    pipe->theirs = NULL;
    pipe->has_in = false;
    pipe_happens(pipe, PIPE_EVENT_FAIL);
    peer_drop(peer);
}

/* Publish in our record where this peer's reading of our ring starts, and whose ring our tail refers to. */
static void publish_meeting(struct pipe *pipe, uint64_t their_offset, uint64_t resume)
{
    struct shm_socket *s = pipe->socket;
    uint64_t token = pipe_token(pipe->member.id, their_offset);
    if (pipe->out == &pipe->own_ring && !s->kind->sends_control) {
        uint64_t mark = peer_u32(&pipe->theirs->receive_limit);
        pipe->own_ring.limit = mark > 0 && mark < pipe->base_limit ? mark : pipe->base_limit;
    } else if (pipe->out != NULL && pipe->out->kind == RING_BROADCAST) {
        store_relaxed(&pipe->record->start, pipe->out->head); /* before connected_to */
    }
    pipe_limit_shared(s);
    pipe->connected_before = peer_u64(&pipe->theirs->last_connected);
    if (!pipe->has_in) /* the old tail is for a former peer's ring; the next binder resumes here if we never read */
        store_relaxed(&pipe->record->tail, resume);
    store_release(&pipe->record->connected_to, token);
    store_release(&pipe->record->last_connected, token);
}

int pipe_meet_peer(struct pipe *pipe, const struct member *member, uint64_t their_offset, uint64_t resume)
{
    struct peer *peer;
    fast_forget(pipe->socket);
    int error = open_peer(&peer, pipe, member->id_hex);
    if (error < 0)
        return error;
    const struct pipe_record *theirs = record_at(peer->remote, their_offset);
    if (theirs == NULL) {
        error = peer->remote->shortage < 0 ? peer->remote->shortage : -EPROTO;
        peer->remote->is_needed = error_passes(error);
        peer_drop(peer);
        return error;
    }
    pipe->peer = peer;
    pipe->theirs = theirs;
    pipe->began = pipe->began && memcmp(pipe->member.id, member->id, sizeof member->id) == 0;
    pipe->their_tag = peer_u32_once(&theirs->hazard_tag);
    pipe->member = *member;
    pipe->member.type = peer_u32_once(&peer->remote->header->type);
    pipe->died = pipe->superseded = pipe->fault_noted = pipe->death_noted = false;
    pipe_happens(pipe, PIPE_EVENT_MEET);
    error = set_up(pipe, their_offset, resume);
    if (error < 0) {
        fail(pipe, error);
        return error;
    }
    publish_meeting(pipe, their_offset, resume);
    if (pipe->authenticated)
        pipe_happens(pipe, PIPE_EVENT_PROVE);
    return 0;
}
