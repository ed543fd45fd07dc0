/* SPDX-License-Identifier: MIT */
/*
 * Requests and replies. On the wire a request is an envelope, an empty part, the body (RFC 28); the envelope is what
 * ROUTERs on the way, or SHM_REQ_CORRELATE, put before. Besides, each request bears a number in its slot's tag, which
 * the reply brings back: a reply to a request that was given up is never taken for the next one's.
 */
#ifndef SHMQ_PATTERNS_REQREP_H
#define SHMQ_PATTERNS_REQREP_H

#include "core/pattern.h"

#define REQUEST_NUMBER  0x7fffffffu /* of a slot's tag; 0: no request */
#define REQUEST_CANCELS 0x80000000u /* the asker has given up its request before (SHM_REQ_RELAXED) */

/* A ring for each peer. */
uint32_t ring_spsc(struct shm_socket *s, int peer);

/* What one that connected to us has said so far was to one that had our name before, and leaves it no room to answer
 * us. For those whose peers only answer. */
int skip_answers_to_others(struct shm_socket *s, struct pipe *pipe);

/* SHM_PROBE_ROUTER: the empty message that tells a ROUTER of us. */
void probe_router(struct shm_socket *s, struct pipe *pipe);

#endif
