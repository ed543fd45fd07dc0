/* SPDX-License-Identifier: MIT */
/* Private memory that the kernel wipes in a forked child (MADV_WIPEONFORK): it finds zeros there. */
#ifndef SHMQ_BASE_WIPED_H
#define SHMQ_BASE_WIPED_H

#include <stddef.h>

/* SIZE bytes of zeros, in pages of their own. NULL: no memory. */
void *wiped_new(size_t size);
void wiped_free(void *memory, size_t size);

/* Keep it out of core dumps, and out of swap as far as RLIMIT_MEMLOCK allows: for keys. */
void wiped_hide(void *memory, size_t size);

#endif
