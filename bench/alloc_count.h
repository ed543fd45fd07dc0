/* SPDX-License-Identifier: MIT */
/*
 * Count every call of the allocator in this program: malloc(), free() and their relatives are defined
 * here, in front of the C library's, and catch libshmq's calls as well.
 */
#ifndef SHMQ_BENCH_ALLOC_COUNT_H
#define SHMQ_BENCH_ALLOC_COUNT_H

#include <stdint.h>

/* Calls so far in this process, or -1: built without the count (sanitizers bring their own allocator). */
int64_t alloc_count(void);

#endif
