/* SPDX-License-Identifier: MIT */
/*
 * A private directory for everything that a run leaves in the file system, SHMQ_DIR among it. It
 * goes with the run, however that ends, short of SIGKILL.
 */
#ifndef SHMQ_BENCH_PLACE_H
#define SHMQ_BENCH_PLACE_H

#include "bench.h"

/* Make it, under /dev/shm where there is one, and set SHMQ_DIR. -1: bench->why. */
int place_make(struct bench *bench);
/* Remove all files in it. Returns how many of them were shmq's. */
int place_empty(const struct bench *bench);
void place_remove(const struct bench *bench);
/* Can SIZE more bytes be had for its files, and as many again for the processes? If not, a line of
 * the table says so in place of the row WHAT. */
bool place_has_room(const struct bench *bench, size_t size, const char *what);
/* Memory that shmq's files take. */
double place_bytes(const struct bench *bench);

#endif
