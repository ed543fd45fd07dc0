/* SPDX-License-Identifier: MIT */
/*
 * A kind of socket (PUB, REQ ...) is a table of traits and functions. The core consults the table and never tests the
 * type, so a kind is added by writing its table and listing it in patterns/kinds.c.
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

/* An int option that only this kind has: its offset in kind_data and its range. */
struct int_option {
    int option;
    size_t field;
    int min, max;
    bool before; /* can be set only before the first endpoint */
};

struct kind {
    int type;      /* SHM_PAIR ...: its number in the public interface and in shared memory */
    uint32_t fits; /* KIND_BIT() of each type of peer */

    /* ---- traits ---- */
    bool one_peer;        /* further peers are rejected */
    bool retries;         /* a rejected peer may fit later: consider it again */
    bool sends_plain;     /* a message is just its bytes: short ones may take the fast path */
    bool receives_plain;  /* likewise; a kind may change rx.is_plain later */
    bool sends_control;   /* it sends subscriptions only: few, never refused, nothing to linger for */
    bool filters;         /* a conflating peer's newest message may be unwanted: the kind searches for it itself */
    bool adopts;          /* adopts the claims of dead readers */
    bool ends_discarding; /* its send() discards the rest of a message whose peer went, to keep turns in step */
    uint64_t memory_limit; /* default of SHM_MEMORY_LIMIT; 0: none */
    const int *options;    /* the optional ones of the core's table that this kind has; 0 ends it */
    const struct int_option *own_options; /* option 0 ends it */

    /* ---- rings ---- */
    /* The kind of ring to send on to a peer of this type (-1: not known yet); 0: none. */
    uint32_t (*ring)(struct shm_socket *s, int peer_type);
    /* The kind of the one ring that all peers read (NULL, or 0: each pipe has its own). */
    uint32_t (*shared_ring)(struct shm_socket *s);
    /* The kind of a binder's ring that may be read before the binder has accepted us (NULL, or 0: none). */
    uint32_t (*pre_accept_ring)(struct shm_socket *s, int peer_type);

    /* ---- life; each may be NULL ---- */
    int (*open)(struct shm_socket *s); /* make kind_data */
    void (*close)(struct shm_socket *s);
    int (*pipe_new)(struct shm_socket *s, struct pipe *pipe); /* a new peer; -EEXIST, -EPROTO reject it */
    void (*pipe_up)(struct shm_socket *s, struct pipe *pipe);   /* messages pass in both directions now */
    void (*pipe_gone)(struct shm_socket *s, struct pipe *pipe); /* the peer has gone, or we leave */
    void (*pipe_free)(struct shm_socket *s, struct pipe *pipe); /* free the pipe's kind_data */
    int (*set_option)(struct shm_socket *s, int option, const void *value, size_t size);

    /* ---- sending; NULL: this kind does not ---- */
    int (*send)(struct shm_socket *s, const struct part *part); /* take one part: 0; -EAGAIN: it would wait */
    bool (*can_send)(struct shm_socket *s);

    /* ---- receiving; NULL: this kind does not ---- */
    /* Begin the next message for the caller, up to the first part that it is to see: 1; 0: there is none. */
    int (*advance)(struct shm_socket *s);
    int (*next_part)(struct shm_socket *s, struct part *part); /* NULL: rx_next() */

    /* ---- the fast path of a kind whose messages are not plain: both or none ---- */
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
