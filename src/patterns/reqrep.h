/* SPDX-License-Identifier: MIT */
/*
 * Requests and replies. A request consists of an envelope, an empty part and the body (RFC 28); ROUTERs on the way, or
 * SHM_REQ_CORRELATE, add the envelope's parts. Each request also has a number in its slot's tag, which the reply brings
 * back: so the reply to a request that was given up is never taken for that to the next.
 */
#ifndef SHMQ_PATTERNS_REQREP_H
#define SHMQ_PATTERNS_REQREP_H

#include "core/pattern.h"

#define REQUEST_NUMBER  0x7fffffffu /* of a slot's tag; 0: no request */
#define REQUEST_CANCELS 0x80000000u /* the requester gave up its previous request (SHM_REQ_RELAXED) */

/* An SPSC ring for each peer. */
uint32_t ring_spsc(struct shm_socket *s, int peer);

/* pipe_new of kinds whose peers only reply. A connector's queued replies are for an earlier binder of our name, and
 * would leave it no room to reply to us: skip them. */
int skip_answers_to_others(struct shm_socket *s, struct pipe *pipe);

/* SHM_PROBE_ROUTER: send the empty message by which a ROUTER learns of us. */
void probe_router(struct shm_socket *s, struct pipe *pipe);

#endif
