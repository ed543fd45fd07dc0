/* SPDX-License-Identifier: MIT */
/*
 * Links: one connection of a socket, from its making to its end. (attach.c decides when.)
 *
 * Both sides have a link record in their own segment. The connector publishes its record in the
 * endpoint's slot, the binder maps it, makes its own and publishes that in the answer; the connector
 * maps that. So the binder is always up first, and whatever a connector had sent is waiting for it.
 */
#include "core/link.h"
#include "core/trust.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_BLOCK_MAX 4096

/* ---- peers ---- */

bool link_error_passes(int error)
{
    return error < 0 && error != -EPROTO && error != -ENOENT && error != -EEXIST && error != -EBADMSG &&
           error != -EPERM;
}

static int peer_open(struct peer **out, const struct link *link, const char *id_hex)
{
    struct directory *directory = link->socket->directory;
    const char *only = link->attach->handed_to;
    if (only[0] != '\0' && strcmp(only, id_hex) != 0)
        return -EPROTO; /* in another one's name */
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL)
        return -ENOMEM;
    atomic_store_explicit(&peer->refs, PEER_LINKED, memory_order_relaxed);
    peer->socket = link->socket;
    atomic_fetch_add_explicit(&link->socket->refs, 1, memory_order_relaxed);
    int error = remote_open(&peer->remote, directory, id_hex);
    if (error == 0)
        remote_met_at(peer->remote, link->attach->endpoint.file, link->attach->bound ? link->slot : ANY_PLACE);
    if (error == 0)
        error = bell_attach(&peer->bell, directory_fd(directory), id_hex);
    if (error < 0) {
        if (peer->remote != NULL)
            peer->remote->is_needed = link_error_passes(error);
        peer_unlink(peer);
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

void peer_unlink(struct peer *peer)
{
    if (peer != NULL)
        give_up(peer, PEER_LINKED - peer->taken);
}

void peer_release(struct peer *peer)
{
    give_up(peer, 1);
}

/* The fence stands between the change, whatever its order, and `attention`: a peer that overwrites this 1 by
 * its 0 sees the change. */
void notify_bell(struct bell *bell)
{
    fence_seq_cst();
    store_seq_cst(&bell->page->attention, 1);
    bell_ring(bell);
}

bool notify_party(struct shm_socket *s, const char *id_hex)
{
    struct bell bell = {0};
    int error = bell_attach(&bell, directory_fd(s->directory), id_hex);
    if (error == 0) {
        notify_bell(&bell);
        bell_detach(&bell);
    }
    return !link_error_passes(error); /* nobody to tell is told */
}

void link_notify(struct link *link)
{
    if (link->peer != NULL)
        notify_bell(&link->peer->bell);
}

/* ---- how far it has read ---- */

uint64_t link_token(const uint8_t *id, uint64_t record_offset)
{
    uint64_t word;
    memcpy(&word, id, sizeof word);
    word ^= record_offset;
    return word != 0 ? word : 1;
}

const struct link_record *record_at(struct remote *remote, uint64_t offset)
{
    const struct link_record *record = offset % 64 == 0 ? remote_at(remote, offset, sizeof *record) : NULL;
    return record != NULL && peer_u32_once(&record->magic) == LINK_RECORD_MAGIC ? record : NULL;
}

bool record_is_about(const struct link_record *record, uint64_t token)
{
    return peer_u64_acquire(&record->linked_to) == token;
}

bool record_tail(const struct link_record *record, uint64_t token, uint64_t *tail)
{
    if (!record_is_about(record, token))
        return false;
    *tail = peer_u64_acquire(&record->tail); /* R4 */
    return record_is_about(record, token);
}

uint64_t link_my_token(const struct link *link)
{
    return link_token(link->socket->segment.header->id, link->record_block->offset);
}

bool link_peer_tail(const struct link *link, uint64_t *tail)
{
    return link->theirs != NULL && link->record_block != NULL &&
           record_tail(link->theirs, link_my_token(link), tail);
}

/* ---- making ---- */

static int list_reserve(struct shm_socket *s)
{
    if (s->link_count == s->link_capacity) {
        uint32_t capacity = s->link_capacity ? 2 * s->link_capacity : 4;
        struct link **links = realloc(s->links, capacity * sizeof(struct link *));
        if (links == NULL)
            return -ENOMEM;
        s->links = links;
        s->link_capacity = capacity;
    }
    return 0;
}

static int list_add(struct shm_socket *s, struct link *link)
{
    int error = list_reserve(s);
    if (error == 0)
        s->links[s->link_count++] = link;
    return error;
}

static void list_remove(struct shm_socket *s, struct link *link)
{
    for (uint32_t i = 0; i < s->link_count; i++)
        if (s->links[i] == link) {
            memmove(&s->links[i], &s->links[i + 1], (s->link_count - i - 1) * sizeof(struct link *));
            s->link_count--;
            if (s->receive_next > i)
                s->receive_next--;
            if (s->send_next > i)
                s->send_next--;
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
    struct block *block = arena_alloc(&s->arena, sizeof(struct link_record));
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

static int make_record(struct link *link)
{
    struct shm_socket *s = link->socket;
    link->record_block = new_record_block(s);
    if (link->record_block == NULL)
        return -errno;
    link->record = (struct link_record *)(void *)link->record_block->data;
    memset(link->record, 0, sizeof *link->record);
    link->record->magic = LINK_RECORD_MAGIC;
    link->record->pin_tag = link->pin_tag;
    store_relaxed(&link->record->receive_limit, (uint32_t)mark_of(s->options.receive_hwm));
    store_relaxed(&link->record->start, UINT64_MAX);
    store_relaxed(&link->record->end, UINT64_MAX);
    return 0;
}

static void free_record(struct link *link)
{
    if (link->record_block != NULL) {
        link->socket->arena.in_use += link->record_block->size;
        arena_free(&link->socket->arena, link->record_block);
    }
    link->record_block = NULL;
    link->record = NULL;
}

/* A peer knows a link by the place of our record. If the last one that it was linked to had this place, it
 * would seem to have come to this one, too: so the record, which nobody has seen yet, takes another. */
static int set_apart(struct link *link)
{
    struct block *before = link->record_block, *block;
    if (!link->attach->bound || peer_u64(&link->theirs->last_linked) != link_my_token(link))
        return 0;
    block = new_record_block(link->socket);
    if (block == NULL)
        return -errno;
    memcpy(block->data, before->data, sizeof(struct link_record));
    free_record(link);
    link->record_block = block;
    link->record = (struct link_record *)(void *)block->data;
    return 0;
}

/* The ring to send on, once the peer's type is known or does not matter. */
static int open_out(struct link *link, int peer_type)
{
    struct shm_socket *s = link->socket;
    uint32_t kind = s->pattern->ring_kind(s, peer_type);
    if (link->out != NULL || kind == 0)
        return 0;
    if (s->has_shared_out) {
        link->out = &s->shared_out;
    } else {
        bool control = s->type == SHM_SUB || s->type == SHM_XSUB; /* subscriptions: never to be refused, and few */
        uint64_t limit = control ? RING_SLOTS_MAX : mark_of(s->options.send_hwm);
        if (kind == RING_PRIVATE)
            limit = 1; /* conflated: the newest is all */
        int error = ring_out_open(&link->own_ring, &s->arena, kind, limit, s->options.lock_memory && !control);
        if (error < 0)
            return error;
        link->own_ring.retired = &s->limbo;
        link->own_ring.header->newest_only = kind == RING_PRIVATE;
        link->base_limit = link->own_ring.limit;
        link->out = &link->own_ring;
    }
    if (link->out->kind != RING_PRIVATE || !s->has_shared_out)
        store_relaxed(&link->record->start, 0);
    store_release(&link->record->ring_offset, ring_out_offset(link->out));
    return 0;
}

int link_new(struct link **out, struct shm_socket *s, struct attach *attach, uint32_t slot, int peer_type)
{
    struct link *link = calloc(1, sizeof *link);
    if (link == NULL)
        return -ENOMEM;
    link->socket = s;
    link->attach = attach;
    link->slot = slot;
    link->pin_tag = s->next_pin_tag = s->next_pin_tag % 65535 + 1;
    link->announce_every = 1;
    int error = make_record(link);
    if (error == 0)
        error = trust_link_new(link);
    if (error == 0)
        error = open_out(link, peer_type);
    if (error == 0)
        error = list_add(s, link);
    if (error < 0) {
        ring_out_close(&link->own_ring);
        trust_link_free(link);
        free_record(link);
        free(link);
        return error;
    }
    *out = link;
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
static int first_ticket(struct link *link, uint64_t resume, uint64_t began, uint64_t *first)
{
    struct shm_socket *s = link->socket;
    uint64_t start = s->trust != NULL ? trust_start(link) : peer_u64(&link->theirs->start); /* a number: R2 */
    if (start == UINT64_MAX)
        return 0; /* it has not seen us yet */
    if (link->in.kind == RING_PRIVATE && began != UINT64_MAX)
        start = began;
    else if (link->in.kind == RING_PRIVATE && s->options.history > 0 && !link->in.newest_only)
        start = back_from(&link->in, start, (uint64_t)s->options.history);
    *first = resume > start ? resume : start;
    return 1;
}

/* The ring to read, when the peer has one. 1 there is, 0 not yet. */
int link_open_in(struct link *link, uint64_t resume)
{
    struct shm_socket *s = link->socket;
    uint64_t offset, first, began = link->began ? link->in.tail : UINT64_MAX;

    if (link->theirs == NULL || link->silenced)
        return link->has_in;
    resume = trust_resume(link, resume);
    int trusted = trust_check(link);
    if (trusted <= 0 || link->has_in)
        return trusted;
    offset = peer_u64_acquire(&link->theirs->ring_offset);
    if (offset == 0)
        return 0;
    int error = ring_in_open(&link->in, link->peer->remote, offset);
    if (error < 0)
        return link->peer->remote->shortage < 0 ? link->peer->remote->shortage : error;
    /* A connector's `start` is about the binder before us until it has come to us. */
    if (link->in.kind == RING_PRIVATE && !link->in.newest_only && !record_is_about(link->theirs, link_my_token(link)))
        error = 0;
    else
        error = first_ticket(link, resume, began, &first);
    if (error <= 0) {
        link->in.tail = began;
        return error;
    }
    link->began = false;
    error = trust_begin(link, &first);
    if (error <= 0)
        return error;
    if (link->in.kind == RING_SHARED) {
        error = claims_attach(&link->peer->claims, directory_fd(s->directory), link->party.id_hex, link->in.mask + 1);
        if (error < 0)
            return error;
        link->in.claims = &link->peer->claims;
    }
    link->in.tail = first;
    if (link->in.newest_only && (s->type == SHM_SUB || s->type == SHM_XSUB)) {
        link->in.newest_only = false; /* the newest may not be wanted: the pattern looks for itself */
        s->peer_conflates = true;
    }
    uint64_t mark = mark_of(s->options.receive_hwm), limit = peer_u64_once(&link->in.header->limit);
    mark = (mark < limit ? mark : limit) / 4;
    link->announce_every = mark < 1 ? 1 : mark > 4096 ? 4096 : (uint32_t)mark;
    store_relaxed(&link->record->first, first);
    store_release(&link->record->tail, first);
    link->has_in = true;
    return 1;
}

/* The mark of a queue that all pullers share: the smallest that any of them has. */
static void limit_shared(struct shm_socket *s)
{
    if (!s->has_shared_out || s->shared_out.kind != RING_SHARED)
        return;
    uint64_t limit = mark_of(s->options.send_hwm);
    for (uint32_t i = 0; i < s->link_count; i++) {
        struct link *link = s->links[i];
        if (link->state != LINK_UP)
            continue;
        uint64_t mark = peer_u32(&link->theirs->receive_limit);
        limit = mark > 0 && mark < limit ? mark : limit;
    }
    s->shared_out.limit = limit;
}

int link_reserve(struct link *link)
{
    if (link->rest == NULL)
        link->rest = calloc(1, sizeof *link->rest);
    return link->rest == NULL ? -ENOMEM : list_reserve(link->socket);
}

/* What is left to read, and the pins of one who left but lives, go on in a link of their own. */
static void split(struct link *link)
{
    struct shm_socket *s = link->socket;

    if (link_reserve(link) == 0) {
        struct link *rest = link->rest;
        link->rest = NULL;
        list_add(s, rest);
        rest->socket = s;
        rest->state = LINK_GONE;
        rest->died = link->died;
        rest->party = link->party;
        rest->peer = link->peer;
        rest->theirs = link->theirs;
        rest->their_tag = link->their_tag;
        rest->pin_tag = link->pin_tag;
        rest->has_in = link->has_in;
        rest->in = link->in;
        rest->announce_every = UINT32_MAX;
        memcpy(rest->routing_id, link->routing_id, sizeof rest->routing_id);
        rest->routing_id_size = link->routing_id_size;
        trust_split(rest, link);
        s->gone_count++;
        if (s->in.link == link)
            s->in.link = rest;
    } else {
        peer_unlink(link->peer);
    }
    link->peer = NULL;
    link->theirs = NULL;
    link->has_in = false;
    link->died = false;
}

/* The kind of ring that may be read before the binder has answered; 0: none. */
static uint32_t early_kind(const struct shm_socket *s, const struct party *binder)
{
    if (s->type == SHM_PULL && binder->type == SHM_PUSH)
        return RING_SHARED;
    bool subscriber = s->type == SHM_SUB || s->type == SHM_XSUB;
    bool publisher = binder->type == SHM_PUB || binder->type == SHM_XPUB;
    return subscriber && publisher && s->options.history > 0 ? RING_PRIVATE : 0;
}

static bool open_early(struct link *link, struct peer *peer, const struct party *party, uint32_t kind)
{
    struct shm_socket *s = link->socket;
    uint64_t offset = peer_u64_acquire(&peer->remote->header->ring_offset);
    if (offset == 0 || ring_in_open(&link->in, peer->remote, offset) < 0 || link->in.kind != kind ||
        link->in.newest_only)
        return false;
    if (kind == RING_PRIVATE) {
        uint64_t head = peer_u64(&link->in.header->head); /* hint */
        link->in.tail = back_from(&link->in, head, (uint64_t)s->options.history);
        return true;
    }
    link->in.claims = &peer->claims;
    return claims_attach(&peer->claims, directory_fd(s->directory), party->id_hex, link->in.mask + 1) == 0;
}

/* With a key: answer the challenge that the binder has for whoever comes, so that it need not wait for our
 * next call to read what is sent from here on. */
static void prove_early(struct link *link, const struct party *party)
{
    struct shm_socket *s = link->socket;
    struct peer *peer;

    if (!trust_is_early(link, party) || peer_open(&peer, link, party->id_hex) < 0)
        return;
    uint32_t type = peer_u32_once(&peer->remote->header->type);
    if (type <= SHM_XSUB && s->pattern->fits((int)type) && open_out(link, (int)type) == 0 &&
        trust_prove_early(link, party, type, peer->remote->header) == 0)
        notify_bell(&peer->bell);
    peer_unlink(peer);
}

/*
 * Some need not wait until the binder looks up from its work. A PULL can take from a PUSH's queue, whose
 * claims need nobody's consent. A SUB can read a PUB's history, which the PUB does not notice; so that
 * pins mean nothing to it, and blocks are copied (intake.c).
 */
void link_early(struct link *link, const struct party *party)
{
    struct shm_socket *s = link->socket;
    uint32_t kind = early_kind(s, party);
    struct peer *peer;

    if (s->trust != NULL) { /* nothing before the binder has proven itself; but we can */
        prove_early(link, party);
        return;
    }
    if (kind == 0 || link->has_in || link->peer != NULL || peer_open(&peer, link, party->id_hex) < 0)
        return;
    if (!open_early(link, peer, party, kind)) {
        peer_unlink(peer);
        return;
    }
    /* One that has answered by now may have sent more than that history since, all of it for us. */
    struct answer said;
    if (kind == RING_PRIVATE && endpoint_answer_read(&link->attach->endpoint, link->slot, &said) == 1 &&
        said.peer_gen == link->attach->gen && said.binder_gen == party->gen) {
        peer_unlink(peer);
        store_relaxed(&s->bell.page->attention, 1);
        return;
    }
    link->peer = peer;
    link->party = *party;
    link->has_in = link->early = true;
}

/* The answer has come, or the binder has gone: what is in hand keeps the peer's memory by itself. */
struct peer *link_early_end(struct link *link, bool died)
{
    struct peer *peer = NULL;
    if (!link->early)
        return NULL;
    link->early = false;
    link->died = died;
    if (died) {
        split(link);
        return NULL;
    }
    peer = link->peer;
    link->peer = NULL;
    link->has_in = false;
    link->began = link->in.kind == RING_PRIVATE;
    return peer;
}

/* Both ways work, and the peer is who it should be. */
static int introduce(struct link *link)
{
    struct shm_socket *s = link->socket;
    return s->pattern->link_new != NULL ? s->pattern->link_new(s, link) : 0;
}

static void announce(struct link *link)
{
    struct shm_socket *s = link->socket;
    stat_add(s, STAT_PEERS, 1);
    event_push(s, SHM_EVENT_CONNECTED, link, NULL, 0);
    if (s->pattern->link_up != NULL)
        s->pattern->link_up(s, link);
}

int link_renew(struct link *link)
{
    bool before = link->trusted;
    int result = link_open_in(link, 0);
    if (result < 0 || before || !link->trusted)
        return result;
    result = introduce(link);
    if (result == 0)
        announce(link);
    else {
        link->trusted = link->has_in = false;
        trust_leave(link);
    }
    return result;
}

int link_up(struct link *link, const struct party *party, uint64_t their_offset, uint64_t resume)
{
    quick_forget(link->socket);
    struct shm_socket *s = link->socket;
    struct peer *peer;

    int error = peer_open(&peer, link, party->id_hex);
    if (error < 0)
        return error;
    const struct link_record *theirs = record_at(peer->remote, their_offset);
    if (theirs == NULL) {
        error = peer->remote->shortage < 0 ? peer->remote->shortage : -EPROTO;
        peer->remote->is_needed = link_error_passes(error);
        peer_unlink(peer);
        return error;
    }
    link->peer = peer;
    link->theirs = theirs;
    link->began = link->began && memcmp(link->party.id, party->id, sizeof party->id) == 0;
    link->their_tag = peer_u32_once(&theirs->pin_tag);
    link->party = *party;
    link->party.type = peer_u32_once(&peer->remote->header->type);
    link->state = LINK_UP;
    link->died = link->silenced = false;
    if (link->party.type > SHM_XSUB || !s->pattern->fits((int)link->party.type))
        error = -EPROTO;
    if (error == 0)
        error = set_apart(link);
    if (error == 0)
        error = trust_meet(link, their_offset);
    if (error == 0)
        error = open_out(link, (int)link->party.type);
    if (error == 0)
        error = trust_prove(link);
    if (error == 0) {
        int opened = link_open_in(link, resume);
        error = opened < 0 ? opened : 0;
    }
    if (error == 0 && link->trusted)
        error = introduce(link);
    if (error < 0) {
        if (link_error_passes(error))
            trust_put_back(link);
        else
            trust_again(link);
        peer->remote->is_needed = link_error_passes(error);
        link->peer = NULL;
        link->theirs = NULL;
        link->has_in = false;
        link->state = LINK_QUEUED;
        peer_unlink(peer);
        return error;
    }
    bool control = s->type == SHM_SUB || s->type == SHM_XSUB;
    if (link->out == &link->own_ring && !control) {
        uint64_t mark = peer_u32(&theirs->receive_limit);
        link->own_ring.limit = mark > 0 && mark < link->base_limit ? mark : link->base_limit;
    } else if (link->out != NULL && link->out->kind == RING_PRIVATE) {
        store_relaxed(&link->record->start, link->out->head); /* before linked_to */
    }
    limit_shared(s);
    link->linked_before = peer_u64(&theirs->last_linked);
    if (!link->has_in) /* what it says is about the ring of one before; for the next binder, should we not come to read */
        store_relaxed(&link->record->tail, resume);
    store_release(&link->record->linked_to, link_token(party->id, their_offset));
    store_release(&link->record->last_linked, link_token(party->id, their_offset));
    if (link->trusted)
        announce(link);
    return 0;
}

/* ---- the peer goes ---- */

static void stop_sending(struct link *link)
{
    struct shm_socket *s = link->socket;
    link->out = NULL;
    if (s->out.active && s->out.link == link) {
        out_cancel(s);
        s->out.active = s->out.discard = true;
        s->out.link = NULL;
    }
}

/* Its memory is given back: nobody looks at it any more. */
static void free_ring(struct link *link)
{
    ring_out_reclaim(&link->own_ring, UINT64_MAX); /* into limbo: the peer may still hold views */
    ring_out_close(&link->own_ring);
}

void link_gone(struct link *link, bool died)
{
    quick_forget(link->socket);
    struct shm_socket *s = link->socket;
    if (link->state != LINK_UP)
        return;
    if (!link->broken)
        link_renew(link); /* it may have begun, sent and gone since we last looked */
    bool left = peer_u32_acquire(&link->theirs->left) != 0; /* stored after `end` */
    uint64_t end = peer_u64(&link->theirs->end);
    link->died = died && !left;
    if (link->has_in && left)
        link->in.end = end;
    if (link->out == &link->own_ring) {
        uint64_t tail;
        if (link_peer_tail(link, &tail) && tail > link->own_ring.acked && tail <= link->own_ring.head)
            link->own_ring.acked = tail;
    }
    if (link->trusted) {
        stat_add(s, STAT_PEERS, (uint64_t)-1);
        event_push(s, link->died ? SHM_EVENT_DIED : SHM_EVENT_LEFT, link, NULL, 0);
    }
    bool keeps = link->attach != NULL && !link->attach->bound;
    link->state = keeps ? LINK_QUEUED : LINK_GONE;
    limit_shared(s);
    if (s->pattern->link_gone != NULL && link->trusted)
        s->pattern->link_gone(s, link);
    if (keeps) {
        if (link->out == &link->own_ring) {
            store_relaxed(&link->record->start, link->own_ring.acked);
            link->own_ring.limit = link->base_limit;
        } else if (link->out != NULL && link->out->kind == RING_PRIVATE) {
            store_relaxed(&link->record->start, UINT64_MAX); /* the next begins where it comes in */
        }
        store_relaxed(&link->record->linked_to, 0);
        endpoint_done(&link->attach->endpoint, link->party.gen);
        split(link);
        trust_again(link);
    } else {
        s->gone_count++;
        stop_sending(link);
        if (link->died || left)
            free_ring(link); /* else it is turned away, and has yet to see that */
    }
}

void link_turn_away(struct link *link)
{
    link->silenced = true;
    link->has_in = false;
    link_gone(link, false);
}

void link_died(struct link *link)
{
    link_gone(link, true);
}

void link_break(struct link *link)
{
    quick_forget(link->socket);
    struct shm_socket *s = link->socket;
    stat_add(s, STAT_PROTOCOL_ERRORS, 1);
    event_push(s, SHM_EVENT_BROKEN, link, NULL, 0);
    link->broken = true;
    link->has_in = false;
    if (link->attach != NULL && link->attach->bound)
        link->attach->rejected[link->slot] = for_good(link->party.gen);
    if (link->state == LINK_UP)
        link_gone(link, true);
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
bool link_is_awaited(const struct link *link)
{
    uint64_t last = peer_u64_acquire(&link->theirs->last_linked);
    return last == link->linked_before && last != link_my_token(link) && peer_u32_acquire(&link->theirs->left) == 0;
}

static bool is_over(struct link *link)
{
    struct shm_socket *s = link->socket;
    if (s->in.link == link)
        return false;
    if (link->state == LINK_GONE) {
        if (link->has_in && (ring_in_has(&link->in) || (link->in.kind == RING_SHARED && others_hold_claims(&link->in))))
            return false;
        if (link->own_ring.block != NULL && !link->died && peer_u32_acquire(&link->theirs->left) == 0 &&
            (link_is_awaited(link) || record_is_about(link->theirs, link_my_token(link))))
            return false; /* turned away, and does not know yet */
        return link->died || link->broken || link->theirs == NULL || !pins_any(link->peer->remote->header, link->their_tag);
    }
    if (link->state != LINK_LEAVING)
        return false;
    if (link->peer == NULL)
        return false; /* the binder fetches the rest; until the socket closes */
    if (link->died)
        return true;
    if (link->sticky || link_is_awaited(link) || record_is_about(link->theirs, link_my_token(link)))
        return false; /* it may still look at our ring and record */
    return !pins_any(link->peer->remote->header, link->their_tag);
}

/* In the answer, for whoever finds the connector's record: how far its ring was read. */
static void note_end(struct link *link)
{
    struct endpoint *endpoint = &link->attach->endpoint;
    struct answer words;
    if (link->record == NULL || !endpoint_answer_read(endpoint, link->slot, &words) ||
        words.peer_gen != link->party.gen || words.binder_gen != link->attach->gen)
        return;
    words.resume = load_relaxed(&link->record->tail);
    endpoint_answer_write(endpoint, link->slot, &words);
}

void link_free(struct link *link)
{
    quick_forget(link->socket);
    struct shm_socket *s = link->socket;
    if (s->pattern->link_free != NULL)
        s->pattern->link_free(s, link);
    if (link->state == LINK_GONE)
        s->gone_count--;
    if (link->attach != NULL && link->attach->bound) {
        struct party party;
        link->attach->links[link->slot] = NULL;
        if (endpoint_connector(&link->attach->endpoint, link->slot, &party) && party.gen == link->party.gen) {
            note_end(link); /* should the place not be free just now, or we die before it is */
            endpoint_clear(&link->attach->endpoint, link->slot); /* unless it lives */
        }
    }
    stop_sending(link);
    free_ring(link);
    list_remove(s, link);
    trust_link_free(link);
    if (link->record != NULL)
        store_release(&link->record->linked_to, 0); /* a peer that left waits for this */
    free_record(link);
    peer_unlink(link->peer);
    free(link->rest);
    free(link);
}

void link_drop(struct link *link)
{
    struct shm_socket *s = link->socket;
    if (s->pattern->link_free != NULL)
        s->pattern->link_free(s, link);
    ring_out_forget(&link->own_ring);
    block_forget(link->record_block);
    list_remove(s, link);
    trust_link_free(link);
    peer_unlink(link->peer);
    free(link->rest);
    free(link);
}

void socket_free_links(struct shm_socket *s)
{
    for (uint32_t i = s->link_count; i-- > 0;)
        if (s->links[i]->state >= LINK_GONE && is_over(s->links[i]))
            link_free(s->links[i]);
}
