/* SPDX-License-Identifier: MIT */
/*
 * The data of a socket; private to src/core and src/patterns. The functions are in the modules that
 * tests/structure/order.txt lists.
 *
 *   socket ── memberships: the endpoints it is bound or connected to
 *          └─ pipes: one per peer (a connected endpoint has one even without a peer)
 *                 ├─ out: the ring that it sends on (its own, or the one that all peers read)
 *                 └─ in: the peer's ring, with the tail of this side
 */
#ifndef SHMQ_CORE_SOCKET_H
#define SHMQ_CORE_SOCKET_H

#include <errno.h>

#include "shmq.h"
#include "base/clock.h"
#include "base/process.h"
#include "core/kind.h"
#include "core/pipe_state.h"
#include "core/waitable.h"

struct membership {
    struct membership *next;
    struct endpoint endpoint;
    bool bound;
    uint64_t gen; /* our generation at the endpoint */
    struct pipe **pipes; /* bound: by slot; connected: one */
    uint64_t *rejected;  /* bound: by slot, the generation rejected; or for_good() of it */
    bool has_overwritten; /* bound: we overwrote an accept record of this earlier binder, yet to be forgotten: */
    uint8_t overwritten[SEGMENT_ID_SIZE];
    bool untold;         /* connected: the binder could not be notified yet */
    bool look_again;     /* something could not be done at the last look; retry, since no event will tell us to */
    char handed_to[2 * SEGMENT_ID_SIZE + 1]; /* the only peer allowed here (api_handover.c), or "" */
    bool met;            /* it has come */
    uint32_t capacity;
};

struct view_ref;

/* How a kind of view reference releases what it protects. */
struct view_kind {
    void (*release)(struct view_ref *ref);
};

/* Protects the bytes of a view (view_ref.h). */
struct view_ref {
    _Atomic int refs; /* 0: free */
    const struct view_kind *kind;
    struct peer *peer;
    shared_u64 *claim; /* SPMC: the claim word */
    uint64_t bytes;    /* broadcast: of the parts that it keeps */
    uint64_t ticket;
    uint32_t owner;
};

/* The message being received, part by part. */
struct incoming {
    bool active;
    bool given; /* the caller has had a part of it */
    struct pipe *pipe;
    struct ring_taken taken;
    uint64_t at; /* packed: the next part */
    uint64_t previous; /* where the last part began, to read it again */
    struct view_ref *ref;
    uint64_t *copy; /* pre-accept: of a block that our hazard words do not protect */
    size_t copy_words;
};

/* The message being sent, part by part. */
struct outgoing {
    bool active;  /* parts were taken, more follow */
    bool discard; /* drop the rest: the peer is unknown or gone */
    struct pipe *pipe; /* NULL: the shared ring */
    struct ring_out *ring;
    uint32_t tag;
    uint64_t payload; /* the caller's bytes, for the counters */
    unsigned char inline_bytes[SLOT_PAYLOAD];
    uint64_t used;
    struct block *envelope; /* has the packed parts when they do not fit a slot */
    unsigned char *gathered; /* private memory in its place, with a key */
    struct block *blocks;   /* of parts that have their own */
};

/* One part of a message, sent or received. */
struct part {
    const void *data;
    size_t size;
    struct block *block; /* sending: a loan of this socket, taken over on success */
    bool more;
    bool synthetic; /* receiving: not a peer's memory (a routing id, a subscription) */
};

struct options {
    int linger, send_hwm, receive_hwm, send_timeout, receive_timeout;
    int view_share;
    int immediate, conflate, lossless, history, redeliver, lock_memory, round_robin, probe_router, seal;
    int64_t spin_ns;
    uint64_t memory_limit;
};

#define EVENTS_KEPT 64

/* The pipes of a socket, oldest first, and whose turn it is. */
struct pipes {
    struct pipe **list;
    uint32_t count, capacity;
    uint32_t receive_next, send_next;
    uint32_t draining; /* how many are DRAINING */
};

