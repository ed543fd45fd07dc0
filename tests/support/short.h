/* SPDX-License-Identifier: MIT */
/* Short messages: a text, or a number. *Now*: without waiting. */
#ifndef SHMQ_TEST_SHORT_H
#define SHMQ_TEST_SHORT_H

#include "ends.h"

void send_text(shm_socket_t *socket, const char *text);
void send_text_now(shm_socket_t *socket, const char *text);
void expect_text(shm_socket_t *socket, const char *text);
void expect_text_now(shm_socket_t *socket, const char *text);
void send_number(shm_socket_t *socket, uint64_t number);
void expect_number_now(shm_socket_t *socket, uint64_t number);
void expect_nothing(shm_socket_t *socket);
/* A request and its answer. */
void ask_and_answer(shm_socket_t *req, shm_socket_t *rep);

/* A child's: be the left end of the pipe that is its ARGUMENT, and send each number that it is told, until 0. */
void send_when_asked(struct child *up, void *argument);

#endif
