/* SPDX-License-Identifier: MIT */
/*
 * Which process is this? A word that the kernel wipes in a forked child (MADV_WIPEONFORK) tells it
 * by one load, without a system call: a socket remembers the mark it was made under, and in a child
 * the mark is another.
 */
#ifndef SHMQ_BASE_PROCESS_H
#define SHMQ_BASE_PROCESS_H

#include <stdint.h>

#include "base/atomic.h"

extern shared_u64 *process_mark_word;

/* The mark of this process, made at its first call. 0: out of memory. */
uint64_t process_mark(void);

/* Is MARK (non-zero) that of this process? */
static inline bool process_is_mine(uint64_t mark)
{
    return likely(load_relaxed(process_mark_word) == mark);
}

#endif
