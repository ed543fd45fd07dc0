/* SPDX-License-Identifier: MIT */
/*
 * Which process is this? A word that the kernel wipes in a forked child (MADV_WIPEONFORK) tells it
 * by one load, without a system call: a socket remembers the mark it was made under, and in a child
 * the mark is another.
 */
#ifndef SHMQ_BASE_PROCESS_H
#define SHMQ_BASE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"

extern shared_u64 *process_mark_word;

/* The mark of this process, made at its first call. 0: out of memory. */
uint64_t process_mark(void);

/* Its number in its own namespace, for people: nothing is decided from it. */
uint32_t process_id(void);

/* Is MARK (non-zero) that of this process? */
static inline bool process_is_mine(uint64_t mark)
{
    return likely(load_relaxed(process_mark_word) == mark);
}

/*
 * Locks for what the threads of a process share. A forked child finds them open, whoever held them in its
 * parent: so what they guard is whole between any two stores, for who only reads and frees it.
 * False: out of memory, in a process that has no mark yet.
 */
enum process_lock { PROCESS_LOCK_STORES, PROCESS_LOCK_MEMFDS, PROCESS_LOCKS };
bool process_lock(enum process_lock which);
void process_unlock(enum process_lock which);

#endif
