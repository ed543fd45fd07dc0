/* SPDX-License-Identifier: MIT */
/*
 * A peer's memory: its segment and its bell, mapped, and the claims of its ring. A pipe has a reference to it and so
 * has each view; it in turn keeps this socket's own memory, where the hazard words of its views are (memory.h).
 *
 * References are counted in two words, so that taking a view needs no locked instruction: the socket's thread counts
 * the views that it took, ever, in `taken`; any thread that closes one takes it off `refs`, which starts at
 * PEER_HAS_PIPE. The pipe's end takes PEER_HAS_PIPE - taken off: whoever brings it to 0 frees.
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
};

/* Map the peer ID_HEX, met at PLACE of the endpoint's FILE: these name it to whoever removes its files. */
int peer_open(struct peer **out, struct shm_socket *s, const char *id_hex, const char *file, uint32_t place);
void peer_drop(struct peer *peer);         /* the pipe does not need it any more; NULL: nothing */
void peer_release_view(struct peer *peer); /* a view does not; by any thread */

static inline void peer_take_view(struct peer *peer)
{
    peer->taken++;
}

/* Has the peer died, as far as the kernel knows? */
bool pipe_is_dead(const struct pipe *pipe);

/* Wake the owner of BELL, and have it look: it then sees what was changed before. */
void peer_notify_bell(struct bell *bell);
/* Of a peer that is not mapped. False: there is no memory or descriptor to tell it with just now. */
bool peer_notify(struct shm_socket *s, const char *id_hex);
static inline void pipe_notify(struct pipe *pipe)
{
    if (pipe->peer != NULL)
        peer_notify_bell(&pipe->peer->bell);
}

/* Close the files that the peer ID_HEX handed over (SHM_MEMFD); what is mapped of them stays. */
void peer_forget_files(struct shm_socket *s, const char *id_hex);
/* The name of one of these files, of any socket: 0 segment, 1 bell, 2 FIFO, 3 claims. */
#define PEER_FILES 4
void peer_file_name(char name[48], const char *id_hex, unsigned file);

/*
 * How far has a peer read? A connector's record outlives its binders: until it has come to the next one, its tail is
 * about the ring of one before. So `connected_to` names the very pipe that the tail is about, by the other side's id
 * and the place of its record, and is looked at before and after.
 */
uint64_t pipe_token(const uint8_t *id, uint64_t record_offset);
uint64_t pipe_my_token(const struct pipe *pipe);
const struct pipe_record *record_at(struct remote *remote, uint64_t offset); /* NULL: it is none */
bool record_is_about(const struct pipe_record *record, uint64_t token);
bool record_tail(const struct pipe_record *record, uint64_t token, uint64_t *tail);
/* How far the peer has read what this pipe sends; false: it has not come to it, or has let go of it. */
bool pipe_peer_tail(const struct pipe *pipe, uint64_t *tail);

#endif
