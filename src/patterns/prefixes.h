/* SPDX-License-Identifier: MIT */
/* A counted set of prefixes: the topics that are subscribed. Matching costs a binary search per distinct length. */
#ifndef SHMQ_PATTERNS_PREFIXES_H
#define SHMQ_PATTERNS_PREFIXES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct prefix {
    unsigned char *bytes;
    size_t size;
    unsigned count;
};

struct prefixes {
    struct prefix *sorted;
    size_t count, capacity;
    size_t *lengths; /* distinct, ascending */
    size_t length_count;
};

/* 1: it is new; 0: it was there, its count goes up; -ENOMEM. */
int prefixes_add(struct prefixes *set, const void *bytes, size_t size);

/* 1: it is removed; 0: its count goes down; -ENOENT. */
int prefixes_remove(struct prefixes *set, const void *bytes, size_t size);

bool prefixes_match(const struct prefixes *set, const void *topic, size_t size);
void prefixes_deinit(struct prefixes *set);

#endif
