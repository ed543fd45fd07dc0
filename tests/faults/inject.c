/* SPDX-License-Identifier: MIT */
#include "inject.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

static struct injection now;
static unsigned calls;
static bool among_able;
static const char *what;
static const void *failing; /* the kind of call that keeps failing */

void inject(const struct injection *injection)
{
    now = *injection;
    calls = 0;
    what = NULL;
    failing = NULL;
}

void inject_among_able(bool on)
{
    among_able = on;
}

unsigned inject_stop(void)
{
    now = (struct injection){0};
    return calls;
}

const char *inject_what(void)
{
    return what;
}

/* The errors of each call, from its manual page. */
struct kind {
    const char *name;
    int errors[8];
};

static bool can_fail(const struct kind *kind, int error)
{
    for (unsigned i = 0; i < 8 && kind->errors[i] != 0; i++)
        if (kind->errors[i] == error)
            return true;
    return false;
}

static bool fails(const struct kind *kind)
{
    if (among_able && now.error != 0 && !can_fail(kind, now.error))
        return false;
    calls++;
    if (now.at == 0 || (calls != now.at && !(now.persistent && failing == kind && calls > now.at)))
        return false;
    if (now.error == 0) {
        if (getpid() > 1)
            kill(getpid(), SIGKILL);
        return false;
    }
    if (!can_fail(kind, now.error))
        return false;
    what = kind->name;
    failing = kind;
    errno = now.error;
    return true;
}

#define KIND(name, ...) static const struct kind kind_##name = {#name, {__VA_ARGS__}}

#define WRAP(type, bad, name, arguments, names, ...)                                               \
    KIND(name, __VA_ARGS__);                                                                       \
    type __real_##name arguments;                                                                  \
    type __wrap_##name arguments;                                                                  \
    type __wrap_##name arguments                                                                   \
    {                                                                                              \
        return fails(&kind_##name) ? (bad) : __real_##name names;                                  \
    }

static long blocks; /* of the heap, not given back */

long inject_blocks(void)
{
    return blocks;
}

static void *counted(void *block)
{
    blocks += block != NULL;
    return block;
}

#define WRAP_ALLOC(name, arguments, names)                                                         \
    KIND(name, ENOMEM);                                                                            \
    void *__real_##name arguments;                                                                 \
    void *__wrap_##name arguments;                                                                 \
    void *__wrap_##name arguments                                                                  \
    {                                                                                              \
        return fails(&kind_##name) ? NULL : counted(__real_##name names);                          \
    }

WRAP_ALLOC(malloc, (size_t size), (size))
WRAP_ALLOC(calloc, (size_t count, size_t size), (count, size))
WRAP_ALLOC(aligned_alloc, (size_t to, size_t size), (to, size))

KIND(realloc, ENOMEM);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size)
{
    if (fails(&kind_realloc))
        return NULL;
    return old == NULL ? counted(__real_realloc(old, size)) : __real_realloc(old, size);
}

void __real_free(void *block);
void __wrap_free(void *block);
void __wrap_free(void *block)
{
    blocks -= block != NULL;
    __real_free(block);
}

WRAP(int, -1, memfd_create, (const char *name, unsigned flags), (name, flags), EMFILE, ENOMEM)
WRAP(int, -1, pipe2, (int ends[2], int flags), (ends, flags), EMFILE, ENOMEM)
WRAP(int, -1, fchmod, (int fd, mode_t mode), (fd, mode), ENOMEM)
WRAP(int, -1, flock, (int fd, int operation), (fd, operation), EINTR, ENOMEM)
WRAP(int, -1, fstatfs64, (int fd, struct statfs *fs), (fd, fs), EINTR, ENOMEM)
WRAP(ssize_t, -1, readlink, (const char *path, char *to, size_t size), (path, to, size), ENOMEM)
WRAP(ssize_t, -1, vmsplice, (int fd, const struct iovec *from, size_t count, unsigned flags), (fd, from, count, flags),
     EAGAIN, ENOMEM)
WRAP(ssize_t, -1, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags), EINTR, EAGAIN,
     ENOMEM, ENOBUFS, ETOOMANYREFS)
