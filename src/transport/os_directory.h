/* SPDX-License-Identifier: MIT */
/*
 * The runtime directory: $SHMQ_DIR, or /dev/shm/shmq-<uid>. All names live in it; only its owner may enter (0700).
 * With $SHMQ_GROUP it is that group's (02770), by default /dev/shm/shmq-group-<gid>.
 */
#ifndef SHMQ_TRANSPORT_OS_DIRECTORY_H
#define SHMQ_TRANSPORT_OS_DIRECTORY_H

#include <stdbool.h>
#include <sys/types.h>

/* Where it is or would be, without opening it; at most SIZE bytes with the NUL. */
int os_directory_path(char *path, unsigned size);
bool os_directory_is_default(void);

/* A descriptor of it, made if need be. -EPERM: not ours, open to others, or not a directory; -EINVAL: no such group. */
int os_directory_open(const char *path);
/* The same, but it is never made. */
int os_directory_look(const char *path);

/* Does PATH still lead to it? */
bool os_directory_is_at(int dir, const char *path);
/* 1 and *GROUP, if the directory is a group's; 0 it is its owner's. */
int os_directory_group(int dir, gid_t *group);
/* No descriptor of it is used any more; if REMOVE and it is empty, remove it. */
void os_directory_close(int dir, const char *path, bool remove);

#endif
