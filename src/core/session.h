/* SPDX-License-Identifier: MIT */
/*
 * Auth sessions: how sockets with SHM_AUTH_KEY authenticate their peers and their messages.
 *
 * Sessions. Each ring is a session, numbered by its sender. The key of its messages is derived from the user's key, the
 * sender's segment id (128 random bits, unique to each socket) and that number, and each message is bound to its ticket
 * (auth.h). So no message of another ring, sender or time is ever accepted here.
 *
 * Proofs. A session alone does not show that it is current and meant for this reader: it could be a recording. So each
 * side has a random, single-use challenge in its pipe record, and beside it its proof for the peer's challenge: the
 * keyed hash of
 *
 *     mode, kind of ring | types | sender's id | reader's id | reader's challenge, and the offset of its
 *     record | session | first ticket for this reader | sender's routing id
 *
 *   QUEUED   challenge: fresh         proof: of an earlier pipe, or none
 *   MET      challenge: fresh         proof: answers the peer's challenge, and again whenever that changes
 *   UP       challenge: 0, used up    the peer is authenticated: its proof has been verified
 *
 * A connector need not wait to be accepted. Each socket with a key also has a standing challenge in its segment's
 * header, and a connector may prove itself against that instead, unless its session is being read already. The standing
 * challenge is renewed before sessions of dead senders are forgotten; the last two are valid. So the messages of a
 * connector that saw a live binder are read even if it makes no further call, or dies. A binder proves itself before it
 * writes its accept record.
 *
 * Until a peer is authenticated, nothing is read from it, nothing is sent to it alone, and neither events nor patterns
 * learn of it. A peer that has no key, another mode or an invalid proof is rejected for good: SHM_EVENT_UNTRUSTED,
 * EBADMSG.
 *
 * The read position in a session is remembered beyond the pipe, as long as the sender lives (`sources`): if someone
 * tampers with shared memory so that the pipe is made anew, no message is delivered twice.
 *
 * All decisions use private copies of challenges, start tickets and ids. A dead peer proves nothing new.
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

int session_pipe_new(struct pipe *pipe);   /* after making its record, before anybody sees that */
void session_pipe_free(struct pipe *pipe);
/* Stop reading the peer's session; the read position is remembered. */
void session_leave(struct pipe *pipe);
/* Check that the peer's mode (key or none, sealed or not) is ours: 0 or -EBADMSG. Its pipe record is at OFFSET. */
int session_meet(struct pipe *pipe, uint64_t offset);
int session_prove(struct pipe *pipe);
/* Connector: has it yet to prove itself to this binder, which has not accepted it? */
bool session_is_pre_accept(const struct pipe *pipe, const struct member *binder);
int session_prove_pre_accept(struct pipe *pipe, const struct member *binder, uint32_t type,
                      const struct segment_header *header);
/* Is the peer authenticated? 1: yes; 0: not yet; -EBADMSG: invalid proof; other errors: out of memory. */
int session_check(struct pipe *pipe);
/* The peer is gone or was rejected: make a fresh challenge for the next one. */
void session_again(struct pipe *pipe);
/* Meeting failed for lack of memory: restore the challenge, so that the peer's proof is still valid next time. */
void session_put_back(struct pipe *pipe);
void session_drain(struct pipe *rest, struct pipe *pipe);
/* Before reading the ring: raise FIRST to the lowest ticket that may be read. 1; -ENOMEM; -EPROTO. */
int session_begin(struct pipe *pipe, uint64_t *first);
uint64_t session_start(const struct pipe *pipe);
uint64_t session_resume(struct pipe *pipe, uint64_t resume);
/* Connector: a binder is there, but we have not proven ourselves to it, so it cannot read our queued messages. */
bool session_pending(const struct pipe *pipe);
/* The peer's routing id; with a key, the one in its proof. 0 or -EPROTO. */
int pipe_peer_routing_id(const struct pipe *pipe, uint8_t id[256], uint32_t *size);
/* Report a peer or message that failed authentication. */
void session_report(struct shm_socket *s, const struct pipe *peer);

/* ---- messages, of sockets with a key ---- */

/* Make the key for the ring of PIPE (NULL: the shared ring): 0 or -ENOMEM. */
int session_key(struct shm_socket *s, struct pipe *pipe);
/* Then seal MESSAGE: its bytes become size + AUTH_TAG_SIZE bytes at TO. */
void session_seal(struct shm_socket *s, struct pipe *pipe, const struct ring_out *ring,
                const struct ring_message *message, void *to);
/* Private room for SIZE bytes of parts; the first USED bytes are kept. NULL: no memory. */
unsigned char *session_gather(struct shm_socket *s, uint64_t used, uint64_t size);
/* Verify the message in hand and make it a private copy. 0, -EBADMSG, -ENOMEM. */
int session_open(struct shm_socket *s, struct pipe *pipe, struct ring_taken *taken);
/* The message stays unread: allow it to be opened again. */
void session_untake(struct pipe *pipe, const struct ring_taken *taken);
/* Hand the buffer of session_open() over to the caller (heap memory). NULL: not possible, copy instead. */
void *session_give(struct shm_socket *s, const void *data, size_t size);

#endif
