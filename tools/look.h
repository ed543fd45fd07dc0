/* SPDX-License-Identifier: MIT */
/*
 * Looking at endpoints and sockets from outside: without disturbing them, and without believing them.
 *
 * Everything is read with pread() from files opened for reading; nothing is mapped, nothing locked:
 *   - A mapping would die of SIGBUS when a liar truncates the file, and reading a hole through it
 *     makes tmpfs allocate the page: a look would take memory. pread() gives a short count, or zeros.
 *   - A reader's lock (byte 1 of a segment) would make a socket that closes meanwhile leave its files
 *     behind, and nobody would come to remove them after us. It is not needed either: a file that is
 *     removed while it is open here still says what it said last. For the same reason no descriptor
 *     that is open here delays anybody.
 *   - A descriptor for writing, when closed, is what sockets with a SHM_FD watch endpoints for (a
 *     peer's death): each look would wake them.
 * Others' locks are asked for (F_OFD_GETLK), never taken.
 *
 * Consistency: a record of an endpoint is taken when two readings in a row are the same and its
 * generation is odd: the first saw no half of a change that the second would not show as a new
 * generation. Counters are single words, which the kernel copies whole; they need not fit together.
 */
#ifndef SHMQ_TOOL_LOOK_H
#define SHMQ_TOOL_LOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "transport/endpoint.h"
#include "transport/ring_layout.h"
#include "transport/segment_layout.h"

struct endpoint_look {
    int fd;       /* -1: not a file that a socket would use (a pipe, a pipe, another's) */
    bool is_used; /* somebody holds a lock in it */
    bool is_read; /* it is of this version: what follows is valid */
    bool has_binder, binder_lives;
    struct member binder;
    uint32_t binder_uid;
    uint32_t high;
    char name[256]; /* its own, or made from the file's when that is all there is */
    size_t name_size;
};

/* 0, also for what is no endpoint; -ENOENT it has just gone; another error of the system. */
int endpoint_look(struct endpoint_look *look, int dir, const char *file);
void endpoint_look_end(struct endpoint_look *look);

struct slot_look {
    struct member member;
    struct accepted answer;
    bool lives;
    bool is_answered; /* and the answer is for this member */
};

/* true: somebody is announced there, dead or alive. */
bool slot_look(const struct endpoint_look *look, uint32_t slot, struct slot_look *out);

/* Alive, and not turned away. */
bool slot_is_peer(const struct slot_look *slot);

struct socket_look {
    int fd; /* -1: it has no segment, or one that makes no sense */
    char id_hex[2 * SEGMENT_ID_SIZE + 1];
    uint64_t id_word; /* the first 8 bytes of its id, as pipe records have it */
    bool lives, is_closed;
    uint32_t type, pid, uid;
    uint64_t ring_offset; /* of the ring that all its peers read, or 0 */
    uint64_t stats[STAT_COUNT];
};

/* 0; -ENOENT, -EPERM, -EPROTO: there is nothing to be seen, and fd is -1. */
int socket_look(struct socket_look *look, int dir, const char *id_hex);
void socket_look_end(struct socket_look *look);

/* A record in a socket's segment; the offset is a peer's word. -EPROTO: there is none. */
int pipe_look(const struct socket_look *socket, uint64_t offset, struct pipe_record *out);
int ring_look(const struct socket_look *socket, uint64_t offset, struct ring_header *out);

/* All of SIZE bytes at OFFSET, or -EPROTO. */
int read_at(int fd, uint64_t offset, void *out, size_t size);

/* "PUB"; "?" for what is none. */
const char *type_name(uint32_t type);

#endif
