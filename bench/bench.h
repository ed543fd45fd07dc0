/* SPDX-License-Identifier: MIT */
/*
 * What every part of the benchmark shares: what the user asked for, where it runs, and how a row
 * says that it failed.
 *
 * A row is one measurement of the table. It runs in processes of its own (pair.h), always beside
 * the floor or the peer that it is compared with (duel.h), and writes its figures as it gets them
 * (table.h).
 */
#ifndef SHMQ_BENCH_H
#define SHMQ_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench {
    bool quick;
    int repeat;           /* interleaved blocks per lane, 0: as the mode has it */
    int cpu[2];           /* where side 0 and the others are pinned */
    int cpus;             /* how many this process may use */
    char directory[64];   /* private: for the peers' socket files */
    char shmq_dir[80];    /* SHMQ_DIR, in it */
    uint64_t row_ends_ns; /* deadline of the row that runs now, CLOCK_MONOTONIC */
    int interrupted;      /* the signal that asks the whole bench to stop, or 0 */
    char why[256];        /* why the row that runs now failed */
};

struct row {
    const char *name;
    const char *text;
    int (*run)(struct bench *bench); /* 0, or -1 with bench->why */
    bool needs_two_cpus;             /* its sides spin for each other */
    bool dies_open;                  /* its processes end without shm_close(), by design */
};

/* Blocks per lane: each is a pair with its floor, and the median over the pairs is reported. */
static inline int bench_blocks(const struct bench *bench, int full, int quick)
{
    if (bench->repeat > 0)
        return bench->repeat;
    return bench->quick ? quick : full;
}

/* Fill bench->why; returns -1 for the caller to return. */
int bench_failed(struct bench *bench, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The rows, in the order of the table. */
int floor_row(struct bench *bench);
int latency_pair_64_row(struct bench *bench);
int latency_pair_32_row(struct bench *bench);
int latency_pubsub_row(struct bench *bench);
int latency_pushpull_row(struct bench *bench);
int latency_reqrep_row(struct bench *bench);
int parked_row(struct bench *bench);
int throughput_pushpull_row(struct bench *bench);
int throughput_pair_row(struct bench *bench);
int throughput_pubsub_row(struct bench *bench);
int zero_copy_row(struct bench *bench);
int copied_4k_row(struct bench *bench);
int copied_64k_row(struct bench *bench);
int copied_1m_row(struct bench *bench);
int copied_16m_row(struct bench *bench);
int copied_64m_row(struct bench *bench);
int fanout_row(struct bench *bench);
int pullers_row(struct bench *bench);
int auth_row(struct bench *bench);
int steady_row(struct bench *bench);
int memory_row(struct bench *bench);
int peer_zmq_ipc_row(struct bench *bench);
int peer_zmq_tcp_row(struct bench *bench);
int peer_nng_row(struct bench *bench);
int peer_seqpacket_row(struct bench *bench);
int peer_mq_row(struct bench *bench);
int peer_iceoryx_row(struct bench *bench);

#endif
