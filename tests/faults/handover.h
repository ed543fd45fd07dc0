/* SPDX-License-Identifier: MIT */
/* Sockets to be handed over, with ids that suit the test: of two, the one with the greater id binds. */
#ifndef SHMQ_TEST_FAULTS_HANDOVER_H
#define SHMQ_TEST_FAULTS_HANDOVER_H

#include "../support/sockets.h"

/* One that binds when it meets the socket with ID_HEX, or one that connects. */
shm_socket_t *open_beside(int type, const char *id_hex, bool binds);
/* One whose id leaves room for others above and below it. */
shm_socket_t *open_between(int type);

void poll_once(shm_socket_t *socket);
void await_peers(shm_socket_t *socket, uint64_t peers);
/* Hand SOCKET over by END, which is shut down if that fails. 0, or the errno. */
int hand_over(shm_socket_t *socket, int end, int timeout_ms);

#endif
