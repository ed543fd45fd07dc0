/* SPDX-License-Identifier: MIT */
/*
 * Processes that measure together: forked, pinned, started from one barrier, and killed when their row's
 * time is over.
 *
 * Side 0 runs on the first CPU, every other side on the second. They leave their results in memory from
 * pair_map(), made before the fork. If one fails, all are ended: the others would wait for it for ever.
 */
#ifndef SHMQ_BENCH_PAIR_H
#define SHMQ_BENCH_PAIR_H

#include <stddef.h>

#include "bench.h"

#define PAIR_MAX 16

typedef void pair_body_t(int side, void *arg);

/* Call this once, first: SIGCHLD and the signals that stop a program are then only taken in pair_run(),
 * so that no handler races with anything and the clean-up is always reached. */
void pair_block_signals(void);

/* Run BODY in COUNT processes. Returns 0 if all of them returned from it, else -1 with
 * bench->why: a side failed or died, the row's deadline passed, or a signal came. None is left running. */
int pair_run(struct bench *bench, int count, pair_body_t *body, void *arg);

/* Shared, zeroed, resident memory for results; NULL with errno. */
void *pair_map(size_t size);
void pair_unmap(void *memory, size_t size);

/* In a body: zeroed memory; resident memory at the start of a page, for messages. Neither is ever NULL. */
void *pair_new(size_t size);
unsigned char *pair_buffer(size_t size);

/* In a body: wait until every side has come here. Spins a little, then sleeps. */
void pair_barrier(void);

/* In a body: let this process (and threads that it makes from now on) run on every CPU, or pin it
 * to its own again. */
void pair_unpin(void);
void pair_pin(void);

/* In a body: end this process and its row. */
_Noreturn void pair_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
