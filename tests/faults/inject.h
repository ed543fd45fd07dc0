/* SPDX-License-Identifier: MIT */
/*
 * Makes the k-th call to the system or the heap fail, or kills the process there. The linker puts these functions in
 * place of the C library's (--wrap) in tests that are linked with the static library: no tracer, so thousands of
 * cases a second.
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
/* Heap blocks allocated and not freed so far: for comparison. */
long inject_blocks(void);

#endif
