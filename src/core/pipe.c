/* SPDX-License-Identifier: MIT */
#include "core/pipe.h"

#include <stdlib.h>
#include <string.h>

#include "core/event.h"
#include "core/peer.h"
#include "core/rx.h"
#include "core/session.h"
#include "core/tx.h"

#define RECORD_BLOCK_MAX 4096

/* ---- the transitions (pipe_state.h draws them) ---- */

void pipe_happens(struct pipe *pipe, enum pipe_event event)
{
    struct shm_socket *s = pipe->socket;
    enum pipe_state before = pipe->state;
    fast_forget(s);
    pipe->state = pipe_next(before, event);
    if (pipe->state == PIPE_DRAINING && before != PIPE_DRAINING)
        s->pipes.draining++;
    if (pipe->state == PIPE_UP && before != PIPE_UP) {
        stat_add(s, STAT_PEERS, 1);
        event_push(s, SHM_EVENT_CONNECTED, pipe, NULL, 0);
        if (s->kind->pipe_up != NULL)
            s->kind->pipe_up(s, pipe);
    }
    if (pipe->state != PIPE_UP && before == PIPE_UP) {
        stat_add(s, STAT_PEERS, (uint64_t)-1);
        if (pipe->state != PIPE_LEAVING)
            event_push(s, pipe->died ? SHM_EVENT_DIED : SHM_EVENT_LEFT, pipe, NULL, 0);
        if (s->kind->pipe_gone != NULL)
            s->kind->pipe_gone(s, pipe);
    }
}

/* ---- making ---- */

static int list_reserve(struct shm_socket *s)
{
    if (s->pipes.count == s->pipes.capacity) {
        uint32_t capacity = s->pipes.capacity ? 2 * s->pipes.capacity : 4;
        struct pipe **pipes = realloc(s->pipes.list, capacity * sizeof(struct pipe *));
        if (pipes == NULL)
            return -ENOMEM;
        s->pipes.list = pipes;
        s->pipes.capacity = capacity;
    }
    return 0;
}

static int list_add(struct shm_socket *s, struct pipe *pipe)
{
    int error = list_reserve(s);
    if (error == 0)
        s->pipes.list[s->pipes.count++] = pipe;
    return error;
}

static void list_remove(struct shm_socket *s, struct pipe *pipe)
{
    for (uint32_t i = 0; i < s->pipes.count; i++)
        if (s->pipes.list[i] == pipe) {
            memmove(&s->pipes.list[i], &s->pipes.list[i + 1], (s->pipes.count - i - 1) * sizeof(struct pipe *));
            s->pipes.count--;
            if (s->pipes.receive_next > i)
                s->pipes.receive_next--;
            if (s->pipes.send_next > i)
                s->pipes.send_next--;
            return;
        }
}

/* Records do not count towards the memory limit, nor wait for room under it: a newcomer is let in at once. A record
 * never has whole pages of its own: those could be returned to the system once it is free, while a peer still reads it. */
static struct block *new_record_block(struct shm_socket *s)
{
    uint64_t limit = s->arena.limit;
    s->arena.limit = UINT64_MAX;
    struct block *block = arena_alloc(&s->arena, sizeof(struct pipe_record));
    s->arena.limit = limit;
    if (block == NULL)
        return NULL;
    if (block->size >= RECORD_BLOCK_MAX) { /* no smaller block was available */
        arena_free(&s->arena, block);
        errno = ENOSPC;
        return NULL;
    }
    s->arena.in_use -= block->size;
    return block;
}

static int make_record(struct pipe *pipe)
{
    struct shm_socket *s = pipe->socket;
    pipe->record_block = new_record_block(s);
    if (pipe->record_block == NULL)
        return -errno;
    pipe->record = (struct pipe_record *)(void *)pipe->record_block->data;
    memset(pipe->record, 0, sizeof *pipe->record);
    pipe->record->magic = PIPE_RECORD_MAGIC;
    pipe->record->hazard_tag = pipe->hazard_tag;
    store_relaxed(&pipe->record->receive_limit, (uint32_t)pipe_mark(s->options.receive_hwm));
    store_relaxed(&pipe->record->start, UINT64_MAX);
    store_relaxed(&pipe->record->end, UINT64_MAX);
    return 0;
}

