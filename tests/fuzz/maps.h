/* SPDX-License-Identifier: MIT */
/*
 * Whose memory it is, over the real system: which of what is mapped belongs to whom, as the target says when it is
 * mapped. For targets that are linked with --wrap=os_map and --wrap=os_unmap; maps may come from several threads.
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

/* Whom does FILE belong to? 0: nobody of interest. */
extern int (*maps_owner)(ino_t file);
/* Where P lies, or NULL. */
const struct map *maps_at(const volatile void *p);
/* One that was mapped before its owner was known. */
void maps_note(const void *address, size_t size, int owner);
/* Is nothing mapped any more, of whomever? */
bool maps_gone(void);

/* A socket that waits for nothing, and subscribes to all. */
struct shm_socket *liar_socket(int type);

#endif
