/* SPDX-License-Identifier: MIT */
/* The tag of a request's slot, which its reply brings back. 0: no request. */
#ifndef SHMQ_PATTERNS_REQREP_H
#define SHMQ_PATTERNS_REQREP_H

#define REQUEST_NUMBER  0x7fffffffu
#define REQUEST_CANCELS 0x80000000u /* the asker has given up its request before (SHM_REQ_RELAXED) */

#endif
