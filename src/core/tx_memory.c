/* SPDX-License-Identifier: MIT */
/* Memory for messages: allocating blocks, and reclaiming those of messages that were sent. */
#include "core/tx.h"

/* PUB keeps up to this many bytes that everybody has read, for subscribers with SHM_HISTORY. */
#define HISTORY_KEPT (UINT64_C(8) << 20)
/* With more pipes than this, they are scanned for free memory only when allocation fails. */
#define PIPES_CHEAP 16

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

/* Free the retired blocks that nobody has a view of (R8: a fence follows whatever retired them). */
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
        tx_read_tails(s, &s->tx.shared);
        ring_out_reclaim(&s->tx.shared, s->tx.shared.acked);
    }
    if (s->pipes.count <= PIPES_CHEAP || thorough)
        for (uint32_t i = 0; i < s->pipes.count; i++) {
            struct ring_out *ring = &s->pipes.list[i]->own_ring;
            if (ring->in_flight == NULL || ring->kind != RING_SPSC)
                continue;
            tx_read_tail(s->pipes.list[i], ring);
            ring_out_reclaim(ring, ring->acked);
        }
    if (s->tx.retired != NULL)
        free_retired(s);
}

void tx_share_memory(struct shm_socket *s)
{
    uint64_t limit = s->arena.limit, percent = (uint64_t)s->options.view_share, readers = 0, share = 0;
    if (!s->tx.has_shared || s->tx.shared.kind != RING_BROADCAST)
        return;
    for (uint32_t i = 0; i < s->pipes.count; i++)
        readers += pipe_has_met(s->pipes.list[i]);
    if (limit != UINT64_MAX && !s->options.lossless)
        share = (limit / 100 * percent + limit % 100 * percent / 100) / (readers > 0 ? readers : 1) + 1;
    store_relaxed(&s->tx.shared.header->view_share, share); /* a number that stands for itself */
}

struct block *tx_block(struct shm_socket *s, uint64_t size)
{
    struct block *block = arena_reuse(&s->arena, size);
    if (likely(block != NULL))
        return block;
    if (s->options.memory_limit != 0 && size > s->options.memory_limit) {
        errno = EMSGSIZE;
        return NULL;
    }
    bool lossy = s->tx.has_shared && s->tx.shared.kind == RING_BROADCAST && !s->options.lossless;
    if (lossy && s->options.memory_limit == 0 && s->arena.limit / 4 < size) {
        s->arena.limit = size * 4; /* the default limit must not forbid large messages */
        tx_share_memory(s);
    }
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
