/* SPDX-License-Identifier: MIT */
/*
 * What a socket is made of, inside. Private to src/core and src/patterns.
 *
 *   socket ── memberships: the endpoints it is bound or connected to
 *          └─ pipes: one per peer (per connected endpoint, also before there is a peer)
 *                 ├─ out: the ring that it sends on (its own, or the socket's shared one)
 *                 └─ in: the peer's ring, with the tail of this side
 *
 * A pipe's life: QUEUED (connector: nobody bound yet, sends queue up) -> UP -> back to QUEUED when
 * the binder goes, or GONE (only what the peer still had sent is read) -> freed. LEAVING: this side
 * disconnected; the ring stays until the peer has read it and holds no view into it.
 */
#ifndef SHMQ_CORE_SOCKET_H
#define SHMQ_CORE_SOCKET_H

#include "shmq.h"
#include "base/clock.h"
#include "base/process.h"
#include "core/kind.h"
#include "transport/bell.h"
#include "transport/endpoint.h"
#include "transport/ring.h"


/* A peer's memory, kept as long as a pipe or a view needs it; and keeps the socket's. */
struct peer {
    _Atomic int64_t refs; /* PEER_HAS_PIPE as long as there is a pipe; less one per view that was closed */
    int64_t taken;        /* views that were taken, ever: the socket's thread */
    struct shm_socket *socket;
    struct remote *remote;
    struct bell bell;
    struct claims claims; /* header NULL unless its ring is shared */
};

enum pipe_state { PIPE_QUEUED, PIPE_UP, PIPE_GONE, PIPE_LEAVING };

struct pipe {
    struct shm_socket *socket;
    struct membership *membership; /* NULL once that is closed or the slot is another's */
    uint32_t slot;
    enum pipe_state state;
    bool died; /* GONE by death */
    bool broken;
    bool authenticated; /* without a key: always. Else nothing passes before (session.h) */
    struct pipe_session *session;
    struct session_source *source;
    struct member member; /* the peer, when there is one */
    struct peer *peer;
    const struct pipe_record *theirs;
    uint32_t their_tag; /* of the peer's hazards for this pipe */
    struct block *record_block;
    struct pipe_record *record; /* mine; NULL for the rest of a split pipe */
    uint32_t hazard_tag;
    struct ring_out own_ring;
    struct ring_out *out; /* NULL: this side does not send here */
    bool has_in;
    struct ring_in in;
    uint64_t received;    /* as it stands in the record */
    uint32_t unannounced; /* reads since the sender was last looked after (R3, bell) */
    uint32_t announce_every;
    uint64_t accepted_gen;     /* connector: generation of the binder that was last linked to */
    uint64_t rejected;     /* connector: the rejection that was last reported */
    uint64_t refused;      /* connector: generation of the binder that was last found to have another key */
    bool pre_accept;            /* QUEUED, but the binder's ring is read already */
    bool began;            /* the tail of the ring read early is to be gone on with */
    bool adopt_due;        /* its ring is shared: look for claims of the dead */
    bool drained;          /* GONE: its emptiness was acted upon */
    uint64_t connected_before; /* whom the peer was linked to when it came */
    bool superseded;         /* ROUTER: another peer has taken its name over: it is not heard any more */
    bool sticky;           /* LEAVING: kept until the socket closes */
    struct pipe *rest;     /* memory for split() */
    uint64_t base_limit;   /* of own_ring, before the peer's SHM_RCVHWM */
    void *kind_data;
};

struct membership {
    struct membership *next;
    struct endpoint endpoint;
    bool bound;
    uint64_t gen; /* mine */
    struct pipe **pipes; /* bound: by slot; connected: one */
    uint64_t *rejected;  /* bound: generations turned away, by slot; or for_good() */
    bool has_overwritten; /* bound: an answer of this one was written over, and it is still to be forgotten: */
    uint8_t overwritten[SEGMENT_ID_SIZE];
    bool untold;         /* connected: the binder does not know yet that it has to look */
    bool look_again;     /* something could not be done at the last look, and will tell nobody when it can */
    char handed_to[2 * SEGMENT_ID_SIZE + 1]; /* the only one who comes here (handover.c), or "" */
    bool met;            /* and has come */
    uint32_t capacity;
};

