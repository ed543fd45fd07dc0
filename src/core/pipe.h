/* SPDX-License-Identifier: MIT */
/*
 * The life cycle of pipes: only this module makes them, lets them meet a peer and ends them. membership.c decides when.
 * pipe_state.h has their data and draws their states.
 *
 * Both sides have a pipe record in their own segment. The connector publishes its record in the endpoint's slot; the
 * binder maps it, makes its own record and names that in the accept record; the connector maps that. So the binder is
 * always up first and finds everything that the connector has sent.
 */
#ifndef SHMQ_CORE_PIPE_H
#define SHMQ_CORE_PIPE_H

#include "core/socket.h"

/* ---- making (pipe.c) ---- */

int pipe_new(struct pipe **out, struct shm_socket *s, struct membership *membership, uint32_t slot, int peer_type);
/* Allocate the drain that a requeue may need. 0 or -ENOMEM. */
int pipe_reserve(struct pipe *pipe);
/* Open the ring that all peers read, at the first bind or connect. */
int pipe_open_shared_ring(struct shm_socket *s, uint32_t kind);
/* The high-water mark for option value HWM; 0 ("no limit") is the largest ring. */
uint64_t pipe_mark(int hwm);

/* ---- meeting (pipe_meet.c) ---- */

/* Map the peer MEMBER, whose pipe record is at THEIR_OFFSET of its segment, and read its ring from RESUME on. An error
 * leaves the pipe unchanged. */
int pipe_meet_peer(struct pipe *pipe, const struct member *member, uint64_t their_offset, uint64_t resume);
/* At each look after meeting: open the peer's ring and verify its proof, if they have come. 0 or more: fine so far;
 * -EBADMSG, -EEXIST: reject the peer; -EPROTO. */
int pipe_renew(struct pipe *pipe);
/* Read the ring of a binder that has not accepted us yet, if its kind of ring lets us. */
void pipe_pre_accept(struct pipe *pipe, const struct member *member);
/* End the pre-accept phase: the binder has accepted us, or DIED. The caller gives the result to peer_drop(), but only
 * after mapping the peer again. */
struct peer *pipe_pre_accept_end(struct pipe *pipe, bool died);

/* ---- ending (pipe.c) ---- */

/* The peer is gone. DIED: count it as dead unless its pipe record says that it left. */
void pipe_gone(struct pipe *pipe, bool died);
/* One side rejects the other after meeting: read nothing more from the peer. */
void pipe_turn_away(struct pipe *pipe);
/* The peer broke the protocol: found by the data plane (pipe_note_fault()) or by the control plane. */
void pipe_break(struct pipe *pipe);
/* Act on what the data plane noted. True if there was anything. */
bool pipe_act_on_notes(struct shm_socket *s);
/* This side leaves. */
void pipe_leave(struct pipe *pipe);

bool pipe_has_unread(struct pipe *pipe);       /* the peer has not read everything yet */
bool pipe_is_awaited(const struct pipe *pipe); /* the peer was accepted and has not looked yet */

/* Free ended pipes: those read to the end whose memory nobody needs any more. */
void pipe_free_ended(struct shm_socket *s);
void pipe_free(struct pipe *pipe);
void pipe_discard(struct pipe *pipe); /* in any state, leaving shared memory alone: the socket is being closed */

/* ---- between pipe*.c ---- */

/* The state machine's only transition function. */
void pipe_happens(struct pipe *pipe, enum pipe_event event);
void pipe_split_drain(struct pipe *pipe);
/*
 * A peer identifies a pipe by the offset of our record. If its last pipe's record had this same offset, the peer would
 * seem to have met the new pipe already. So move the record, which nobody has seen yet, to another offset.
 */
int pipe_set_apart(struct pipe *pipe);
/* Open the ring to send on, once the peer's type is known or does not matter (pipe_ring.c). */
int pipe_open_out(struct pipe *pipe, int peer_type);
/* Open the ring to read, once the peer has one. 1: open; 0: not yet. */
int pipe_open_in(struct pipe *pipe, uint64_t resume);
/* A queue shared by all pullers has the smallest of their high-water marks; subscribers share the publisher's
 * memory. */
void pipe_limit_shared(struct shm_socket *s);
/* The kind of ring that may be read before the binder has accepted us; 0: none. */
uint32_t pipe_pre_accept_kind(struct shm_socket *s, const struct member *binder);
bool pipe_pre_accept_open(struct pipe *pipe, struct peer *peer, const struct member *member, uint32_t kind);

/* The value in membership->rejected that marks generation GEN as never to be accepted. */
static inline uint64_t for_good(uint64_t gen)
{
    return ~gen;
}

#endif
