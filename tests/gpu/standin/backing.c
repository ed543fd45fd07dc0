/* SPDX-License-Identifier: MIT */
/*
 * Memory and events that another process can open: memfds.
 *
 * A memfd holds the data and, in one page behind it, what a driver would know of the object. Nothing has a name in a
 * file system, so nothing is left behind by a death.
 *
 * A VMM handle travels as the descriptor itself. A legacy handle is 64 bytes: the importer goes through
 * /proc/<pid>/fd/<n> of the exporter. So it works while the exporter is stopped, fails once it is dead or has freed the
 * object, and fails from another PID namespace: the strictest of the answers that people report of real machines.
 * Cookies guard against a descriptor or a pid that was used again.
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC 0x73686d712d677075u
#define NAME  "shmq-standin"

/* What lies in the 64 opaque bytes of an IPC handle. */
struct ticket {
    uint64_t magic;
    uint64_t process_cookie;
    uint64_t object_cookie;
    uint64_t offset;
    int32_t pid;
    int32_t fd;
    uint32_t kind;
};
_Static_assert(sizeof(struct ticket) <= DRV_CU_IPC_HANDLE_SIZE, "a ticket fits a handle");

static uint64_t process_cookie;
static pthread_once_t cookie_once = PTHREAD_ONCE_INIT;

static uint64_t random64(void)
{
    uint64_t value = 0;

    while (getrandom(&value, sizeof(value), 0) != (ssize_t)sizeof(value) || value == 0)
        ;
    return value;
}

static void make_cookie(void)
{
    process_cookie = random64();
}

static uint64_t own_cookie(void)
{
    pthread_once(&cookie_once, make_cookie);
    return process_cookie;
}

static int map(struct backing *b)
{
    void *p = mmap(NULL, b->size + META_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, b->fd, 0);

    if (p == MAP_FAILED)
        return -1;
    b->data = p;
    b->meta = (void *)(b->data + b->size);
    return 0;
}

int backing_create(struct backing *b, enum backing_kind kind, size_t size, int physical)
{
    *b = (struct backing){.fd = memfd_create(NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING), .size = size};
    if (b->fd < 0)
        return -1;
    /* Sealed: an importer that maps it can rely on its size. */
    if (ftruncate(b->fd, (off_t)(size + META_SIZE)) < 0 || fcntl(b->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0 ||
        map(b) < 0) {
        close(b->fd);
        return -1;
    }
    *b->meta = (struct meta){.magic = MAGIC,
                             .process_cookie = own_cookie(),
                             .object_cookie = random64(),
                             .size = size,
                             .kind = (uint32_t)kind,
                             .physical = physical};
    atomic_store_explicit(&b->meta->alive, 1, memory_order_release);
    return 0;
}

int backing_adopt(struct backing *b, enum backing_kind kind, int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat st;

    *b = (struct backing){.fd = fd};
    /* Only memfds have seals: anything else that a confused caller hands in ends here. */
    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || fstat(fd, &st) < 0 || st.st_size < (off_t)META_SIZE ||
        st.st_size % (off_t)META_SIZE != 0)
        goto refuse;
    b->size = (size_t)st.st_size - META_SIZE;
    if (map(b) < 0)
        goto refuse;
    if (b->meta->magic == MAGIC && b->meta->kind == (uint32_t)kind && b->meta->size == b->size)
        return 0;
    munmap(b->data, b->size + META_SIZE);
refuse:
    close(fd);
    return -1;
}

void backing_close(struct backing *b)
{
    munmap(b->data, b->size + META_SIZE);
    close(b->fd);
}

void backing_retire(struct backing *b)
{
    atomic_store_explicit(&b->meta->alive, 0, memory_order_release);
}

bool backing_is_own(const struct backing *b)
{
    return b->meta->process_cookie == own_cookie();
}

void backing_ticket(const struct backing *b, uint64_t offset, char *handle)
{
    struct ticket t;

    /* The padding too: handles of one object are compared as bytes. */
    memset(&t, 0, sizeof(t));
    t.magic = MAGIC;
    t.process_cookie = b->meta->process_cookie;
    t.object_cookie = b->meta->object_cookie;
    t.offset = offset;
    t.pid = (int32_t)getpid();
    t.fd = b->fd;
    t.kind = b->meta->kind;
    memset(handle, 0, DRV_CU_IPC_HANDLE_SIZE);
    memcpy(handle, &t, sizeof(t));
}

/* The exporter's memfd, or -1. Looks at the name first: opening could have effects. */
static int open_of_peer(const struct ticket *t)
{
    static const char expected[] = "/memfd:" NAME;
    char path[64], target[64];
    ssize_t size;

    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)t->pid, (int)t->fd);
    size = readlink(path, target, sizeof(target) - 1);
    if (size < (ssize_t)sizeof(expected) - 1 || memcmp(target, expected, sizeof(expected) - 1) != 0)
        return -1;
    return open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
}

drv_result_t backing_open(struct backing *b, enum backing_kind kind, const char *handle, uint64_t *offset)
{
    struct ticket t;
    int fd;

    memcpy(&t, handle, sizeof(t));
    REQUIRE(t.magic == MAGIC && t.kind == (uint32_t)kind, INVALID_VALUE);
    REQUIRE(t.process_cookie != own_cookie(), INVALID_CONTEXT);
    fd = open_of_peer(&t);
    REQUIRE(fd >= 0 && backing_adopt(b, kind, fd) == 0, INVALID_HANDLE);
    *offset = t.offset;
    if (b->meta->process_cookie == t.process_cookie && b->meta->object_cookie == t.object_cookie &&
        atomic_load_explicit(&b->meta->alive, memory_order_acquire) != 0 && (t.offset < b->size || t.offset == 0))
        return DRV_CUDA_SUCCESS;
    backing_close(b);
    return DRV_CUDA_ERROR_INVALID_HANDLE;
}
