/* SPDX-License-Identifier: MIT */
/*
 * Segments: the named shared memory of one socket (segment_layout.h has the format).
 *
 * `struct segment` is one's own, mapped writable, growing; `struct remote` is a peer's, mapped
 * read-only, extent by extent as offsets into it turn up. Offsets from a peer are checked here, once:
 * remote_at() gives a pointer to a range that is certainly mapped, or NULL.
 */
#ifndef SHMQ_TRANSPORT_SEGMENT_H
#define SHMQ_TRANSPORT_SEGMENT_H

#include "transport/directory.h"
#include "transport/segment_layout.h"

struct segment {
    struct directory *directory;
    int fd; /* for growing; holds no lock: a forked child may inherit it */
    char id_hex[2 * SEGMENT_ID_SIZE + 1];
    struct segment_header *header;
    unsigned char *base[SEGMENT_EXTENTS];
    bool lock_memory;
};

int segment_new(struct segment *segment, struct directory *directory, uint32_t type);

/* Unmap, which drops the life lock. */
void segment_unmap(struct segment *segment);
/* That, and REMOVE the files unless a peer still reads them. */
void segment_close(struct segment *segment, bool remove);

/* The address of OFFSET, whose extent is mapped if it was not. NULL: errno. */
void *segment_at(struct segment *segment, uint64_t offset);

/* Allocate memory for a range of whole pages. */
int segment_fill(struct segment *segment, uint64_t offset, uint64_t size);

/* Remove the files of the socket ID_HEX if it is dead or closed and nobody reads it any more.
 * Returns 1 if it removed them, 0 if they are in use or gone. */
int segment_reap(int dir, const char *id_hex);

/* Does the socket live? 1, also when that cannot be found out now; 0: dead, closed, or no such file. */
int segment_is_alive(int dir, const char *id_hex);

/* Does a place at any endpoint lead to the socket ID_HEX: is it the connector there, or the binder that linked to
 * that one, which has not done with it? Also true when that cannot be found out now. Who does not find the name after
 * letting go of the files may remove them; who takes the name away removes them after that: so one of the two does. Not
 * in a pocket. */
bool segment_is_named(int dir, const char *id_hex);

struct remote {
    struct directory *directory;
    char id_hex[2 * SEGMENT_ID_SIZE + 1];
    const struct segment_header *header;
    uint64_t inode;
    int shortage;    /* 0, or why a look into it failed that is not the peer's fault: no memory, no descriptor */
    bool is_needed;  /* not to be removed with the last mapping: that is for others */
    char met_at[256]; /* the endpoint's file, or "" */
    uint32_t place;   /* the only one that may name it there; ANY_PLACE */
    _Atomic(const unsigned char *) base[SEGMENT_EXTENTS];
};

/* Map the segment ID_HEX; -EPROTO: not a segment of this version, or not that one's. */
int remote_open(struct remote **remote, struct directory *directory, const char *id_hex);
void remote_close(struct remote *remote); /* the last one who needs them removes the files of a dead peer */
#define ANY_PLACE UINT32_MAX
void remote_met_at(struct remote *remote, const char *file, uint32_t place); /* for that */
/* The name of ID_HEX in a place of the endpoint's FILE has been taken away: remove its files, if that was the last, or
 * the only one there was in this PLACE. */
void remote_unnamed(struct directory *directory, const char *file, uint32_t place, const char *id_hex);

const void *remote_map(struct remote *remote, uint64_t offset, uint64_t size);

/* Copy what its owner may give back meanwhile: by the file, where that reads as zeros. To look at it through the
 * mapping would be a SIGBUS in a full file system. */
int remote_read(struct remote *remote, uint64_t offset, void *to, uint64_t size);

static inline const void *remote_at(struct remote *remote, uint64_t offset, uint64_t size)
{
    unsigned extent = segment_extent(offset);
    if (likely(extent < SEGMENT_EXTENTS)) {
        const unsigned char *base = load_relaxed(&remote->base[extent]);
        uint64_t inside = offset - segment_extent_start(extent);
        uint64_t room = segment_extent_size(extent) - inside;
        if (likely(base != NULL && size <= room))
            return base + inside;
    }
    return remote_map(remote, offset, size);
}

void segment_id_hex(char hex[2 * SEGMENT_ID_SIZE + 1], const uint8_t id[SEGMENT_ID_SIZE]);

#endif
