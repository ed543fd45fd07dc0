/* SPDX-License-Identifier: MIT */
/*
 * Pipes: one connection of a socket, from its making to its end. (membership.c decides when.)
 *
 * Both sides have a pipe record in their own segment. The connector publishes its record in the
 * endpoint's slot, the binder maps it, makes its own and publishes that in the answer; the connector
 * maps that. So the binder is always up first, and whatever a connector had sent is waiting for it.
 */
#include "core/pipe.h"
#include "core/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_BLOCK_MAX 4096

/* ---- peers ---- */

bool pipe_error_passes(int error)
{
    return error < 0 && error != -EPROTO && error != -ENOENT && error != -EEXIST && error != -EBADMSG &&
           error != -EPERM;
}

static int peer_open(struct peer **out, const struct pipe *pipe, const char *id_hex)
{
    struct directory *directory = pipe->socket->directory;
    const char *only = pipe->membership->handed_to;
    if (only[0] != '\0' && strcmp(only, id_hex) != 0)
        return -EPROTO; /* in another one's name */
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL)
        return -ENOMEM;
    atomic_store_explicit(&peer->refs, PEER_HAS_PIPE, memory_order_relaxed);
    peer->socket = pipe->socket;
    atomic_fetch_add_explicit(&pipe->socket->refs, 1, memory_order_relaxed);
    int error = remote_open(&peer->remote, directory, id_hex);
    if (error == 0)
        remote_met_at(peer->remote, pipe->membership->endpoint.file, pipe->membership->bound ? pipe->slot : ANY_PLACE);
    if (error == 0)
        error = bell_attach(&peer->bell, directory_fd(directory), id_hex);
    if (error < 0) {
        if (peer->remote != NULL)
            peer->remote->is_needed = pipe_error_passes(error);
        peer_drop(peer);
        return error;
    }
    *out = peer;
    return 0;
}

static void give_up(struct peer *peer, int64_t refs)
{
    if (atomic_fetch_sub_explicit(&peer->refs, refs, memory_order_acq_rel) != refs)
        return;
    bell_detach(&peer->bell);
    claims_detach(&peer->claims);
    remote_close(peer->remote);
    socket_unref(peer->socket);
    free(peer);
}

void peer_drop(struct peer *peer)
{
    if (peer != NULL)
        give_up(peer, PEER_HAS_PIPE - peer->taken);
}

void peer_release(struct peer *peer)
{
    give_up(peer, 1);
}

/* The fence stands between the change, whatever its order, and `changed`: a peer that overwrites this 1 by
 * its 0 sees the change. */
void notify_bell(struct bell *bell)
{
    fence_seq_cst();
    store_seq_cst(&bell->page->changed, 1);
    bell_ring(bell);
}

bool notify_member(struct shm_socket *s, const char *id_hex)
{
    struct bell bell = {0};
    int error = bell_attach(&bell, directory_fd(s->directory), id_hex);
    if (error == 0) {
        notify_bell(&bell);
        bell_detach(&bell);
    }
    return !pipe_error_passes(error); /* nobody to tell is told */
}

void pipe_notify(struct pipe *pipe)
{
    if (pipe->peer != NULL)
        notify_bell(&pipe->peer->bell);
}

/* ---- how far it has read ---- */

uint64_t pipe_token(const uint8_t *id, uint64_t record_offset)
{
    uint64_t word;
    memcpy(&word, id, sizeof word);
    word ^= record_offset;
    return word != 0 ? word : 1;
}

const struct pipe_record *record_at(struct remote *remote, uint64_t offset)
{
    const struct pipe_record *record = offset % 64 == 0 ? remote_at(remote, offset, sizeof *record) : NULL;
    return record != NULL && peer_u32_once(&record->magic) == PIPE_RECORD_MAGIC ? record : NULL;
}

bool record_is_about(const struct pipe_record *record, uint64_t token)
{
    return peer_u64_acquire(&record->connected_to) == token;
}

