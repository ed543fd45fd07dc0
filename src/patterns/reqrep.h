/* SPDX-License-Identifier: MIT */
/* The tag of a request's slot, which its reply brings back. 0: no request. */
#ifndef SHMQ_PATTERNS_REQREP_H
#define SHMQ_PATTERNS_REQREP_H

#define REQUEST_NUMBER  0x7fffffffu
struct pipe;
struct shm_socket;

/* What one that connected to us has said so far was to one that had our name before, and leaves it no room to
 * answer us. For those whose peers only answer. */
int skip_answers_to_others(struct shm_socket *s, struct pipe *pipe);

#define REQUEST_CANCELS 0x80000000u /* the asker has given up its request before (SHM_REQ_RELAXED) */

#endif
