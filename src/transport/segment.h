/* SPDX-License-Identifier: MIT */
/*
 * Segments: the named shared memory of one socket (segment_layout.h has the format), mapped writable by its owner,
 * and growing. A peer's is a struct remote (remote.h).
 */
#ifndef SHMQ_TRANSPORT_SEGMENT_H
#define SHMQ_TRANSPORT_SEGMENT_H

#include "transport/store.h"
#include "transport/segment_layout.h"

struct segment {
    struct store *store;
    int fd; /* for growing; holds no lock: a forked child may inherit it */
    char id_hex[2 * SEGMENT_ID_SIZE + 1];
    struct segment_header *header;
    unsigned char *base[SEGMENT_EXTENTS];
    bool lock_memory;
};

int segment_new(struct segment *segment, struct store *store, uint32_t type);

/* Unmap, which drops the life lock. */
void segment_unmap(struct segment *segment);
/* That, and let go of the file. reap_own() first, to remove it. */
void segment_close(struct segment *segment);

/* The address of OFFSET, whose extent is mapped if it was not. NULL: errno. */
void *segment_at(struct segment *segment, uint64_t offset);

/* Allocate memory for a range of whole pages. */
int segment_fill(struct segment *segment, uint64_t offset, uint64_t size);

/* Does the socket live? 1, also when that cannot be found out now; 0: dead, closed, or no such file. */
int segment_is_alive(struct store *store, const char *id_hex);

/* "<id>.seg" */
void segment_file(char name[40], const char *id_hex);

void segment_id_hex(char hex[2 * SEGMENT_ID_SIZE + 1], const uint8_t id[SEGMENT_ID_SIZE]);

#endif
