/* SPDX-License-Identifier: MIT */
/*
 * The making of a file that processes share. Nobody ever sees one half made, without its lock or without memory:
 *
 *   new ─ size ─ lock ─ allocate ─ map ─ init() ─ link
 *         no name, nobody else can open it        from here on it is there, whole
 *
 * Died ...        state                     repair
 * before link     no name                   none: the file goes with its last descriptor and mapping
 * after link      the file, without a lock  as for any that its owner left (reap.h, endpoint_layout.h)
 */
#ifndef SHMQ_TRANSPORT_SHARED_FILE_H
#define SHMQ_TRANSPORT_SHARED_FILE_H

#include <stddef.h>
#include <stdint.h>

struct store;

#define NO_LIFE UINT64_MAX

struct shared_file {
    size_t size;   /* of the file */
    size_t filled; /* bytes at its start that get memory */
    size_t mapped; /* bytes at its start that are mapped */
    uint64_t life; /* the byte of the life lock that the mapping keeps (life.h), or NO_LIFE */
    int others;    /* what they may do with it: OS_READ, OS_WRITE */
};

/* Fill MEMORY, which is the maker's from here on, whatever becomes of the file. FD: to map more of it. */
typedef void shared_file_init(void *context, int fd, void *memory);

/* -EEXIST: the name is taken; others of the system. */
int shared_file_new(struct store *store, const char *name, const struct shared_file *file,
                    shared_file_init *init, void *context);

/* Map SIZE bytes of one that is there, for writing. -EPROTO: it is shorter. */
int shared_file_map(int fd, size_t size, void **memory);

#endif
