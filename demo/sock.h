/* SPDX-License-Identifier: MIT */
/* Sockets as the demo uses them: asleep when idle, with a deadline on every wait. */
#ifndef DEMO_SOCK_H
#define DEMO_SOCK_H

#include <shmq.h>

#define WAIT_MS 5000 /* longer than anything here may take: a timeout is a failure */

/* Make a socket of TYPE that sleeps at once when there is nothing to do (the machine is shared)
 * and never waits longer than WAIT_MS. Ends the process on failure. */
shm_socket_t *sock_open(int type);

void sock_set(shm_socket_t *socket, int option, int value);
void sock_bind(shm_socket_t *socket, const char *endpoint);
void sock_connect(shm_socket_t *socket, const char *endpoint);

/* Wait until COUNT peers have joined. */
void sock_await_peers(shm_socket_t *socket, int count);

/* The current SHM_LOST. */
uint64_t sock_lost(shm_socket_t *socket);

void sock_close(shm_socket_t *socket);

#endif
