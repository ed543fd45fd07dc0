/* SPDX-License-Identifier: MIT */
/*
 * What SHM_AUTH_KEY costs: the whole time to send and receive a message between two sockets of one thread,
 * beside libsodium alone, sealing and opening the same bytes once each in private memory. (In two processes
 * the two halves would overlap, which would flatter the figure.) Beside it, the same sockets without a key.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pair.h"
#include "shmq_lane.h"
#include "table.h"

enum auth_lane { KEYED, SEALED, OPEN, BARE_KEYED, BARE_SEALED };

struct ends {
    shm_socket_t *from, *to;
    unsigned char *sent, *got;
    unsigned char key[32], nonce[12], tag[16];
};

static shm_socket_t *end_new(const struct lane *lane, const unsigned char *key)
{
    shm_socket_t *socket = shmq_socket(SHM_PAIR, SPIN_DEFAULT);
    int seal = lane->kind == SEALED;

    if (lane->kind != OPEN && (shm_setsockopt(socket, SHM_AUTH_KEY, key, 32) != 0 ||
                               shm_setsockopt(socket, SHM_AUTH_SEAL, &seal, sizeof seal) != 0))
        shmq_fail("shm_setsockopt");
    return socket;
}

static void open_ends(struct lane *lane, int side)
{
    struct ends *ends = pair_new(sizeof *ends);
    char name[32];

    if (sodium_init() < 0)
        pair_fail("libsodium cannot be used");
    lane->state = ends;
    ends->sent = pair_buffer(lane->size);
    ends->got = pair_buffer(lane->size);
    memset(ends->key, 3, sizeof ends->key);
    if (side != 0 || lane->kind >= BARE_KEYED)
        return;
    snprintf(name, sizeof name, "auth%d", lane->id);
    ends->from = end_new(lane, ends->key);
    ends->to = end_new(lane, ends->key);
    if (shm_bind(ends->from, name) != 0)
        shmq_fail("shm_bind");
    shmq_connect(ends->to, name);
}

static void close_ends(struct lane *lane, int side)
{
    struct ends *ends = lane->state;

    if (ends->from)
        shm_close(ends->from);
    if (ends->to)
        shm_close(ends->to);
    free(ends->sent);
    free(ends->got);
    free(ends);
}

static void run_sockets(struct lane *lane, int side, size_t rounds, uint32_t *ticks)
{
    struct ends *ends = lane->state;

    for (size_t i = 0; i < rounds && side == 0; i++) {
        if (shm_send(ends->from, ends->sent, lane->size, 0) != (ssize_t)lane->size)
            shmq_fail("shm_send");
        if (shm_recv(ends->to, ends->got, lane->size, 0) != (ssize_t)lane->size)
            shmq_fail("shm_recv");
    }
}

static void run_bare_keyed(struct lane *lane, int side, size_t rounds, uint32_t *ticks)
{
    struct ends *ends = lane->state;

    for (size_t i = 0; i < rounds && side == 0; i++) {
        ends->nonce[0]++;
        crypto_aead_chacha20poly1305_ietf_encrypt_detached(ends->got, ends->tag, NULL, ends->got, 0, ends->sent,
                                                           lane->size, NULL, ends->nonce, ends->key);
        if (crypto_aead_chacha20poly1305_ietf_decrypt_detached(ends->got, NULL, ends->got, 0, ends->tag, ends->sent,
                                                               lane->size, ends->nonce, ends->key) != 0)
            pair_fail("libsodium does not know its own tag");
    }
}

static void run_bare_sealed(struct lane *lane, int side, size_t rounds, uint32_t *ticks)
{
    struct ends *ends = lane->state;

    for (size_t i = 0; i < rounds && side == 0; i++) {
        ends->nonce[0]++;
        crypto_aead_chacha20poly1305_ietf_encrypt_detached(ends->got, ends->tag, NULL, ends->sent, lane->size, NULL, 0,
                                                           NULL, ends->nonce, ends->key);
        if (crypto_aead_chacha20poly1305_ietf_decrypt_detached(ends->sent, NULL, ends->got, lane->size, ends->tag, NULL,
                                                               0, ends->nonce, ends->key) != 0)
            pair_fail("libsodium does not know its own tag");
    }
}

static struct lane auth_lane(enum auth_lane kind, size_t size)
{
    static const char *const names[] = {"shmq", "shmq", "no key", "libsodium alone", "libsodium alone"};

    return (struct lane){
        .name = names[kind],
        .way = LANE_STREAM,
        .kind = (int)kind,
        .size = size,
        .rounds = size > 10000 ? 40
                  : size > 500 ? 1000
                               : 2000,
        .warm_up = size > 10000 ? 4 : 100,
        .open = open_ends,
        .close = close_ends,
        .run = kind == BARE_KEYED    ? run_bare_keyed
               : kind == BARE_SEALED ? run_bare_sealed
                                     : run_sockets,
    };
}

static void print(const char *key, const char *what, const char *stat, const struct lane *ours,
                  const struct lane *against, double goal, int turns)
{
    table_figure(&(struct figure){
        .key = key,
        .what = what,
        .stat = stat,
        .unit = UNIT_NS,
        .ours = duel_median(ours, turns),
        .against = against->name,
        .base = duel_median(against, turns),
        .ratio = duel_ratio_p50(ours, against, turns),
        .goal = goal > 0 ? GOAL_RATIO_AT_MOST : GOAL_NONE,
        .bound = goal,
    });
}

static int measure(struct bench *bench, size_t size, const char *name)
{
    struct lane lanes[] = {auth_lane(BARE_KEYED, size), auth_lane(KEYED, size), auth_lane(BARE_SEALED, size),
                           auth_lane(SEALED, size), auth_lane(OPEN, size)};
    int turns = bench_blocks(bench, 60, 15), result = duel_run(bench, lanes, 5, turns);
    char key[64], what[64];

    if (result == 0) {
        snprintf(what, sizeof what, "%s sent and received with a key", name);
        snprintf(key, sizeof key, "auth_%s", name);
        print(key, what, "plain", &lanes[1], &lanes[0], 1.3, turns);
        snprintf(key, sizeof key, "auth_sealed_%s", name);
        print(key, NULL, "sealed", &lanes[3], &lanes[2], 1.3, turns);
        snprintf(key, sizeof key, "auth_none_%s", name);
        print(key, NULL, "beside", &lanes[1], &lanes[4], 0, turns);
    }
    duel_free(lanes, 5);
    return result;
}

int auth_row(struct bench *bench, const struct row *row)
{
    int result = measure(bench, 64, "64B");

    if (result == 0)
        result = measure(bench, 1024, "1KiB");
    return result == 0 ? measure(bench, (size_t)64 << 10, "64KiB") : result;
}
