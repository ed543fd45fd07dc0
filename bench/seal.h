/* SPDX-License-Identifier: MIT */
/* A process that has closed the door to the kernel behind itself. */
#ifndef SHMQ_BENCH_SEAL_H
#define SHMQ_BENCH_SEAL_H

/*
 * From now on this process may only end (exit_group): any other system call ends its row with the
 * number of the call. By a seccomp filter, so that nothing can slip through, whoever makes it.
 */
void seal_process(void);

#endif
