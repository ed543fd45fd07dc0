/* SPDX-License-Identifier: MIT */
/* What the crash tests do with the library's inside, apart from crash.h: both know a `struct pipe`.
 */
#ifndef SHMQ_CRASH_INSIDE_H
#define SHMQ_CRASH_INSIDE_H

#include <shmq.h>

#include <stdbool.h>

/* wrap.c: tickets of new rings, whether all of them has memory at once, and the first letter of
 * ids. */
extern uint64_t wrap_first;
extern bool wrap_fill;
extern unsigned char wrap_letter;

/* Look at once for who has died, as a sleeper does at the end of its slice. */
void inside_check_peers(shm_socket_t *socket);
/* Places of the socket's endpoints and claims of its rings that are a dead one's; said to stderr.
 */
int inside_left_with_the_dead(shm_socket_t *socket, bool may_claim);
/* Slots of the ring that the socket sends on. */
int inside_slots(shm_socket_t *socket);
/* Of the last receive. */
bool inside_redelivered(shm_socket_t *socket);
/* What is measured once per process, before anything is stepped. */
void inside_warm_up(void);

#endif
