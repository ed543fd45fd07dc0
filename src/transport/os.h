/* SPDX-License-Identifier: MIT */
/*
 * The seam to the operating system: files in the runtime directory, locks, mappings, futexes.
 * Another system is added by another os_*.c. Everything returns 0 or more, or a negative errno. DIR is a
 * descriptor of the runtime directory, or a pocket (memfd_store.h).
 *
 * A life lock is a write lock of an open file description (OFD) on one byte of a file, kept by a
 * mapping instead of a descriptor: the kernel drops it when the last mapping goes, at munmap() or at
 * the death of the process, whichever way it dies; a forked child does not get the mapping
 * (MADV_DONTFORK); other PID namespaces see it; a stopped process keeps it.
 */
#ifndef SHMQ_TRANSPORT_OS_H
#define SHMQ_TRANSPORT_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/atomic.h"

enum { OS_READ = 0, OS_WRITE = 1 };

/*
 * Files follow their directory. In one of mode 0700 they have mode 0600; in a group's (02770) they have its
 * group, and mode 0640 or 0660, as OTHERS says.
 */

/* 0: a file can be made longer at any time. Else it has this size, sparse, and must be mapped for writing
 * by its owner, before it is linked. (memfd_store.h) */
uint64_t os_file_ceiling(int dir);

/* Anonymous file of the directory, SIZE bytes long; visible, and to those whom it is for, once linked. */
int os_file_new(int dir, size_t size);
int os_file_link(int dir, int fd, const char *name, int others); /* -EEXIST when the name is taken */
void os_file_unlink(int dir, const char *name);

/* Open an existing file and refuse what is not a plain file of ours (-EPERM): a symlink, a FIFO, a
 * hard link, another owner or group, a mode open to others. */
int os_file_open(int dir, const char *name, int access);
int os_file_size(int fd, uint64_t *size);
int os_file_identity(int fd, uint64_t *size, uint64_t *inode);
int os_file_same(int dir, const char *name, int fd); /* 1 the name means this file, 0 not */
/* Ask about each file whose name ends so, until one is IT: 1; 0 none is, -errno. Not of a pocket. */
int os_file_find(int dir, const char *suffix, bool (*is_it)(const void *context, const char *name), const void *context);
bool os_file_path(int dir, const char *name, char *path, size_t size); /* while the process lives */

/* Make the file at least END bytes long, sparse. */
int os_file_extend(int fd, uint64_t end);

/* Really allocate memory for a range, or give it back. -ENOSPC instead of a later SIGBUS. */
int os_file_allocate(int fd, uint64_t offset, uint64_t size);
int os_file_release(int fd, uint64_t offset, uint64_t size);

/* Lock bytes without waiting: -EAGAIN when somebody else holds one of them. */
int os_lock(int fd, uint64_t byte, uint64_t count, int access);
int os_unlock(int fd, uint64_t byte, uint64_t count);
int os_is_locked(int fd, uint64_t byte, uint64_t count); /* by another description: 1 or 0 */

/* Hold the whole file, without waiting, shared (OS_READ) or alone (OS_WRITE): a lock that needs no right
 * to write, kept by a mapping like the others. -EAGAIN: it is held otherwise. */
int os_hold(int fd, int access);

/* A FIFO, for who waits on a descriptor: the end that is waited on; and a byte put into it. Who has no
 * descriptor left to open it with changes its times instead, so watch it for that (IN_ATTRIB), too. */
int os_fifo_new(int dir, const char *name);
void os_fifo_raise(int dir, const char *name);

/* Shared mapping that a forked child does not inherit. NULL: errno says why. */
void *os_map(int fd, uint64_t offset, size_t size, int access);
void os_unmap(void *address, size_t size);
int os_lock_memory(void *address, size_t size);

/* Futexes on shared words. TIMEOUT_NS is relative; UINT64_MAX waits for ever. */
int os_futex_wait(shared_u32 *word, uint32_t expected, uint64_t timeout_ns);
int os_futex_wait_many(shared_u32 **words, uint32_t expected, int count, uint64_t timeout_ns);
void os_futex_wake(shared_u32 *word);

void os_sleep(uint64_t ns); /* or less, if a signal comes */

int os_random(void *buffer, size_t size);

#endif
