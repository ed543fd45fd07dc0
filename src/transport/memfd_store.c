/* SPDX-License-Identifier: MIT */
#include "transport/memfd_store.h"

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
#include "transport/os.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define SEALS_SIZE (F_SEAL_SHRINK | F_SEAL_GROW)

struct entry {
    char name[48];
    int fd;
};

struct pocket {
    struct entry *entries;
    size_t count, room;
};

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

static struct pocket **pockets; /* by handle; NULL: free */
static size_t memfd_store_count;

static struct pocket *memfd_store_at(int handle)
{
    return pockets[handle - MEMFD_STORE_FIRST];
}

static int add_locked(struct pocket *pocket)
{
    size_t i = 0;
    while (i < memfd_store_count && pockets[i] != NULL)
        i++;
    if (i == memfd_store_count) {
        struct pocket **before = pockets, **more = calloc(memfd_store_count + 16, sizeof *more);
        if (more == NULL)
            return -ENOMEM;
        if (before != NULL)
            memcpy(more, before, memfd_store_count * sizeof *more);
        before_next_store();
        pockets = more;
        before_next_store();
        memfd_store_count += 16;
        free(before);
    }
    pockets[i] = pocket;
    return MEMFD_STORE_FIRST + (int)i;
}

int memfd_store_new(void)
{
    struct pocket *pocket = calloc(1, sizeof *pocket);
    if (pocket == NULL)
        return -ENOMEM;
    if (!process_lock(PROCESS_LOCK_POCKETS)) {
        free(pocket);
        return -ENOMEM;
    }
    int handle = add_locked(pocket);
    process_unlock(PROCESS_LOCK_POCKETS);
    if (handle < 0)
        free(pocket);
    return handle;
}

static void drop_table_if_unused(void)
{
    for (size_t i = 0; i < memfd_store_count; i++)
        if (pockets[i] != NULL)
            return;
    struct pocket **before = pockets;
    memfd_store_count = 0;
    before_next_store();
    pockets = NULL;
    before_next_store();
    free(before);
}

void memfd_store_free(int handle)
{
    process_lock(PROCESS_LOCK_POCKETS);
    struct pocket *pocket = memfd_store_at(handle);
    pockets[handle - MEMFD_STORE_FIRST] = NULL;
    drop_table_if_unused();
    process_unlock(PROCESS_LOCK_POCKETS);
    for (size_t i = 0; i < pocket->count; i++)
        if (pocket->entries[i].fd >= 0)
            close(pocket->entries[i].fd);
    free(pocket->entries);
    free(pocket);
}

static struct entry *find(const struct pocket *pocket, const char *name)
{
    for (size_t i = 0; i < pocket->count; i++)
        if (strcmp(pocket->entries[i].name, name) == 0)
            return &pocket->entries[i];
    return NULL;
}

static int make_room(struct pocket *pocket)
{
    if (pocket->count < pocket->room)
        return 0;
    size_t room = pocket->room == 0 ? 8 : 2 * pocket->room;
    struct entry *before = pocket->entries, *more = malloc(room * sizeof *more);
    if (more == NULL)
        return -ENOMEM;
    if (before != NULL)
        memcpy(more, before, pocket->count * sizeof *more);
    before_next_store();
    pocket->entries = more;
    before_next_store();
    pocket->room = room;
    free(before);
    return 0;
}

