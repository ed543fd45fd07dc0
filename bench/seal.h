/* SPDX-License-Identifier: MIT */
/* A process that can make no system call any more. */
#ifndef SHMQ_BENCH_SEAL_H
#define SHMQ_BENCH_SEAL_H

/*
 * From now on this process may only exit (exit_group): any other system call fails its row and reports the
 * number of the call. A seccomp filter does this, so that no call escapes, whoever makes it.
 */
void seal_process(void);

#endif
