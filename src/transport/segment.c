/* SPDX-License-Identifier: MIT */
#include "transport/segment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/process.h"
#include "transport/life.h"
#include "transport/os.h"
#include "transport/shared_file.h"

void segment_id_hex(char hex[2 * SEGMENT_ID_SIZE + 1], const uint8_t id[SEGMENT_ID_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < SEGMENT_ID_SIZE; i++) {
        hex[2 * i] = digits[id[i] >> 4];
        hex[2 * i + 1] = digits[id[i] & 15];
    }
    hex[2 * SEGMENT_ID_SIZE] = '\0';
}

void segment_file(char name[40], const char *id_hex)
{
    snprintf(name, 40, "%.32s.seg", id_hex);
}

/* ---- one's own ---- */

static void write_header(struct segment_header *header, const uint8_t *id, uint32_t type)
{
    header->magic = SEGMENT_MAGIC;
    header->abi = SHMQ_ABI;
    header->type = type;
    memcpy(header->id, id, SEGMENT_ID_SIZE);
    header->created_ns = clock_wall_ns();
    header->pid = process_id();
}

struct segment_init {
    struct segment *segment;
    const uint8_t *id;
    uint32_t type;
    uint64_t ceiling;
};

static void init_segment(void *context, int fd, void *memory)
{
    const struct segment_init *init = context;
    struct segment *segment = init->segment;
    segment->base[0] = memory;
    /* What cannot be mapped later; with a limit on addresses, as much of it as there is room for. */
    for (unsigned e = 1; segment->base[e - 1] != NULL && 2 * segment_extent_start(e) <= init->ceiling; e++)
        segment->base[e] = os_map(fd, segment_extent_start(e), segment_extent_size(e), OS_WRITE);
    segment->header = memory;
    write_header(segment->header, init->id, init->type);
}

static int make_file(struct segment *segment, const uint8_t *id, uint32_t type, const char *name)
{
    struct store *store = segment->store;
    struct segment_init init = {segment, id, type, store_ceiling(store)};
    const struct shared_file file = {init.ceiling > 0 ? init.ceiling : SEGMENT_EXTENT_MIN, SEGMENT_HEADER_SIZE,
                                     SEGMENT_EXTENT_MIN, SEGMENT_BYTE_OWNER, OS_READ};
    return shared_file_new(store, name, &file, init_segment, &init);
}

int segment_new(struct segment *segment, struct store *store, uint32_t type)
{
    uint8_t id[SEGMENT_ID_SIZE];
    char name[40];

    memset(segment, 0, sizeof *segment);
    segment->fd = -1;
    int error = os_random(id, sizeof id);
    if (error < 0)
        return error;
    segment_id_hex(segment->id_hex, id);
    segment_file(name, segment->id_hex);
    segment->store = store_ref(store);
    error = make_file(segment, id, type, name);
    if (error == 0) {
        segment->fd = store_file_open(store, name, OS_WRITE);
        error = segment->fd < 0 ? segment->fd : life_check(segment->fd, SEGMENT_BYTE_OWNER);
        if (error < 0)
            store_file_unlink(store, name); /* nobody has heard of it yet */
    }
    if (error < 0)
        segment_close(segment);
    return error;
}

void segment_unmap(struct segment *segment)
{
    for (unsigned e = 0; e < SEGMENT_EXTENTS; e++)
        os_unmap(segment->base[e], segment_extent_size(e));
    memset(segment->base, 0, sizeof segment->base);
    segment->header = NULL;
}

void segment_close(struct segment *segment)
{
    segment_unmap(segment);
    if (segment->fd >= 0)
        os_close(segment->fd);
    segment->fd = -1;
    store_close(segment->store);
    segment->store = NULL;
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

int segment_is_alive(struct store *store, const char *id_hex)
{
    char name[40];
    segment_file(name, id_hex);
    int fd = store_file_open(store, name, OS_READ);
    if (fd < 0)
        return fd != -ENOENT && fd != -EPERM; /* short of something: nobody is dead for that */
    bool held = life_is_held(fd, SEGMENT_BYTE_OWNER, 1);
    os_close(fd);
    return held;
}