static void free_record(struct pipe *pipe)
{
    if (pipe->record_block != NULL) {
        pipe->socket->arena.in_use += pipe->record_block->size;
        arena_free(&pipe->socket->arena, pipe->record_block);
    }
    pipe->record_block = NULL;
    pipe->record = NULL;
}

int pipe_set_apart(struct pipe *pipe)
{
    struct block *before = pipe->record_block, *block;
    if (!pipe->membership->bound || peer_u64(&pipe->theirs->last_connected) != pipe_my_token(pipe))
        return 0;
    block = new_record_block(pipe->socket);
    if (block == NULL)
        return -errno;
    memcpy(block->data, before->data, sizeof(struct pipe_record));
    free_record(pipe);
    pipe->record_block = block;
    pipe->record = (struct pipe_record *)(void *)block->data;
    return 0;
}

int pipe_new(struct pipe **out, struct shm_socket *s, struct membership *membership, uint32_t slot, int peer_type)
{
    struct pipe *pipe = calloc(1, sizeof *pipe);
    if (pipe == NULL)
        return -ENOMEM;
    pipe->socket = s;
    pipe->membership = membership;
    pipe->slot = slot;
    pipe->hazard_tag = s->identity.next_hazard_tag = s->identity.next_hazard_tag % 65535 + 1;
    pipe->announce_every = 1;
    int error = make_record(pipe);
    if (error == 0)
        error = session_pipe_new(pipe);
    if (error == 0)
        error = pipe_open_out(pipe, peer_type);
    if (error == 0)
        error = list_add(s, pipe);
    if (error < 0) {
        ring_out_close(&pipe->own_ring);
        session_pipe_free(pipe);
        free_record(pipe);
        free(pipe);
        return error;
    }
    *out = pipe;
    return 0;
}

int pipe_reserve(struct pipe *pipe)
{
    if (pipe->drain == NULL)
        pipe->drain = calloc(1, sizeof *pipe->drain);
    return pipe->drain == NULL ? -ENOMEM : list_reserve(pipe->socket);
}

/* ---- the peer goes ---- */

/* Move the unread messages of the old peer, and its hazard words if it left but lives, to a drain beside this pipe. */
void pipe_split_drain(struct pipe *pipe)
{
    struct shm_socket *s = pipe->socket;

    if (pipe_reserve(pipe) == 0) {
        struct pipe *drain = pipe->drain;
        pipe->drain = NULL;
        list_add(s, drain);
        drain->socket = s;
        drain->state = PIPE_DRAINING;
        drain->died = pipe->died;
        drain->member = pipe->member;
        drain->peer = pipe->peer;
        drain->theirs = pipe->theirs;
        drain->their_tag = pipe->their_tag;
        drain->hazard_tag = pipe->hazard_tag;
        drain->has_in = pipe->has_in;
        drain->in = pipe->in;
        drain->announce_every = UINT32_MAX;
        drain->kind_data = pipe->kind_data;
        pipe->kind_data = NULL;
        session_drain(drain, pipe);
        s->pipes.draining++;
        if (s->rx.message.pipe == pipe)
            s->rx.message.pipe = drain;
    } else {
        peer_drop(pipe->peer);
    }
    pipe->peer = NULL;
    pipe->theirs = NULL;
    pipe->has_in = false;
    pipe->died = false;
}

static void stop_sending(struct pipe *pipe)
{
    pipe->out = NULL;
    tx_abandon(pipe);
}

/* Nobody looks at this pipe's own ring any more. */
static void free_ring(struct pipe *pipe)
{
    ring_out_reclaim(&pipe->own_ring, UINT64_MAX); /* blocks go to the retired list: the peer may still hold views */
    ring_out_close(&pipe->own_ring);
}

/* Connector: queue for the next binder, which reads from the first unread message on. */
static void requeue(struct pipe *pipe)
{
    pipe_happens(pipe, PIPE_EVENT_REQUEUE);
    pipe_limit_shared(pipe->socket);
    if (pipe->out == &pipe->own_ring) {
        store_relaxed(&pipe->record->start, pipe->own_ring.acked);
        pipe->own_ring.limit = pipe->base_limit;
    } else if (pipe->out != NULL && pipe->out->kind == RING_BROADCAST) {
        store_relaxed(&pipe->record->start, UINT64_MAX); /* the next binder starts at the head it finds */
    }
    store_release(&pipe->record->connected_to, 0); /* a peer that left may use its memory again */
    endpoint_done(&pipe->membership->endpoint, pipe->member.gen);
    pipe_split_drain(pipe);
    session_again(pipe);
}

