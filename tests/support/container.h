/* SPDX-License-Identifier: MIT */
/*
 * Containers, as far as they matter here: a process in name spaces of its own (PID, mount, IPC, network, host
 * name, time; user, if asked), which shares with us nothing but the runtime directory. It is process 1 there.
 */
#ifndef SHMQ_TEST_CONTAINER_H
#define SHMQ_TEST_CONTAINER_H

#include "harness.h"

enum {
    CONTAINER_OWN_PROC = 1,  /* /proc shows its own processes; otherwise it is ours */
    CONTAINER_NO_PROC = 2,   /* there is none */
    CONTAINER_ELSEWHERE = 4, /* the runtime directory is at another path, and /dev/shm is its own */
    CONTAINER_OWN_USERS = 8, /* a user name space: our user is 1000 there */
};

struct container_kind {
    unsigned flags;
    long clock_offset_s; /* of its monotonic clock and that of its boot */
};

struct container {
    struct child line; /* say and hear */
    _Atomic pid_t *pid;
};

/* Skips the test where containers cannot be made. */
void need_containers(void);

/* As child_start(). FUNCTION must not skip the test. */
struct container container_start(const struct container_kind *kind, void (*function)(struct child *up, void *argument),
                                 void *argument);
/* Wait until it has ended well. */
void container_wait(struct container *container);
/* SIGKILL it, and wait until it is gone. */
void container_kill(struct container *container);

#endif
