/* SPDX-License-Identifier: MIT */
/*
 * A private directory for everything that a run leaves in the file system, including SHMQ_DIR. It is
 * removed at the end of the run, however that ends, short of SIGKILL.
 */
#ifndef SHMQ_BENCH_PLACE_H
#define SHMQ_BENCH_PLACE_H

#include "bench.h"

/* Make it, under /dev/shm if that exists, and set SHMQ_DIR. -1: bench->why is set. */
int place_make(struct bench *bench);
/* Remove all files in it. Returns how many of them were shmq's. */
int place_empty(const struct bench *bench);
void place_remove(const struct bench *bench);
/* Is there room for SIZE more bytes of files, and as many again for the processes? If not, a line of the
 * table says so instead of the row WHAT. */
bool place_has_room(const struct bench *bench, size_t size, const char *what);
/* The memory that shmq's files use. */
double place_bytes(const struct bench *bench);

#endif
