/* SPDX-License-Identifier: MIT */
#include "transport/segment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "transport/bell.h"
#include "transport/claims.h"
#include "transport/endpoint_layout.h"
#include "transport/os.h"

void segment_id_hex(char hex[2 * SEGMENT_ID_SIZE + 1], const uint8_t id[SEGMENT_ID_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < SEGMENT_ID_SIZE; i++) {
        hex[2 * i] = digits[id[i] >> 4];
        hex[2 * i + 1] = digits[id[i] & 15];
    }
    hex[2 * SEGMENT_ID_SIZE] = '\0';
}

static void file_name(char name[40], const char *id_hex)
{
    snprintf(name, 40, "%.32s.seg", id_hex);
}

/* ---- one's own ---- */

static void write_header(struct segment_header *header, const uint8_t *id, uint32_t type)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    header->magic = SEGMENT_MAGIC;
    header->abi = SHMQ_ABI;
    header->type = type;
    memcpy(header->id, id, SEGMENT_ID_SIZE);
    header->created_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    header->pid = (uint32_t)getpid();
}

/* Lock, fill, map and only then give it its name: nobody ever sees it half made, or unlocked. */
static int make_file(struct segment *segment, const uint8_t *id, uint32_t type, const char *name)
{
    int dir = directory_fd(segment->directory);
    uint64_t ceiling = os_file_ceiling(dir);
    int fd = os_file_new(dir, ceiling > 0 ? ceiling : SEGMENT_EXTENT_MIN);
    if (fd < 0)
        return fd;
    int error = os_lock(fd, SEGMENT_BYTE_OWNER, 1, OS_WRITE);
    if (error == 0)
        error = os_file_allocate(fd, 0, SEGMENT_HEADER_SIZE);
    if (error == 0) {
        segment->base[0] = os_map(fd, 0, SEGMENT_EXTENT_MIN, OS_WRITE);
        error = segment->base[0] == NULL ? -errno : 0;
    }
    /* What cannot be mapped later; with a limit on addresses, as much of it as there is room for. */
    for (unsigned e = 1; error == 0 && segment->base[e - 1] != NULL && 2 * segment_extent_start(e) <= ceiling; e++)
        segment->base[e] = os_map(fd, segment_extent_start(e), segment_extent_size(e), OS_WRITE);
    if (error == 0) {
        segment->header = (struct segment_header *)(void *)segment->base[0];
        write_header(segment->header, id, type);
        error = os_file_link(dir, fd, name, OS_READ);
    }
    close(fd);
    return error;
}

/* By now only the mapping keeps the lock. On an overlay it keeps the file below, and the lock went with the
 * descriptor: there everybody would seem to be dead. */
static int check_life_lock(int fd)
{
    int locked = os_is_locked(fd, SEGMENT_BYTE_OWNER, 1);
    return locked < 0 ? locked : locked ? 0 : -EOPNOTSUPP;
}

int segment_new(struct segment *segment, struct directory *directory, uint32_t type)
{
    uint8_t id[SEGMENT_ID_SIZE];
    char name[40];

    memset(segment, 0, sizeof *segment);
    segment->fd = -1;
    int error = os_random(id, sizeof id);
    if (error < 0)
        return error;
    segment_id_hex(segment->id_hex, id);
    file_name(name, segment->id_hex);
    segment->directory = directory_ref(directory);
    error = make_file(segment, id, type, name);
    if (error == 0) {
        segment->fd = os_file_open(directory_fd(directory), name, OS_WRITE);
        error = segment->fd < 0 ? segment->fd : check_life_lock(segment->fd);
        if (error < 0)
            os_file_unlink(directory_fd(directory), name); /* nobody has heard of it yet */
    }
    if (error < 0)
        segment_close(segment, true);
    return error;
}

