/* SPDX-License-Identifier: MIT */
/* What a process must not leave behind: descriptors, mappings, threads, children. */
#ifndef SHMQ_TEST_LEAKS_H
#define SHMQ_TEST_LEAKS_H

#include <stdint.h>

#define LEAKS_FDS_MAX 65536

struct leaks {
    uint64_t open[LEAKS_FDS_MAX / 64]; /* a bit per descriptor */
    unsigned mappings;                 /* of the runtime directory: a fork may inherit some */
};

void leaks_note(struct leaks *before);
/* Fail, naming each, if there is more than there was at leaks_note(). */
void leaks_check(const struct leaks *before);
/* The same, with children still at work. */
void leaks_check_open(const struct leaks *before);
/* Only what the address sanitizer knows. */
void leaks_check_heap(void);

#endif
