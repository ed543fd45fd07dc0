/* SPDX-License-Identifier: MIT */
/* Where the figures are from: a table without its machine says nothing. */
#ifndef SHMQ_BENCH_MACHINE_H
#define SHMQ_BENCH_MACHINE_H

#include "bench.h"

/* Choose the two CPUs that the sides are pinned to: the first two this process may run on. */
void machine_choose_cpus(struct bench *bench);
void machine_print(const struct bench *bench, int argc, char **argv);

#endif
