/* SPDX-License-Identifier: MIT */
#include "transport/endpoint.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "shmq.h"
#include "transport/life.h"
#include "transport/os.h"
#include "transport/remote.h"
#include "transport/shared_file.h"

#define FILE_SIZE    (ENDPOINT_HEADER_SIZE + (size_t)ENDPOINT_SLOTS * sizeof(struct endpoint_slot))
/* Another process removes or makes the file meanwhile: for microseconds, unless it is stopped amid that. */
#define MEETING_TRIES  10000
#define MEETING_YIELDS 100 /* then rests */
#define MEETING_NS     UINT64_C(300000000)
#define MEETING_REST   UINT64_C(50000)

/* ---- names ---- */

int endpoint_name(char name[ENDPOINT_NAME_MAX + 1], const char *address)
{
    const char *scheme = strstr(address, "://");
    if (scheme != NULL) {
        if (strncmp(address, "shm://", 6) != 0)
            return -EPROTONOSUPPORT;
        address += 6;
    }
    size_t size = strlen(address);
    if (size == 0)
        return -EINVAL;
    if (size > ENDPOINT_NAME_MAX)
        return -ENAMETOOLONG;
    memcpy(name, address, size + 1);
    return 0;
}

/* The name as a file name: '/', '%' and a leading '.' become %XX; what would be too long ends in a
 * hash, and the header, which has the whole name, tells two such apart. */
static void file_name(char file[256], const char *name)
{
    size_t n = 0;
    uint64_t hash = UINT64_C(14695981039346656037);
    for (const char *c = name; *c != '\0'; c++)
        hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
    for (const char *c = name; *c != '\0' && n < 220; c++) {
        bool escape = *c == '/' || *c == '%' || (unsigned char)*c < 32 || (c == name && *c == '.');
        n += (size_t)snprintf(file + n, 256 - n, escape ? "%%%02X" : "%c", (unsigned char)*c);
    }
    if (n >= 220)
        n = 200 + (size_t)snprintf(file + 200, 56, "~%016llx", (unsigned long long)hash);
    snprintf(file + n, 256 - n, ENDPOINT_SUFFIX);
}

/* ---- the file ---- */

struct endpoint_init {
    const struct endpoint *endpoint;
    struct endpoint_header *header;
};

static void init_endpoint(void *context, int fd, void *memory)
{
    struct endpoint_init *init = context;
    const char *name = init->endpoint->name;
    (void)fd;
    init->header = memory;
    init->header->magic = ENDPOINT_MAGIC;
    init->header->abi = SHMQ_ABI;
    init->header->name_size = (uint32_t)strlen(name);
    memcpy(init->header->name, name, strlen(name) + 1);
}

static int make_file(struct endpoint *endpoint)
{
    static const struct shared_file file = {FILE_SIZE, ENDPOINT_HEADER_SIZE, ENDPOINT_HEADER_SIZE, NO_LIFE, OS_WRITE};
    struct endpoint_init init = {endpoint, NULL};
    int error = shared_file_new(endpoint->store, endpoint->file, &file, init_endpoint, &init);
    os_unmap(init.header, ENDPOINT_HEADER_SIZE);
    return error == -EEXIST ? 0 : error;
}

/* Open it, or make it and open it. -EAGAIN: it was removed in between; -ENOENT: the directory was. */
static int open_file(struct endpoint *endpoint)
{
    struct store *store = endpoint->store;
    int fd = store_file_open(store, endpoint->file, OS_WRITE);
    if (fd != -ENOENT)
        return fd;
    int error = make_file(endpoint);
    if (error < 0)
        return error;
    fd = store_file_open(store, endpoint->file, OS_WRITE);
    return fd == -ENOENT ? -EAGAIN : fd;
}

static int map_file(struct endpoint *endpoint, int fd)
{
    void *memory;
    int error = shared_file_map(fd, FILE_SIZE, &memory);
    if (error < 0)
        return error == -EPROTO ? -ENOCOMPATPROTO : error;
    endpoint->header = memory;
    endpoint->slots = (struct endpoint_slot *)(void *)((char *)endpoint->header + ENDPOINT_HEADER_SIZE);
    if (peer_u64_once(&endpoint->header->magic) != ENDPOINT_MAGIC ||
        peer_u32_once(&endpoint->header->abi) != SHMQ_ABI)
        return -ENOCOMPATPROTO;
    return 0;
}

