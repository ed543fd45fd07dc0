/* SPDX-License-Identifier: MIT */
/*
 * Who owns which mapping, on the real system: the target says so when it is mapped. For targets linked with
 * --wrap=os_map and --wrap=os_unmap; several threads may map.
 */
#ifndef SHMQ_FUZZ_MAPS_H
#define SHMQ_FUZZ_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct map {
    const char *from, *to; /* NULL: free */
    int owner;
};

/* The owner of FILE; 0: nobody of interest. */
extern int (*maps_owner)(ino_t file);
/* Where P lies, or NULL. */
const struct map *maps_at(const volatile void *p);
/* One that was mapped before its owner was known. */
void maps_note(const void *address, size_t size, int owner);
/* Whether nothing is mapped any more. */
bool maps_gone(void);

/* A socket that never waits, and subscribes to everything. */
struct shm_socket *liar_socket(int type);

#endif
