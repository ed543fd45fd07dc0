/* SPDX-License-Identifier: MIT */
/*
 * Pockets: the files of a socket without a directory (SHM_MEMFD). A pocket is a set of memfds under names,
 * in this process alone; who shall use them is sent the descriptors (core/handover.c). To the rest of the
 * library it is a directory: os.h takes the handle of one wherever it takes a directory's descriptor.
 *
 * A file that gets its name is sealed: nobody can make it shorter under its readers (SIGBUS) or longer.
 * One that only its owner writes is sealed against all writing but that of the mappings which are there
 * (F_SEAL_FUTURE_WRITE); so it has its full size at once, sparse, and is mapped whole before that.
 *
 * The descriptor in a pocket holds no lock. To open a file again is to get another open file description,
 * through /proc/self/fd, as locks need it.
 */
#ifndef SHMQ_TRANSPORT_MEMFD_STORE_H
#define SHMQ_TRANSPORT_MEMFD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMFD_STORE_FIRST   (1 << 24) /* handles are greater than any descriptor */
#define MEMFD_STORE_CEILING (UINT64_C(1) << 36) /* of a file that its owner makes longer bit by bit */

static inline bool memfd_store_is(int dir)
{
    return dir >= MEMFD_STORE_FIRST;
}

int memfd_store_new(void); /* its handle, or -ENOMEM */
void memfd_store_free(int pocket);

/* As os_file_new() and so on (os.h). */
int memfd_store_file_new(size_t size);
int memfd_store_file_pipe(int pocket, int fd, const char *name, int others);
void pocket_file_unlink(int pocket, const char *name);
int memfd_store_file_open(int pocket, const char *name, int access);
int memfd_store_file_same(int pocket, const char *name, int fd);
int memfd_store_fifo_new(int pocket, const char *name); /* 0; also if there is one */
int memfd_store_fifo_open(int pocket, const char *name);
void memfd_store_fifo_raise(int pocket, const char *name);

/* "/proc/self/fd/N", for who opens by path; false: there is no such file. */
bool memfd_store_path(int pocket, const char *name, char *path, size_t size);

/* The descriptor under a name, for sending it away: the pocket keeps it. -ENOENT. */
int memfd_store_lend(int pocket, const char *name);

/* Take a peer's descriptor, whatever comes of it. KIND: OS_READ a file that the peer alone writes, OS_WRITE one
 * that all write, MEMFD_STORE_FIFO. -EPROTO: it is something else, or not sealed as it must be; -EEXIST. */
#define MEMFD_STORE_FIFO 2
int memfd_store_take(int pocket, const char *name, int fd, int kind);

#endif
