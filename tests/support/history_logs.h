/* SPDX-License-Identifier: MIT */
/* The memory of a history: this header, a log per actor, then the entries of each. */
#ifndef SHMQ_TEST_HISTORY_LOGS_H
#define SHMQ_TEST_HISTORY_LOGS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct history {
    _Alignas(64) size_t size_bytes;
    unsigned actors;
    unsigned capacity; /* entries per actor */
};

struct history_log {
    _Alignas(64) _Atomic unsigned count; /* published entries; written by the actor, or for it once
                                            dead */
};

struct history_entry {
    uint64_t number;
    uint32_t kind;
    uint32_t sender;
};

const struct history_entry *history_entries(const struct history *history, unsigned actor, unsigned *count);

#endif