/* The owner first: it does not come back, while to hold the file alone turns readers away. */
static int reap_locked(int dir, int fd, const char *id_hex)
{
    char name[40];
    if (os_is_locked(fd, SEGMENT_BYTE_OWNER, 1) != 0 || os_hold(fd, OS_WRITE) != 0)
        return 0;
    file_name(name, id_hex);
    /* The segment last: a reaper killed half-way leaves what the next one finds. */
    bell_unlink(dir, id_hex);
    claims_unlink(dir, id_hex);
    os_file_unlink(dir, name);
    return 1;
}

void segment_unmap(struct segment *segment)
{
    for (unsigned e = 0; e < SEGMENT_EXTENTS; e++)
        os_unmap(segment->base[e], segment_extent_size(e));
    memset(segment->base, 0, sizeof segment->base);
    segment->header = NULL;
}

void segment_close(struct segment *segment, bool remove)
{
    segment_unmap(segment);
    if (segment->fd >= 0) {
        if (remove)
            reap_locked(directory_fd(segment->directory), segment->fd, segment->id_hex);
        close(segment->fd);
    }
    segment->fd = -1;
    directory_close(segment->directory);
    segment->directory = NULL;
}

void *segment_at(struct segment *segment, uint64_t offset)
{
    unsigned e = segment_extent(offset);
    if (e >= SEGMENT_EXTENTS) {
        errno = ENOSPC;
        return NULL;
    }
    uint64_t start = segment_extent_start(e), size = segment_extent_size(e);
    if (segment->base[e] == NULL) {
        int error = os_file_extend(segment->fd, start + size);
        if (error < 0) {
            errno = -error;
            return NULL;
        }
        segment->base[e] = os_map(segment->fd, start, size, OS_WRITE);
        if (segment->base[e] == NULL) {
            errno = errno == EPERM ? ENOSPC : errno; /* sealed: it is as large as it can be */
            return NULL;
        }
    }
    return segment->base[e] + (offset - start);
}

int segment_fill(struct segment *segment, uint64_t offset, uint64_t size)
{
    int error = os_file_allocate(segment->fd, offset, size);
    if (error == 0 && segment->lock_memory) {
        void *address = segment_at(segment, offset);
        error = address == NULL ? -errno : os_lock_memory(address, size);
    }
    return error;
}

int segment_reap(int dir, const char *id_hex)
{
    char name[40];
    file_name(name, id_hex);
    int fd = os_file_open(dir, name, OS_READ);
    if (fd < 0)
        return 0;
    int removed = reap_locked(dir, fd, id_hex);
    close(fd);
    return removed;
}

int segment_is_alive(int dir, const char *id_hex)
{
    char name[40];
    file_name(name, id_hex);
    int fd = os_file_open(dir, name, OS_READ);
    if (fd < 0)
        return fd != -ENOENT && fd != -EPERM; /* short of something: nobody is dead for that */
    int locked = os_is_locked(fd, SEGMENT_BYTE_OWNER, 1);
    close(fd);
    return locked != 0;
}

/* ---- a peer's ---- */

static int check_header(const struct segment_header *header, const char *id_hex)
{
    char hex[2 * SEGMENT_ID_SIZE + 1];
    uint8_t id[SEGMENT_ID_SIZE];
    if (peer_u64_once(&header->magic) != SEGMENT_MAGIC || peer_u32_once(&header->abi) != SHMQ_ABI)
        return -EPROTO;
    peer_copy(id, header->id, sizeof id);
    segment_id_hex(hex, id);
    return strcmp(hex, id_hex) == 0 ? 0 : -EPROTO;
}

static int map_first(struct remote *remote, int fd)
{
    uint64_t size;
    int error = os_hold(fd, OS_READ); /* -EAGAIN: somebody is just removing it, or was killed at it */
    if (error < 0)
        return error;
    error = os_file_identity(fd, &size, &remote->inode);
    if (error < 0)
        return error;
    if (size < SEGMENT_EXTENT_MIN)
        return -EPROTO;
    void *base = os_map(fd, 0, SEGMENT_EXTENT_MIN, OS_READ);
    if (base == NULL)
        return -errno;
    store_relaxed(&remote->base[0], base);
    remote->header = base;
    return check_header(remote->header, remote->id_hex);
}

