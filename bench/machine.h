/* SPDX-License-Identifier: MIT */
/* The machine that the figures are from: without it a table says nothing. */
#ifndef SHMQ_BENCH_MACHINE_H
#define SHMQ_BENCH_MACHINE_H

#include "bench.h"

/* Choose the two CPUs to pin the sides to: the first two that this process may run on. */
void machine_choose_cpus(struct bench *bench);
void machine_print(const struct bench *bench, int argc, char **argv);

#endif
