/* SPDX-License-Identifier: MIT */
/*
 * What all parts of the benchmark share: what the user asked for, where it runs, and how a row reports
 * that it failed.
 *
 * A row is one measurement of the table. It runs in processes of its own (pair.h), always beside the
 * floor or the peer that it is compared with (duel.h), and prints its figures as it gets them (table.h).
 */
#ifndef SHMQ_BENCH_H
#define SHMQ_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench {
    bool quick;
    int repeat;           /* turns of each lane; 0: the mode's own number */
    int cpu[2];           /* where side 0 and the others are pinned */
    int cpus;             /* how many CPUs this process may use */
    char directory[64];   /* private, for the peers' socket files */
    char shmq_dir[80];    /* SHMQ_DIR, inside the former */
    uint64_t row_ends_ns; /* deadline of the current row, CLOCK_MONOTONIC */
    int interrupted;      /* the signal that asked the whole bench to stop, or 0 */
    char why[256];        /* why the current row failed */
};

struct row {
    const char *name;
    const char *text;
    int (*run)(struct bench *bench, const struct row *row); /* 0, or -1 with bench->why */
    bool needs_two_cpus;                                    /* its sides spin, waiting for each other */
    bool dies_open;                                         /* its processes end without shm_close(), by design */
    size_t which;                                           /* of the rows that this function measures */
};

/* Turns per lane: each is paired with its floor's, and the median over the pairs is reported. */
static inline int bench_blocks(const struct bench *bench, int full, int quick)
{
    if (bench->repeat > 0)
        return bench->repeat;
    return bench->quick ? quick : full;
}

/* Fill bench->why. Returns -1, for the caller to return. */
int bench_failed(struct bench *bench, const char *format, ...) __attribute__((format(printf, 2, 3)));

enum latency { LATENCY_PAIR_64, LATENCY_PAIR_32, LATENCY_PUBSUB, LATENCY_PUSHPULL };
enum throughput { THROUGHPUT_PUSHPULL, THROUGHPUT_PAIR, THROUGHPUT_PUBSUB };
enum peer { PEER_ZMQ_IPC, PEER_ZMQ_TCP, PEER_NNG, PEER_SEQPACKET, PEER_MQ, PEER_ICEORYX };

typedef int row_run(struct bench *bench, const struct row *row);

row_run floor_row, latency_row, latency_reqrep_row, parked_row, throughput_row, zero_copy_row, copied_row, fanout_row,
    pullers_row, auth_row, steady_row, memory_row, peer_row;

#endif