void pipe_gone(struct pipe *pipe, bool died)
{
    if (!pipe_has_met(pipe))
        return;
    fast_forget(pipe->socket);
    if (!pipe->faulty)
        pipe_renew(pipe); /* it may have opened its ring, sent and gone since our last look */
    bool left = peer_u32_acquire(&pipe->theirs->left) != 0; /* stored after `end` */
    uint64_t end = peer_u64(&pipe->theirs->end), tail;
    pipe->died = died && !left;
    if (pipe->has_in && left)
        pipe->in.end = end;
    if (pipe->out == &pipe->own_ring && pipe_peer_tail(pipe, &tail) && tail > pipe->own_ring.acked &&
        tail <= pipe->own_ring.head)
        pipe->own_ring.acked = tail;
    if (pipe->membership != NULL && !pipe->membership->bound) {
        requeue(pipe);
        rx_bound_leavings(pipe->socket);
        return;
    }
    if (pipe->out == &pipe->own_ring && pipe->out->kind == RING_SPSC && !pipe->socket->kind->sends_control)
        stat_add(pipe->socket, STAT_DROPPED, pipe->out->head - pipe->out->acked); /* nobody will read these */
    pipe_happens(pipe, PIPE_EVENT_DRAIN);
    pipe_limit_shared(pipe->socket);
    stop_sending(pipe);
    if (pipe->died || left)
        free_ring(pipe); /* a rejected peer still reads it until it notices */
    rx_bound_leavings(pipe->socket);
}

void pipe_turn_away(struct pipe *pipe)
{
    pipe->superseded = true;
    pipe->has_in = false;
    pipe_gone(pipe, false);
}

void pipe_break(struct pipe *pipe)
{
    struct shm_socket *s = pipe->socket;
    fast_forget(s);
    stat_add(s, STAT_PROTOCOL_ERRORS, 1);
    event_push(s, SHM_EVENT_BROKEN, pipe, NULL, 0);
    pipe->faulty = true;
    pipe->has_in = false;
    if (pipe->membership != NULL && pipe->membership->bound)
        pipe->membership->rejected[pipe->slot] = for_good(pipe->member.gen);
    pipe_gone(pipe, true);
}

bool pipe_act_on_notes(struct shm_socket *s)
{
    bool acted = false;
    for (uint32_t i = s->pipes.count; i-- > 0;) {
        struct pipe *pipe = s->pipes.list[i];
        bool fault = pipe->fault_noted, death = pipe->death_noted;
        pipe->fault_noted = pipe->death_noted = false;
        if (fault)
            pipe_break(pipe);
        else if (death)
            pipe_gone(pipe, true);
        acted = acted || fault || death;
    }
    return acted;
}

/* ---- this side leaves ---- */

bool pipe_has_unread(struct pipe *pipe)
{
    if (pipe->out == NULL)
        return false;
    if (pipe->out->kind == RING_SPSC) {
        pipe_look_at_tail(pipe);
        return pipe->out->head > pipe->out->acked;
    }
    return pipe->out->head > 0;
}

void pipe_leave(struct pipe *pipe)
{
    struct shm_socket *s = pipe->socket;
    if (s->rx.message.pipe == pipe)
        rx_leave(s);
    if (pipe->record != NULL) { /* publish where our messages end */
        store_relaxed(&pipe->record->end, pipe->out != NULL ? pipe->out->head : 0);
        store_release(&pipe->record->left, 1);
    }
    struct peer *peer = pipe_pre_accept_end(pipe, false); /* a LEAVING pipe has a peer only if that knows us */
    pipe_happens(pipe, PIPE_EVENT_LEAVE);
    peer_drop(peer);
    pipe->has_in = false;
    session_leave(pipe);
    tx_abandon(pipe);
}

/* ---- the end ---- */

/* The PUSH is dead: does another puller hold a claim on one of its messages? If that one died, we might adopt it. */
static bool others_hold_claims(const struct ring_in *ring)
{
    for (uint64_t i = 0; i < ring->claims->slots; i++) {
        uint64_t word = peer_u64(&ring->claims->words[i]); /* relaxed: not older than what ring_in_has() saw */
        if (claim_state(word) == CLAIM_CLAIMED && claim_owner(word) != ring->claims->owner)
            return true;
    }
    return false;
}

