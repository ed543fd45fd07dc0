/* SPDX-License-Identifier: MIT */
/*
 * Ids and tickets of our choice, so that every run of a scenario is the same and counters start
 * near their wrap. The linker puts these functions between the library's own files (--wrap);
 * nothing of the library is built differently.
 */
#include "inside.h"

#include <string.h>

#include "core/pipe.h"

uint64_t wrap_first;
bool wrap_fill;
unsigned char wrap_letter = '?';

int __real_pipe_new(struct pipe **out, struct shm_socket *s, struct membership *membership, uint32_t slot,
                    int peer_type);
int __wrap_pipe_new(struct pipe **out, struct shm_socket *s, struct membership *membership, uint32_t slot,
                    int peer_type);
int __real_pipe_meet_peer(struct pipe *pipe, const struct member *member, uint64_t offset, uint64_t resume);
int __wrap_pipe_meet_peer(struct pipe *pipe, const struct member *member, uint64_t offset, uint64_t resume);
int __real_pipe_open_shared_ring(struct shm_socket *s, uint32_t kind);
int __wrap_pipe_open_shared_ring(struct shm_socket *s, uint32_t kind);
int __real_ring_out_open(struct ring_out *ring, struct arena *arena, uint32_t kind, uint64_t limit, bool fill_now);
int __wrap_ring_out_open(struct ring_out *ring, struct arena *arena, uint32_t kind, uint64_t limit, bool fill_now);
int __wrap_os_random(void *buffer, size_t size);

/* Unique by actor and turn; the files in the directory tell by their names whose they are. */
int __wrap_os_random(void *buffer, size_t size)
{
    static unsigned char turn;
    unsigned char *bytes = buffer;

    memset(bytes, 0x5a, size);
    bytes[0] = wrap_letter;
    if (size > 1)
        bytes[1] = (unsigned char)(0x10 + turn++);
    return 0;
}

int __wrap_ring_out_open(struct ring_out *ring, struct arena *arena, uint32_t kind, uint64_t limit, bool fill_now)
{
    bool data = limit < RING_SLOTS_MAX; /* not a subscriber's ring for a million wishes */

    return __real_ring_out_open(ring, arena, kind, limit, fill_now || ((wrap_fill || wrap_first != 0) && data));
}

/* The slots of a lap that was sent and read. */
static void leave_lap(struct ring_out *ring)
{
    for (uint64_t t = wrap_first - ring->mask - 1; t < wrap_first; t++) {
        uint64_t slot = t & ring->mask;
        bool shared = ring->kind == RING_SPMC;

        store_relaxed(&ring->slots[slot].seq, shared ? seq_ready(t) : seq_absent(t));
        if (shared)
            store_relaxed(&ring->claims->words[slot], claim_word(t, CLAIM_DONE, 1));
    }
    store_relaxed(&ring->header->oldest, wrap_first);
}

/* As if WRAP_FIRST messages had been sent and read. */
static void begin_late(struct ring_out *ring)
{
    if (wrap_first == 0 || ring->block == NULL || ring->head != 0 ||
        ring->mask + 1 == RING_SLOTS_MAX) /* a subscriber's wishes */
        return;
    ring->head = ring->acked = ring->reclaim = ring->cleared = wrap_first;
    leave_lap(ring);
    store_relaxed(&ring->header->head, wrap_first);
    if (ring->claims != NULL)
        store_relaxed(&ring->claims->header->hint, wrap_first);
}

static void begin_pipe_late(struct pipe *pipe)
{
    if (wrap_first == 0 || pipe->out != &pipe->own_ring || pipe->own_ring.head != 0)
        return;
    begin_late(&pipe->own_ring);
    if (pipe->own_ring.head == wrap_first)
        store_relaxed(&pipe->record->start, wrap_first);
}

int __wrap_pipe_open_shared_ring(struct shm_socket *s, uint32_t kind)
{
    bool is_new = !s->tx.has_shared;
    int error = __real_pipe_open_shared_ring(s, kind);

    if (error == 0 && is_new)
        begin_late(&s->tx.shared);
    return error;
}

int __wrap_pipe_new(struct pipe **out, struct shm_socket *s, struct membership *membership, uint32_t slot,
                    int peer_type)
{
    int error = __real_pipe_new(out, s, membership, slot, peer_type);

    if (error == 0)
        begin_pipe_late(*out);
    return error;
}

int __wrap_pipe_meet_peer(struct pipe *pipe, const struct member *member, uint64_t offset, uint64_t resume)
{
    int error = __real_pipe_meet_peer(pipe, member, offset, resume);

    if (error == 0)
        begin_pipe_late(pipe); /* made just now, when the peer's type was known */
    return error;
}
