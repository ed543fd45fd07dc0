/* SPDX-License-Identifier: MIT */
/*
 * Flow: messages on their way out. Room, memory, parts, publication, wakeups. (rx.c: the way in.)
 */
#include <errno.h>
#include <string.h>

#include "core/message_layout.h"
#include "core/socket.h"
#include "core/session.h"

/* PUB keeps what everybody has read, for subscribers with SHM_HISTORY, while it is this little. */
#define HISTORY_KEPT (UINT64_C(8) << 20)
/* With more pipes than this, memory is collected from all of them only now and then. */
#define PIPES_CHEAP 16

/* ---- room ---- */

/* false: it says that it read what was not sent. Taking it down for that is left to pipe_has_room(): others
 * who look are in the middle of something with its ring. */
static bool read_tail(struct pipe *pipe, struct ring_out *ring)
{
    uint64_t tail;
    if ((pipe->state != PIPE_UP && pipe->state != PIPE_LEAVING) || !pipe_peer_tail(pipe, &tail))
        return true;
    if (tail > ring->head)
        return false;
    if (tail > ring->acked)
        ring->acked = tail;
    return true;
}

void pipe_look_at_tail(struct pipe *pipe)
{
    read_tail(pipe, &pipe->own_ring);
}

/* A send that waits goes on when a quarter of a large ring is free: one message at a time, sender and
 * reader would only hinder each other. */
static inline bool is_open(const struct shm_socket *s, const struct ring_out *ring)
{
    uint64_t slack = unlikely(s->tx.blocked) && ring->limit >= RING_LARGE ? ring->limit / 4 : 0;
    return ring->head - ring->acked + slack < ring->limit;
}

bool pipe_has_room(struct pipe *pipe)
{
    struct ring_out *ring = &pipe->own_ring;
    if (ring->kind == RING_BROADCAST || is_open(pipe->socket, ring))
        return true;
    if (unlikely(!read_tail(pipe, ring))) {
        pipe_break(pipe); /* frees the ring, perhaps */
        return false;
    }
    return is_open(pipe->socket, ring);
}

/* How far has the slowest of all subscribers read? */
static void read_tails(struct shm_socket *s, struct ring_out *ring)
{
    uint64_t slowest = ring->head;
    for (uint32_t i = 0; i < s->pipes.count; i++) {
        struct pipe *pipe = s->pipes.list[i];
        if (pipe->state != PIPE_UP || pipe->out != ring)
            continue;
        uint64_t start = load_relaxed(&pipe->record->start), tail;
        if (!pipe_peer_tail(pipe, &tail) || tail < start)
            tail = start; /* it has not begun to read */
        if (tail < slowest)
            slowest = tail;
    }
    if (slowest > ring->acked)
        ring->acked = slowest;
}

bool ring_has_room(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe)
{
    if (pipe != NULL)
        return pipe_has_room(pipe);
    if (ring->kind == RING_SPMC) {
        if (s->tx.blocked && !is_open(s, ring))
            ring_out_look(ring);
        return (!s->tx.blocked || is_open(s, ring)) && ring_out_claimable(ring) == 1;
    }
    if (!s->options.lossless || is_open(s, ring))
        return true;
    read_tails(s, ring);
    return is_open(s, ring);
}

/* ---- memory ---- */

static bool is_protected(struct shm_socket *s, const struct block *blocks)
{
    for (uint32_t i = 0; i < s->pipes.count; i++) {
        struct pipe *pipe = s->pipes.list[i];
        if (pipe->peer == NULL || pipe->theirs == NULL || pipe->died)
            continue;
        for (const struct block *b = blocks; b != NULL; b = b->chain)
            if (hazards_has(pipe->peer->remote->header, hazard_word(pipe->their_tag, b->offset)))
                return true;
    }
    return false;
}

/* Free what was retired and nobody holds a view of (R8: a fence stood behind whatever retired it). */
static void free_retired(struct shm_socket *s)
{
    struct block *list = s->tx.retired;
    s->tx.retired = NULL;
    while (list != NULL) {
        struct block *blocks = list;
        list = list->next;
        if (is_protected(s, blocks)) {
            blocks->next = s->tx.retired;
            s->tx.retired = blocks;
            continue;
        }
        for (struct block *b = blocks, *next; b != NULL; b = next) {
            next = b->chain;
            arena_free(&s->arena, b);
        }
    }
}

