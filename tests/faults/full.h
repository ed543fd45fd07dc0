/* SPDX-License-Identifier: MIT */
/*
 * A runtime directory whose file system is always full: it is exactly as large as its content, except while the
 * library allocates (its system calls are wrapped by the linker). So touching any byte of a shared file that was not
 * allocated, reading or writing, is a SIGBUS every time, not once in a million.
 */
#ifndef SHMQ_TEST_FAULTS_FULL_H
#define SHMQ_TEST_FAULTS_FULL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Mount it, with this process and its children to come in it; skips the test where that is not permitted. */
void full_begin(void);
/* Unmount it: everything must be closed by now. */
void full_end(void);

/* From here on the K-th allocation of this process finds no room (0: each finds it), and with AND_ON those
 * after it neither. Returns how many there were since the last call. */
unsigned full_refuse(unsigned k, bool and_on);
/* About one in N finds none, drawn from SEED; 0: each finds it. */
void full_refuse_some(unsigned n, uint64_t seed);

/* To be called when something was freed otherwise than by this process: a process died. */
void full_again(void);

/* Every byte of a part is the same. */
void full_check_part(const void *data, size_t size);

#endif