static void unmap_file(struct endpoint *endpoint)
{
    os_unmap(endpoint->header, FILE_SIZE);
    endpoint->header = NULL;
    endpoint->slots = NULL;
}

/* `high` may be a liar's: in a full file system a look at a slot without memory would be a SIGBUS. */
static uint32_t high_through(struct endpoint *endpoint, int fd)
{
    uint32_t high = peer_u32_seq_cst(&endpoint->header->high);
    high = high <= ENDPOINT_SLOTS ? high : ENDPOINT_SLOTS;
    if (high > endpoint->backed) {
        endpoint->is_short = os_file_allocate(fd, ENDPOINT_HEADER_SIZE, high * sizeof(struct endpoint_slot)) < 0;
        if (endpoint->is_short)
            return endpoint->backed;
        endpoint->backed = high;
    }
    return high;
}

/* With all bytes locked through FD: nobody is here, nobody can come. */
static void remove_locked(struct endpoint *endpoint, int fd)
{
    struct store *store = endpoint->store;
    struct endpoint here = {.backed = endpoint->backed};
    struct member member;
    uint8_t last[SEGMENT_ID_SIZE] = {0};

    if (!store_file_same(store, endpoint->file, fd))
        return;
    if (map_file(&here, fd) == 0) {
        uint32_t high = high_through(&here, fd);
        store_relaxed(&here.header->tombstone, 1); /* who gets a lock after ours sees it */
        if (endpoint_binder(&here, &member))
            remote_unnamed(endpoint->store, endpoint->file, ANY_PLACE, member.id_hex);
        for (uint32_t i = 0; i < high; i++) {
            struct accepted accepted;
            if (endpoint_connector(&here, i, &member))
                remote_unnamed(endpoint->store, endpoint->file, ANY_PLACE, member.id_hex);
            if (endpoint_accept_read(&here, i, &accepted) && memcmp(last, accepted.binder_id, sizeof last) != 0) {
                memcpy(last, accepted.binder_id, sizeof last); /* mostly it is the same one */
                segment_id_hex(member.id_hex, last);
                remote_unnamed(endpoint->store, endpoint->file, ANY_PLACE, member.id_hex);
            }
        }
    }
    unmap_file(&here);
    store_file_unlink(store, endpoint->file);
}

static int try_remove(struct endpoint *endpoint, int fd)
{
    if (os_lock(fd, 0, ENDPOINT_BYTES, OS_WRITE) != 0)
        return 0;
    remove_locked(endpoint, fd);
    os_unlock(fd, 0, ENDPOINT_BYTES);
    return 1;
}

/* ---- taking a place ---- */

/* Lock a place through FD. -EAGAIN: meet again, the file is going away. */
typedef int place_fn(struct endpoint *endpoint, int fd);

static int binder_place(struct endpoint *endpoint, int fd)
{
    int error = life_take(fd, ENDPOINT_BYTE_BINDER);
    if (error == 0)
        endpoint->slot = ENDPOINT_BINDER;
    if (error != -EAGAIN)
        return error;
    return os_is_locked(fd, ENDPOINT_BYTE_REMOVE, 1) == 1 ? -EAGAIN : -EADDRINUSE;
}

static void raise_high(struct endpoint *endpoint, uint32_t to)
{
    uint32_t high = peer_u32(&endpoint->header->high);
    /* Honest ones only raise it, each its own place once. */
    for (uint32_t i = 0; i < ENDPOINT_SLOTS && high < to; i++) {
        if (atomic_compare_exchange_strong_explicit(&endpoint->header->high, &high, to, memory_order_seq_cst,
                                                    memory_order_relaxed))
            return;
    }
}

static int connector_place(struct endpoint *endpoint, int fd)
{
    uint32_t high = high_through(endpoint, fd);

    for (uint32_t i = 0; i < ENDPOINT_SLOTS; i++) {
        /* A valid record is its owner's, or a dead one's that the binder has still to read. Relaxed: a hint, and
         * with the lock, which orders. */
        if (i < high && (peer_u64(&endpoint->slots[i].member.gen) & 1))
            continue;
        int error = life_take(fd, ENDPOINT_BYTE_SLOT + i);
        if (error < 0 && error != -EAGAIN)
            return error;
        if (error < 0) {
            if (os_is_locked(fd, ENDPOINT_BYTE_REMOVE, 1) == 1)
                return -EAGAIN;
            continue;
        }
        error = os_file_allocate(fd, ENDPOINT_HEADER_SIZE + i * sizeof(struct endpoint_slot),
                                     sizeof(struct endpoint_slot));
        if (error == 0 && (peer_u64(&endpoint->slots[i].member.gen) & 1)) {
            life_give(fd, ENDPOINT_BYTE_SLOT + i); /* announced and died in between */
            continue;
        }
        if (error == 0)
            raise_high(endpoint, i + 1);
        endpoint->slot = i;
        return error;
    }
    return -EUSERS;
}

