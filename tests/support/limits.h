/* SPDX-License-Identifier: MIT */
/* Small worlds for error tests: a tiny file system, another user. */
#ifndef SHMQ_TEST_LIMITS_H
#define SHMQ_TEST_LIMITS_H

#include <stdbool.h>
#include <stddef.h>

/* Give this process a mount name space of its own (skips the test where that is not permitted). */
void enter_own_mounts(void);
/* Mount a tmpfs of that size over the runtime directory; OPTIONS is appended ("" or ",...").
 * Needs enter_own_mounts(). The one before is unmounted. */
void mount_runtime_directory(size_t kib, const char *options);
void unmount_runtime_directory(void);
/* Make the mounted one read-only. */
void remount_read_only(void);
/* Give the runtime directory to user 65534 and become that user for good; skips if not root. */
void become_nobody(void);

#endif
