/* SPDX-License-Identifier: MIT */
/*
 * Two or three sockets, linked as membership.c would have linked them, and the core around them. Each
 * process has a segment (header, pipe records, a ring, blocks) and a bell; peers see it through a
 * struct remote, by offsets, as they do in earnest.
 */
#ifndef SHMQ_MODELS_WORLD_H
#define SHMQ_MODELS_WORLD_H

#include "shared.h"

#include "sources.h"
#include "stubs.h"

#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef BLOCKS
#define BLOCKS 2
#endif
#ifndef EVERY /* reads until the sender is looked after */
#define EVERY 1
#endif
#ifndef LIMIT
#define LIMIT SLOTS
#endif
#ifdef SPIN /* the fast way of a receive that may wait */
#define RECEIVE_FLAGS 0
#else
#define RECEIVE_FLAGS SHM_DONTWAIT
#endif
#define PROCESSES 3

/* What a socket's segment holds. */
struct memory {
    struct segment_header header;
    struct pipe_record record[2];
    struct ring_header ring;
    struct ring_slot slots[SLOTS];
    uint64_t blocks[BLOCKS][16];
};

static struct bell_page bells[PROCESSES];
static struct block *in_flight[PROCESSES][SLOTS];
/* The model says what is in these, by the initializers below: the checker counts each store. */
static struct memory memory[PROCESSES];
static struct shm_socket sockets[PROCESSES];
static struct pipe pipes[2 * PROCESSES];

#define OFFSET(member) offsetof(struct memory, member)

#define REMOTE(p) {.header = &memory[p].header, .base = {(const unsigned char *)&memory[p]}}
static struct remote remotes[PROCESSES] = {REMOTE(0), REMOTE(1), REMOTE(2)};

/* One per pipe, as in earnest; pipes[i] has peers[i]. */
static struct peer peers[2 * PROCESSES];
static struct block record_block = {.offset = 1};
#define PEER(of, p, ...)                                                                         \
    {.refs = PEER_HAS_PIPE, .socket = &sockets[of], .remote = &remotes[p], .bell.page = &bells[p], __VA_ARGS__}

/* N free blocks of process P, of which blocks[p][0] is the first, and no more memory than that. */
#define BLOCK_SIZE 128
#define BLOCK_OF(p, i, following)                                                                \
    {.data = (unsigned char *)memory[p].blocks[i],                                               \
     .offset = OFFSET(blocks) + (i) * BLOCK_SIZE,                                                \
     .size = BLOCK_SIZE,                                                                         \
     .next = following}
static struct block blocks[2] = {BLOCK_OF(0, 0, BLOCKS > 1 ? &blocks[1] : NULL), BLOCK_OF(0, BLOCKS - 1, NULL)};

#define ARENA(p)                                                                                 \
    {.segment = &sockets[p].segment, .free_blocks = {blocks}, .limit = BLOCKS * BLOCK_SIZE,      \
     .free_bytes = BLOCKS * BLOCK_SIZE, .largest = BLOCK_SIZE}
#define SOCKET(p, ...)                                                                           \
    {.bell.page = &bells[p], .segment.header = &memory[p].header,                                \
     .segment.base = {(unsigned char *)&memory[p]}, .stats = memory[p].header.stats,             \
     .hazards.header = &memory[p].header, .arena = ARENA(p), .refs = 1,                          \
     .options.spin_ns = 1, .options.receive_timeout = -1, .wait = WAITABLE(p), __VA_ARGS__}
#ifdef RUNS_WAIT
#define WAIT_OPS &socket_waitable
#else
#define WAIT_OPS NULL
#endif
#define WAITABLE(p)                                                                              \
    {.ops = WAIT_OPS, .bell = &sockets[p].bell, .spin_ns = &sockets[p].options.spin_ns,          \
     .sleeps = &memory[p].header.stats[STAT_SLEEPS], .descriptor = {-1, -1, -1, false}}

/* A ring of process P, as ring_out_open() would have made it but for its size; P's memory says the same. */
#define OUT(p, kind_, ...)                                                                       \
    {.arena = &sockets[p].arena, .header = &memory[p].ring, .slots = memory[p].slots,            \
     .mask = SLOTS - 1, .filled = SLOTS, .limit = LIMIT, .kind = kind_,                          \
     .retired = &sockets[p].tx.retired, .in_flight = TRACKED(p), __VA_ARGS__}