static void reclaim(struct shm_socket *s, bool thorough)
{
    if (s->tx.has_shared && s->tx.shared.kind == RING_SPMC)
        ring_out_reclaim(&s->tx.shared, UINT64_MAX);
    else if (s->tx.has_shared && (thorough || s->arena.in_use > HISTORY_KEPT)) {
        read_tails(s, &s->tx.shared);
        ring_out_reclaim(&s->tx.shared, s->tx.shared.acked);
    }
    if (s->pipes.count <= PIPES_CHEAP || thorough)
        for (uint32_t i = 0; i < s->pipes.count; i++) {
            struct ring_out *ring = &s->pipes.list[i]->own_ring;
            if (ring->in_flight == NULL || ring->kind != RING_SPSC)
                continue;
            read_tail(s->pipes.list[i], ring);
            ring_out_reclaim(ring, ring->acked);
        }
    if (s->tx.retired != NULL)
        free_retired(s);
}

struct block *socket_block(struct shm_socket *s, uint64_t size)
{
    struct block *block = arena_reuse(&s->arena, size);
    if (likely(block != NULL))
        return block;
    if (s->options.memory_limit != 0 && size > s->options.memory_limit) {
        errno = EMSGSIZE;
        return NULL;
    }
    bool lossy = s->tx.has_shared && s->tx.shared.kind == RING_BROADCAST && !s->options.lossless;
    if (lossy && s->options.memory_limit == 0 && s->arena.limit / 4 < size)
        s->arena.limit = size * 4; /* the default limit is not meant to forbid large messages */
    reclaim(s, false);
    block = arena_reuse(&s->arena, size);
    if (block == NULL)
        block = arena_alloc(&s->arena, size);
    if (block == NULL) {
        reclaim(s, true);
        block = arena_alloc(&s->arena, size);
    }
    while (block == NULL && lossy && ring_out_drop_oldest(&s->tx.shared)) {
        free_retired(s);
        block = arena_alloc(&s->arena, size);
    }
    if (block == NULL && errno == ENOBUFS)
        errno = size > s->arena.limit ? EMSGSIZE : EAGAIN;
    return block;
}

/* ---- wakeups ---- */

/* Somebody who reads the shared ring sleeps. Subscribers are all woken; of pullers one, in turn. */
void wake_readers(struct shm_socket *s)
{
    bool one = s->tx.shared.kind == RING_SPMC;
    uint32_t first = s->pipes.send_next; /* changes below */
    store_relaxed(&s->bell.page->has_waiters, 0); /* the fence orders it */
    fence_seq_cst();
    for (uint32_t i = 0, woken = 0; i < s->pipes.count; i++) {
        struct pipe *pipe = s->pipes.list[(first + i) % s->pipes.count];
        if (pipe->state != PIPE_UP || pipe->out != &s->tx.shared)
            continue;
        if (woken && one) {
            if (peer_u32(&pipe->peer->bell.page->waiting) != 0) {
                store_relaxed(&s->bell.page->has_waiters, 1); /* there are more, for the next message */
                return;
            }
        } else if (bell_ring(&pipe->peer->bell)) {
            woken = 1;
            stat_add(s, STAT_WAKES, 1);
            if (one)
                s->pipes.send_next = (first + i + 1) % s->pipes.count;
        }
    }
}

static inline void wake(struct shm_socket *s, struct pipe *pipe)
{
    if (pipe == NULL) {
        if (unlikely(peer_u32(&s->bell.page->has_waiters) != 0)) /* behind the fence of R1 */
            wake_readers(s);
    } else if (pipe->state == PIPE_UP && unlikely(bell_ring(&pipe->peer->bell))) {
        stat_add(s, STAT_WAKES, 1);
    }
}

/* ---- one part ---- */

static int publish(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe, const struct ring_message *message)
{
    int error = ring_out_ready(ring);
    if (error == 0 && message->blocks != NULL && ring->in_flight == NULL)
        error = ring_out_track(ring);
    if (unlikely(error < 0))
        return error;
    ring_out_publish(ring, message);
    wake(s, pipe);
    stat_add(s, STAT_SENT, 1);
    return 0;
}

/* With a key: what MESSAGE has in private memory goes into the slot or a block sealed. Nothing can fail
 * between that and its publication, so that a ticket seals one message only. */