WRAP(ssize_t, -1, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags), EINTR, EAGAIN, ENOMEM)
WRAP(int, -1, getsockopt, (int fd, int a, int b, void *c, socklen_t *d), (fd, a, b, c, d), ENOMEM)
WRAP(int, -1, fallocate64, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size), ENOSPC, EINTR, ENOMEM)
WRAP(int, -1, ftruncate64, (int fd, off_t size), (fd, size), ENOSPC, ENOMEM, EACCES)
WRAP(int, -1, fstat64, (int fd, struct stat *st), (fd, st), ENOMEM)
WRAP(int, -1, linkat, (int a, const char *b, int c, const char *d, int e), (a, b, c, d, e), ENOSPC, ENOMEM, EACCES)
WRAP(int, -1, mkfifoat, (int dir, const char *name, mode_t mode), (dir, name, mode), ENOSPC, EACCES, ENOMEM)
WRAP(int, -1, epoll_create1, (int flags), (flags), EMFILE, ENOMEM)
WRAP(int, -1, epoll_ctl, (int a, int b, int c, struct epoll_event *d), (a, b, c, d), ENOSPC, ENOMEM)
WRAP(int, -1, inotify_init1, (int flags), (flags), EMFILE, ENOMEM)
WRAP(int, -1, inotify_add_watch, (int a, const char *b, uint32_t c), (a, b, c), ENOSPC, ENOMEM, EACCES)
WRAP(int, -1, unlinkat, (int dir, const char *name, int flags), (dir, name, flags), EACCES, ENOMEM)
WRAP(int, -1, mkdir, (const char *path, mode_t mode), (path, mode), ENOSPC, EACCES, ENOMEM)
WRAP(int, -1, madvise, (void *at, size_t size, int advice), (at, size, advice), ENOMEM, EAGAIN)
WRAP(void *, MAP_FAILED, mmap64, (void *a, size_t b, int c, int d, int e, off_t f), (a, b, c, d, e, f), ENOMEM, EAGAIN,
     EACCES)
WRAP(ssize_t, -1, getrandom, (void *buffer, size_t size, unsigned flags), (buffer, size, flags), EINTR)
WRAP(int, -1, close, (int fd), (fd), 0)
WRAP(ssize_t, -1, read, (int fd, void *buffer, size_t size), (fd, buffer, size), EINTR, EAGAIN)
WRAP(ssize_t, -1, write, (int fd, const void *bytes, size_t size), (fd, bytes, size), EINTR, EAGAIN)
WRAP(ssize_t, -1, pread64, (int fd, void *buffer, size_t size, off_t at), (fd, buffer, size, at), EINTR, ENOMEM)
WRAP(int, -1, poll, (struct pollfd *fds, nfds_t count, int timeout), (fds, count, timeout), EINTR, ENOMEM)
WRAP(int, -1, timerfd_create, (int clock, int flags), (clock, flags), EMFILE, ENOMEM)

KIND(openat64, EMFILE, ENOMEM, ENOSPC, EACCES, EINTR);
int __real_openat64(int dir, const char *name, int flags, ...);
int __wrap_openat64(int dir, const char *name, int flags, ...);
int __wrap_openat64(int dir, const char *name, int flags, ...)
{
    va_list arguments;

    va_start(arguments, flags);
    mode_t mode = va_arg(arguments, mode_t);
    va_end(arguments);
    return fails(&kind_openat64) ? -1 : __real_openat64(dir, name, flags, mode);
}

KIND(open64, EMFILE, ENOMEM, EACCES, EINTR);
int __real_open64(const char *name, int flags, ...);
int __wrap_open64(const char *name, int flags, ...);
int __wrap_open64(const char *name, int flags, ...)
{
    va_list arguments;

    va_start(arguments, flags);
    mode_t mode = va_arg(arguments, mode_t);
    va_end(arguments);
    return fails(&kind_open64) ? -1 : __real_open64(name, flags, mode);
}

/* Only calls that take a lock or add seals: F_OFD_GETLK needs no resources. */
KIND(fcntl64, EINTR, EAGAIN, ENOMEM);
KIND(seal, ENOMEM);
int __real_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...)
{
    va_list arguments;

    va_start(arguments, command);
    struct flock *lock = va_arg(arguments, struct flock *);
    va_end(arguments);
    bool takes = command == F_OFD_SETLK && lock->l_type != F_UNLCK;
    bool seals = command == F_ADD_SEALS;
    return (takes && fails(&kind_fcntl64)) || (seals && fails(&kind_seal)) ? -1 : __real_fcntl64(fd, command, lock);
}

/* Futex waits. Waking needs no resources. */
KIND(futex, EINTR, EAGAIN, ENOMEM);
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
    long a[6];
    va_list arguments;

    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    bool waits = (number == SYS_futex && a[1] == FUTEX_WAIT) || number == SYS_futex_waitv;
    return waits && fails(&kind_futex) ? -1 : __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