#ifdef BLOCK
#define TRACKED(p) in_flight[p]
#else
#define TRACKED(p) NULL
#endif

#define IN(of, kind_, ...)                                                                       \
    {.remote = &remotes[of], .header = &memory[of].ring, .slots = memory[of].slots,              \
     .mask = SLOTS - 1, .end = UINT64_MAX, .kind = kind_, __VA_ARGS__}

/* pipes[I]: of P, with record MINE of its own and record THEIRS of PEER's. */
#define PIPE(i, p, mine, peer_, theirs_, ...)                                                    \
    {.socket = &sockets[p], .peer = &peers[i], .state = PIPE_UP, .record = &memory[p].record[mine],     \
     .record_block = &record_block,                                                              \
     .theirs = &memory[peer_].record[theirs_], .hazard_tag = 1 + (mine), .their_tag = 1 + (theirs_), .announce_every = EVERY, __VA_ARGS__}
/* Each is about the pipe at its other end, whose record_block says 1: pipe_token(). */
#define RECORDS .record = {{.hazard_tag = 1, .connected_to = 1}, {.hazard_tag = 2, .connected_to = 1}}

#ifndef RUNS_MEMORY
void memory_unref(struct shm_socket *s)
{
    atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel);
}
#endif

/* A block, read from its owner's file while the owner may write it: word by word, in no order. */
int remote_read(struct remote *remote, uint64_t offset, void *to, uint64_t size)
{
    const shared_u64 *from = (const shared_u64 *)(const void *)(remote->base[0] + offset);
    assert(size % 8 == 0);
    for (uint64_t i = 0; i < size / 8; i++)
        ((uint64_t *)to)[i] = peer_u64(&from[i]);
    return 0;
}

/* ---- sending and receiving ---- */

/* A message is two words, so that one which is half old and half new is seen to be. */
#define VALUE(t)  (100 + (t))
#define SECOND(v) (1000 + (v))
#define MESSAGE_SIZE 16
#define TORN (UINT64_C(1) << 32)

/* Its first word; if the second is not its own, what no message has. Without a test, which would be a dependency,
 * and order what is to be seen out of order. */
static uint64_t whole(const uint64_t *words)
{
    return words[0] + (words[1] ^ SECOND(words[0])) * TORN;
}

/* By the fast way, if it is open and wanted, or the general one. False: no room. */
static bool send_value(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe, uint64_t value, bool quickly)
{
    uint64_t words[2] = {value, SECOND(value)};
    struct part part = {words, sizeof words, NULL, false, false};
    s->fast.out = ring;
    s->fast.to = pipe;
    if (quickly && fast_send(s, words, sizeof words))
        return true;
    return ring_has_room(s, ring, pipe) && tx_single(s, ring, pipe, &part, 0) == 0;
}

/* In a block. False: no room, or no memory. */
static bool send_block(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe, uint64_t value)
{
    if (!ring_has_room(s, ring, pipe))
        return false;
    struct block *block = tx_block(s, 128);
    if (block == NULL)
        return false;
#ifdef PRE_ACCEPT
    shared_u64 *words = (shared_u64 *)(void *)block->data;
    store_relaxed(&words[0], value);
    store_relaxed(&words[1], SECOND(value));
#else
    uint64_t *words = (uint64_t *)(void *)block->data;
    words[0] = value;
    words[1] = SECOND(value);
#endif
    struct part part = {block->data, MESSAGE_SIZE, block, false, false};
    return tx_single(s, ring, pipe, &part, 0) == 0;
}

/* 0, or the value. VIEW: read it only after the message is done with, by a view reference. */
static uint64_t receive_value(struct shm_socket *s, struct pipe *pipe, bool quickly, bool view)
{
    struct part part;
    uint64_t words[2] = {0, 0};
    s->fast.in = quickly ? pipe : NULL;
    if (quickly && fast_receive(s, words, sizeof words, RECEIVE_FLAGS) == MESSAGE_SIZE)
        return whole(words);
    if (rx_begin(s, pipe) != 1)
        return 0;
    assert(rx_next(s, &part) == 1 && part.size == MESSAGE_SIZE && !part.more);
    struct view_ref *ref = view ? view_ref_message(s) : NULL;
    if (ref == NULL)
        memcpy(words, part.data, sizeof words);
    rx_end(s);
    if (ref != NULL) {
        memcpy(words, part.data, sizeof words);
        view_ref_release(ref);
    }
    return whole(words);
}

#endif
