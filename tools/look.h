/* SPDX-License-Identifier: MIT */
/*
 * Look at endpoints and sockets from outside, without disturbing them and without trusting them.
 *
 * Everything is read with pread() from files opened for reading; nothing is mapped or locked:
 *   - A mapping would give SIGBUS if a hostile peer truncated the file, and reading a hole through it would
 *     make tmpfs allocate the page, so that a look would take memory. pread() returns a short count, or zeros.
 *   - A reader's lock (an flock of the segment) would make a socket that closes meanwhile leave its files
 *     behind, and nobody would remove them after us. It is not needed either: a file that is removed while it
 *     is open here keeps its last contents, so an open descriptor here delays nobody.
 *   - The closing of a descriptor for writing is what sockets with an SHM_FD watch endpoints for (a peer's
 *     death): each look would wake them.
 * Others' locks are queried (F_OFD_GETLK), never taken.
 *
 * Consistency: an endpoint's record is accepted if two readings in a row are equal and its generation is odd.
 * Half of a change in the first would show as a new generation in the second. Counters are single words,
 * which the kernel copies whole; they need not agree with each other.
 */
#ifndef SHMQ_TOOL_LOOK_H
#define SHMQ_TOOL_LOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "transport/endpoint.h"
#include "transport/ring_layout.h"
#include "transport/segment_layout.h"

struct endpoint_look {
    int fd;       /* -1: not a file that a socket would use (a symlink, a FIFO, another user's) */
    bool is_used; /* a socket holds a lock in it */
    bool is_read; /* its version is ours: what follows is valid */
    bool has_binder, binder_lives;
    struct member binder;
    uint32_t binder_uid;
    uint32_t high;
    char name[256]; /* from its header, or else derived from the file's name */
    size_t name_size;
};

/* 0, even for what is no endpoint; -ENOENT: it has just gone; or another error of the system. */
int endpoint_look(struct endpoint_look *look, struct store *store, const char *file);
void endpoint_look_end(struct endpoint_look *look);

struct slot_look {
    struct member member;
    struct accepted accept;
    bool lives;
    bool has_verdict; /* ACCEPT is valid, and for this member */
};

/* True: a member is announced there, dead or alive. */
bool slot_look(const struct endpoint_look *look, uint32_t slot, struct slot_look *out);

/* Alive, and not turned away. */
bool slot_is_peer(const struct slot_look *slot);

struct socket_look {
    int fd; /* -1: it has no segment, or an invalid one */
    char id_hex[2 * SEGMENT_ID_SIZE + 1];
    uint64_t id_word; /* the first 8 bytes of its id, as pipe records have it */
    bool lives, is_closed;
    uint32_t type, pid, uid;
    uint64_t ring_offset; /* of the ring that all its peers read, or 0 */
    uint64_t stats[STAT_COUNT];
};

/* 0; -ENOENT, -EPERM, -EPROTO: there is nothing to see, and fd is -1. */
int socket_look(struct socket_look *look, struct store *store, const char *id_hex);
void socket_look_end(struct socket_look *look);

/* A record in a socket's segment, at an offset that a peer wrote. -EPROTO: there is none. */
int pipe_look(const struct socket_look *socket, uint64_t offset, struct pipe_record *out);
int ring_look(const struct socket_look *socket, uint64_t offset, struct ring_header *out);

/* All of SIZE bytes at OFFSET, or -EPROTO. */
int read_at(int fd, uint64_t offset, void *out, size_t size);

/* "PUB"; "?" if there is no such type. */
const char *type_name(uint32_t type);

#endif