/* What keeps a view valid: the pin of its number, or a claim; and the peer. Shared by the parts of one
 * message. Taken by the socket's thread, released by any. */
struct view_ref {
    _Atomic int refs; /* 0: free */
    uint64_t ticket;
    shared_u64 *claim; /* NULL: the pin */
    uint32_t owner;
    struct peer *peer;
};

/* The message being received, part by part. */
struct incoming {
    bool active;
    bool given; /* a part of it, to the caller */
    struct pipe *pipe;
    struct ring_taken taken;
    uint64_t at; /* packed: the next part */
    uint64_t previous; /* where the last part began, should it have to be given again */
    struct view_ref *ref;
    uint64_t *copy; /* of a block of a sender who does not know us yet */
    size_t copy_words;
};

/* The message being sent, part by part. */
struct outgoing {
    bool active;  /* parts were taken, more follow */
    bool discard; /* swallow the rest: its peer is unknown or gone */
    struct pipe *pipe; /* NULL: the shared ring */
    struct ring_out *ring;
    uint32_t tag;
    uint64_t payload; /* bytes of the caller's, for the counters */
    unsigned char inline_bytes[SLOT_PAYLOAD];
    uint64_t used;
    struct block *envelope; /* when it does not fit a slot */
    unsigned char *gathered; /* with a key, in its place: private */
    struct block *blocks;   /* of parts */
};

/* One part on its way in either direction. */
struct part {
    const void *data;
    size_t size;
    struct block *block; /* sending: a loan of this socket, which is taken on success */
    bool more;
    bool synthetic; /* receiving: not a peer's memory (a routing id, a subscription) */
};

struct options {
    int linger, send_hwm, receive_hwm, send_timeout, receive_timeout;
    int immediate, conflate, lossless, history, redeliver, lock_memory, round_robin, probe_router, seal;
    int64_t spin_ns;
    uint64_t memory_limit;
};

#define EVENTS_KEPT 64

/* The pipes of a socket, in the order of their making, and whose turn it is. */
struct pipes {
    struct pipe **list;
    uint32_t count, capacity;
    uint32_t receive_next, send_next;
    uint32_t draining; /* how many only drain */
};

/* Receiving. */
struct rx {
    struct incoming message;
    bool last_more, last_redelivered;
    int pending_error; /* found while looking, for the next receive */
    bool is_plain;     /* what comes needs no look by its kind: the fast path may take it */
    bool is_conflated; /* a publisher asks for only its newest message to be read */
    uint32_t count;
};

/* Sending. */
struct tx {
    struct outgoing message;
    struct ring_out shared; /* PUB, PUSH: one ring for all peers */
    bool has_shared;
    bool refused; /* the last send did not find room */
    bool blocked; /* a send waits: for room enough to be worth waking up for */
    uint32_t count;
    struct block *retired; /* blocks that were sent and may still be viewed */
};

/* The only pipe for short messages (fast_path.h); NULL: the general way. */
struct fast {
    struct ring_out *out;
    struct pipe *to, *in;
};

/* SHM_FD: -1 as long as nobody asked for it. */
struct descriptor {
    int fd, inotify, fifo;
    bool ticks; /* inotify is a timer: deaths cannot be watched for */
};

/* When the peers' lives were looked at, in ticks. */
struct liveness {
    uint64_t looked_at, looked_moved, adopted_at;
    uint64_t checked_at;
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

    /* its memory */
    struct segment segment;
    struct arena arena;
    struct hazards hazards;
    shared_u64 *stats;
    struct view_ref view_refs[SEGMENT_HAZARDS];
    _Atomic int refs; /* the handle and each peer */
    bool files_awaited; /* closed, but a peer has still to map what it was sent */
    struct directory *directory;

