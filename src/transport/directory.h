/* SPDX-License-Identifier: MIT */
/*
 * The runtime directory: $SHMQ_DIR, or /dev/shm/shmq-<uid>. All names live in it; only its owner may
 * enter (0700). With $SHMQ_GROUP it is that group's (02770), by default /dev/shm/shmq-group-<gid>. One
 * descriptor per process and path, shared by its sockets.
 */
#ifndef SHMQ_TRANSPORT_DIRECTORY_H
#define SHMQ_TRANSPORT_DIRECTORY_H

#include <stdbool.h>

struct directory;

/* Open it, making it if need be. -EPERM: not ours, open to others, or not a directory; -EINVAL: no such group. */
int directory_open(struct directory **directory);
/* One of no place (memfd_store.h), for one socket. */
int directory_memfd(struct directory **directory);
bool directory_is_memfd(const struct directory *directory);

/* In a child, of its parent's: a pocket's descriptors are closed, a directory stays. */
void directory_forget(struct directory *directory);

struct directory *directory_ref(struct directory *directory);

/* The last to leave removes the default directory when it is empty. */
void directory_close(struct directory *directory);

const char *directory_name(const struct directory *directory); /* the path it was opened by */
/* What os.h calls DIR. */
int directory_fd(const struct directory *directory);

/* Where it is or would be, without opening it; at most SIZE bytes with the NUL. */
int directory_path(char *path, unsigned size);

/* A descriptor of it, checked as above; never made. */
int directory_look(const char *path);

#endif
