/* SPDX-License-Identifier: MIT */
/*
 * The store of memfds. The descriptor in it holds no lock: to open a file again is to get another open file
 * description, through /proc/self/fd.
 *
 * A file that gets its name is sealed. One that only its owner writes is sealed against all writing but that of the
 * mappings which are there (F_SEAL_FUTURE_WRITE); so it has its full size at once, sparse, and is mapped whole before.
 */
#include "transport/store.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/process.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define CEILING    (UINT64_C(1) << 36) /* of a file that its owner makes longer bit by bit */
#define SEALS_SIZE (F_SEAL_SHRINK | F_SEAL_GROW)

struct entry {
    char name[48];
    int fd;
};

struct memfds {
    struct store store;
    struct entry *entries;
    size_t count, room;
};

static struct memfds *memfds_of(struct store *store)
{
    return (struct memfds *)(void *)store;
}

/*
 * Under a lock, for views may be closed by any thread. A child that was forked in the middle of a change closes
 * its copies by what it finds here: so a table that grows is replaced by a larger one, an entry counts once it is
 * whole, and its descriptor is taken out before it is closed. A child gets a prefix of the stores of other threads,
 * on any processor, for a store whose page was not protected yet had retired, and all before it: only the compiler
 * has to keep their order.
 */
static inline void before_next_store(void)
{
    __asm__ volatile("" ::: "memory");
}

static struct entry *find(const struct memfds *memfds, const char *name)
{
    for (size_t i = 0; i < memfds->count; i++)
        if (strcmp(memfds->entries[i].name, name) == 0)
            return &memfds->entries[i];
    return NULL;
}

static int make_room(struct memfds *memfds)
{
    if (memfds->count < memfds->room)
        return 0;
    size_t room = memfds->room == 0 ? 8 : 2 * memfds->room;
    struct entry *before = memfds->entries, *more = malloc(room * sizeof *more);
    if (more == NULL)
        return -ENOMEM;
    if (before != NULL)
        memcpy(more, before, memfds->count * sizeof *more);
    before_next_store();
    memfds->entries = more;
    before_next_store();
    memfds->room = room;
    free(before);
    return 0;
}

/* The store keeps FD, unless that fails. */
static int put(struct store *store, const char *name, int fd)
{
    process_lock(PROCESS_LOCK_MEMFDS);
    struct memfds *memfds = memfds_of(store);
    int error = find(memfds, name) != NULL ? -EEXIST : make_room(memfds);
    if (error == 0) {
        struct entry *entry = &memfds->entries[memfds->count];
        snprintf(entry->name, sizeof entry->name, "%s", name);
        entry->fd = fd;
        before_next_store();
        memfds->count = memfds->count + 1;
        before_next_store();
    }
    process_unlock(PROCESS_LOCK_MEMFDS);
    return error;
}

/* ---- files ---- */

/* Of a peer's file: it may hold a lease, for whose end a plain open() waits 45 s, or have taken our right away. */
static int reopen(int fd, int flags)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = open(path, flags | O_NONBLOCK | O_CLOEXEC);
    return again >= 0 ? again : errno == EWOULDBLOCK || errno == EACCES ? -EPERM : -errno;
}

static int open_as(struct store *store, const char *name, int flags)
{
    process_lock(PROCESS_LOCK_MEMFDS);
    const struct entry *entry = find(memfds_of(store), name);
    int fd = entry == NULL ? -ENOENT : reopen(entry->fd, flags);
    process_unlock(PROCESS_LOCK_MEMFDS);
    return fd;
}

static int file_new(struct store *store, size_t size)
{
    int fd = memfd_create("shmq", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    int error = os_file_extend(fd, size);
    if (error < 0) {
        close(fd);
        return error;
    }
    return fd;
}

static int file_link(struct store *store, int fd, const char *name, int others)
{
    int seals = SEALS_SIZE | F_SEAL_SEAL | (others == OS_READ ? F_SEAL_FUTURE_WRITE : 0);
    if (fcntl(fd, F_ADD_SEALS, seals) != 0)
        return -errno;
    int again = reopen(fd, O_RDWR); /* FD may hold a life lock: a peer that had it would keep us alive */
    int error = again < 0 ? again : put(store, name, again);
    if (error < 0 && again >= 0)
        close(again);
    return error;
}

static void file_unlink(struct store *store, const char *name)
{
    process_lock(PROCESS_LOCK_MEMFDS);
    struct memfds *memfds = memfds_of(store);
    struct entry *entry = find(memfds, name);
    int fd = -1;
    if (entry != NULL) {
        const struct entry *last = &memfds->entries[memfds->count - 1];
        fd = entry->fd;
        before_next_store();
        entry->fd = -1;
        before_next_store();
        if (last != entry)
            *entry = *last;
        before_next_store();
        memfds->count = memfds->count - 1;
        before_next_store();
    }
    process_unlock(PROCESS_LOCK_MEMFDS);
    if (fd >= 0)
        close(fd);
}

static int file_open(struct store *store, const char *name, int access)
{
    return open_as(store, name, access == OS_WRITE ? O_RDWR : O_RDONLY);
}

static int file_same(struct store *store, const char *name, int fd)
{
    struct stat a, b;
    process_lock(PROCESS_LOCK_MEMFDS);
    const struct entry *entry = find(memfds_of(store), name);
    int same = entry != NULL && fstat(entry->fd, &a) == 0 && fstat(fd, &b) == 0 && a.st_ino == b.st_ino &&
               a.st_dev == b.st_dev;
    process_unlock(PROCESS_LOCK_MEMFDS);
    return same;
}

static int make_fifo(struct store *store, const char *name)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -errno;
    int both = fchmod(ends[1], 0666) != 0 ? -errno : reopen(ends[1], O_RDWR | O_NONBLOCK);
    close(ends[0]);
    close(ends[1]);
    int error = both < 0 ? both : put(store, name, both);
    if (error < 0 && both >= 0)
        close(both);
    return error < 0 ? error : both;
}

