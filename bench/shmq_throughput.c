/* SPDX-License-Identifier: MIT */
/* Messages a second, sent one at a time, beside the faster of libzmq's ipc and tcp. */
#include <stdio.h>

#include "peer.h"
#include "shmq_lane.h"
#include "table.h"

#define ROUNDS     200000
#define ZMQ_ROUNDS 50000

static void print(const char *key, const char *what, const char *stat, const struct lane *lane, int turns)
{
    table_figure(&(struct figure){
        .key = key,
        .what = what,
        .stat = stat,
        .unit = UNIT_RATE,
        .ours = 1e9 / duel_median(lane, turns),
        .goal = lane->size == 64 ? GOAL_AT_LEAST : GOAL_NONE,
        .bound = 40e6,
    });
}

/* PEERS: libzmq's lanes, in the same turns. */
static void print_beside(const char *key, const struct lane *lane, const struct lane *peers, int turns)
{
    bool ipc = duel_median(&peers[0], turns) < duel_median(&peers[1], turns);
    const struct lane *best = &peers[ipc ? 0 : 1];

    table_figure(&(struct figure){
        .key = key,
        .stat = "64 B",
        .unit = UNIT_RATE,
        .ours = 1e9 / duel_median(lane, turns),
        .against = best->name,
        .base = 1e9 / duel_median(best, turns),
        .ratio = duel_ratio_p50(best, lane, turns),
        .goal = GOAL_RATIO_AT_LEAST,
        .bound = 7,
    });
}

int throughput_row(struct bench *bench, const struct row *row)
{
    static const struct {
        enum shmq_kind kind;
        const char *name;
    } rows[] = {
        [THROUGHPUT_PUSHPULL] = {SHMQ_PUSHPULL, "pushpull"},
        [THROUGHPUT_PAIR] = {SHMQ_PAIR, "pair"},
        [THROUGHPUT_PUBSUB] = {SHMQ_PUBSUB, "pubsub"},
    };
    enum shmq_kind kind = rows[row->which].kind;
    const char *name = rows[row->which].name;
    struct lane lanes[4] = {
        shmq_stream_lane(kind, 64, 0, ROUNDS),
        shmq_stream_lane(kind, 32, 0, ROUNDS),
    };
    int turns = bench_blocks(bench, 60, 12), count = 2, result;
    bool beside = peer_zmq_ipc && peer_zmq_tcp;
    char key[64];

    if (beside) {
        lanes[count++] = peer_lane(peer_zmq_ipc, LANE_STREAM, 64, ZMQ_ROUNDS);
        lanes[count++] = peer_lane(peer_zmq_tcp, LANE_STREAM, 64, ZMQ_ROUNDS);
    }
    result = duel_run(bench, lanes, count, turns);
    if (result == 0) {
        snprintf(key, sizeof key, "throughput_%s_64B", name);
        print(key, row->text, "64 B", &lanes[0], turns);
        snprintf(key, sizeof key, "throughput_%s_64B_zmq", name);
        if (beside)
            print_beside(key, &lanes[0], &lanes[2], turns);
        else
            table_words("", "libzmq: not installed");
        snprintf(key, sizeof key, "throughput_%s_32B", name);
        print(key, NULL, "32 B", &lanes[1], turns);
    }
    duel_free(lanes, count);
    return result;
}
