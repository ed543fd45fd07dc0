/* SPDX-License-Identifier: MIT */
/*
 * The calls by which the library reaches the system and the heap, each able to fail, or to be the last
 * thing that the process does, at the k-th. The linker puts these in place of the C library's
 * (--wrap), in a test that is linked with the static library: no tracer, and thousands of cases a second.
 */
#ifndef SHMQ_TEST_FAULTS_INJECT_H
#define SHMQ_TEST_FAULTS_INJECT_H

#include <stdbool.h>

struct injection {
    unsigned at;     /* the first call to fail: 1, 2, 3 ...; 0: none */
    int error;       /* an errno; 0: the process is killed there */
    bool persistent; /* every later call of this kind fails, too */
};

/* From here on; counts from 1 again. */
void inject(const struct injection *injection);
/* Count only the calls that can fail with the error of the injection. */
void inject_among_able(bool on);
/* Stop. Returns the number of calls that were made since. */
unsigned inject_stop(void);
/* The call that failed first, or NULL: none got that far, or none of them can fail with that error. */
const char *inject_what(void);
/* Blocks of the heap that were taken and not given back, ever: to be compared. */
long inject_blocks(void);

#endif