/* The peer was accepted and has not looked since. Until it looks or leaves, the record and ring that the accept record
 * names must stay. */
bool pipe_is_awaited(const struct pipe *pipe)
{
    uint64_t last = peer_u64_acquire(&pipe->theirs->last_connected);
    return last == pipe->connected_before && last != pipe_my_token(pipe) && peer_u32_acquire(&pipe->theirs->left) == 0;
}

static bool is_over(struct pipe *pipe)
{
    struct shm_socket *s = pipe->socket;
    if (s->rx.message.pipe == pipe)
        return false;
    if (pipe->state == PIPE_DRAINING) {
        if (pipe->has_in && (ring_in_has(&pipe->in) || (pipe->in.kind == RING_SPMC && others_hold_claims(&pipe->in))))
            return false;
        if (pipe->own_ring.block != NULL && !pipe->died && peer_u32_acquire(&pipe->theirs->left) == 0 &&
            (pipe_is_awaited(pipe) || record_is_about(pipe->theirs, pipe_my_token(pipe))))
            return false; /* rejected, but it has not noticed yet */
        return pipe->died || pipe->faulty || pipe->theirs == NULL ||
               !hazards_any(pipe->peer->remote->header, pipe->their_tag);
    }
    if (pipe->state != PIPE_LEAVING)
        return false;
    if (pipe->peer == NULL)
        return false; /* the binder may yet read our ring, until the socket closes */
    if (pipe->died)
        return true;
    if (pipe->sticky || pipe_is_awaited(pipe) || record_is_about(pipe->theirs, pipe_my_token(pipe)))
        return false; /* it may still look at our ring and record */
    return !hazards_any(pipe->peer->remote->header, pipe->their_tag);
}

/* Note in the accept record how far the connector's ring was read, for the next binder. */
static void note_end(struct pipe *pipe)
{
    struct endpoint *endpoint = &pipe->membership->endpoint;
    struct accepted words;
    if (pipe->record == NULL || !endpoint_accept_read(endpoint, pipe->slot, &words) ||
        words.peer_gen != pipe->member.gen || words.binder_gen != pipe->membership->gen)
        return;
    words.resume = load_relaxed(&pipe->record->tail);
    endpoint_accept_write(endpoint, pipe->slot, &words);
}

void pipe_free(struct pipe *pipe)
{
    fast_forget(pipe->socket);
    struct shm_socket *s = pipe->socket;
    if (s->kind->pipe_free != NULL)
        s->kind->pipe_free(s, pipe);
    if (pipe->state == PIPE_DRAINING)
        s->pipes.draining--;
    if (pipe->membership != NULL && pipe->membership->bound) {
        struct member member;
        pipe->membership->pipes[pipe->slot] = NULL;
        if (endpoint_connector(&pipe->membership->endpoint, pipe->slot, &member) && member.gen == pipe->member.gen) {
            note_end(pipe); /* in case the slot stays taken, or we die before it is cleared */
            endpoint_clear(&pipe->membership->endpoint, pipe->slot); /* not while the connector lives */
        }
    }
    stop_sending(pipe);
    free_ring(pipe);
    list_remove(s, pipe);
    session_pipe_free(pipe);
    if (pipe->record != NULL)
        store_release(&pipe->record->connected_to, 0); /* a peer that left keeps its memory until it sees this */
    free_record(pipe);
    peer_drop(pipe->peer);
    free(pipe->drain);
    free(pipe);
}

void pipe_discard(struct pipe *pipe)
{
    struct shm_socket *s = pipe->socket;
    if (s->kind->pipe_free != NULL)
        s->kind->pipe_free(s, pipe);
    ring_out_forget(&pipe->own_ring);
    block_forget(pipe->record_block);
    list_remove(s, pipe);
    session_pipe_free(pipe);
    peer_drop(pipe->peer);
    free(pipe->drain);
    free(pipe);
}

void pipe_free_ended(struct shm_socket *s)
{
    for (uint32_t i = s->pipes.count; i-- > 0;)
        if (pipe_is_ending(s->pipes.list[i]) && is_over(s->pipes.list[i]))
            pipe_free(s->pipes.list[i]);
}
