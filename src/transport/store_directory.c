/* SPDX-License-Identifier: MIT */
/* The store of which a directory is the place. */
#include "transport/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/process.h"
#include "transport/os_directory.h"

struct directory {
    struct store store;
    struct directory *next;
    int fd;
    bool is_default;
    char path[PATH_MAX];
};

static struct directory *all; /* under PROCESS_LOCK_STORES */

static struct directory *directory_of(const struct store *store)
{
    return (struct directory *)(uintptr_t)store;
}

int store_directory_fd(const struct store *store)
{
    return directory_of(store)->fd;
}

/* ---- files ---- */

static int file_new(struct store *store, size_t size)
{
    int fd = openat(directory_of(store)->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
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

static int file_link(struct store *store, int fd, const char *name, int others)
{
    char path[64];
    int dir = directory_of(store)->fd;
    gid_t group = 0;
    int shared = os_directory_group(dir, &group);
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

static void file_unlink(struct store *store, const char *name)
{
    unlinkat(directory_of(store)->fd, name, 0);
}

/* Is it a plain file, of those whose directory this is, and closed to others? 0, or -EPERM. */
static int check_file(int dir, int fd)
{
    struct stat st;
    gid_t group = 0;
    int shared = os_directory_group(dir, &group);
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

static int file_open(struct store *store, const char *name, int access)
{
    int dir = directory_of(store)->fd;
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

static int file_same(struct store *store, const char *name, int fd)
{
    struct stat a, b;
    if (fstat(fd, &a) != 0 || fstatat(directory_of(store)->fd, name, &b, AT_SYMLINK_NOFOLLOW) != 0)
        return 0;
    return a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static int file_find(struct store *store, const char *suffix, store_is_it *is_it, const void *context)
{
    _Alignas(struct dirent64) char entries[4096];
    ssize_t size = 1;
    int found = 0;
    int fd = openat(directory_of(store)->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* with a position of its own */
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

static bool path_of(struct store *store, const char *name, bool plain, char *path, size_t size)
{
    const struct directory *d = directory_of(store);
    int n = plain ? snprintf(path, size, "%s/%s", d->path, name)
                  : snprintf(path, size, "/proc/self/fd/%d/%s", d->fd, name);
    return n < (int)size;
}

/* ---- FIFOs ---- */

static int open_fifo(int dir, const char *name)
{
    /* Both ways: then the reader is never at the end of the file, and the writer has no SIGPIPE. */
    int fd = openat(dir, name, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

static int fifo_new(struct store *store, const char *name)
{
    int dir = directory_of(store)->fd;
    gid_t group = 0;
    int shared = os_directory_group(dir, &group);
    if (shared < 0 || mkfifoat(dir, name, 0600) != 0)
        return shared < 0 ? shared : -errno;
    int fd = open_fifo(dir, name);
    if (fd >= 0 && shared && fchmod(fd, 0660) != 0) { /* whatever the umask is */
        int error = -errno;
        close(fd);
        fd = error;
    }
    if (fd < 0)
        unlinkat(dir, name, 0); /* or the next attempt would find it */
    return fd;
}

static void fifo_raise(struct store *store, const char *name)
{
    int dir = directory_of(store)->fd;
    struct stat st;
    int saved = errno;
    int fd = open_fifo(dir, name);
    if (fd < 0)
        utimensat(dir, name, NULL, AT_SYMLINK_NOFOLLOW); /* no descriptor left: the owner watches this, too */
    /* Not into somebody's file of that name; and a full pipe is as readable as can be. */
    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISFIFO(st.st_mode) || write(fd, "", 1) < 0))
        st.st_size = 0;
    if (fd >= 0)
        close(fd);
    errno = saved;
}

/* ---- its life ---- */

static void leave(struct store *store)
{
    struct directory *d = directory_of(store), **at = &all;
    while (*at != NULL && *at != d)
        at = &(*at)->next;
    if (*at == d)
        *at = d->next;
    os_directory_close(d->fd, d->path, d->is_default);
}

static void free_directory(struct store *store)
{
    free(directory_of(store));
}

static void forget(struct store *store)
{
    (void)store; /* others of the child's sockets may use it */
}

static const struct store_ops directory_ops = {
    .has_names = true,
    .file_new = file_new,
    .file_link = file_link,
    .file_unlink = file_unlink,
    .file_open = file_open,
    .file_same = file_same,
    .file_find = file_find,
    .path = path_of,
    .fifo_new = fifo_new,
    .fifo_raise = fifo_raise,
    .leave = leave,
    .free = free_directory,
    .forget = forget,
};

static int directory_new(struct directory **out, const char *path, int (*open_path)(const char *path))
{
    struct directory *d = calloc(1, sizeof *d);
    if (d == NULL)
        return -ENOMEM;
    d->store = (struct store){&directory_ops, 1};
    d->fd = open_path(path);
    if (d->fd < 0) {
        int error = d->fd;
        free(d);
        return error;
    }
    snprintf(d->path, sizeof d->path, "%s", path);
    *out = d;
    return 0;
}

int store_look(struct store **store, const char *path)
{
    struct directory *d;
    int error = directory_new(&d, path, os_directory_look);
    if (error == 0)
        *store = &d->store;
    return error;
}

static int open_locked(const char *path, bool is_default, struct store **store)
{
    struct directory *d = all;
    while (d != NULL && !(strcmp(d->path, path) == 0 && os_directory_is_at(d->fd, d->path)))
        d = d->next;
    if (d != NULL) {
        d->store.refs++;
    } else {
        int error = directory_new(&d, path, os_directory_open);
        if (error < 0)
            return error;
        d->is_default = is_default;
        d->next = all;
        all = d;
    }
    *store = &d->store;
    return 0;
}

int store_open(struct store **store)
{
    char path[PATH_MAX];
    int error = os_directory_path(path, sizeof path);
    if (error < 0)
        return error;
    if (!process_lock(PROCESS_LOCK_STORES))
        return -ENOMEM;
    error = open_locked(path, os_directory_is_default(), store);
    process_unlock(PROCESS_LOCK_STORES);
    return error;
}
