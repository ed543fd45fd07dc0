/* SPDX-License-Identifier: MIT */
/*
 * ROUTER: the first part of each received message is the sender's routing id; that of each sent message is the
 * recipient's. A peer chooses its id (SHM_ROUTING_ID) or gets five bytes made here: a zero and a number. Peers are
 * found by a hash table with open addressing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/pattern.h"
#include "patterns/reqrep.h"
#include "patterns/router.h"

struct router {
    int mandatory, handover; /* SHM_ROUTER_MANDATORY, _HANDOVER */
    struct pipe **table; /* by hash of the routing id; NULL: free */
    uint32_t size, used; /* size is a power of two */
    uint32_t last_id;    /* number in the last id made here */
    bool id_pending;     /* the caller has yet to get the id part of the current message */
};

/* ---- ids ---- */

static struct router_peer *peer_of(const struct pipe *pipe)
{
    return pipe->kind_data;
}

static bool has_id(const struct pipe *pipe, const void *id, size_t size)
{
    const struct router_peer *peer = peer_of(pipe);
    return peer->id_size == size && memcmp(peer->id, id, size) == 0;
}

static uint64_t hash(const void *id, size_t size)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < size; i++)
        h = (h ^ ((const unsigned char *)id)[i]) * UINT64_C(1099511628211);
    return h ^ h >> 32;
}

static struct pipe **find(struct router *r, const void *id, size_t size)
{
    for (uint64_t at = hash(id, size);; at++) {
        struct pipe **place = &r->table[at & (r->size - 1)];
        if (*place == NULL || has_id(*place, id, size))
            return place;
    }
}

static void insert(struct router *r, struct pipe *pipe)
{
    *find(r, peer_of(pipe)->id, peer_of(pipe)->id_size) = pipe;
    r->used++;
}

static int grow(struct router *r)
{
    if (r->table != NULL && r->used < r->size / 2)
        return 0;
    uint32_t old_size = r->size, size = old_size == 0 ? 16 : 2 * old_size;
    struct pipe **old = r->table, **table = calloc(size, sizeof(struct pipe *));
    if (table == NULL)
        return -ENOMEM;
    r->table = table;
    r->size = size;
    r->used = 0;
    for (uint32_t i = 0; i < old_size; i++)
        if (old[i] != NULL)
            insert(r, old[i]);
    free(old);
    return 0;
}

/* Remove PIPE, and insert the entries behind it anew: a gap would end searches for them too early. */
static void take_out(struct router *r, struct pipe *pipe)
{
    const struct router_peer *peer = peer_of(pipe);
    if (peer == NULL || peer->id_size == 0 || r->table == NULL)
        return;
    struct pipe **place = find(r, peer->id, peer->id_size);
    if (*place != pipe)
        return;
    *place = NULL;
    r->used--;
    uint32_t at = (uint32_t)(place - r->table);
    for (;;) {
        at = (at + 1) & (r->size - 1);
        struct pipe *next = r->table[at];
        if (next == NULL)
            return;
        r->table[at] = NULL;
        *find(r, peer_of(next)->id, peer_of(next)->id_size) = next;
    }
}

/* Make an id that no peer has. Numbers wrap, and a peer may make us use them up: check against the table. */
static void make_id(struct router *r, struct router_peer *peer)
{
    peer->id_size = 5;
    peer->id[0] = 0;
    do {
        uint32_t number = ++r->last_id;
        for (int i = 0; i < 4; i++)
            peer->id[1 + i] = (uint8_t)(number >> (24 - 8 * i));
    } while (*find(r, peer->id, 5) != NULL);
}

/* relaxed: no other data is read on the strength of it. */
static bool has_left(struct pipe *pipe)
{
    return peer_u32(&pipe->theirs->left) != 0;
}

/* With a key, a peer may prove itself, send and go before we introduce it, and another may have its routing id by then.
 * Such a peer goes without an entry in the table: it is read, but nothing is sent to it. */
static bool has_gone(struct pipe *pipe)
{
    return has_left(pipe) || pipe_is_dead(pipe);
}

/* OTHER's peer has the id that PIPE's peer claims. 0: OTHER gives it up, or PIPE goes without; else -EEXIST. */
static int contest(struct router *r, struct pipe *pipe, struct pipe *other, bool *nameless)
{
    bool dead = pipe_is_dead(other);
    if (dead || has_left(other)) {
        take_out(r, other); /* its end is noticed here first; the control plane drains it later */
        if (dead)
            pipe_note_death(other);
        return 0;
    }
    *nameless = has_gone(pipe);
    if (*nameless)
        return 0;
    if (!r->handover)
        return -EEXIST;
    take_out(r, other);
    peer_of(other)->id_size = 0;
    pipe_supersede(other);
    return 0;
}