static int lend(struct store *store, const char *name, int kind)
{
    process_lock(PROCESS_LOCK_MEMFDS);
    const struct entry *entry = find(memfds_of(store), name);
    int fd = entry == NULL ? -ENOENT : entry->fd;
    process_unlock(PROCESS_LOCK_MEMFDS);
    return fd == -ENOENT && kind == STORE_FIFO ? make_fifo(store, name) : fd;
}

static int fifo_new(struct store *store, const char *name)
{
    int fd = lend(store, name, STORE_FIFO);
    return fd < 0 ? fd : open_as(store, name, O_RDWR | O_NONBLOCK);
}

/* Its flags are its sender's to change: a write() could block. */
static void fifo_raise(struct store *store, const char *name)
{
    static char byte;
    struct iovec one = {&byte, 1};
    process_lock(PROCESS_LOCK_MEMFDS);
    const struct entry *entry = find(memfds_of(store), name);
    if (entry != NULL)
        vmsplice(entry->fd, &one, 1, SPLICE_F_NONBLOCK); /* a full pipe is as readable as can be */
    process_unlock(PROCESS_LOCK_MEMFDS);
}

static bool path_of(struct store *store, const char *name, bool plain, char *path, size_t size)
{
    int fd = plain ? -ENOENT : lend(store, name, OS_READ);
    return fd >= 0 && snprintf(path, size, "/proc/self/fd/%d", fd) < (int)size;
}

/* ---- what peers send ---- */

/* A pipe without a name, both ways, so that to write into it is no SIGPIPE. Told by its name: a call on the file
 * itself may ask a file system in the peer's hands. */
static int check_fifo(int fd)
{
    char path[64], target[8] = "";
    int flags = fcntl(fd, F_GETFL);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (readlink(path, target, 6) < 0)
        return -errno;
    return flags >= 0 && (flags & (O_ACCMODE | O_PATH)) == O_RDWR && strcmp(target, "pipe:[") == 0 ? 0 : -EPROTO;
}

/* Memory that nobody can take from under us: a memfd of small pages, with all the seals of ours and none besides
 * (but for that against execution). The seals first: then the rest is no question to a stranger. */
static int check_sealed_memory(int fd, int kind)
{
    struct statfs fs;
    int needed = SEALS_SIZE | F_SEAL_SEAL | (kind == OS_READ ? F_SEAL_FUTURE_WRITE : 0);
    int others = kind == OS_READ ? 0 : F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & (needed | others)) != needed)
        return -EPROTO;
    while (fstatfs(fd, &fs) != 0)
        if (errno != EINTR)
            return -errno;
    return fs.f_type == TMPFS_MAGIC ? 0 : -EPROTO;
}

static int take(struct store *store, const char *name, int fd, int kind)
{
    int error = kind == STORE_FIFO ? check_fifo(fd) : check_sealed_memory(fd, kind);
    if (error == 0)
        error = put(store, name, fd);
    if (error < 0)
        close(fd);
    return error;
}

/* ---- its life ---- */

static void free_memfds(struct store *store)
{
    struct memfds *memfds = memfds_of(store);
    for (size_t i = 0; i < memfds->count; i++)
        if (memfds->entries[i].fd >= 0)
            close(memfds->entries[i].fd);
    free(memfds->entries);
    free(memfds);
}

int store_open_memfd(struct store **store)
{
    static const struct store_ops ops = {
        .has_names = false,
        .ceiling = CEILING,
        .file_new = file_new,
        .file_link = file_link,
        .file_unlink = file_unlink,
        .file_open = file_open,
        .file_same = file_same,
        .path = path_of,
        .fifo_new = fifo_new,
        .fifo_raise = fifo_raise,
        .lend = lend,
        .take = take,
        .free = free_memfds,
        .forget = free_memfds,
    };
    struct memfds *memfds = calloc(1, sizeof *memfds);
    if (memfds == NULL)
        return -ENOMEM;
    memfds->store = (struct store){&ops, 1};
    *store = &memfds->store;
    return 0;
}
