/* SPDX-License-Identifier: MIT */
/*
 * Trust: what a socket with SHM_AUTH_KEY demands of its peers, and gives them.
 *
 * Sessions. Each ring is a session of its sender, numbered by it; the key of its messages is derived
 * from the user's key, the sender's segment id (128 random bits, another for each socket ever made) and
 * that number. Messages are bound to their ticket in it (auth.h). So nothing of another ring, another
 * sender or another time is ever taken for a message here.
 *
 * Proofs. That a session goes on now, and is meant for this reader, a recording could not say. So each
 * side of a pipe has a challenge in its pipe record, random and used once, and beside it its own proof:
 * the keyed hash of
 *
 *     mode, kind of ring | types | sender's id | reader's id | reader's challenge, and the place of the
 *     record it stands in | session | first ticket for this reader | sender's routing id
 *
 *   QUEUED      challenge: fresh              proof: of an earlier pipe, or none
 *   UP          peer mapped: proves to the peer's challenge, and again when that changes
 *   authenticated     the peer's proof holds        challenge: 0, used up
 *
 * A connector need not wait for the answer: each socket with a key has one challenge more, in its
 * segment's header, for connectors that come. A proof for that one is as good, as long as that session is not being
 * read already. It is renewed before sessions of the dead are forgotten, and the last two are good. So a connector that met a live
 * binder is read also when it makes no further call, or dies; the binder proves before it answers.
 *
 * Until a peer is authenticated nothing is read of it, no message is
 * sent to it alone, no event tells of it and no pattern hears of it. A peer whose proof does not ref, or that
 * has no key, or the other mode, is turned away for good: SHM_EVENT_UNTRUSTED, EBADMSG.
 *
 * What was read of a session is remembered, beyond pipes, as long as its sender lives (`sources`): a pipe
 * that was torn down and made again by somebody else's hand gives nothing twice.
 *
 * Challenges, starts, ids that something is decided from are private copies. A dead peer proves nothing new.
 */
#ifndef SHMQ_CORE_SESSION_H
#define SHMQ_CORE_SESSION_H

#include "auth/auth.h"
#include "core/socket.h"

enum { AUTH_NONE = 0, AUTH_AUTHENTICATED = 1, AUTH_SEALED = 2 };

/* ---- sockets ---- */

int session_available(void); /* 0 or -ENOTSUP */
int session_set_key(struct shm_socket *s, const void *key);
void session_close(struct shm_socket *s); /* wipe all keys */

/* ---- pipes; each does nothing for a socket without a key ---- */

int session_pipe_new(struct pipe *pipe);   /* its record is there, and nobody has seen it */
void session_pipe_free(struct pipe *pipe);
/* Nothing is read of it from here on; how far it was read stays known. */
void session_leave(struct pipe *pipe);
/* Does the peer have a key, or not, as we do? 0 or -EBADMSG. Its pipe record is at OFFSET. */
int session_meet(struct pipe *pipe, uint64_t offset);
int session_prove(struct pipe *pipe);
/* A connector, to a binder that has not answered yet: is there something to prove? */
bool session_is_pre_accept(const struct pipe *pipe, const struct member *binder);
int session_prove_pre_accept(struct pipe *pipe, const struct member *binder, uint32_t type,
                      const struct segment_header *header);
/* Is it authenticated? 1; 0 not yet; -EBADMSG its proof does not ref; others for want of memory. */
int session_check(struct pipe *pipe);
/* The peer is gone, or was not taken: a fresh challenge for the next. */
void session_again(struct pipe *pipe);
/* The pipe could not be made for want of memory: what the peer has proven, it shall have proven the next time. */
void session_put_back(struct pipe *pipe);
void session_drain(struct pipe *rest, struct pipe *pipe);
/* The ring is about to be read: where to begin, at the earliest. 1; -ENOMEM; -EPROTO. */
int session_begin(struct pipe *pipe, uint64_t *first);
uint64_t session_start(const struct pipe *pipe);
uint64_t session_resume(struct pipe *pipe, uint64_t resume);
/* A connector's messages wait for a binder that lives, but there is no proof for it yet. */
bool session_pending(const struct pipe *pipe);
/* The name that the peer gave itself; with a key, as proven. 0 or -EPROTO. */
int pipe_peer_routing_id(const struct pipe *pipe, uint8_t id[256], uint32_t *size);
/* Tell of a peer, or a message, that was turned away. */
void session_report(struct shm_socket *s, const struct pipe *peer);

/* ---- messages, of sockets with a key ---- */

/* Be ready to seal for RING: 0 or -ENOMEM. Then BYTES become SIZE + AUTH_TAG_SIZE bytes at TO. */
int session_key(struct shm_socket *s, struct pipe *pipe);
void session_seal(struct shm_socket *s, struct pipe *pipe, const struct ring_out *ring,
                const struct ring_message *message, void *to);
/* Room for SIZE bytes of parts, the first USED of which are kept. NULL: no memory. */
unsigned char *session_gather(struct shm_socket *s, uint64_t used, uint64_t size);
/* The message in hand becomes private bytes that hold. 0, -EBADMSG, -ENOMEM. */
int session_open(struct shm_socket *s, struct pipe *pipe, struct ring_taken *taken);
/* It stays unread: it may come again. */
void session_untake(struct pipe *pipe, const struct ring_taken *taken);
/* Bytes that session_open() made become the caller's, on the heap, if that can be; or NULL. */
void *session_give(struct shm_socket *s, const void *data, size_t size);

#endif