static bool has_its_name(const struct endpoint *endpoint)
{
    char name[ENDPOINT_NAME_MAX];
    size_t size = strlen(endpoint->name);
    if (peer_u32_once(&endpoint->header->name_size) != size)
        return false;
    peer_copy(name, endpoint->header->name, size);
    return memcmp(name, endpoint->name, size) == 0;
}

/* One attempt: 0 in, -EAGAIN again, else an error. */
static int meet_once(struct endpoint *endpoint, place_fn *place)
{
    struct store *store = endpoint->store;
    int fd = open_file(endpoint);
    if (fd < 0)
        return fd;
    int error = map_file(endpoint, fd); /* the mapping keeps the lock after close */
    if (error == 0 && !has_its_name(endpoint))
        error = -ENOCOMPATPROTO; /* damaged, or two long names with one hash */
    if (error == 0)
        error = place(endpoint, fd);
    if (error == 0 &&
        (peer_u32(&endpoint->header->tombstone) != 0 || !store_file_same(store, endpoint->file, fd)))
        error = -EAGAIN;
    if (error == 0) {
        endpoint->fd = store_file_open(store, endpoint->file, OS_WRITE);
        error = endpoint->fd < 0 ? endpoint->fd : 0;
    }
    if (error < 0) {
        unmap_file(endpoint);
        try_remove(endpoint, fd); /* one's own, just made; or its remover died half-way */
    }
    os_close(fd);
    return error;
}

static int meet(struct endpoint *endpoint, struct store *store, const char *name, place_fn *place)
{
    memset(endpoint, 0, sizeof *endpoint);
    endpoint->fd = -1;
    endpoint->store = store_ref(store);
    snprintf(endpoint->name, sizeof endpoint->name, "%s", name);
    file_name(endpoint->file, name);
    int error = meet_once(endpoint, place);
    int tries = store_has_names(store) ? MEETING_TRIES : 3; /* there nobody makes it anew */
    uint64_t until = error == -EAGAIN ? clock_now_ns() + MEETING_NS : 0;
    for (int i = 1; i < tries && error == -EAGAIN && clock_now_ns() < until; i++) {
        if (i < MEETING_YIELDS)
            os_yield();
        else
            os_sleep(MEETING_REST);
        error = meet_once(endpoint, place);
    }
    if (error < 0) {
        store_close(endpoint->store);
        endpoint->store = NULL;
    }
    return error == -EAGAIN ? -EBUSY : error;
}

int endpoint_bind(struct endpoint *endpoint, struct store *store, const char *name)
{
    return meet(endpoint, store, name, binder_place);
}

int endpoint_connect(struct endpoint *endpoint, struct store *store, const char *name)
{
    return meet(endpoint, store, name, connector_place);
}

/* ---- leaving ---- */

void endpoint_leave(struct endpoint *endpoint, bool retracted)
{
    if (retracted)
        endpoint_retract(endpoint);
    unmap_file(endpoint);
    if (!try_remove(endpoint, endpoint->fd) && !store_has_names(endpoint->store))
        store_file_unlink(endpoint->store, endpoint->file); /* the other side has its own */
    os_close(endpoint->fd);
    endpoint->fd = -1;
    store_close(endpoint->store);
    endpoint->store = NULL;
}

/* ---- who is there ---- */

uint32_t endpoint_high(struct endpoint *endpoint)
{
    return high_through(endpoint, endpoint->fd);
}

int endpoint_binder_lives(const struct endpoint *endpoint)
{
    return life_is_held(endpoint->fd, ENDPOINT_BYTE_BINDER, 1);
}

int endpoint_connector_lives(const struct endpoint *endpoint, uint32_t slot)
{
    return life_is_held(endpoint->fd, ENDPOINT_BYTE_SLOT + slot, 1);
}

bool endpoint_is_empty(const struct endpoint *endpoint)
{
    return !life_is_held(endpoint->fd, ENDPOINT_BYTE_SLOT, ENDPOINT_SLOTS);
}
