/* SPDX-License-Identifier: MIT */
#include "transport/os.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files ---- */

int os_file_extend(int fd, uint64_t end)
{
    struct stat st;
    struct rlimit limit;

    if (fstat(fd, &st) != 0)
        return -errno;
    if ((uint64_t)st.st_size >= end)
        return 0;
    /* Past RLIMIT_FSIZE the kernel would send SIGXFSZ. */
    if (end > INT64_MAX ||
        (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && end > limit.rlim_cur))
        return -ENOSPC;
    return ftruncate(fd, (off_t)end) == 0 ? 0 : errno == EPERM ? -ENOSPC : -errno; /* EPERM: sealed */
}

int os_file_identity(int fd, uint64_t *size, uint64_t *inode)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return -errno;
    *size = (uint64_t)st.st_size;
    *inode = (uint64_t)st.st_ino;
    return 0;
}

ssize_t os_file_read(int fd, uint64_t offset, void *to, size_t size)
{
    ssize_t n = pread(fd, to, size, (off_t)offset);
    return n < 0 ? -errno : n;
}

void os_close(int fd)
{
    close(fd);
}

int os_file_size(int fd, uint64_t *size)
{
    uint64_t inode;
    return os_file_identity(fd, size, &inode);
}

int os_file_allocate(int fd, uint64_t offset, uint64_t size)
{
    while (fallocate(fd, 0, (off_t)offset, (off_t)size) != 0)
        if (errno != EINTR)
            return errno == EFBIG ? -ENOSPC : -errno;
    return 0;
}

int os_file_release(int fd, uint64_t offset, uint64_t size)
{
    while (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size) != 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

/* ---- locks ---- */

static int lock_command(int fd, int command, short type, uint64_t byte, uint64_t count, struct flock *lock)
{
    memset(lock, 0, sizeof *lock);
    lock->l_type = type;
    lock->l_whence = SEEK_SET;
    lock->l_start = (off_t)byte;
    lock->l_len = (off_t)count;
    while (fcntl(fd, command, lock) != 0) {
        if (errno == EACCES)
            return -EAGAIN;
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

int os_lock(int fd, uint64_t byte, uint64_t count, int access)
{
    struct flock lock;
    return lock_command(fd, F_OFD_SETLK, access == OS_WRITE ? F_WRLCK : F_RDLCK, byte, count, &lock);
}

int os_unlock(int fd, uint64_t byte, uint64_t count)
{
    struct flock lock;
    return lock_command(fd, F_OFD_SETLK, F_UNLCK, byte, count, &lock);
}

int os_is_locked(int fd, uint64_t byte, uint64_t count)
{
    struct flock lock;
    int error = lock_command(fd, F_OFD_GETLK, F_WRLCK, byte, count, &lock);
    return error < 0 ? error : lock.l_type != F_UNLCK;
}

int os_hold(int fd, int access)
{
    while (flock(fd, (access == OS_WRITE ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0)
        if (errno != EINTR)
            return errno == EWOULDBLOCK ? -EAGAIN : -errno;
    return 0;
}
