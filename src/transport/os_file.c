/* SPDX-License-Identifier: MIT */
#include "transport/os.h"
#include "transport/memfd_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
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

/* 1 and *GROUP, if the directory is a group's; 0 it is its owner's. */
static int dir_group(int dir, gid_t *group)
{
    struct stat st;
    if (fstat(dir, &st) != 0)
        return -errno;
    *group = st.st_gid;
    return (st.st_mode & (S_ISGID | S_IRWXG)) == (S_ISGID | S_IRWXG);
}

uint64_t os_file_ceiling(int dir)
{
    return memfd_store_is(dir) ? MEMFD_STORE_CEILING : 0;
}

int os_file_new(int dir, size_t size)
{
    if (memfd_store_is(dir))
        return memfd_store_file_new(size);
    int fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    fchmod(fd, 0600); /* whatever the umask is */
    int error = os_file_extend(fd, size);
    if (error < 0) {
        close(fd);
        return error;
    }
    return fd;
}

int os_file_link(int dir, int fd, const char *name, int others)
{
    char path[64];
    gid_t group = 0;
    if (memfd_store_is(dir))
        return memfd_store_file_pipe(dir, fd, name, others);
    int shared = dir_group(dir, &group);
    if (shared < 0)
        return shared;
    if (shared && fchmod(fd, others == OS_WRITE ? 0660 : 0640) != 0)
        return -errno;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (linkat(AT_FDCWD, path, dir, name, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    if (errno != ENOENT || access("/proc/self/fd", F_OK) == 0)
        return -errno;
    /* A container without /proc: for who opened the file since Linux 6.10, before that for the privileged. */
    if (linkat(fd, "", dir, name, AT_EMPTY_PATH) == 0)
        return 0;
    return errno == ENOENT ? -ENOTSUP : -errno;
}

void os_file_unlink(int dir, const char *name)
{
    if (memfd_store_is(dir))
        pocket_file_unlink(dir, name);
    else
        unlinkat(dir, name, 0);
}

/* Is it a plain file, of those whose directory this is, and closed to others? 0, or -EPERM. */
static int check_file(int dir, int fd)
{
    struct stat st;
    gid_t group = 0;
    int shared = dir_group(dir, &group);
    if (shared < 0)
        return shared;
    if (fstat(fd, &st) != 0)
        return -errno;
    mode_t mode = st.st_mode & 07777;
    bool fits = shared ? st.st_gid == group && (mode == 0640 || mode == 0660)
                       : st.st_uid == geteuid() && mode == 0600;
    /* No pipe at all: removed since; the caller notices. */
    return fits && S_ISREG(st.st_mode) && st.st_nlink <= 1 ? 0 : -EPERM;
}

int os_file_open(int dir, const char *name, int access)
{
    if (memfd_store_is(dir))
        return memfd_store_file_open(dir, name, access);
    int flags = (access == OS_WRITE ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    int fd = openat(dir, name, flags);

    if (fd < 0)
        return errno == ELOOP || errno == EISDIR || errno == ENXIO ? -EPERM : -errno;
    int error = check_file(dir, fd);
    if (error < 0) {
        close(fd);
        return error;
    }
    return fd;
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

int os_file_find(int dir, const char *suffix, bool (*is_it)(const void *context, const char *name), const void *context)
{
    _Alignas(struct dirent64) char entries[4096];
    ssize_t size = 1;
    int found = 0;
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* with a position of its own */
    if (fd < 0)
        return -errno;
    while (!found && (size = getdents64(fd, entries, sizeof entries)) > 0) {
        for (char *at = entries; !found && at < entries + size;) {
            const struct dirent64 *entry = (const struct dirent64 *)(void *)at;
            size_t length = strlen(entry->d_name), end = strlen(suffix);
            found = length > end && strcmp(entry->d_name + length - end, suffix) == 0 && is_it(context, entry->d_name);
            at += entry->d_reclen;
        }
    }
    int error = size < 0 ? -errno : 0;
    close(fd);
    return error < 0 ? error : found;
}

bool os_file_path(int dir, const char *name, char *path, size_t size)
{
    return memfd_store_is(dir) ? memfd_store_path(dir, name, path, size)
                          : snprintf(path, size, "/proc/self/fd/%d/%s", dir, name) < (int)size;
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

int os_file_same(int dir, const char *name, int fd)
{
    struct stat a, b;
    if (memfd_store_is(dir))
        return memfd_store_file_same(dir, name, fd);
    if (fstat(fd, &a) != 0 || fstatat(dir, name, &b, AT_SYMLINK_NOFOLLOW) != 0)
        return 0;
    return a.st_ino == b.st_ino && a.st_dev == b.st_dev;
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

/* ---- FIFOs ---- */

static int open_fifo(int dir, const char *name)
{
    if (memfd_store_is(dir))
        return memfd_store_fifo_open(dir, name);
    /* Both ways: then the reader is never at the end of the file, and the writer has no SIGPIPE. */
    int fd = openat(dir, name, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

int os_fifo_new(int dir, const char *name)
{
    gid_t group = 0;
    if (memfd_store_is(dir)) {
        int error = memfd_store_fifo_new(dir, name);
        return error < 0 ? error : open_fifo(dir, name);
    }
    int shared = dir_group(dir, &group);
    if (shared < 0 || mkfifoat(dir, name, 0600) != 0)
        return shared < 0 ? shared : -errno;
    int fd = open_fifo(dir, name);
    if (fd >= 0 && shared && fchmod(fd, 0660) != 0) { /* whatever the umask is */
        int error = -errno;
        close(fd);
        fd = error;
    }
    if (fd < 0)
        os_file_unlink(dir, name); /* or the next attempt would find it */
    return fd;
}

void os_fifo_raise(int dir, const char *name)
{
    struct stat st;
    int saved = errno;
    int fd = memfd_store_is(dir) ? -ENOENT : open_fifo(dir, name);
    if (memfd_store_is(dir))
        memfd_store_fifo_raise(dir, name);
    else if (fd < 0)
        utimensat(dir, name, NULL, AT_SYMLINK_NOFOLLOW); /* no descriptor left: the owner watches this, too */
    /* Not into somebody's file of that name; and a full pipe is as readable as can be. */
    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISFIFO(st.st_mode) || write(fd, "", 1) < 0))
        st.st_size = 0;
    if (fd >= 0)
        close(fd);
    errno = saved;
}
