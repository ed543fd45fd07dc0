/* SPDX-License-Identifier: MIT */
/*
 * The runtime directory: $SHMQ_DIR, or /dev/shm/shmq-<uid>. All names live in it; only its owner may
 * enter (0700). One descriptor per process and path, shared by its sockets.
 */
#ifndef SHMQ_TRANSPORT_DIRECTORY_H
#define SHMQ_TRANSPORT_DIRECTORY_H

struct directory;

/* Open it, making it if need be. -EPERM: not ours, open to others, or not a directory. */
int directory_open(struct directory **directory);
struct directory *directory_ref(struct directory *directory);

/* The last to leave removes the default directory when it is empty. */
void directory_close(struct directory *directory);

int directory_fd(const struct directory *directory);

/* Where it is or would be, without opening it; at most SIZE bytes with the NUL. */
int directory_path(char *path, unsigned size);

#endif
