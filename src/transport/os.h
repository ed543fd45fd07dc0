/* SPDX-License-Identifier: MIT */
/*
 * The seam to the operating system: files, locks, mappings, futexes, events, and descriptors sent by Unix sockets.
 * Nothing above it makes a system call, but for base/ (time, the process) and the stores. Another system is added by
 * other os_*.c and stores. Everything returns 0 or more, or a negative errno.
 */
#ifndef SHMQ_TRANSPORT_OS_H
#define SHMQ_TRANSPORT_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/atomic.h"

enum { OS_READ = 0, OS_WRITE = 1 };

/* Files have no names here: store.h. */
int os_file_size(int fd, uint64_t *size);
int os_file_identity(int fd, uint64_t *size, uint64_t *inode);

/* Copy bytes of the file: how many there were, or a negative errno. */
ssize_t os_file_read(int fd, uint64_t offset, void *to, size_t size);
void os_close(int fd);

/* Make the file at least END bytes long, sparse. */
int os_file_extend(int fd, uint64_t end);

/* Really allocate memory for a range, or give it back. -ENOSPC instead of a later SIGBUS. */
int os_file_allocate(int fd, uint64_t offset, uint64_t size);
int os_file_release(int fd, uint64_t offset, uint64_t size);

/* Lock bytes of an open file description, without waiting: -EAGAIN when somebody else holds one of them. */
int os_lock(int fd, uint64_t byte, uint64_t count, int access);
int os_unlock(int fd, uint64_t byte, uint64_t count);
int os_is_locked(int fd, uint64_t byte, uint64_t count); /* by another description: 1 or 0 */

/* Hold the whole file, without waiting, shared (OS_READ) or alone (OS_WRITE): a lock that needs no right
 * to write, kept by a mapping like the others. -EAGAIN: it is held otherwise. */
int os_hold(int fd, int access);

/* The end of a FIFO that is waited on: make it readable, and no longer. */
void os_fifo_fill(int fd);
void os_fifo_drain(int fd);

/* Shared mapping that a forked child does not inherit. NULL: errno says why. */
void *os_map(int fd, uint64_t offset, size_t size, int access);
void os_unmap(void *address, size_t size);
int os_lock_memory(void *address, size_t size);

/* Futexes on shared words. TIMEOUT_NS is relative; UINT64_MAX waits for ever. */
int os_futex_wait(shared_u32 *word, uint32_t expected, uint64_t timeout_ns);
int os_futex_wait_many(shared_u32 **words, uint32_t expected, int count, uint64_t timeout_ns);
void os_futex_wake(shared_u32 *word);

void os_sleep(uint64_t ns); /* or less, if a signal comes */
void os_yield(void);
int os_processors(void); /* of the machine that are in use */

/* The kernel's poll(); an item with a negative descriptor is passed over. How many are ready. */
struct os_poll {
    int fd;
    short events, revents;
};
enum { OS_POLL_IN = 1, OS_POLL_PRI = 2, OS_POLL_OUT = 4, OS_POLL_ERROR = 8 | 16 | 32 };
int os_poll(struct os_poll *items, unsigned count, int timeout_ms);

/* A descriptor that is readable as long as one of those in the group is. */
int os_group_new(void);
void os_group_add(int group, int fd);

/* A descriptor that is readable when something was done to a file; or, for want of such, now and then. */
enum os_watch {
    OS_WATCH_TIMES,  /* its times were changed */
    OS_WATCH_WRITERS /* one who could write it has gone: the end of a mapping, by death too */
};
int os_watch_new(void);
bool os_watch_add(int watch, const char *path, enum os_watch what);
int os_ticker_new(uint64_t period_ns);
bool os_watch_take(int watch); /* was there anything, since this was asked? Of either */

/* Descriptors that go with SIZE bytes of data through a Unix socket. Never waits: -EAGAIN. */
#define OS_FDS_MAX 4
struct os_fds {
    int fds[OS_FDS_MAX];
    unsigned count; /* of these, the caller's to close */
    unsigned came;  /* with the last data; more than there is room for are closed */
};
int os_is_unix_socket(int fd); /* 1 or 0 */
int os_send_fds(int fd, const void *data, size_t size, const int *fds, unsigned count); /* -EMSGSIZE: not all of it */
/* How many bytes came. -EPIPE: the end; -EMFILE: we have no descriptors left; -EPROTO: more than there was room for. */
ssize_t os_receive_fds(int fd, void *data, size_t size, struct os_fds *into);

int os_random(void *buffer, size_t size);

#endif
