/* SPDX-License-Identifier: MIT */
/*
 * A peer's segment, mapped read-only, extent by extent as offsets into it turn up. Offsets from a peer are checked
 * here, once: remote_at() gives a pointer to a range that is certainly mapped, or NULL.
 */
#ifndef SHMQ_TRANSPORT_REMOTE_H
#define SHMQ_TRANSPORT_REMOTE_H

#include "transport/reap.h"
#include "transport/segment.h"

struct remote {
    struct store *store;
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
int remote_open(struct remote **remote, struct store *store, const char *id_hex);
void remote_close(struct remote *remote); /* the last one who needs them removes the files of a dead peer */
void remote_met_at(struct remote *remote, const char *file, uint32_t place); /* for that */
/* The name of ID_HEX in a place of the endpoint's FILE has been taken away: remove its files, if that was the last, or
 * the only one there was in this PLACE. */
void remote_unnamed(struct store *store, const char *file, uint32_t place, const char *id_hex);

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

#endif
