/* SPDX-License-Identifier: MIT */
/*
 * A pipe: one connection of a socket, from its making to its end. Here are its data and its states; pipe.c makes
 * and ends pipes, tx.c and rx.c move messages through them.
 *
 *   (new) ──> QUEUED ──meet──> MET ──prove──> UP
 *             │   ^             │             │
 *        pre-read └──requeue────┴──requeue────┤   connector: what the peer left is read by a drain beside it
 *             v   ^             └────drain────┴──> DRAINING ──> freed     binder, and such drains
 *          PRE_ACCEPT
 *   QUEUED, PRE_ACCEPT, MET, UP ──leave──> LEAVING ──> freed
 *
 * QUEUED      no peer has accepted this side yet: sends queue up (connector), or it is being made (binder)
 * PRE_ACCEPT  the same, but the binder's ring is read already (SPMC, or a publisher's history)
 * MET         both records are mapped; nothing passes before the peer has proven that it has the key
 * UP          messages pass in both directions
 * DRAINING    the peer has gone: only what it had sent is still read
 * LEAVING     this side has left: its ring and record stay until the peer has read them and holds no view
 *
 * state       event     next        action                                        when the peer dies in that state
 * QUEUED      pre-read  PRE_ACCEPT  map the binder, read its ring                 nobody to die
 * QUEUED      meet      MET         map the peer's record, say so in one's own    nobody to die
 * PRE_ACCEPT  requeue   QUEUED      what is in hand drains beside                 the binder: requeue
 * MET         prove     UP          count it, CONNECTED, tell the kind            requeue, drain: it said nothing
 * MET         fail      QUEUED      let go of the peer again                      as above
 * MET, UP     requeue   QUEUED      DIED or LEFT, tell the kind; drain beside     the binder: the next one goes on where
 *                                                                                 its record says that it had read to
 * MET, UP     drain     DRAINING    DIED or LEFT, tell the kind; free the ring    the connector: what it sent is read
 * any other   leave     LEAVING     tell the kind, and the peer                   freed at the next look
 *
 * When this side dies, its peers see its life lock go, and each makes one of the transitions above for itself.
 * The data plane makes none: it notes a fault (pipe_note_fault), and the control plane acts on that at its next look.
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

/* Where EVENT leads from STATE; what the table above does not name leads nowhere. */
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
    struct membership *membership; /* NULL once that is closed, or its place is another pipe's */
    uint32_t slot;
    enum pipe_state state;

    /* ---- the peer ---- */
    struct member member;
    struct peer *peer;
    const struct pipe_record *theirs;
    uint32_t their_tag;        /* of the peer's hazard words for this pipe */
    uint64_t connected_before; /* whom the peer was connected to when it came */
    bool died;                 /* by the kernel's word */
    bool faulty;               /* it broke the protocol */
    bool authenticated;        /* its proof holds; without a key: always (session.h) */
    bool superseded;           /* ROUTER: another peer has taken its name over, it is not heard any more */
    struct pipe_session *session;
    struct session_source *source;

    /* ---- noted, for the control plane to act on ---- */
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
    bool began;           /* in.tail, reached by a pre-read, is where to go on */
    bool adopt_due;       /* SPMC: look for claims of the dead */
    bool drained;         /* DRAINING: the control plane was told that the ring is empty */
    struct ring_in in;
    uint64_t received;    /* as it stands in the record */
    uint32_t unannounced; /* reads since the sender was last looked after (R3, bell) */
    uint32_t announce_every;

    /* ---- a connector's place ---- */
    uint64_t accepted_gen; /* generation of the binder that was last met */
    uint64_t rejected;     /* the rejection that was last reported */
    uint64_t refused;      /* generation of the binder that was last found to have another key */
    struct pipe *drain;    /* memory for the drain that a requeue may need */
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