/* The pocket keeps FD, unless that fails. */
static int put(int handle, const char *name, int fd)
{
    process_lock(PROCESS_LOCK_POCKETS);
    struct pocket *pocket = memfd_store_at(handle);
    int error = find(pocket, name) != NULL ? -EEXIST : make_room(pocket);
    if (error == 0) {
        struct entry *entry = &pocket->entries[pocket->count];
        snprintf(entry->name, sizeof entry->name, "%s", name);
        entry->fd = fd;
        before_next_store();
        pocket->count = pocket->count + 1;
        before_next_store();
    }
    process_unlock(PROCESS_LOCK_POCKETS);
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

static int open_as(int handle, const char *name, int flags)
{
    process_lock(PROCESS_LOCK_POCKETS);
    const struct entry *entry = find(memfd_store_at(handle), name);
    int fd = entry == NULL ? -ENOENT : reopen(entry->fd, flags);
    process_unlock(PROCESS_LOCK_POCKETS);
    return fd;
}

int memfd_store_file_new(size_t size)
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

int memfd_store_file_pipe(int handle, int fd, const char *name, int others)
{
    int seals = SEALS_SIZE | F_SEAL_SEAL | (others == OS_READ ? F_SEAL_FUTURE_WRITE : 0);
    if (fcntl(fd, F_ADD_SEALS, seals) != 0)
        return -errno;
    int again = reopen(fd, O_RDWR); /* FD may hold a life lock: a peer that had it would keep us alive */
    int error = again < 0 ? again : put(handle, name, again);
    if (error < 0 && again >= 0)
        close(again);
    return error;
}

void pocket_file_unlink(int handle, const char *name)
{
    process_lock(PROCESS_LOCK_POCKETS);
    struct pocket *pocket = memfd_store_at(handle);
    struct entry *entry = find(pocket, name);
    int fd = -1;
    if (entry != NULL) {
        const struct entry *last = &pocket->entries[pocket->count - 1];
        fd = entry->fd;
        before_next_store();
        entry->fd = -1;
        before_next_store();
        if (last != entry)
            *entry = *last;
        before_next_store();
        pocket->count = pocket->count - 1;
        before_next_store();
    }
    process_unlock(PROCESS_LOCK_POCKETS);
    if (fd >= 0)
        close(fd);
}

int memfd_store_file_open(int handle, const char *name, int access)
{
    return open_as(handle, name, access == OS_WRITE ? O_RDWR : O_RDONLY);
}

int memfd_store_file_same(int handle, const char *name, int fd)
{
    struct stat a, b;
    process_lock(PROCESS_LOCK_POCKETS);
    const struct entry *entry = find(memfd_store_at(handle), name);
    int same = entry != NULL && fstat(entry->fd, &a) == 0 && fstat(fd, &b) == 0 && a.st_ino == b.st_ino &&
               a.st_dev == b.st_dev;
    process_unlock(PROCESS_LOCK_POCKETS);
    return same;
}

int memfd_store_fifo_new(int handle, const char *name)
{
    int ends[2];
    if (memfd_store_lend(handle, name) >= 0)
        return 0;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -errno;
    int both = fchmod(ends[1], 0666) != 0 ? -errno : reopen(ends[1], O_RDWR | O_NONBLOCK);
    close(ends[0]);
    close(ends[1]);
    int error = both < 0 ? both : put(handle, name, both);
    if (error < 0 && both >= 0)
        close(both);
    return error;
}

int memfd_store_fifo_open(int handle, const char *name)
{
    return open_as(handle, name, O_RDWR | O_NONBLOCK);
}

/* Its flags are its sender's to change: a write() could block. */
void memfd_store_fifo_raise(int handle, const char *name)
{
    static char byte;
    struct iovec one = {&byte, 1};
    process_lock(PROCESS_LOCK_POCKETS);
    const struct entry *entry = find(memfd_store_at(handle), name);
    if (entry != NULL)
        vmsplice(entry->fd, &one, 1, SPLICE_F_NONBLOCK); /* a full pipe is as readable as can be */
    process_unlock(PROCESS_LOCK_POCKETS);
}

bool memfd_store_path(int handle, const char *name, char *path, size_t size)
{
    int fd = memfd_store_lend(handle, name);
    return fd >= 0 && snprintf(path, size, "/proc/self/fd/%d", fd) < (int)size;
}

int memfd_store_lend(int handle, const char *name)
{
    process_lock(PROCESS_LOCK_POCKETS);
    const struct entry *entry = find(memfd_store_at(handle), name);
    int fd = entry == NULL ? -ENOENT : entry->fd;
    process_unlock(PROCESS_LOCK_POCKETS);
    return fd;
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

int memfd_store_take(int handle, const char *name, int fd, int kind)
{
    int error = kind == MEMFD_STORE_FIFO ? check_fifo(fd) : check_sealed_memory(fd, kind);
    if (error == 0)
        error = put(handle, name, fd);
    if (error < 0)
        close(fd);
    return error;
}
