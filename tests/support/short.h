/* SPDX-License-Identifier: MIT */
/* Short messages: a text, or a number. *Now*: without waiting. */
#ifndef SHMQ_TEST_SHORT_H
#define SHMQ_TEST_SHORT_H

#include "ends.h"

void send_text(shm_socket_t *socket, const char *text);
void send_text_now(shm_socket_t *socket, const char *text);
void expect_text(shm_socket_t *socket, const char *text);
void expect_text_now(shm_socket_t *socket, const char *text);
/* TEXT is sent by the one, received by the other. */
void pass_text(shm_socket_t *from, shm_socket_t *to, const char *text);
void pass_text_now(shm_socket_t *from, shm_socket_t *to, const char *text);
/* Several texts, as TEXTS("a", "b"): a message each, or the parts of one, behind which there are no others. */
#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})
void send_texts(shm_socket_t *socket, const char *const *texts);
void expect_texts_now(shm_socket_t *socket, const char *const *texts);
void send_parts(shm_socket_t *socket, const char *const *texts);
void expect_parts(shm_socket_t *socket, const char *const *texts);
/* All but the last of a message's parts. */
void send_part(shm_socket_t *socket, const char *text);
/* A part, behind which there are MORE or not. */
void expect_part(shm_socket_t *socket, const char *text, bool more);
uint64_t recv_number(shm_socket_t *socket);
/* FIRST to LAST, in order. */
void send_numbers(shm_socket_t *socket, uint64_t first, uint64_t last);
void send_numbers_now(shm_socket_t *socket, uint64_t first, uint64_t last);
void expect_numbers_now(shm_socket_t *socket, uint64_t first, uint64_t last);
/* Each is received before the next is sent. */
void pass_numbers(shm_socket_t *from, shm_socket_t *to, uint64_t first, uint64_t last);
void send_number(shm_socket_t *socket, uint64_t number);
void expect_number_now(shm_socket_t *socket, uint64_t number);
void expect_nothing(shm_socket_t *socket);
/* A request and its answer. */
void ask_and_answer(shm_socket_t *req, shm_socket_t *rep);

/* A child's: be the left end of the pipe that is its ARGUMENT, and send each number that it is told, until 0. */
void send_when_asked(struct child *up, void *argument);

#endif