static int publish_sealed(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe,
                          const struct ring_message *message)
{
    unsigned char slot[SLOT_PAYLOAD];
    struct ring_message sealed = *message;
    if (message->size > AUTH_MAX)
        return -EMSGSIZE;
    sealed.size += AUTH_TAG_SIZE;
    sealed.bytes = slot;
    if (sealed.size > SLOT_PAYLOAD) {
        sealed.bytes = NULL;
        sealed.blocks = socket_block(s, sealed.size);
        if (sealed.blocks == NULL)
            return -errno;
    }
    int error = session_key(s, pipe);
    if (error == 0)
        error = ring_out_ready(ring);
    if (error == 0 && sealed.blocks != NULL)
        error = ring_out_track(ring);
    if (error == 0) {
        session_seal(s, pipe, ring, message, sealed.blocks != NULL ? sealed.blocks->data : slot);
        error = publish(s, ring, pipe, &sealed);
    }
    if (error < 0 && sealed.blocks != NULL)
        arena_free(&s->arena, sealed.blocks);
    return error;
}

int out_single(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe, const struct part *part, uint32_t tag)
{
    struct ring_message message = {.bytes = part->data, .size = part->size, .tag = tag};
    if (unlikely(s->auth != NULL))
        return publish_sealed(s, ring, pipe, &message);
    if (part->block != NULL) {
        message.bytes = NULL;
        message.blocks = part->block;
    } else if (part->size > SLOT_PAYLOAD) {
        message.bytes = NULL;
        message.blocks = socket_block(s, part->size);
        if (message.blocks == NULL)
            return -errno;
        memcpy(message.blocks->data, part->data, part->size);
    }
    int error = publish(s, ring, pipe, &message);
    if (error < 0 && message.blocks != NULL && part->block == NULL)
        arena_free(&s->arena, message.blocks);
    return error;
}

/* ---- several parts ---- */

void out_begin(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe, uint32_t tag)
{
    struct outgoing *out = &s->tx.message;
    out->active = true;
    out->discard = false;
    out->ring = ring;
    out->pipe = pipe;
    out->tag = tag;
    out->used = 0;
    out->envelope = out->blocks = NULL;
    out->gathered = NULL;
}

static void free_chain(struct shm_socket *s, struct block *blocks, const struct block *until)
{
    while (blocks != until) {
        struct block *next = blocks->chain;
        arena_free(&s->arena, blocks);
        blocks = next;
    }
}

void out_cancel(struct shm_socket *s)
{
    free_chain(s, s->tx.message.blocks, NULL);
    if (s->tx.message.envelope != NULL)
        arena_free(&s->arena, s->tx.message.envelope);
    s->tx.message.blocks = s->tx.message.envelope = NULL;
    s->tx.message.active = s->tx.message.discard = false;
}

