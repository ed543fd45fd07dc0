/* SPDX-License-Identifier: MIT */
/*
 * A pipe is one connection of a socket. Here are its data and its states; pipe.c makes and ends pipes, tx.c and rx.c
 * move messages through them.
 *
 *   (new) ──> QUEUED ──meet──> MET ──prove──> UP
 *             │   ^             │             │
 *        pre-read └──requeue────┴──requeue────┤   connector: a drain beside it reads what the peer left
 *             v   ^             └────drain────┴──> DRAINING ──> freed     binder, and such drains
 *          PRE_ACCEPT
 *   QUEUED, PRE_ACCEPT, MET, UP ──leave──> LEAVING ──> freed
 *
 * QUEUED      no peer has accepted us yet: sends queue up (connector), or the pipe is being made (binder)
 * PRE_ACCEPT  the same, but we read the binder's ring already (SPMC, or a publisher's history)
 * MET         both records are mapped; no messages pass until the peer has proven that it has the key
 * UP          messages pass in both directions
 * DRAINING    the peer has gone: only what it had sent is still read
 * LEAVING     this side has left: its ring and record stay until the peer has read them and holds no view
 *
 * state       event     next        action                                        when the peer dies in that state
 * QUEUED      pre-read  PRE_ACCEPT  map the binder, read its ring                 no peer yet
 * QUEUED      meet      MET         map the peer's record, publish that in ours   no peer yet
 * PRE_ACCEPT  requeue   QUEUED      the message in hand moves to a drain          the binder: requeue
 * MET         prove     UP          count it, CONNECTED, tell the kind            requeue or drain; it sent nothing
 * MET         fail      QUEUED      unmap the peer                                as above
 * MET, UP     requeue   QUEUED      DIED or LEFT, tell the kind; split a drain    the binder: the next one resumes from
 *                                                                                 the tail in its record
 * MET, UP     drain     DRAINING    DIED or LEFT, tell the kind; free the ring    the connector: what it sent is read
 * any other   leave     LEAVING     tell the kind, and the peer                   freed at the next look
 *
 * When this side dies, each peer sees the life lock released and makes its own transition above.
 * The data plane makes no transition: it notes a fault (pipe_note_fault), and the control plane acts on it at its next
 * look.
 */
#ifndef SHMQ_CORE_PIPE_STATE_H
#define SHMQ_CORE_PIPE_STATE_H

#include "transport/endpoint.h"
#include "transport/remote.h"
#include "transport/ring.h"

struct peer;
struct membership;

enum pipe_state { PIPE_QUEUED, PIPE_PRE_ACCEPT, PIPE_MET, PIPE_UP, PIPE_DRAINING, PIPE_LEAVING, PIPE_STATES };
enum pipe_event {
    PIPE_EVENT_PRE_READ,
    PIPE_EVENT_MEET,
    PIPE_EVENT_PROVE,
    PIPE_EVENT_FAIL,
    PIPE_EVENT_REQUEUE,
    PIPE_EVENT_DRAIN,
    PIPE_EVENT_LEAVE,
    PIPE_EVENTS
};

/* The state that EVENT leads to; pairs that the table above does not name leave STATE unchanged. */
static inline enum pipe_state pipe_next(enum pipe_state state, enum pipe_event event)
{
    static const uint8_t next[PIPE_STATES][PIPE_EVENTS] = {
#define STAYS(s) {s, s, s, s, s, s, s}
        [PIPE_QUEUED] = {PIPE_PRE_ACCEPT, PIPE_MET, PIPE_QUEUED, PIPE_QUEUED, PIPE_QUEUED, PIPE_QUEUED, PIPE_LEAVING},
        [PIPE_PRE_ACCEPT] = {PIPE_PRE_ACCEPT, PIPE_PRE_ACCEPT, PIPE_PRE_ACCEPT, PIPE_PRE_ACCEPT, PIPE_QUEUED,
                             PIPE_PRE_ACCEPT, PIPE_LEAVING},
        [PIPE_MET] = {PIPE_MET, PIPE_MET, PIPE_UP, PIPE_QUEUED, PIPE_QUEUED, PIPE_DRAINING, PIPE_LEAVING},
        [PIPE_UP] = {PIPE_UP, PIPE_UP, PIPE_UP, PIPE_UP, PIPE_QUEUED, PIPE_DRAINING, PIPE_LEAVING},
        [PIPE_DRAINING] = STAYS(PIPE_DRAINING),
        [PIPE_LEAVING] = STAYS(PIPE_LEAVING),
#undef STAYS
    };
    return (enum pipe_state)next[state][event];
}

struct pipe {
    struct shm_socket *socket;
    struct membership *membership; /* NULL once that is closed, or another pipe has the slot */
    uint32_t slot;
    enum pipe_state state;

    /* ---- the peer ---- */
    struct member member;
    struct peer *peer;
    const struct pipe_record *theirs;
    uint32_t their_tag;        /* of the peer's hazard words for this pipe */
    uint64_t connected_before; /* the peer's last_connected when we met it */
    bool died;                 /* without leaving first */
    bool faulty;               /* it broke the protocol */
    bool authenticated;        /* its proof holds; always true without a key (session.h) */
    bool superseded;           /* ROUTER: another peer has its routing id now; read nothing more from it */
    struct pipe_session *session;
    struct session_source *source;

    /* ---- noted by the data plane, for the control plane ---- */
    bool fault_noted, death_noted;

    /* ---- this side ---- */
    struct block *record_block;
    struct pipe_record *record; /* NULL in a drain */
    uint32_t hazard_tag;
    void *kind_data;

    /* ---- sending ---- */
    struct ring_out own_ring;
    struct ring_out *out; /* NULL: this side does not send here */
    uint64_t base_limit;  /* of own_ring, before the peer's SHM_RCVHWM */
    bool sticky;          /* LEAVING: kept until the socket closes */

    /* ---- receiving ---- */
    bool has_in;
    bool began;           /* a pre-accept read has reached in.tail: continue there */
    bool adopt_due;       /* SPMC: look for claims of dead readers */
    bool drained;         /* DRAINING: the control plane knows that the ring is empty */
    struct ring_in in;
    uint64_t received;    /* private copy of the record's word */
    uint32_t unannounced; /* messages read since we last checked for a waiting sender (R3, bell) */
    uint32_t announce_every;

    /* ---- connector only ---- */
    uint64_t accepted_gen; /* generation of the binder last met */
    uint64_t rejected;     /* generation of the rejection last reported */
    uint64_t refused;      /* generation of the last binder that failed authentication */
    struct pipe *drain;    /* preallocated, for the drain that a requeue may need */
};

/* Is there a peer whose record is mapped? */
static inline bool pipe_has_met(const struct pipe *pipe)
{
    return pipe->state == PIPE_MET || pipe->state == PIPE_UP;
}

static inline bool pipe_is_queued(const struct pipe *pipe)
{
    return pipe->state == PIPE_QUEUED || pipe->state == PIPE_PRE_ACCEPT;
}

static inline bool pipe_is_ending(const struct pipe *pipe)
{
    return pipe->state == PIPE_DRAINING || pipe->state == PIPE_LEAVING;
}

#endif