static int peer_new(struct shm_socket *s, struct pipe *pipe)
{
    struct router *r = s->kind_data;
    unsigned char id[256];
    uint32_t size;

    int error = pipe_peer_routing_id(pipe, id, &size);
    if (error == 0)
        error = grow(r);
    if (error == 0 && pipe->kind_data == NULL && (pipe->kind_data = calloc(1, sizeof(struct router_peer))) == NULL)
        error = -ENOMEM;
    if (error < 0)
        return error;
    struct router_peer *peer = peer_of(pipe);
    peer->id_size = 0;
    if (size == 0) {
        make_id(r, peer);
        insert(r, pipe);
        return 0;
    }
    if (id[0] == 0)
        return -EPROTO; /* ids with a leading zero are made here only */
    struct pipe *other = *find(r, id, size);
    bool nameless = false;
    if (other != NULL && other != pipe && (error = contest(r, pipe, other, &nameless)) < 0)
        return error;
    memcpy(peer->id, id, size);
    peer->id_size = size;
    if (!nameless)
        insert(r, pipe);
    return 0;
}

static void peer_gone(struct shm_socket *s, struct pipe *pipe)
{
    struct router *r = s->kind_data;
    if (r != NULL)
        take_out(r, pipe);
}

static void peer_free(struct shm_socket *s, struct pipe *pipe)
{
    peer_gone(s, pipe);
    free(pipe->kind_data);
    pipe->kind_data = NULL;
}

/* ---- sending ---- */

static int address(struct shm_socket *s, const struct part *part)
{
    struct router *r = s->kind_data;
    struct pipe *pipe = r->table != NULL ? *find(r, part->data, part->size) : NULL;

    if (pipe == NULL || !pipe_is_open(pipe))
        return r->mandatory ? -EHOSTUNREACH : tx_discard(s, part);
    if (!pipe_has_room(pipe))
        return r->mandatory ? -EAGAIN : tx_discard(s, part);
    if (!part->more)
        return tx_discard(s, part); /* an address without a message */
    if (part->block != NULL)
        arena_free(&s->arena, part->block);
    tx_begin(s, pipe->out, pipe, peer_of(pipe)->request_tag);
    return 0;
}

static int send_part(struct shm_socket *s, const struct part *part)
{
    return s->tx.message.active ? tx_continue(s, part) : address(s, part);
}

static bool can_send(struct shm_socket *s)
{
    return true;
}

/* ---- receiving ---- */

static int advance(struct shm_socket *s)
{
    struct router *r = s->kind_data;
    int result = rx_begin_fair(s);
    if (result != 1)
        return result;
    struct pipe *pipe = s->rx.message.pipe;
    uint32_t tag = s->rx.message.taken.tag;
    r->id_pending = true;
    struct router_peer *peer = peer_of(pipe);
    peer->request_tag = tag & REQUEST_NUMBER;
    if ((tag & REQUEST_CANCELS) && peer->id[0] == 0 && pipe->state == PIPE_UP) {
        /* It gave up an earlier request: a new id keeps replies to that one from reaching it. */
        take_out(r, pipe);
        make_id(r, peer);
        insert(r, pipe);
    }
    return 1;
}

static int next_part(struct shm_socket *s, struct part *part)
{
    struct router *r = s->kind_data;
    if (!r->id_pending)
        return rx_next(s, part);
    r->id_pending = false;
    part->data = peer_of(s->rx.message.pipe)->id;
    part->size = peer_of(s->rx.message.pipe)->id_size;
    part->block = NULL;
    part->more = true;
    part->synthetic = true;
    return 1;
}

static int open_router(struct shm_socket *s)
{
    s->kind_data = calloc(1, sizeof(struct router));
    return s->kind_data == NULL ? -ENOMEM : 0;
}

static void close_router(struct shm_socket *s)
{
    struct router *r = s->kind_data;
    if (r != NULL)
        free(r->table);
    free(r);
}

static const struct int_option own_options[] = {
    {SHM_ROUTER_MANDATORY, offsetof(struct router, mandatory), 0, 1, false},
    {SHM_ROUTER_HANDOVER, offsetof(struct router, handover), 0, 1, false},
    {0},
};

const struct kind kind_router = {
    .type = SHM_ROUTER,
    .fits = KIND_BIT(SHM_REQ) | KIND_BIT(SHM_DEALER) | KIND_BIT(SHM_ROUTER),
    .retries = true,
    .options = (const int[]){SHM_ROUTING_ID, SHM_PROBE_ROUTER, 0},
    .own_options = own_options,
    .ring = ring_spsc,
    .open = open_router,
    .close = close_router,
    .pipe_new = peer_new,
    .pipe_up = probe_router,
    .pipe_gone = peer_gone,
    .pipe_free = peer_free,
    .send = send_part,
    .can_send = can_send,
    .advance = advance,
    .next_part = next_part,
};