/* With a key parts are gathered in private memory: nobody shall change them before they are sealed. */
static unsigned char *private_room(struct shm_socket *s, uint64_t size)
{
    struct outgoing *out = &s->tx.message;
    if (out->gathered == NULL && out->used + size + AUTH_TAG_SIZE <= SLOT_PAYLOAD)
        return out->inline_bytes + out->used;
    unsigned char *bytes = session_gather(s, out->gathered != NULL ? out->used : 0, out->used + size);
    if (bytes == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    if (out->gathered == NULL)
        memcpy(bytes, out->inline_bytes, out->used);
    out->gathered = bytes;
    return bytes + out->used;
}

/* Room for SIZE further packed bytes: in the slot, or in an envelope that grows. */
static unsigned char *out_room(struct shm_socket *s, uint64_t size)
{
    struct outgoing *out = &s->tx.message;
    if (unlikely(s->auth != NULL))
        return private_room(s, size);
    if (out->envelope == NULL && out->used + size <= SLOT_PAYLOAD)
        return out->inline_bytes + out->used;
    if (out->envelope == NULL || out->used + size > out->envelope->size) {
        struct block *larger = socket_block(s, (out->used + size) * 2);
        if (larger == NULL)
            return NULL;
        memcpy(larger->data, out->envelope != NULL ? out->envelope->data : out->inline_bytes, out->used);
        if (out->envelope != NULL)
            arena_free(&s->arena, out->envelope);
        out->envelope = larger;
    }
    return out->envelope->data + out->used;
}

static int add_block(struct shm_socket *s, struct block *block, size_t size)
{
    uint64_t entry[2] = {size | PART_BLOCK, block->offset};
    unsigned char *at = out_room(s, sizeof entry);
    if (at == NULL)
        return -errno;
    memcpy(at, entry, sizeof entry);
    s->tx.message.used += sizeof entry;
    block->chain = s->tx.message.blocks;
    s->tx.message.blocks = block;
    return 0;
}

int out_add(struct shm_socket *s, const void *data, size_t size, struct block *block)
{
    if (block != NULL)
        return add_block(s, block, size);
    if (size >= PART_OWN_BLOCK && s->auth == NULL) {
        struct block *own = socket_block(s, size);
        if (own == NULL)
            return -errno;
        memcpy(own->data, data, size);
        int error = add_block(s, own, size);
        if (error < 0)
            arena_free(&s->arena, own);
        return error;
    }
    uint64_t word = size;
    unsigned char *at = out_room(s, PART_HEADER + part_padded(size));
    if (at == NULL)
        return -errno;
    memcpy(at, &word, sizeof word);
    if (size > 0)
        memcpy(at + PART_HEADER, data, size);
    s->tx.message.used += PART_HEADER + part_padded(size);
    return 0;
}

int out_add_raw(struct shm_socket *s, const void *packed, size_t size)
{
    unsigned char *at = out_room(s, size);
    if (at == NULL)
        return -errno;
    memcpy(at, packed, size);
    s->tx.message.used += size;
    return 0;
}

int out_end(struct shm_socket *s)
{
    struct outgoing *out = &s->tx.message;
    /* A broadcast ring's reader protects a message by one pin: it must all hang on one block. */
    if (out->envelope == NULL && out->blocks != NULL && out->ring->kind == RING_BROADCAST) {
        out->envelope = socket_block(s, out->used);
        if (out->envelope == NULL)
            return -errno;
        memcpy(out->envelope->data, out->inline_bytes, out->used);
    }
    struct ring_message message = {
        .bytes = out->inline_bytes, .size = out->used, .flags = META_PACKED, .tag = out->tag, .blocks = out->blocks};
    if (out->envelope != NULL) {
        out->envelope->chain = out->blocks;
        message.bytes = NULL;
        message.blocks = out->envelope;
    } else if (out->gathered != NULL) {
        message.bytes = out->gathered;
    }
    int error = s->auth != NULL ? publish_sealed(s, out->ring, out->pipe, &message)
                                 : publish(s, out->ring, out->pipe, &message);
    if (error == 0) {
        out->blocks = out->envelope = NULL;
        out->active = false;
    }
    return error;
}

int out_continue(struct shm_socket *s, const struct part *part)
{
    struct outgoing *out = &s->tx.message;
    if (out->used == 0 && !part->more) {
        int error = out_single(s, out->ring, out->pipe, part, out->tag);
        if (error == 0)
            out->active = false;
        return error;
    }
    uint64_t used = out->used;
    struct block *blocks = out->blocks;
    int error = out_add(s, part->data, part->size, part->block);
    if (error < 0 || part->more)
        return error;
    error = out_end(s);
    if (error < 0) {
        /* As it was before: a loan stays the caller's, a copy is undone. */
        struct block *added = out->blocks;
        if (added != blocks) {
            out->blocks = blocks;
            added->chain = NULL;
            if (part->block == NULL)
                arena_free(&s->arena, added);
        }
        out->used = used;
    }
    return error;
}

int out_part(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe, const struct part *part, uint32_t tag)
{
    bool began = !s->tx.message.active;
    if (began && !part->more)
        return out_single(s, ring, pipe, part, tag);
    if (began)
        out_begin(s, ring, pipe, tag);
    int error = out_continue(s, part);
    if (error < 0 && began)
        out_cancel(s);
    return error;
}

int out_discard(struct shm_socket *s, const struct part *part)
{
    if (part->block != NULL)
        arena_free(&s->arena, part->block);
    s->tx.message.active = s->tx.message.discard = part->more;
    s->tx.message.pipe = NULL;
    if (!part->more)
        stat_add(s, STAT_DROPPED, 1);
    return 0;
}

/* ---- turns ---- */

bool pipe_is_open(const struct pipe *pipe)
{
    return pipe->out != NULL &&
           ((pipe->state == PIPE_UP && pipe->authenticated) || (pipe->state == PIPE_QUEUED && !pipe->socket->options.immediate));
}

struct pipe *pipe_choose(struct shm_socket *s)
{
    uint32_t next = s->pipes.send_next;
    for (uint32_t i = 0; i < s->pipes.count; i++) {
        if (next >= s->pipes.count)
            next = 0;
        struct pipe *pipe = s->pipes.list[next++];
        if (pipe_is_open(pipe) && pipe_has_room(pipe)) {
            s->pipes.send_next = next;
            return pipe;
        }
    }
    return NULL;
}