bool record_tail(const struct pipe_record *record, uint64_t token, uint64_t *tail)
{
    if (!record_is_about(record, token))
        return false;
    *tail = peer_u64_acquire(&record->tail); /* R4 */
    return record_is_about(record, token);
}

uint64_t pipe_my_token(const struct pipe *pipe)
{
    return pipe_token(pipe->socket->segment.header->id, pipe->record_block->offset);
}

bool pipe_peer_tail(const struct pipe *pipe, uint64_t *tail)
{
    return pipe->theirs != NULL && pipe->record_block != NULL &&
           record_tail(pipe->theirs, pipe_my_token(pipe), tail);
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

/* 0 stands for "no limit": then as many as a ring can hold. */
uint64_t mark_of(int hwm)
{
    return hwm == 0 ? RING_SLOTS_MAX : (uint64_t)hwm;
}

/* Not a message: not under the limit. Never of whole pages, which could be given back once it is free, while
 * a peer still has a look. */
static struct block *new_record_block(struct shm_socket *s)
{
    struct block *block = arena_alloc(&s->arena, sizeof(struct pipe_record));
    if (block == NULL)
        return NULL;
    if (block->size >= RECORD_BLOCK_MAX) { /* there was memory for nothing smaller */
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
    store_relaxed(&pipe->record->receive_limit, (uint32_t)mark_of(s->options.receive_hwm));
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

/* A peer knows a pipe by the place of our record. If the last one that it was linked to had this place, it
 * would seem to have come to this one, too: so the record, which nobody has seen yet, takes another. */
static int set_apart(struct pipe *pipe)
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

/* The ring to send on, once the peer's type is known or does not matter. */
static int open_out(struct pipe *pipe, int peer_type)
{
    struct shm_socket *s = pipe->socket;
    uint32_t kind = s->kind->ring(s, peer_type);
    if (pipe->out != NULL || kind == 0)
        return 0;
    if (s->tx.has_shared) {
        pipe->out = &s->tx.shared;
    } else {
        bool control = s->kind->sends_control;
        uint64_t limit = control ? RING_SLOTS_MAX : mark_of(s->options.send_hwm);
        if (kind == RING_BROADCAST)
            limit = 1; /* conflated: the newest is all */
        int error = ring_out_open(&pipe->own_ring, &s->arena, kind, limit, s->options.lock_memory && !control);
        if (error < 0)
            return error;
        pipe->own_ring.retired = &s->tx.retired;
        pipe->own_ring.header->newest_only = kind == RING_BROADCAST;
        pipe->base_limit = pipe->own_ring.limit;
        pipe->out = &pipe->own_ring;
    }
    if (pipe->out->kind != RING_BROADCAST || !s->tx.has_shared)
        store_relaxed(&pipe->record->start, 0);
    store_release(&pipe->record->ring_offset, ring_out_offset(pipe->out));
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
        error = open_out(pipe, peer_type);
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

/* ---- up ---- */

/* As far back from ticket START as SHM_HISTORY asks for, and there still is. */
static uint64_t back_from(const struct ring_in *ring, uint64_t start, uint64_t history)
{
    uint64_t oldest = peer_u64(&ring->header->oldest); /* hint */
    uint64_t slots = ring->mask + 1, most = slots - slots / 8, back = history < most ? history : most;
    uint64_t from = start > back ? start - back : 0;
    return from > oldest ? from : oldest;
}

/* BEGAN: where a reader that had begun before the answer goes on; UINT64_MAX: it had not. */
static int first_ticket(struct pipe *pipe, uint64_t resume, uint64_t began, uint64_t *first)
{
    struct shm_socket *s = pipe->socket;
    uint64_t start = s->auth != NULL ? session_start(pipe) : peer_u64(&pipe->theirs->start); /* a number: R2 */
    if (start == UINT64_MAX)
        return 0; /* it has not seen us yet */
    if (pipe->in.kind == RING_BROADCAST && began != UINT64_MAX)
        start = began;
    else if (pipe->in.kind == RING_BROADCAST && s->options.history > 0 && !pipe->in.newest_only)
        start = back_from(&pipe->in, start, (uint64_t)s->options.history);
    *first = resume > start ? resume : start;
    return 1;
}

/* The ring to read, when the peer has one. 1 there is, 0 not yet. */
int pipe_open_in(struct pipe *pipe, uint64_t resume)
{
    struct shm_socket *s = pipe->socket;
    uint64_t offset, first, began = pipe->began ? pipe->in.tail : UINT64_MAX;

    if (pipe->theirs == NULL || pipe->superseded)
        return pipe->has_in;
    resume = session_resume(pipe, resume);
    int authenticated = session_check(pipe);
    if (authenticated <= 0 || pipe->has_in)
        return authenticated;
    offset = peer_u64_acquire(&pipe->theirs->ring_offset);
    if (offset == 0)
        return 0;
    int error = ring_in_open(&pipe->in, pipe->peer->remote, offset);
    if (error < 0)
        return pipe->peer->remote->shortage < 0 ? pipe->peer->remote->shortage : error;
    /* A connector's `start` is about the binder before us until it has come to us. */
    if (pipe->in.kind == RING_BROADCAST && !pipe->in.newest_only && !record_is_about(pipe->theirs, pipe_my_token(pipe)))
        error = 0;
    else
        error = first_ticket(pipe, resume, began, &first);
    if (error <= 0) {
        pipe->in.tail = began;
        return error;
    }
    pipe->began = false;
    error = session_begin(pipe, &first);
    if (error <= 0)
        return error;
    if (pipe->in.kind == RING_SPMC) {
        error = claims_attach(&pipe->peer->claims, directory_fd(s->directory), pipe->member.id_hex, pipe->in.mask + 1);
        if (error < 0)
            return error;
        pipe->in.claims = &pipe->peer->claims;
    }
    pipe->in.tail = first;
    if (pipe->in.newest_only && s->kind->filters) {
        pipe->in.newest_only = false;
        s->rx.is_conflated = true;
    }
    uint64_t mark = mark_of(s->options.receive_hwm), limit = peer_u64_once(&pipe->in.header->limit);
    mark = (mark < limit ? mark : limit) / 4;
    pipe->announce_every = mark < 1 ? 1 : mark > 4096 ? 4096 : (uint32_t)mark;
    store_relaxed(&pipe->record->first, first);
    store_release(&pipe->record->tail, first);
    pipe->has_in = true;
    return 1;
}

/* The mark of a queue that all pullers share: the smallest that any of them has. */
static void limit_shared(struct shm_socket *s)
{
    if (!s->tx.has_shared || s->tx.shared.kind != RING_SPMC)
        return;
    uint64_t limit = mark_of(s->options.send_hwm);
    for (uint32_t i = 0; i < s->pipes.count; i++) {
        struct pipe *pipe = s->pipes.list[i];
        if (pipe->state != PIPE_UP)
            continue;
        uint64_t mark = peer_u32(&pipe->theirs->receive_limit);
        limit = mark > 0 && mark < limit ? mark : limit;
    }
    s->tx.shared.limit = limit;
}

int pipe_reserve(struct pipe *pipe)
{
    if (pipe->rest == NULL)
        pipe->rest = calloc(1, sizeof *pipe->rest);
    return pipe->rest == NULL ? -ENOMEM : list_reserve(pipe->socket);
}

/* What is left to read, and the hazards of one who left but lives, go on in a pipe of their own. */
static void split(struct pipe *pipe)
{
    struct shm_socket *s = pipe->socket;

    if (pipe_reserve(pipe) == 0) {
        struct pipe *rest = pipe->rest;
        pipe->rest = NULL;
        list_add(s, rest);
        rest->socket = s;
        rest->state = PIPE_GONE;
        rest->died = pipe->died;
        rest->member = pipe->member;
        rest->peer = pipe->peer;
        rest->theirs = pipe->theirs;
        rest->their_tag = pipe->their_tag;
        rest->hazard_tag = pipe->hazard_tag;
        rest->has_in = pipe->has_in;
        rest->in = pipe->in;
        rest->announce_every = UINT32_MAX;
        rest->kind_data = pipe->kind_data;
        pipe->kind_data = NULL;
        session_drain(rest, pipe);
        s->pipes.draining++;
        if (s->rx.message.pipe == pipe)
            s->rx.message.pipe = rest;
    } else {
        peer_drop(pipe->peer);
    }
    pipe->peer = NULL;
    pipe->theirs = NULL;
    pipe->has_in = false;
    pipe->died = false;
}

/* The kind of ring that may be read before the binder has accepted us; 0: none. */
static uint32_t pre_accept_kind(struct shm_socket *s, const struct member *binder)
{
    bool may = s->kind->pre_accept_ring != NULL && kind_fits(s->kind, binder->type);
    return may ? s->kind->pre_accept_ring(s, (int)binder->type) : 0;
}

static bool open_pre_accept(struct pipe *pipe, struct peer *peer, const struct member *member, uint32_t kind)
{
    struct shm_socket *s = pipe->socket;
    uint64_t offset = peer_u64_acquire(&peer->remote->header->ring_offset);
    if (offset == 0 || ring_in_open(&pipe->in, peer->remote, offset) < 0 || pipe->in.kind != kind ||
        pipe->in.newest_only)
        return false;
    if (kind == RING_BROADCAST) {
        uint64_t head = peer_u64(&pipe->in.header->head); /* hint */
        pipe->in.tail = back_from(&pipe->in, head, (uint64_t)s->options.history);
        return true;
    }
    pipe->in.claims = &peer->claims;
    return claims_attach(&peer->claims, directory_fd(s->directory), member->id_hex, pipe->in.mask + 1) == 0;
}

/* With a key: answer the challenge that the binder has for whoever comes, so that it need not wait for our
 * next call to read what is sent from here on. */
static void prove_pre_accept(struct pipe *pipe, const struct member *member)
{
    struct shm_socket *s = pipe->socket;
    struct peer *peer;

    if (!session_is_pre_accept(pipe, member) || peer_open(&peer, pipe, member->id_hex) < 0)
        return;
    uint32_t type = peer_u32_once(&peer->remote->header->type);
    if (kind_fits(s->kind, type) && open_out(pipe, (int)type) == 0 &&
        session_prove_pre_accept(pipe, member, type, peer->remote->header) == 0)
        notify_bell(&peer->bell);
    peer_drop(peer);
}

/*
 * Some need not wait until the binder looks up from its work. A PULL can take from a PUSH's queue, whose
 * claims need nobody's consent. A SUB can read a PUB's history, which the PUB does not notice; so that
 * hazards mean nothing to it, and blocks are copied (rx.c).
 */
void pipe_pre_accept(struct pipe *pipe, const struct member *member)
{
    struct shm_socket *s = pipe->socket;
    uint32_t kind = pre_accept_kind(s, member);
    struct peer *peer;

    if (s->auth != NULL) { /* nothing before the binder has proven itself; but we can */
        prove_pre_accept(pipe, member);
        return;
    }
    if (kind == 0 || pipe->has_in || pipe->peer != NULL || peer_open(&peer, pipe, member->id_hex) < 0)
        return;
    if (!open_pre_accept(pipe, peer, member, kind)) {
        peer_drop(peer);
        return;
    }
    /* One that has answered by now may have sent more than that history since, all of it for us. */
    struct accepted said;
    if (kind == RING_BROADCAST && endpoint_accept_read(&pipe->membership->endpoint, pipe->slot, &said) == 1 &&
        said.peer_gen == pipe->membership->gen && said.binder_gen == member->gen) {
        peer_drop(peer);
        store_relaxed(&s->bell.page->changed, 1);
        return;
    }
    pipe->peer = peer;
    pipe->member = *member;
    pipe->has_in = pipe->pre_accept = true;
}

/* The answer has come, or the binder has gone: what is in hand keeps the peer's memory by itself. */
struct peer *pipe_pre_accept_end(struct pipe *pipe, bool died)
{
    struct peer *peer = NULL;
    if (!pipe->pre_accept)
        return NULL;
    pipe->pre_accept = false;
    pipe->died = died;
    if (died) {
        split(pipe);
        return NULL;
    }
    peer = pipe->peer;
    pipe->peer = NULL;
    pipe->has_in = false;
    pipe->began = pipe->in.kind == RING_BROADCAST;
    return peer;
}

/* Both ways work, and the peer is who it should be. */
static int introduce(struct pipe *pipe)
{
    struct shm_socket *s = pipe->socket;
    struct pipe *rival = NULL;
    if (s->kind->pipe_new == NULL)
        return 0;
    int error = s->kind->pipe_new(s, pipe, &rival);
    if (error != -EEXIST || rival == NULL || !pipe_is_dead(rival))
        return error;
    pipe_died(rival); /* its successor is here before the death was noticed */
    return s->kind->pipe_new(s, pipe, &rival);
}

static void announce(struct pipe *pipe)
{
    struct shm_socket *s = pipe->socket;
    stat_add(s, STAT_PEERS, 1);
    event_push(s, SHM_EVENT_CONNECTED, pipe, NULL, 0);
    if (s->kind->pipe_up != NULL)
        s->kind->pipe_up(s, pipe);
}

int pipe_renew(struct pipe *pipe)
{
    bool before = pipe->authenticated;
    int result = pipe_open_in(pipe, 0);
    if (result < 0 || before || !pipe->authenticated)
        return result;
    result = introduce(pipe);
    if (result == 0)
        announce(pipe);
    else {
        pipe->authenticated = pipe->has_in = false;
        session_leave(pipe);
    }
    return result;
}

int pipe_up(struct pipe *pipe, const struct member *member, uint64_t their_offset, uint64_t resume)
{
    fast_forget(pipe->socket);
    struct shm_socket *s = pipe->socket;
    struct peer *peer;

    int error = peer_open(&peer, pipe, member->id_hex);
    if (error < 0)
        return error;
    const struct pipe_record *theirs = record_at(peer->remote, their_offset);
    if (theirs == NULL) {
        error = peer->remote->shortage < 0 ? peer->remote->shortage : -EPROTO;
        peer->remote->is_needed = pipe_error_passes(error);
        peer_drop(peer);
        return error;
    }
    pipe->peer = peer;
    pipe->theirs = theirs;
    pipe->began = pipe->began && memcmp(pipe->member.id, member->id, sizeof member->id) == 0;
    pipe->their_tag = peer_u32_once(&theirs->hazard_tag);
    pipe->member = *member;
    pipe->member.type = peer_u32_once(&peer->remote->header->type);
    pipe->state = PIPE_UP;
    pipe->died = pipe->superseded = false;
    if (!kind_fits(s->kind, pipe->member.type))
        error = -EPROTO;
    if (error == 0)
        error = set_apart(pipe);
    if (error == 0)
        error = session_meet(pipe, their_offset);
    if (error == 0)
        error = open_out(pipe, (int)pipe->member.type);
    if (error == 0)
        error = session_prove(pipe);
    if (error == 0) {
        int opened = pipe_open_in(pipe, resume);
        error = opened < 0 ? opened : 0;
    }
    if (error == 0 && pipe->authenticated)
        error = introduce(pipe);
    if (error < 0) {
        if (pipe_error_passes(error))
            session_put_back(pipe);
        else
            session_again(pipe);
        peer->remote->is_needed = pipe_error_passes(error);
        pipe->peer = NULL;
        pipe->theirs = NULL;
        pipe->has_in = false;
        pipe->state = PIPE_QUEUED;
        peer_drop(peer);
        return error;
    }
    if (pipe->out == &pipe->own_ring && !s->kind->sends_control) {
        uint64_t mark = peer_u32(&theirs->receive_limit);
        pipe->own_ring.limit = mark > 0 && mark < pipe->base_limit ? mark : pipe->base_limit;
    } else if (pipe->out != NULL && pipe->out->kind == RING_BROADCAST) {
        store_relaxed(&pipe->record->start, pipe->out->head); /* before connected_to */
    }
    limit_shared(s);
    pipe->connected_before = peer_u64(&theirs->last_connected);
    if (!pipe->has_in) /* what it says is about the ring of one before; for the next binder, should we not come to read */
        store_relaxed(&pipe->record->tail, resume);
    store_release(&pipe->record->connected_to, pipe_token(member->id, their_offset));
    store_release(&pipe->record->last_connected, pipe_token(member->id, their_offset));
    if (pipe->authenticated)
        announce(pipe);
    return 0;
}

/* ---- the peer goes ---- */

static void stop_sending(struct pipe *pipe)
{
    struct shm_socket *s = pipe->socket;
    pipe->out = NULL;
    if (s->tx.message.active && s->tx.message.pipe == pipe) {
        out_cancel(s);
        s->tx.message.active = s->tx.message.discard = true;
        s->tx.message.pipe = NULL;
    }
}

/* Its memory is given back: nobody looks at it any more. */
static void free_ring(struct pipe *pipe)
{
    ring_out_reclaim(&pipe->own_ring, UINT64_MAX); /* into retired: the peer may still hold views */
    ring_out_close(&pipe->own_ring);
}

void pipe_gone(struct pipe *pipe, bool died)
{
    fast_forget(pipe->socket);
    struct shm_socket *s = pipe->socket;
    if (pipe->state != PIPE_UP)
        return;
    if (!pipe->broken)
        pipe_renew(pipe); /* it may have begun, sent and gone since we last looked */
    bool left = peer_u32_acquire(&pipe->theirs->left) != 0; /* stored after `end` */
    uint64_t end = peer_u64(&pipe->theirs->end);
    pipe->died = died && !left;
    if (pipe->has_in && left)
        pipe->in.end = end;
    if (pipe->out == &pipe->own_ring) {
        uint64_t tail;
        if (pipe_peer_tail(pipe, &tail) && tail > pipe->own_ring.acked && tail <= pipe->own_ring.head)
            pipe->own_ring.acked = tail;
    }
    if (pipe->authenticated) {
        stat_add(s, STAT_PEERS, (uint64_t)-1);
        event_push(s, pipe->died ? SHM_EVENT_DIED : SHM_EVENT_LEFT, pipe, NULL, 0);
    }
    bool keeps = pipe->membership != NULL && !pipe->membership->bound;
    pipe->state = keeps ? PIPE_QUEUED : PIPE_GONE;
    limit_shared(s);
    if (s->kind->pipe_gone != NULL && pipe->authenticated)
        s->kind->pipe_gone(s, pipe);
    if (keeps) {
        if (pipe->out == &pipe->own_ring) {
            store_relaxed(&pipe->record->start, pipe->own_ring.acked);
            pipe->own_ring.limit = pipe->base_limit;
        } else if (pipe->out != NULL && pipe->out->kind == RING_BROADCAST) {
            store_relaxed(&pipe->record->start, UINT64_MAX); /* the next begins where it comes in */
        }
        store_relaxed(&pipe->record->connected_to, 0);
        endpoint_done(&pipe->membership->endpoint, pipe->member.gen);
        split(pipe);
        session_again(pipe);
    } else {
        s->pipes.draining++;
        stop_sending(pipe);
        if (pipe->died || left)
            free_ring(pipe); /* else it is turned away, and has yet to see that */
    }
}

void pipe_turn_away(struct pipe *pipe)
{
    pipe->superseded = true;
    pipe->has_in = false;
    pipe_gone(pipe, false);
}

void pipe_supersede(struct pipe *pipe)
{
    pipe->has_in = false;
    pipe->superseded = true;
}

void pipe_died(struct pipe *pipe)
{
    pipe_gone(pipe, true);
}

void pipe_break(struct pipe *pipe)
{
    fast_forget(pipe->socket);
    struct shm_socket *s = pipe->socket;
    stat_add(s, STAT_PROTOCOL_ERRORS, 1);
    event_push(s, SHM_EVENT_BROKEN, pipe, NULL, 0);
    pipe->broken = true;
    pipe->has_in = false;
    if (pipe->membership != NULL && pipe->membership->bound)
        pipe->membership->rejected[pipe->slot] = for_good(pipe->member.gen);
    if (pipe->state == PIPE_UP)
        pipe_gone(pipe, true);
}

/* ---- the end ---- */

/* Dead PUSH: does another puller still have one of its messages in hand, that might come back? */
static bool others_hold_claims(const struct ring_in *ring)
{
    for (uint64_t i = 0; i < ring->claims->slots; i++) {
        uint64_t word = peer_u64(&ring->claims->words[i]); /* not older than ring_in_has() saw it */
        if (claim_state(word) == CLAIM_CLAIMED && claim_owner(word) != ring->claims->owner)
            return true;
    }
    return false;
}

/* The peer was answered, and has not come to look at the answer since: it may yet, and is promised that what
 * the answer names, this side's record and ring, is there. (Unless it has left its place: then it does not.) */
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
    if (pipe->state == PIPE_GONE) {
        if (pipe->has_in && (ring_in_has(&pipe->in) || (pipe->in.kind == RING_SPMC && others_hold_claims(&pipe->in))))
            return false;
        if (pipe->own_ring.block != NULL && !pipe->died && peer_u32_acquire(&pipe->theirs->left) == 0 &&
            (pipe_is_awaited(pipe) || record_is_about(pipe->theirs, pipe_my_token(pipe))))
            return false; /* turned away, and does not know yet */
        return pipe->died || pipe->broken || pipe->theirs == NULL || !hazards_any(pipe->peer->remote->header, pipe->their_tag);
    }
    if (pipe->state != PIPE_LEAVING)
        return false;
    if (pipe->peer == NULL)
        return false; /* the binder fetches the rest; until the socket closes */
    if (pipe->died)
        return true;
    if (pipe->sticky || pipe_is_awaited(pipe) || record_is_about(pipe->theirs, pipe_my_token(pipe)))
        return false; /* it may still look at our ring and record */
    return !hazards_any(pipe->peer->remote->header, pipe->their_tag);
}

/* In the answer, for whoever finds the connector's record: how far its ring was read. */
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
    if (pipe->state == PIPE_GONE)
        s->pipes.draining--;
    if (pipe->membership != NULL && pipe->membership->bound) {
        struct member member;
        pipe->membership->pipes[pipe->slot] = NULL;
        if (endpoint_connector(&pipe->membership->endpoint, pipe->slot, &member) && member.gen == pipe->member.gen) {
            note_end(pipe); /* should the place not be free just now, or we die before it is */
            endpoint_clear(&pipe->membership->endpoint, pipe->slot); /* unless it lives */
        }
    }
    stop_sending(pipe);
    free_ring(pipe);
    list_remove(s, pipe);
    session_pipe_free(pipe);
    if (pipe->record != NULL)
        store_release(&pipe->record->connected_to, 0); /* a peer that left waits for this */
    free_record(pipe);
    peer_drop(pipe->peer);
    free(pipe->rest);
    free(pipe);
}

void pipe_drop(struct pipe *pipe)
{
    struct shm_socket *s = pipe->socket;
    if (s->kind->pipe_free != NULL)
        s->kind->pipe_free(s, pipe);
    ring_out_forget(&pipe->own_ring);
    block_forget(pipe->record_block);
    list_remove(s, pipe);
    session_pipe_free(pipe);
    peer_drop(pipe->peer);
    free(pipe->rest);
    free(pipe);
}

void socket_free_pipes(struct shm_socket *s)
{
    for (uint32_t i = s->pipes.count; i-- > 0;)
        if (s->pipes.list[i]->state >= PIPE_GONE && is_over(s->pipes.list[i]))
            pipe_free(s->pipes.list[i]);
}
