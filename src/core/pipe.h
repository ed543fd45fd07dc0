/* SPDX-License-Identifier: MIT */
/*
 * The control of pipes: they are made, meet their peers and end here and nowhere else; membership.c decides when.
 * pipe_state.h has their data and draws their states.
 *
 * Both sides have a pipe record in their own segment. The connector publishes its record in the endpoint's slot; the
 * binder maps it, makes its own and publishes that in the accept record; the connector maps that. So the binder is
 * always up first, and whatever a connector had sent is waiting for it.
 */
#ifndef SHMQ_CORE_PIPE_H
#define SHMQ_CORE_PIPE_H

#include "core/socket.h"

/* ---- making (pipe.c) ---- */

int pipe_new(struct pipe **out, struct shm_socket *s, struct membership *membership, uint32_t slot, int peer_type);
/* Memory for the drain that a requeue may need. 0 or -ENOMEM. */
int pipe_reserve(struct pipe *pipe);
/* The one ring of all peers, at the first bind or connect. */
int pipe_open_shared_ring(struct shm_socket *s, uint32_t kind);
/* As many messages as a ring can hold, for 0, which stands for "no limit". */
uint64_t pipe_mark(int hwm);

/* ---- meeting (pipe_meet.c) ---- */

/* Map the peer MEMBER, whose pipe record is at THEIR_OFFSET of its segment; read its ring from RESUME on. After an
 * error the pipe is as before. */
int pipe_meet_peer(struct pipe *pipe, const struct member *member, uint64_t their_offset, uint64_t resume);
/* At each look while it has met: has the peer's ring come, does its proof hold? 0 or more; -EBADMSG, -EEXIST: it is
 * not to be met; -EPROTO. */
int pipe_renew(struct pipe *pipe);
/* Read the ring of a binder that has not accepted us yet, if its kind of ring lets us. */
void pipe_pre_accept(struct pipe *pipe, const struct member *member);
/* It has accepted us, or DIED. Returns what the caller lets go of by peer_drop(), but not before it has mapped the
 * peer again. */
struct peer *pipe_pre_accept_end(struct pipe *pipe, bool died);

/* ---- ending (pipe.c) ---- */

/* The peer went. DIED: unless its record says that it left. */
void pipe_gone(struct pipe *pipe, bool died);
/* It is turned away, or turned us away: nothing that it may have sent is read. */
void pipe_turn_away(struct pipe *pipe);
/* It wrote nonsense: after pipe_note_fault(), or what the control plane found itself. */
void pipe_break(struct pipe *pipe);
/* Act on what the data plane noted. True: there was something. */
bool pipe_act_on_notes(struct shm_socket *s);
/* This side leaves. */
void pipe_leave(struct pipe *pipe);

bool pipe_has_unread(struct pipe *pipe);       /* something that the peer has not read yet */
bool pipe_is_awaited(const struct pipe *pipe); /* by a peer that was accepted and has not come to look yet */

/* Free those that are over: read to their end, and nobody needs their memory. */
void pipe_free_ended(struct shm_socket *s);
void pipe_free(struct pipe *pipe);
void pipe_discard(struct pipe *pipe); /* whatever its state, and its shared memory stays: the socket ends */

/* ---- between pipe*.c ---- */

/* EVENT happens to the pipe: the one place where its state changes. */
void pipe_happens(struct pipe *pipe, enum pipe_event event);
void pipe_split_drain(struct pipe *pipe);
/*
 * A peer knows a pipe by the place of our record. If the last one that it was connected to had this place, it would
 * seem to have come to this one, too: so the record, which nobody has seen yet, takes another.
 */
int pipe_set_apart(struct pipe *pipe);
/* The ring to send on, once the peer's type is known or does not matter (pipe_ring.c). */
int pipe_open_out(struct pipe *pipe, int peer_type);
/* The ring to read, when the peer has one: 1 there is, 0 not yet. */
int pipe_open_in(struct pipe *pipe, uint64_t resume);
/* The mark of a queue that all pullers share is the smallest that any of them has. */
void pipe_limit_shared(struct shm_socket *s);
/* The kind of ring that may be read before the binder has accepted us; 0: none. */
uint32_t pipe_pre_accept_kind(struct shm_socket *s, const struct member *binder);
bool pipe_pre_accept_open(struct pipe *pipe, struct peer *peer, const struct member *member, uint32_t kind);

/* What membership->rejected has for a generation that was turned away for good. */
static inline uint64_t for_good(uint64_t gen)
{
    return ~gen;
}

#endif
