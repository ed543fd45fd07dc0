/* SPDX-License-Identifier: MIT */
/*
 * A peer's memory, mapped: its segment, its bell and the claims of its ring. The pipe and each view have a reference to
 * it; it has a reference to this socket's own memory, which has the hazard words of its views (memory.h).
 *
 * References are counted in two words, so that taking a view needs no locked instruction. The socket's thread counts
 * all views ever taken in `taken`; whichever thread closes one subtracts 1 from `refs`, which starts at PEER_HAS_PIPE.
 * When the pipe ends it subtracts PEER_HAS_PIPE - taken. Whoever brings `refs` to 0 frees the peer.
 */
#ifndef SHMQ_CORE_PEER_H
#define SHMQ_CORE_PEER_H

#include "core/socket.h"

#define PEER_HAS_PIPE (INT64_C(1) << 62)

struct peer {
    _Atomic int64_t refs;
    int64_t taken;
    struct shm_socket *socket;
    struct remote *remote;
    struct bell bell;
    struct claims claims; /* header NULL unless its ring is SPMC */
    _Atomic uint64_t viewed; /* bytes that views of its broadcast ring keep; any thread */
    bool share_used;         /* they were as many as they may be, and the caller knows */
};

/* Map the peer ID_HEX, met in slot PLACE of the endpoint FILE: its files stay while that names it. */
int peer_open(struct peer **out, struct shm_socket *s, const char *id_hex, const char *file, uint32_t place);
void peer_drop(struct peer *peer);         /* drop the pipe's reference; NULL is allowed */
void peer_release_view(struct peer *peer); /* drop a view's reference; any thread */

static inline void peer_take_view(struct peer *peer)
{
    peer->taken++;
}

/* Has the peer died, as far as the kernel knows? */
bool pipe_is_dead(const struct pipe *pipe);

/* Have the owner of BELL look at its peers, waking it if it sleeps. It sees everything that was changed before. */
void peer_notify_bell(struct bell *bell);
/* The same for a peer that is not mapped. False: out of memory or descriptors, try again. */
bool peer_notify(struct shm_socket *s, const char *id_hex);
static inline void pipe_notify(struct pipe *pipe)
{
    if (pipe->peer != NULL)
        peer_notify_bell(&pipe->peer->bell);
}

/* Close the files that the peer ID_HEX handed over (SHM_MEMFD); what is mapped of them stays. */
void peer_forget_files(struct shm_socket *s, const char *id_hex);
/* The name of a socket's FILE: 0 segment, 1 bell, 2 FIFO, 3 claims. */
#define PEER_FILES 4
void peer_file_name(char name[48], const char *id_hex, unsigned file);

/*
 * How far has a peer read? A connector's pipe record outlives its binders: until it has met the next one, its tail
 * refers to a former binder's ring. So `connected_to` identifies the pipe that the tail refers to, by a token made of
 * the other side's id and record offset; it is checked before and after reading the tail.
 */
uint64_t pipe_token(const uint8_t *id, uint64_t record_offset);
uint64_t pipe_my_token(const struct pipe *pipe);
const struct pipe_record *record_at(struct remote *remote, uint64_t offset); /* NULL: there is no record */
bool record_is_about(const struct pipe_record *record, uint64_t token);
bool record_tail(const struct pipe_record *record, uint64_t token, uint64_t *tail);
/* The peer's read position in our ring. False: the peer has not met us yet, or does not read us any more. */
bool pipe_peer_tail(const struct pipe *pipe, uint64_t *tail);

#endif
