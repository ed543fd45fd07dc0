/* SPDX-License-Identifier: MIT */
#include "transport/pocket.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

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

static struct pocket **pockets; /* by handle; NULL: free */
static size_t pocket_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* views may be closed by any thread */

static struct pocket *pocket_at(int handle)
{
    return pockets[handle - POCKET_FIRST];
}

static int add_locked(struct pocket *pocket)
{
    size_t i = 0;
    while (i < pocket_count && pockets[i] != NULL)
        i++;
    if (i == pocket_count) {
        struct pocket **more = realloc(pockets, (pocket_count + 1) * sizeof *more);
        if (more == NULL)
            return -ENOMEM;
        pockets = more;
        pocket_count++;
    }
    pockets[i] = pocket;
    return POCKET_FIRST + (int)i;
}

int pocket_new(void)
{
    struct pocket *pocket = calloc(1, sizeof *pocket);
    if (pocket == NULL)
        return -ENOMEM;
    pthread_mutex_lock(&lock);
    int handle = add_locked(pocket);
    pthread_mutex_unlock(&lock);
    if (handle < 0)
        free(pocket);
    return handle;
}

static void drop_table_if_unused(void)
{
    for (size_t i = 0; i < pocket_count; i++)
        if (pockets[i] != NULL)
            return;
    free(pockets);
    pockets = NULL;
    pocket_count = 0;
}

void pocket_free(int handle)
{
    pthread_mutex_lock(&lock);
    struct pocket *pocket = pocket_at(handle);
    pockets[handle - POCKET_FIRST] = NULL;
    drop_table_if_unused();
    pthread_mutex_unlock(&lock);
    for (size_t i = 0; i < pocket->count; i++)
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

/* The pocket keeps FD, unless that fails. */
static int put(int handle, const char *name, int fd)
{
    int error = 0;
    pthread_mutex_lock(&lock);
    struct pocket *pocket = pocket_at(handle);
    if (find(pocket, name) != NULL)
        error = -EEXIST;
    if (error == 0 && pocket->count == pocket->room) {
        size_t room = pocket->room == 0 ? 8 : 2 * pocket->room;
        struct entry *entries = realloc(pocket->entries, room * sizeof *entries);
        error = entries == NULL ? -ENOMEM : 0;
        pocket->entries = entries != NULL ? entries : pocket->entries;
        pocket->room = entries != NULL ? room : pocket->room;
    }
    if (error == 0) {
        struct entry *entry = &pocket->entries[pocket->count++];
        snprintf(entry->name, sizeof entry->name, "%s", name);
        entry->fd = fd;
    }
    pthread_mutex_unlock(&lock);
    return error;
}

/* ---- files ---- */

static int reopen(int fd, int flags)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = open(path, flags | O_CLOEXEC);
    return again < 0 ? -errno : again;
}

static int open_as(int handle, const char *name, int flags)
{
    pthread_mutex_lock(&lock);
    const struct entry *entry = find(pocket_at(handle), name);
    int fd = entry == NULL ? -ENOENT : reopen(entry->fd, flags);
    pthread_mutex_unlock(&lock);
    return fd;
}

int pocket_file_new(size_t size)
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

int pocket_file_link(int handle, int fd, const char *name, int others)
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
    pthread_mutex_lock(&lock);
    struct pocket *pocket = pocket_at(handle);
    struct entry *entry = find(pocket, name);
    if (entry != NULL) {
        close(entry->fd);
        *entry = pocket->entries[--pocket->count];
    }
    pthread_mutex_unlock(&lock);
}

int pocket_file_open(int handle, const char *name, int access)
{
    return open_as(handle, name, access == OS_WRITE ? O_RDWR : O_RDONLY);
}

int pocket_file_same(int handle, const char *name, int fd)
{
    struct stat a, b;
    pthread_mutex_lock(&lock);
    const struct entry *entry = find(pocket_at(handle), name);
    int same = entry != NULL && fstat(entry->fd, &a) == 0 && fstat(fd, &b) == 0 && a.st_ino == b.st_ino &&
               a.st_dev == b.st_dev;
    pthread_mutex_unlock(&lock);
    return same;
}

int pocket_fifo_new(int handle, const char *name)
{
    int ends[2];
    if (pocket_lend(handle, name) >= 0)
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

int pocket_fifo_open(int handle, const char *name)
{
    return open_as(handle, name, O_RDWR | O_NONBLOCK);
}

/* Its flags are its sender's to change: a write() could block. */
void pocket_fifo_raise(int handle, const char *name)
{
    static char byte;
    struct iovec one = {&byte, 1};
    pthread_mutex_lock(&lock);
    const struct entry *entry = find(pocket_at(handle), name);
    if (entry != NULL)
        vmsplice(entry->fd, &one, 1, SPLICE_F_NONBLOCK); /* a full pipe is as readable as can be */
    pthread_mutex_unlock(&lock);
}

bool pocket_path(int handle, const char *name, char *path, size_t size)
{
    int fd = pocket_lend(handle, name);
    return fd >= 0 && snprintf(path, size, "/proc/self/fd/%d", fd) < (int)size;
}

int pocket_lend(int handle, const char *name)
{
    pthread_mutex_lock(&lock);
    const struct entry *entry = find(pocket_at(handle), name);
    int fd = entry == NULL ? -ENOENT : entry->fd;
    pthread_mutex_unlock(&lock);
    return fd;
}

/* ---- what peers send ---- */

/* Both ways, so that to write into it is no SIGPIPE. */
static bool is_fifo(int fd, mode_t mode)
{
    int flags = fcntl(fd, F_GETFL);
    return S_ISFIFO(mode) && flags >= 0 && (flags & O_ACCMODE) == O_RDWR;
}

/* Memory that nobody can take from under us: a memfd of small pages, sealed. */
static bool is_sealed_memory(int fd, int kind)
{
    struct statfs fs;
    int needed = SEALS_SIZE | (kind == OS_READ ? F_SEAL_FUTURE_WRITE : 0);
    int seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & needed) == needed && fstatfs(fd, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

int pocket_take(int handle, const char *name, int fd, int kind)
{
    struct stat st;
    int error = 0;
    if (fstat(fd, &st) != 0)
        error = -errno;
    else if (kind == POCKET_FIFO ? !is_fifo(fd, st.st_mode) : !S_ISREG(st.st_mode) || !is_sealed_memory(fd, kind))
        error = -EPROTO;
    if (error == 0)
        error = put(handle, name, fd);
    if (error < 0)
        close(fd);
    return error;
}
