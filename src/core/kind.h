/* SPDX-License-Identifier: MIT */
/*
 * A kind of socket: what PUB, REQ and the others are, as a table of traits and functions. The core asks the
 * table and never for a type, so a kind is added by writing a table and naming it in patterns/kinds.c.
 *
 * All functions are called by the socket's thread, never block, and return 0 or more, or a negative errno.
 */
#ifndef SHMQ_CORE_KIND_H
#define SHMQ_CORE_KIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct shm_socket;
struct pipe;
struct part;

#define KIND_BIT(type) (UINT32_C(1) << (type))

/* An int option of a kind's own: where it lies in the socket's kind_data, and what it may be. */
struct int_option {
    int option;
    size_t field;
    int min, max;
    bool before; /* only before the first endpoint */
};

struct kind {
    int type;      /* SHM_PAIR ...: its number in the public interface and in shared memory */
    uint32_t fits; /* KIND_BIT() of each type of peer */

    /* ---- traits ---- */
    bool one_peer;        /* further peers are turned away */
    bool retries;         /* a peer that was turned away may fit later: look at it again */
    bool sends_plain;     /* a message is its bytes: short ones may take the fast path */
    bool receives_plain;  /* likewise; a kind may change rx.is_plain later */
    bool sends_control;   /* what it sends are subscriptions: few, never refused, nothing to linger for */
    bool filters;         /* the newest message of a conflating peer may not be wanted: it looks for itself */
    bool adopts;          /* takes over what a dead reader had in hand */
    bool ends_discarding; /* swallows the rest of a message whose peer went by itself: it has a turn to mind */
    uint64_t memory_limit; /* default of SHM_MEMORY_LIMIT; 0: none */
    const int *options;    /* of the core's table, those that only some kinds have; 0 ends it */
    const struct int_option *own_options; /* option 0 ends it */

    /* ---- rings ---- */
    /* The kind of ring that a pipe to such a peer (-1: not known yet) sends on; 0 none. */
    uint32_t (*ring)(struct shm_socket *s, int peer_type);
    /* The one ring that all peers read (NULL, or 0: each has its own). */
    uint32_t (*shared_ring)(struct shm_socket *s);
    /* The kind of ring of a binder of that type that may be read before it has accepted us (NULL, or 0: none). */
    uint32_t (*pre_accept_ring)(struct shm_socket *s, int peer_type);

    /* ---- life; each may be NULL ---- */
    int (*open)(struct shm_socket *s); /* make kind_data */
    void (*close)(struct shm_socket *s);
    int (*pipe_new)(struct shm_socket *s, struct pipe *pipe); /* a new peer; -EEXIST, -EPROTO turn it away */
    void (*pipe_up)(struct shm_socket *s, struct pipe *pipe);   /* both ways work now */
    void (*pipe_gone)(struct shm_socket *s, struct pipe *pipe); /* the peer is not there */
    void (*pipe_free)(struct shm_socket *s, struct pipe *pipe); /* forget it */
    int (*set_option)(struct shm_socket *s, int option, const void *value, size_t size);

    /* ---- sending; NULL: this kind does not ---- */
    int (*send)(struct shm_socket *s, const struct part *part); /* take one part: 0; -EAGAIN it would wait */
    bool (*can_send)(struct shm_socket *s);

    /* ---- receiving; NULL: this kind does not ---- */
    /* Bring rx.message to the first part that the caller shall see of the next message for it: 1; 0 there is none. */
    int (*advance)(struct shm_socket *s);
    int (*next_part)(struct shm_socket *s, struct part *part); /* NULL: rx_next() */

    /* ---- the fast path of a kind whose messages are more than bytes: both or none ---- */
    bool (*fast_send)(struct shm_socket *s, const void *data, size_t size);
    ssize_t (*fast_receive)(struct shm_socket *s, void *buffer, size_t size, int flags);
};

/* By type, NULL where there is none; defined above the core (patterns/kinds.c). */
#define KIND_COUNT 16
extern const struct kind *const socket_kinds[KIND_COUNT];

static inline bool kind_fits(const struct kind *kind, uint32_t peer_type)
{
    return peer_type < KIND_COUNT && (kind->fits & KIND_BIT(peer_type)) != 0;
}

#endif