/* Receiving. */
struct rx {
    struct incoming message;
    bool last_more, last_redelivered;
    int pending_error; /* found while polling; the next receive returns it */
    bool is_plain;     /* the kind need not look at messages: the fast path may take them */
    bool is_conflated; /* a publisher conflates: only its newest message is to be read */
    struct look look;
};

/* Sending. */
struct tx {
    struct outgoing message;
    struct ring_out shared; /* PUB, PUSH: one ring for all peers */
    bool has_shared;
    bool refused; /* the last send did not find room, and SHM_FD has not told of any since */
    bool blocked; /* a send waits, until there is enough room to be worth waking up for */
    struct look look;
    struct block *retired; /* blocks that were read, but may still be viewed */
};

/* What the fast path may use (fast_path.h); NULL: take the general path. */
struct fast {
    struct ring_out *out;
    struct pipe *to, *in;
};

/* When the peers' lives were last checked, in ticks. */
struct liveness {
    uint64_t looked_at, looked_moved; /* while polling, and how many messages had moved by then */
};

struct events {
    shm_event_t list[EVENTS_KEPT];
    uint32_t first, count;
    uint64_t missed;
};

struct identity {
    uint8_t routing_id[256]; /* a private copy of the segment's */
    uint32_t routing_id_size;
    char last_endpoint[ENDPOINT_NAME_MAX + 8];
    uint32_t next_hazard_tag;
};

struct shm_socket {
    /* read on every call */
    uint64_t mark; /* process.h */
    const struct kind *kind;
    int type;
    _Atomic int terminated;
    struct bell bell;
    struct fast fast;
    struct options options;
    struct pipes pipes;
    struct rx rx;
    struct tx tx;

    /* memory */
    struct segment segment;
    struct arena arena;
    struct hazards hazards;
    shared_u64 *stats;
    struct view_ref view_refs[SEGMENT_HAZARDS];
    _Atomic int refs; /* the handle and each peer */
    uint32_t loans;     /* messages that are memory of this socket, not sent yet: the socket's thread */
    bool kept_by_loans; /* closed with some: the last one to go lets go of the memory */
    bool files_awaited; /* closed, but a peer has yet to map what it was sent */
    struct store *store;

    /* control plane */
    struct membership *memberships;
    struct identity identity;
    struct auth_session *auth; /* SHM_AUTH_KEY; NULL: none */
    struct liveness liveness;
    struct waitable wait;
    struct events events;
    void *kind_data;
};

static inline void stat_add(struct shm_socket *s, unsigned stat, uint64_t n)
{
    count_add(&s->stats[stat], n);
}

/* Something changed: the next message takes the general path (fast_path.h). */
static inline void fast_forget(struct shm_socket *s)
{
    s->fast.out = NULL;
    s->fast.in = NULL;
}

/* Make this socket's next call look at its peers (membership.h). */
static inline void socket_look_again(struct shm_socket *s)
{
    store_relaxed(&s->bell.page->changed, 1);
}

/*
 * The data plane ends no pipe. It notes that the peer broke the protocol or died, and stops using the pipe; the control
 * plane acts on that at its next look.
 */
static inline void pipe_note_fault(struct pipe *pipe)
{
    pipe->fault_noted = true;
    pipe->has_in = false;
    fast_forget(pipe->socket);
    socket_look_again(pipe->socket);
}

static inline void pipe_note_death(struct pipe *pipe)
{
    pipe->death_noted = true;
    socket_look_again(pipe->socket);
}

/* Another peer has taken over the routing id: read nothing more from this one. */
static inline void pipe_supersede(struct pipe *pipe)
{
    pipe->has_in = false;
    pipe->superseded = true;
}

/* Is ERROR transient (out of memory or descriptors)? Then try again later, and keep what the peer left until then. */
static inline bool error_passes(int error)
{
    return error < 0 && error != -EPROTO && error != -ENOENT && error != -EEXIST && error != -EBADMSG &&
           error != -EPERM;
}

#endif