int remote_open(struct remote **out, struct directory *directory, const char *id_hex)
{
    char name[40];
    struct remote *remote = calloc(1, sizeof *remote);
    if (remote == NULL)
        return -ENOMEM;
    remote->directory = directory_ref(directory);
    snprintf(remote->id_hex, sizeof remote->id_hex, "%.32s", id_hex);
    file_name(name, id_hex);
    int fd = os_file_open(directory_fd(directory), name, OS_READ);
    int error = fd;
    if (fd >= 0) {
        error = map_first(remote, fd);
        close(fd);
    }
    if (error < 0) {
        remote->is_needed = error != -EPROTO; /* unread, it is nobody's to remove */
        remote_close(remote);
        return error;
    }
    *out = remote;
    return 0;
}

static bool is_id(const shared_u64 words[2], const char *id_hex)
{
    char hex[2 * SEGMENT_ID_SIZE + 1];
    uint8_t id[SEGMENT_ID_SIZE];
    memcpy(id, words, sizeof id);
    segment_id_hex(hex, id);
    return strcmp(hex, id_hex) == 0;
}

/* Is it the connector there, or the binder that linked to that one, which has not done with it? */
static bool names(const struct endpoint_slot *slot, const char *id_hex)
{
    if (!(slot->member.gen & 1))
        return false;
    if (is_id(slot->member.id, id_hex))
        return true;
    int newest = endpoint_accept_newest(load_relaxed(&slot->accepts[0].gen), load_relaxed(&slot->accepts[1].gen));
    const struct accept_record *answer = &slot->accepts[newest == 1];
    return newest >= 0 && answer->verdict == VERDICT_ACCEPTED && answer->peer_gen == slot->member.gen &&
           answer->gen != slot->member.done_with && is_id(answer->binder_id, id_hex);
}

/* In this place of the endpoint of FILE, or in any? Also true when that cannot be found out now. */
static bool is_named_at(int dir, const char *file, const char *id_hex, uint32_t place)
{
    struct endpoint_slot slots[16];
    struct { uint32_t tombstone, high; } now = {0};
    bool named = false;
    ssize_t size = 1;

    int fd = os_file_open(dir, file, OS_READ);
    if (fd < 0)
        return fd != -ENOENT && fd != -EPERM;
    if (pread(fd, &now, sizeof now, offsetof(struct endpoint_header, tombstone)) < 0)
        named = true;
    else if (now.tombstone != 0)
        now.high = 0; /* who removes it has yet to remove what it names */
    uint32_t from = place == ANY_PLACE ? 0 : place, high = now.high < ENDPOINT_SLOTS ? now.high : ENDPOINT_SLOTS;
    uint32_t end = place == ANY_PLACE || place >= high ? high : place + 1;
    for (uint32_t i = from; i < end && size > 0 && !named; i++) {
        size_t k = (i - from) % (sizeof slots / sizeof slots[0]), left = end - i;
        if (k == 0)
            size = pread(fd, slots, left < 16 ? left * sizeof slots[0] : sizeof slots,
                         (off_t)(ENDPOINT_HEADER_SIZE + i * sizeof slots[0]));
        named = size < 0 || (size >= (ssize_t)((k + 1) * sizeof slots[0]) && names(&slots[k], id_hex));
    }
    close(fd);
    return named;
}

struct wanted {
    int dir;
    const char *id_hex;
};

static bool is_named_in(const void *context, const char *file)
{
    const struct wanted *wanted = context;
    return is_named_at(wanted->dir, file, wanted->id_hex, ANY_PLACE);
}

bool segment_is_named(int dir, const char *id_hex)
{
    const struct wanted wanted = {dir, id_hex};
    return os_file_find(dir, ENDPOINT_SUFFIX, is_named_in, &wanted) != 0;
}

