/* SPDX-License-Identifier: MIT */
/*
 * The rows of the peers: the same three measurements for each one installed. Both sides use blocking
 * calls; shmq waits as it does by default.
 */
#include <stdio.h>

#include "floor.h"
#include "peer.h"
#include "shmq_lane.h"
#include "table.h"

#define BOUNCE_ROUNDS 250
#define STREAM_ROUNDS 20000
#define LARGE         ((size_t)1 << 20)
#define LARGE_ROUNDS  40
#define SHMQ_MULTIPLE 10 /* shmq moves so many times more messages in its turns */

struct lane peer_lane(peer_lane_t *peer, enum lane_way way, size_t size, size_t rounds)
{
    struct lane lane = {
        .way = way,
        .size = size,
        .rounds = rounds,
        .warm_up = rounds / 4,
        .hops = 2,
    };

    peer(&lane);
    return lane;
}

static int bounce(struct bench *bench, peer_lane_t *peer, const char *name, const char *key)
{
    struct lane lanes[] = {
        peer_lane(peer, LANE_BOUNCE, 64, BOUNCE_ROUNDS),
        shmq_bounce_lane(SHMQ_PAIR, 64, SPIN_DEFAULT, BOUNCE_ROUNDS / 2),
    };
    int turns = bench_blocks(bench, 800, 120);
    int result = duel_run(bench, lanes, 2, turns);
    char text[64], whole_key[64];

    snprintf(text, sizeof text, "%s: 64 B one way", name);
    snprintf(whole_key, sizeof whole_key, "peer_%s_latency_64B", key);
    lanes[0].name = name;
    if (result == 0)
        table_latency(whole_key, text, &lanes[1], &lanes[0], turns, 0, 0);
    duel_free(lanes, 2);
    return result;
}

static int stream(struct bench *bench, peer_lane_t *peer, const char *name, const char *key, size_t size, size_t rounds,
                  enum unit unit)
{
    struct lane lanes[] = {
        peer_lane(peer, LANE_STREAM, size, rounds),
        shmq_stream_lane(SHMQ_PUSHPULL, size, size > 4096 ? 4 : 0, rounds * SHMQ_MULTIPLE),
    };
    int turns = bench_blocks(bench, 25, 5), result;
    double per_ns = (unit == UNIT_BANDWIDTH ? (double)size : 1) * 1e9;
    char text[64], whole_key[64];

    snprintf(text, sizeof text, "%s: %s", name, unit == UNIT_BANDWIDTH ? "1 MiB messages" : "64 B messages");
    snprintf(whole_key, sizeof whole_key, "peer_%s_%s", key,
             unit == UNIT_BANDWIDTH ? "bandwidth_1MiB" : "throughput_64B");
    lanes[1].spin_ns = SPIN_DEFAULT;
    result = duel_run(bench, lanes, 2, turns);
    if (result == 0)
        table_figure(&(struct figure){
            .key = whole_key,
            .what = text,
            .stat = "median",
            .unit = unit,
            .ours = per_ns / duel_median(&lanes[1], turns),
            .against = name,
            .base = per_ns / duel_median(&lanes[0], turns),
            .ratio = duel_ratio_p50(&lanes[0], &lanes[1], turns),
        });
    duel_free(lanes, 2);
    return result;
}

int peer_row(struct bench *bench, const struct row *row)
{
    /* A queue's messages have at most 8 KiB unless an administrator allows more. */
    const struct {
        peer_lane_t *peer;
        const char *name, *key;
        bool takes_large;
    } rows[] =
        {
            [PEER_ZMQ_IPC] = {peer_zmq_ipc, "libzmq ipc", "zmq_ipc", true},
            [PEER_ZMQ_TCP] = {peer_zmq_tcp, "libzmq tcp", "zmq_tcp", true},
            [PEER_NNG] = {peer_nng_ipc, "nng ipc", "nng_ipc", true},
            [PEER_SEQPACKET] = {peer_seqpacket, "Unix seqpacket", "seqpacket", true},
            [PEER_MQ] = {peer_mq, "POSIX mq", "mq", false},
            [PEER_ICEORYX] = {peer_iceoryx, "iceoryx", "iceoryx", true},
        },
      *it = &rows[row->which];

    if (!it->peer) {
        table_words(it->name, "not installed");
        return 0;
    }
    if (bounce(bench, it->peer, it->name, it->key) != 0 ||
        stream(bench, it->peer, it->name, it->key, 64, STREAM_ROUNDS, UNIT_RATE) != 0)
        return -1;
    if (!it->takes_large)
        return 0;
    return stream(bench, it->peer, it->name, it->key, LARGE, LARGE_ROUNDS, UNIT_BANDWIDTH);
}
