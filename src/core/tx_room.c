/* SPDX-License-Identifier: MIT */
/* Room for one more message, whose turn it is to get one, and waking the readers. */
#include "core/tx.h"

/* ---- room ---- */

void pipe_look_at_tail(struct pipe *pipe)
{
    tx_read_tail(pipe, &pipe->own_ring);
}

/* A blocked send resumes when a quarter of a large ring is free: going on one message at a time, sender and reader
 * would only contend for the same lines. */
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
    if (unlikely(!tx_read_tail(pipe, ring))) {
        pipe_note_fault(pipe);
        return false;
    }
    return is_open(pipe->socket, ring);
}

void tx_read_tails(struct shm_socket *s, struct ring_out *ring)
{
    uint64_t slowest = ring->head;
    for (uint32_t i = 0; i < s->pipes.count; i++) {
        struct pipe *pipe = s->pipes.list[i];
        if (!pipe_has_met(pipe) || pipe->out != ring)
            continue;
        uint64_t start = load_relaxed(&pipe->record->start), tail;
        if (!pipe_peer_tail(pipe, &tail) || tail < start)
            tail = start; /* it has not begun reading */
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
    tx_read_tails(s, ring);
    return is_open(s, ring);
}

/* ---- turns ---- */

bool pipe_is_open(const struct pipe *pipe)
{
    return pipe->out != NULL && !pipe->fault_noted &&
           (pipe->state == PIPE_UP || (pipe_is_queued(pipe) && !pipe->socket->options.immediate));
}

struct pipe *tx_choose(struct shm_socket *s)
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

bool tx_can_choose(struct shm_socket *s)
{
    uint32_t turn = s->pipes.send_next;
    bool can = tx_choose(s) != NULL;
    s->pipes.send_next = turn;
    return can;
}

/* ---- wakeups ---- */

/* A ring that several take from: one of those who are sure to take a message is enough for it (bell.h). */
void tx_wake_readers(struct shm_socket *s)
{
    bool one = s->tx.shared.kind == RING_SPMC, again = false;
    uint32_t first = s->pipes.send_next; /* a copy: it changes below */
    store_relaxed(&s->bell.page->has_waiters, 0); /* the fence orders it */
    fence_seq_cst();
    for (uint32_t i = 0, found = 0; i < s->pipes.count; i++) {
        struct pipe *pipe = s->pipes.list[(first + i) % s->pipes.count];
        if (!pipe_has_met(pipe) || pipe->out != &s->tx.shared)
            continue;
        struct bell *bell = &pipe->peer->bell;
        bool takes = one && (peer_u32(&bell->page->waiting) & BELL_TAKES); /* a hint: S2 follows, in bell_ring() */
        if (takes && found) {
            again = true;
        } else if (bell_ring(bell)) {
            tx_woke(s);
            found = found || takes;
            if (takes)
                s->pipes.send_next = (first + i + 1) % s->pipes.count;
        }
    }
    if (again)
        store_relaxed(&s->bell.page->has_waiters, 1); /* the next message wakes another */
}

void tx_wake(struct shm_socket *s, struct pipe *pipe)
{
    if (pipe == NULL) {
        if (unlikely(peer_u32(&s->bell.page->has_waiters) != 0)) /* behind the fence of R1 */
            tx_wake_readers(s);
    } else if (pipe_has_met(pipe) && unlikely(bell_ring(&pipe->peer->bell))) {
        tx_woke(s);
    }
}