/*
 * What a dead or closed socket left is needed by each peer whom a place leads there: by a connector that has not come
 * to map what its binder had sent, by the binder that has still to read a connector, and by the next binder, which
 * looks up how far the one before it had read, unless the connector knows. Whoever lets go of it, and finds it named
 * no more, removes it. One that was at no other endpoint is named nowhere else.
 */
static bool is_needed(const struct remote *remote, bool was_elsewhere)
{
    int dir = directory_fd(remote->directory);
    if (remote->is_needed || segment_is_alive(dir, remote->id_hex))
        return true;
    if (was_elsewhere && !directory_is_memfd(remote->directory))
        return segment_is_named(dir, remote->id_hex);
    return remote->met_at[0] != '\0' && is_named_at(dir, remote->met_at, remote->id_hex, remote->place);
}

void remote_close(struct remote *remote)
{
    if (remote == NULL)
        return;
    bool lived = segment_is_alive(directory_fd(remote->directory), remote->id_hex); /* and might have gone elsewhere since */
    bool was_elsewhere = lived || (remote->header != NULL && peer_u32(&remote->header->attached) > 1);
    for (unsigned e = 0; e < SEGMENT_EXTENTS; e++) {
        const unsigned char *base = load_relaxed(&remote->base[e]);
        os_unmap((void *)(uintptr_t)base, segment_extent_size(e));
    }
    if (!is_needed(remote, was_elsewhere))
        segment_reap(directory_fd(remote->directory), remote->id_hex);
    directory_close(remote->directory);
    free(remote);
}

void remote_met_at(struct remote *remote, const char *file, uint32_t place)
{
    snprintf(remote->met_at, sizeof remote->met_at, "%s", file);
    remote->place = place;
}

void remote_unnamed(struct directory *directory, const char *file, uint32_t place, const char *id_hex)
{
    struct remote *remote;
    if (remote_open(&remote, directory, id_hex) < 0)
        return;
    remote_met_at(remote, file, place);
    remote_close(remote);
}

/* The slow half of remote_at(): maps a further extent, after checking that the file has it. */
const void *remote_map(struct remote *remote, uint64_t offset, uint64_t size)
{
    char name[40];
    uint64_t file_size, inode;
    unsigned e = segment_extent(offset);

    remote->shortage = 0;
    if (e >= SEGMENT_EXTENTS || size > segment_extent_size(e) - (offset - segment_extent_start(e)) ||
        load_relaxed(&remote->base[e]) != NULL)
        return NULL;
    file_name(name, remote->id_hex);
    int fd = os_file_open(directory_fd(remote->directory), name, OS_READ);
    remote->shortage = fd < 0 && fd != -ENOENT && fd != -EPERM ? fd : 0;
    if (fd < 0)
        return NULL;
    uint64_t end = segment_extent_start(e) + segment_extent_size(e);
    void *base = NULL;
    if (os_file_identity(fd, &file_size, &inode) != 0) {
        remote->shortage = -ENOMEM;
    } else if (file_size >= end && inode == remote->inode) {
        base = os_map(fd, segment_extent_start(e), segment_extent_size(e), OS_READ);
        remote->shortage = base == NULL ? -ENOMEM : 0;
    }
    close(fd);
    if (base == NULL)
        return NULL;
    store_relaxed(&remote->base[e], base);
    return (const unsigned char *)base + (offset - segment_extent_start(e));
}

int remote_read(struct remote *remote, uint64_t offset, void *to, uint64_t size)
{
    char name[40];
    uint64_t done = 0;
    ssize_t n = 1;

    file_name(name, remote->id_hex);
    int fd = os_file_open(directory_fd(remote->directory), name, OS_READ);
    if (fd < 0)
        return fd;
    while (done < size && n > 0) {
        n = pread(fd, (char *)to + done, size - done, (off_t)(offset + done));
        done += n > 0 ? (uint64_t)n : 0;
    }
    close(fd);
    return done == size ? 0 : -EAGAIN;
}
