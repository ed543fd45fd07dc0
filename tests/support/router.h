/* SPDX-License-Identifier: MIT */
/* Short messages to and from a ROUTER's peers, which are DEALERs connected to "it". */
#ifndef SHMQ_TEST_ROUTER_H
#define SHMQ_TEST_ROUTER_H

#include "short.h"

void send_to(shm_socket_t *router, const char *id, const char *text);
/* TEXT from DEALER, whom ROUTER knows as ID; or to it. */
void pass_from(shm_socket_t *dealer, const char *id, shm_socket_t *router, const char *text);
void pass_to(shm_socket_t *router, const char *id, shm_socket_t *dealer, const char *text);
void expect_from(shm_socket_t *router, const char *id, const char *text);
/* With a routing id, or none if that is NULL. */
shm_socket_t *dealer_new(const char *id);
/* ... that has met ROUTER. */
shm_socket_t *dealer_of(shm_socket_t *router, const char *id);

#endif