    /* its place in the world */
    struct membership *memberships;
    struct identity identity;
    struct auth_session *auth; /* SHM_AUTH_KEY; NULL: none */
    struct liveness liveness;
    struct {
        uint64_t spin_ticks; /* self-calibrated */
    } wait;
    struct descriptor descriptor;
    struct events events;
    void *kind_data;
};

/* Bytes for messages, without SHM_MEMORY_LIMIT. */
static inline uint64_t socket_default_limit(const struct shm_socket *s)
{
    return s->kind->memory_limit != 0 ? s->kind->memory_limit : UINT64_MAX;
}

static inline void stat_add(struct shm_socket *s, unsigned stat, uint64_t n)
{
    count_add(&s->stats[stat], n);
}

/* ---- pipe.c: peers come and go ---- */

/* Something changed: the next message goes the general way (fast_path.h). */
static inline void fast_forget(struct shm_socket *s)
{
    s->fast.out = NULL;
    s->fast.in = NULL;
}


/* Whoever has this bell looks up, and sees what was changed before. */
void notify_bell(struct bell *bell);
/* Look at who is there; cheap when `changed` is not set. */
void socket_sync(struct shm_socket *s);
static inline void socket_look(struct shm_socket *s)
{
    if (unlikely(peer_u32(&s->bell.page->changed) != 0))
        socket_sync(s);
}
/* Ask the kernel who still lives. */
void socket_check_peers(struct shm_socket *s);
int socket_join(struct shm_socket *s, const char *name, bool bind);
/* At a place of its own, where nobody comes but the one with this id. ("": anybody.) */
int socket_join_at(struct shm_socket *s, const char *name, bool bind, const char *only);
int socket_leave(struct shm_socket *s, const char *name, bool bound);
bool socket_leave_all(struct shm_socket *s); /* true: a peer has still to map what it was sent */
void socket_free_pipes(struct shm_socket *s);
void pipe_drop(struct pipe *pipe); /* whatever its state: the socket ends */
int socket_open_shared_out(struct shm_socket *s, uint32_t kind);
/* The name that the peer gave itself. 0 or -EPROTO. */
int pipe_peer_routing_id(const struct pipe *pipe, uint8_t id[256], uint32_t *size);
bool pipe_is_dead(struct pipe *pipe); /* as the kernel has it */
/* It may go better the next time: short of memory or descriptors. What the peer left has to stay till then. */
bool pipe_error_passes(int error);
void pipe_supersede(struct pipe *pipe); /* another peer has taken its name over: it is not heard any more */
void pipe_died(struct pipe *pipe);    /* that was found out: take it down */
void pipe_break(struct pipe *pipe); /* the peer wrote nonsense */
void peer_drop(struct peer *peer);  /* the pipe does not need it any more */
void peer_release(struct peer *peer); /* a view does not */
#define PEER_HAS_PIPE (INT64_C(1) << 62)

/* ---- tx.c: messages through pipes ---- */

/* Messages that one call passes over, at most: a peer may send them faster than we find them useless. */
#define PASSED_OVER_MAX RING_SLOTS_MAX

/* Room for one more message? Looks at the reader's tail when need be. */
bool pipe_has_room(struct pipe *pipe);
void pipe_look_at_tail(struct pipe *pipe);
/* How far the peer has read what this pipe sends; false: it has not come to it, or has let go of it. */
bool pipe_peer_tail(const struct pipe *pipe, uint64_t *tail);
bool ring_has_room(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe);

