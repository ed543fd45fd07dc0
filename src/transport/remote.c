/* SPDX-License-Identifier: MIT */
#include "transport/remote.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/os.h"

/* ---- its life here ---- */

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

int remote_open(struct remote **out, struct store *store, const char *id_hex)
{
    char name[40];
    struct remote *remote = calloc(1, sizeof *remote);
    if (remote == NULL)
        return -ENOMEM;
    remote->store = store_ref(store);
    snprintf(remote->id_hex, sizeof remote->id_hex, "%.32s", id_hex);
    segment_file(name, id_hex);
    int fd = store_file_open(store, name, OS_READ);
    int error = fd;
    if (fd >= 0) {
        error = map_first(remote, fd);
        os_close(fd);
    }
    if (error < 0) {
        remote->is_needed = error != -EPROTO; /* unread, it is nobody's to remove */
        remote_close(remote);
        return error;
    }
    *out = remote;
    return 0;
}

/*
 * What a dead or closed socket left is needed by each peer whom a place leads there: by a connector that has not come
 * to map what its binder had sent, by the binder that has still to read a connector, and by the next binder, which
 * looks up how far the one before it had read, unless the connector knows. Whoever lets go of it, and finds it named
 * no more, removes it. One that was at no other endpoint is named nowhere else.
 */
static bool is_needed(const struct remote *remote, bool was_elsewhere)
{
    struct store *store = remote->store;
    if (remote->is_needed || segment_is_alive(store, remote->id_hex))
        return true;
    if (was_elsewhere && store_has_names(remote->store))
        return reap_is_named(store, remote->id_hex);
    return remote->met_at[0] != '\0' && reap_is_named_at(store, remote->met_at, remote->id_hex, remote->place);
}

void remote_close(struct remote *remote)
{
    if (remote == NULL)
        return;
    bool lived = segment_is_alive(remote->store, remote->id_hex); /* and might have gone elsewhere since */
    bool was_elsewhere = lived || (remote->header != NULL && peer_u32(&remote->header->attached) > 1);
    for (unsigned e = 0; e < SEGMENT_EXTENTS; e++) {
        const unsigned char *base = load_relaxed(&remote->base[e]);
        os_unmap((void *)(uintptr_t)base, segment_extent_size(e));
    }
    if (!is_needed(remote, was_elsewhere))
        reap_socket(remote->store, remote->id_hex);
    store_close(remote->store);
    free(remote);
}

void remote_met_at(struct remote *remote, const char *file, uint32_t place)
{
    snprintf(remote->met_at, sizeof remote->met_at, "%s", file);
    remote->place = place;
}

void remote_unnamed(struct store *store, const char *file, uint32_t place, const char *id_hex)
{
    struct remote *remote;
    if (remote_open(&remote, store, id_hex) < 0)
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
    segment_file(name, remote->id_hex);
    int fd = store_file_open(remote->store, name, OS_READ);
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
    os_close(fd);
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

    segment_file(name, remote->id_hex);
    int fd = store_file_open(remote->store, name, OS_READ);
    if (fd < 0)
        return fd;
    while (done < size && n > 0) {
        n = os_file_read(fd, offset + done, (char *)to + done, size - done);
        done += n > 0 ? (uint64_t)n : 0;
    }
    os_close(fd);
    return done == size ? 0 : -EAGAIN;
}