/* Begin a message on RING to PIPE (NULL: all readers of the shared ring), add parts, end it. */
void out_begin(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe, uint32_t tag);
int out_add(struct shm_socket *s, const void *data, size_t size, struct block *block);
int out_add_raw(struct shm_socket *s, const void *packed, size_t size); /* parts packed already */
int out_end(struct shm_socket *s);
void out_cancel(struct shm_socket *s);
/* A part of a message that was begun, the last one maybe; after an error it was not taken. */
int out_continue(struct shm_socket *s, const struct part *part);
/* Swallow this part and those that follow it. */
int out_discard(struct shm_socket *s, const struct part *part);
/* A message of one part, without an envelope. */
int out_single(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe, const struct part *part, uint32_t tag);
/* The two above for a pattern without an envelope: a part with or without more to follow. */
int out_part(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe, const struct part *part, uint32_t tag);

/* Begin the next message of PIPE: 1, 0, -EPROTO; or for want of memory or descriptors another error, and
 * it comes again. Then its parts; then drop what is left of it. */
int in_begin(struct shm_socket *s, struct pipe *pipe);
int in_next(struct shm_socket *s, struct part *part); /* 1; 0 no more; as in_begin() */
void in_end(struct shm_socket *s);
void in_leave(struct shm_socket *s); /* its pipe goes: it stays unread, unless the caller has had a part of it */
/* One of those went wrong with ERROR, which it returns: its bytes make no sense, so it ends, and the sender
 * is detached; or memory or descriptors are wanting, and it is as if it had not begun. */
int in_fail(struct shm_socket *s, int error);
/* in_begin() on a pipe whose peer went: what it left comes before what its successor sends. */
int in_begin_gone(struct shm_socket *s);
/* That, or else in_begin() on the next pipe in turn that has a message. */
int in_begin_fair(struct shm_socket *s);
void socket_adopt(struct shm_socket *s); /* look for claims of the dead at the next receives */
/* The next pipe in turn that takes a message, or NULL. */
struct pipe *pipe_choose(struct shm_socket *s);
bool pipe_is_open(const struct pipe *pipe); /* takes part in sending */
struct view_ref *in_view_ref(struct shm_socket *s); /* a further reference to what keeps it; NULL: none free */
/* What keeps a block that the only reader of a ring has not yet gone past. NULL: none free. */
struct view_ref *view_ref_block(struct pipe *pipe, uint64_t offset);
struct block *socket_block(struct shm_socket *s, uint64_t size);
void pipe_skip_to_head(struct pipe *pipe); /* broadcast tails: what was sent so far is not for us */
void pipe_end_read(struct pipe *pipe); /* look after a sender that may wait for room */
void view_ref_release(struct view_ref *ref);
void wake_readers(struct shm_socket *s);

/* ---- wait.c ---- */
#define BURST_NS   200 /* a peer that was caught up with is left alone for so long */
#define RING_LARGE 64  /* from this mark on a blocked sender waits for more than one place */
void pause_ns(uint64_t ns);
int socket_wait(struct shm_socket *s, short events, uint64_t deadline_ns);
void socket_empty_poll(struct shm_socket *s);
void socket_busy(struct shm_socket *s);
void socket_sent_many(struct shm_socket *s);
#define SENDS_PER_LOOK 4096
/* PULL: every so many messages, should it never wait. */
#define RECEIVES_PER_LOOK 256
short socket_events(struct shm_socket *s, short wanted);
int socket_fd(struct shm_socket *s);
void socket_fd_close(struct shm_socket *s);
void socket_fd_watch(struct shm_socket *s); /* have the descriptor tell of deaths at every endpoint */
void socket_fd_rearm(struct shm_socket *s);

/* ---- event.c ---- */
void event_push(struct shm_socket *s, int event, const struct pipe *pipe, const char *name, uint64_t value);

/* ---- socket.c ---- */
void socket_unref(struct shm_socket *s);
int socket_usable(struct shm_socket *s); /* 0, or -1 with errno */
int socket_prepare(struct shm_socket *s); /* before the first bind or connect: what options ask for */

/* ---- handover.c ---- */
/* Close what a peer that was joined had handed over; what is mapped of it stays. */
void handover_forget(struct shm_socket *s, const char *id_hex);

/* ---- io.c ---- */
bool socket_can_receive(struct shm_socket *s);

#endif
