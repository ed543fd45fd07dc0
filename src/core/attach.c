/* SPDX-License-Identifier: MIT */
/*
 * Attachments: a socket's places at endpoints, and how it keeps up with who comes and goes there.
 *
 * Whoever changes something at an endpoint sets `attention` in the bells of those whom it concerns; the
 * next call on such a socket compares the endpoint's table with its links (socket_sync). Deaths do
 * not announce themselves: socket_check_peers asks the kernel about the life locks, whenever a sleep
 * lasts a slice, while spinning, and now and then while polling.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/link.h"
#include "core/trust.h"

/* ---- the binder's side ---- */

static int make_places(struct attach *attach, uint32_t high)
{
    if (high <= attach->capacity)
        return 0;
    uint32_t capacity = high < 16 ? 16 : 2 * high;
    struct link **links = realloc(attach->links, capacity * sizeof(struct link *));
    if (links == NULL)
        return -ENOMEM;
    attach->links = links;
    uint64_t *rejected = realloc(attach->rejected, capacity * sizeof *rejected);
    if (rejected == NULL)
        return -ENOMEM;
    attach->rejected = rejected;
    memset(links + attach->capacity, 0, (capacity - attach->capacity) * sizeof(struct link *));
    memset(rejected + attach->capacity, 0, (capacity - attach->capacity) * sizeof *rejected);
    attach->capacity = capacity;
    return 0;
}

/* Nobody is led by ID's name here any more, unless it is ours. */
static void forget_binder(struct shm_socket *s, const char *file, const uint8_t *id)
{
    char id_hex[2 * SEGMENT_ID_SIZE + 1];
    if (memcmp(id, s->segment.header->id, SEGMENT_ID_SIZE) == 0)
        return;
    segment_id_hex(id_hex, id);
    remote_unnamed(s->directory, file, ANY_PLACE, id_hex);
}

/* The answer in this place is about to be written over: its binder is forgotten once all places have been looked at, or
 * another one's turns up. (Mostly all are one's, and to look for its name goes through all places.) */
static void supersede(struct shm_socket *s, struct attach *attach, uint32_t slot)
{
    struct answer before;
    if (!endpoint_answer_read(&attach->endpoint, slot, &before))
        return;
    if (attach->has_superseded && memcmp(attach->superseded, before.binder_id, sizeof before.binder_id) != 0)
        forget_binder(s, attach->endpoint.file, attach->superseded);
    memcpy(attach->superseded, before.binder_id, sizeof before.binder_id);
    attach->has_superseded = true;
}

static void forget_superseded(struct shm_socket *s, struct attach *attach)
{
    if (attach->has_superseded)
        forget_binder(s, attach->endpoint.file, attach->superseded);
    attach->has_superseded = false;
}

/* RESUME: how far the connector's ring has been read before, if a record of ours does not say. */
static void answer(struct attach *attach, uint32_t slot, const struct party *peer, uint64_t verdict,
                   uint64_t link_offset, uint64_t resume, struct shm_socket *s)
{
    struct answer words = {.peer_gen = peer->gen,
                           .binder_gen = attach->gen,
                           .verdict = verdict,
                           .link_offset = link_offset,
                           .resume = resume};
    memcpy(words.binder_id, s->segment.header->id, sizeof words.binder_id);
    supersede(s, attach, slot);
    endpoint_answer_write(&attach->endpoint, slot, &words);
}

/* A connector died, and nobody needs what it sent or was told. */
static void clear_place(struct shm_socket *s, struct attach *attach, uint32_t slot, const struct party *peer)
{
    supersede(s, attach, slot);
    endpoint_clear(&attach->endpoint, slot);
    remote_unnamed(s->directory, attach->endpoint.file, slot, peer->id_hex);
}

static void reject(struct shm_socket *s, struct attach *attach, uint32_t slot, const struct party *peer,
                   uint64_t resume, int why)
{
    struct link unlinked = {.party = *peer, .attach = attach};
    bool untrusted = why == -EBADMSG;
    attach->rejected[slot] = untrusted || why == -EPROTO ? for_good(peer->gen) : peer->gen;
    answer(attach, slot, peer, untrusted ? ANSWER_UNTRUSTED : ANSWER_REJECTED, 0, resume, s);
    notify_party(s, peer->id_hex);
    if (untrusted)
        trust_report(s, &unlinked);
    else
        event_push(s, SHM_EVENT_REJECTED, &unlinked, NULL, 0);
}

/* Where did a binder before us stop reading this connector's ring? 0 if there was none; below 0: that
 * cannot be found out now. */
static int resume_point(struct shm_socket *s, struct attach *attach, uint32_t slot, const struct party *peer,
                        uint64_t *resume)
{
    struct answer old;
    struct remote *dead;
    char id_hex[2 * SEGMENT_ID_SIZE + 1];

    *resume = 0;
    if (!endpoint_answer_read(&attach->endpoint, slot, &old) || old.peer_gen != peer->gen)
        return 0;
    if (old.resume != UINT64_MAX) {
        *resume = old.resume;
        return 0;
    }
    if (old.verdict != ANSWER_LINKED)
        return 0;
    /* It died: its own link record says. */
    segment_id_hex(id_hex, old.binder_id);
    int error = remote_open(&dead, s->directory, id_hex);
    if (error < 0)
        return link_error_passes(error) ? error : 0;
    const struct link_record *record = record_at(dead, old.link_offset);
    if (record != NULL && !record_tail(record, link_token(peer->id, peer->link_offset), resume))
        *resume = 0;
    error = record == NULL ? dead->shortage : 0;
    dead->is_needed = true; /* by the connectors in other places */
    remote_close(dead);
    return error;
}

/* Has a binder before us something that its connector has to look at: messages, or views of the connector's
 * memory that outlive it? Relaxed, for its lock was ours to take, so all that it stored is here. */
static bool is_to_be_seen(struct remote *binder, const struct answer *said)
{
    const struct link_record *record = record_at(binder, said->link_offset);
    if (record == NULL)
        return false;
    if (said->resume != UINT64_MAX && pins_any(binder->header, peer_u32_once(&record->pin_tag)))
        return true; /* the pins of one that died are nobody's */
    uint64_t offset = peer_u64(&record->ring_offset);
    const struct ring_header *ring =
        offset != 0 && offset % 64 == 0 ? remote_at(binder, offset, sizeof *ring) : NULL;
    return ring != NULL &&
           peer_u64(&ring->head) > peer_u64(&record->start);
}

/*
 * A binder before us answered this connector, sent to it (or has views of what it had sent), and has gone, and
 * the connector has not come to look since. Our answer would hide that one for ever, and what was sent with it.
 * So the connector is told to look first; it says so in its record, and calls. (Or it cannot be found out now:
 * later, then.)
 */
static bool has_to_look_first(struct shm_socket *s, struct attach *attach, uint32_t slot, const struct party *peer)
{
    struct answer old;
    struct remote *before, *connector;
    char id_hex[2 * SEGMENT_ID_SIZE + 1];
    bool looked = true, is_short;

    if (!endpoint_answer_read(&attach->endpoint, slot, &old) || old.peer_gen != peer->gen ||
        old.verdict != ANSWER_LINKED || old.binder_gen == attach->gen)
        return false;
    segment_id_hex(id_hex, old.binder_id);
    int error = remote_open(&before, s->directory, id_hex);
    if (error < 0) {
        attach->look_again = attach->look_again || link_error_passes(error);
        return link_error_passes(error);
    }
    error = remote_open(&connector, s->directory, peer->id_hex);
    is_short = link_error_passes(error);
    if (error == 0) {
        const struct link_record *record = record_at(connector, peer->link_offset);
        is_short = record == NULL && connector->shortage < 0;
        if (record != NULL)
            looked = peer_u64_acquire(&record->last_linked) ==
                     link_token(old.binder_id, old.link_offset);
        remote_met_at(connector, attach->endpoint.file, slot);
        remote_close(connector);
    }
    /* Not of one who looked: the binder before us may live, and have given the memory of its ring back. */
    if (!looked && !is_to_be_seen(before, &old)) {
        looked = true; /* there is nothing to look at */
        is_short = before->shortage < 0;
    }
    before->is_needed = true; /* our answer takes its name away, and removes it */
    remote_close(before);
    if (!is_short && (looked || !endpoint_connector_lives(&attach->endpoint, slot)))
        return false;
    attach->look_again = true;
    if (!is_short)
        notify_party(s, peer->id_hex);
    return true;
}

/*
 * Who leaves takes its record back first and frees its memory then. So when that memory makes no sense,
 * look whether the one it was announced for is still there, before it is called a liar. The fence of that look
 * (endpoint.c: between the record and its generation) keeps it behind what was read of the memory.
 */
static bool connector_stays(struct attach *attach, uint32_t slot, uint64_t gen)
{
    struct party now;
    return endpoint_connector(&attach->endpoint, slot, &now) == 1 && now.gen == gen;
}

static bool binder_stays(struct attach *attach, uint64_t gen)
{
    struct party now;
    return endpoint_binder(&attach->endpoint, &now) == 1 && now.gen == gen;
}

/* A link that is up, at each look: has its ring come, does its proof hold? */
static void look_at(struct shm_socket *s, struct link *link)
{
    struct attach *attach = link->attach;
    struct party peer = link->party;
    int error = link_renew(link);
    bool stays = error >= 0 || (attach->bound ? connector_stays(attach, link->slot, peer.gen) : binder_stays(attach, peer.gen));
    if (!stays)
        return;
    if (link_error_passes(error)) {
        attach->look_again = true;
    } else if (error == -EBADMSG || error == -EEXIST) {
        if (attach->bound) {
            reject(s, attach, link->slot, &peer, load_relaxed(&link->record->tail), error);
            attach->rejected[link->slot] = for_good(peer.gen); /* it was linked to: no way back */
        } else {
            link->refused = peer.gen;
            trust_report(s, link);
        }
        link_turn_away(link);
    } else if (error < 0) {
        link_break(link);
    }
}

/* The peer went. It may have begun, and sent, since we last looked: without memory or descriptors to see
 * that, and to go on reading it, the link stays as it is until there are some. */
static bool can_go(struct link *link)
{
    struct attach *attach = link->attach;
    if (attach == NULL)
        return true;
    bool can = (link->broken || link->has_in || !link_error_passes(link_renew(link))) &&
               (attach->bound || link_reserve(link) == 0);
    attach->look_again = attach->look_again || !can;
    return can;
}

static bool has_partner(const struct shm_socket *s)
{
    for (uint32_t i = 0; i < s->link_count; i++)
        if (s->links[i]->state == LINK_UP || s->links[i]->state == LINK_QUEUED)
            return true;
    return false;
}

static void accept_peer(struct shm_socket *s, struct attach *attach, uint32_t slot, const struct party *peer)
{
    struct link *link;

    bool again = attach->rejected[slot] == peer->gen;
    bool fits = s->pattern->fits((int)peer->type);
    if (attach->rejected[slot] == for_good(peer->gen) || (again && !fits)) {
        if (!endpoint_connector_lives(&attach->endpoint, slot))
            clear_place(s, attach, slot, peer);
        return;
    }
    if (again && s->type != SHM_PAIR && s->type != SHM_ROUTER) /* theirs may become free */
        return;
    bool unwanted = !fits || (s->type == SHM_PAIR && has_partner(s));
    if ((unwanted && again) || has_to_look_first(s, attach, slot, peer))
        return;
    uint64_t resume;
    int error = resume_point(s, attach, slot, peer, &resume);
    if (error == 0 && unwanted) {
        reject(s, attach, slot, peer, resume, 0);
        return;
    }
    if (error < 0 || link_new(&link, s, attach, slot, (int)peer->type) < 0) {
        attach->look_again = true; /* out of memory or descriptors */
        return;
    }
    error = link_up(link, peer, peer->link_offset, resume);
    if (error < 0) {
        bool left = (error == -EPROTO || error == -EBADMSG) && !connector_stays(attach, slot, peer->gen);
        if (error == -EPROTO && !left)
            stat_add(s, STAT_PROTOCOL_ERRORS, 1);
        link->attach = NULL;
        link_free(link);
        if (left)
            return;
        if (error == -EEXIST || error == -EPROTO || error == -EBADMSG) {
            if (!again)
                reject(s, attach, slot, peer, resume, error);
        } else if (!link_error_passes(error) && !endpoint_connector_lives(&attach->endpoint, slot))
            clear_place(s, attach, slot, peer);
        else
            attach->look_again = true; /* out of memory or descriptors: what a dead one sent is kept, too */
        return;
    }
    attach->links[slot] = link;
    answer(attach, slot, peer, ANSWER_LINKED, link->record_block->offset, UINT64_MAX, s);
    link_notify(link);
    if (!endpoint_connector_lives(&attach->endpoint, slot))
        link_gone(link, true);
}

static void sync_bound(struct shm_socket *s, struct attach *attach)
{
    uint32_t high = endpoint_high(&attach->endpoint);
    struct party peer;

    attach->look_again = true;
    if (make_places(attach, high) < 0)
        return;
    attach->look_again = attach->endpoint.is_short;
    for (uint32_t slot = 0; slot < high; slot++) {
        struct link *link = attach->links[slot];
        bool present = endpoint_connector(&attach->endpoint, slot, &peer) == 1;
        if (link != NULL && (!present || peer.gen != link->party.gen)) {
            if (link->state == LINK_UP && !can_go(link))
                continue;
            link_gone(link, true); /* by death, unless its record says that it left */
            link->attach = NULL;
            attach->links[slot] = link = NULL;
        }
        if (link == NULL && present)
            accept_peer(s, attach, slot, &peer);
        else if (link != NULL && link->state == LINK_UP)
            look_at(s, link);
    }
    forget_superseded(s, attach);
}

/* ---- the connector's side ---- */

/* A binder that left says how far it had read, though we may never have seen it. */
static void note_resume(struct link *link, uint64_t resume)
{
    struct ring_out *ring = &link->own_ring;
    if (link->out != ring || ring->kind != RING_EXCLUSIVE || resume == UINT64_MAX || resume <= ring->acked ||
        resume > ring->head)
        return;
    ring->acked = resume;
    store_relaxed(&link->record->start, resume);
}

static void sync_connected(struct shm_socket *s, struct attach *attach)
{
    struct link *link = attach->links[0];
    struct party binder;
    struct answer said;
    /* The answer first: then a binder that differs from the one who answered came after it. */
    bool answered = endpoint_answer_read(&attach->endpoint, attach->endpoint.slot, &said) == 1 &&
                    said.peer_gen == attach->gen;
    bool bound = endpoint_binder(&attach->endpoint, &binder) == 1;

    if (attach->untold)
        attach->untold = bound && !notify_party(s, binder.id_hex);
    attach->look_again = attach->untold;
    if (link->state == LINK_UP && (!bound || binder.gen != link->party.gen)) {
        if (!can_go(link))
            return;
        link_gone(link, true);
    }
    if (link->state == LINK_UP && answered && said.verdict != ANSWER_LINKED && said.binder_gen == link->party.gen)
        link_turn_away(link); /* with a key: it found out only after it had answered */
    if (link->state == LINK_UP) {
        look_at(s, link);
        return;
    }
    /* If it has answered before it went, it is gone on with from where we are, not read anew. */
    bool by_early = answered && said.verdict == ANSWER_LINKED && said.binder_gen == link->party.gen;
    if (link->early && !by_early && (!bound || binder.gen != link->party.gen)) {
        if (!can_go(link))
            return;
        link_early_end(link, true);
    }
    if (answered && said.verdict == ANSWER_LINKED && said.binder_gen == link->answered)
        note_resume(link, said.resume);
    if (!answered || (said.verdict == ANSWER_LINKED && said.binder_gen == link->answered)) {
        if (bound && binder.gen != link->answered && !link->early && endpoint_binder_lives(&attach->endpoint))
            link_early(link, &binder);
        return;
    }
    if (link->early && (s->in.link == link || link->in.owed != 0)) { /* a message is being read: once that is done */
        store_relaxed(&s->bell.page->attention, 1);
        return;
    }
    if (said.verdict != ANSWER_LINKED) {
        struct link unlinked = {.party = binder, .attach = attach};
        if (link->rejected != said.gen && said.verdict != ANSWER_UNTRUSTED)
            event_push(s, SHM_EVENT_REJECTED, &unlinked, NULL, 0);
        else if (link->rejected != said.gen && link->refused != said.binder_gen) {
            link->refused = said.binder_gen;
            trust_report(s, &unlinked);
        }
        link->rejected = said.gen;
        return;
    }
    struct peer *early = link_early_end(link, false);
    /* The answer counts also when the binder has gone since: it may have sent before that. */
    bool there = bound && binder.gen == said.binder_gen;
    struct party next = binder; /* who may be waiting for us to look at this one's answer */
    if (!there) {
        binder = (struct party){.gen = said.binder_gen};
        memcpy(binder.id, said.binder_id, sizeof binder.id);
        segment_id_hex(binder.id_hex, binder.id);
    }
    link->broken = false;
    int error = link_up(link, &binder, said.link_offset, 0);
    if (early != NULL)
        early->remote->is_needed = link_error_passes(error);
    peer_unlink(early);
    if ((error == -EPROTO || error == -EBADMSG) && !binder_stays(attach, said.binder_gen))
        error = -ENOENT;
    else if (error == -ENOENT && there && endpoint_binder_lives(&attach->endpoint))
        error = -EAGAIN; /* it is there, so this passes */
    if (!link_error_passes(error)) {
        link->answered = said.binder_gen;
        note_resume(link, said.resume); /* not before: what it read may be freed now, but for its views */
    }
    if (error == -EBADMSG) { /* the binder will find the same, by our proof */
        link->refused = said.binder_gen;
        trust_report(s, link);
        notify_party(s, binder.id_hex);
    }
    if (error == -EPROTO) {
        stat_add(s, STAT_PROTOCOL_ERRORS, 1);
        event_push(s, SHM_EVENT_BROKEN, link, NULL, 0);
    }
    if (error < 0 && link->answered == said.binder_gen) {
        store_release(&link->record->last_linked, link_token(said.binder_id, said.link_offset));
        if (error != -EEXIST) { /* else the next binder asks how far that one had read */
            endpoint_done(&attach->endpoint, said.binder_gen);
            forget_binder(s, attach->endpoint.file, said.binder_id);
        }
    }
    if (bound && !there && link->answered == said.binder_gen)
        attach->untold = !notify_party(s, next.id_hex);
    attach->look_again = attach->untold || (error < 0 && link->answered != said.binder_gen); /* out of memory or descriptors */
    if (error < 0)
        return;
    link_notify(link);
    if ((!there || !endpoint_binder_lives(&attach->endpoint)) && can_go(link))
        link_gone(link, true);
}

/* ---- looking ---- */

static void leave_handed(struct shm_socket *s);

static void sync_all(struct shm_socket *s)
{
    for (struct attach *attach = s->attaches; attach != NULL; attach = attach->next) {
        if (attach->bound)
            sync_bound(s, attach);
        else
            sync_connected(s, attach);
    }
    socket_free_links(s);
    leave_handed(s);
}

void socket_sync(struct shm_socket *s)
{
    quick_forget(s);
    store_relaxed(&s->bell.page->attention, 0); /* the fence orders it */
    fence_seq_cst();
    uint32_t before = s->link_count;
    sync_all(s);
    if (s->link_count != before)
        sync_all(s); /* a place that became free may be another's turn (PAIR) */
    socket_adopt(s);
}

/* Has the peer died, as far as the kernel knows? */
bool link_is_dead(struct link *link)
{
    struct attach *attach = link->attach;
    if (link->state == LINK_UP && attach != NULL)
        return attach->bound ? !endpoint_connector_lives(&attach->endpoint, link->slot)
                             : !endpoint_binder_lives(&attach->endpoint);
    return link->peer != NULL && !segment_is_alive(directory_fd(link->socket->directory), link->party.id_hex);
}

/* Has the binder whose ring is read early answered? */
static bool is_answered(struct link *link)
{
    struct attach *attach = link->attach;
    struct answer said;
    return endpoint_answer_read(&attach->endpoint, attach->endpoint.slot, &said) == 1 &&
           said.peer_gen == attach->gen && said.verdict == ANSWER_LINKED && said.binder_gen == link->party.gen;
}

void socket_check_peers(struct shm_socket *s)
{
    bool died = false;

    s->checked_at = cpu_ticks();
    for (uint32_t i = s->link_count; i-- > 0;) {
        if (i >= s->link_count)
            continue;
        struct link *link = s->links[i];
        if (link->died || link->peer == NULL || !link_is_dead(link))
            continue;
        if (link->state == LINK_UP) {
            if (can_go(link))
                link_gone(link, true);
        } else if (!link->early)
            link->died = true;
        else if (!is_answered(link) && can_go(link)) /* else the answer is looked at below */
            link_early_end(link, true);
        died = true;
    }
    socket_adopt(s);
    for (struct attach *attach = s->attaches; attach != NULL; attach = attach->next)
        died = died || attach->look_again; /* or was it that one that died? */
    if (died) {
        /* Other pullers take over what the dead one had in hand. */
        for (uint32_t i = 0; s->type == SHM_PUSH && i < s->link_count; i++)
            link_notify(s->links[i]);
        sync_all(s);
    }
    socket_free_links(s);
    leave_handed(s);
}

/* ---- coming ---- */

static struct attach *find(struct shm_socket *s, const char *name, bool bound)
{
    for (struct attach *attach = s->attaches; attach != NULL; attach = attach->next)
        if (attach->bound == bound && strcmp(attach->endpoint.name, name) == 0)
            return attach;
    return NULL;
}

static void free_attach(struct attach *attach)
{
    free(attach->links);
    free(attach->rejected);
    free(attach);
}

/* The binder before us died: what its connectors are, and which of them died as well. */
static void clear_dead_connectors(struct shm_socket *s, struct attach *attach)
{
    struct party peer;
    for (uint32_t slot = 0; slot < endpoint_high(&attach->endpoint); slot++) {
        if (endpoint_connector(&attach->endpoint, slot, &peer) != 1 ||
            endpoint_connector_lives(&attach->endpoint, slot))
            continue;
        clear_place(s, attach, slot, &peer);
    }
}

static int bind_attach(struct shm_socket *s, struct attach *attach, const char *name)
{
    int error = endpoint_bind(&attach->endpoint, s->directory, name);
    if (error < 0)
        return error;
    error = make_places(attach, 16);
    if (error < 0) {
        endpoint_leave(&attach->endpoint, true);
        return error;
    }
    struct party before;
    bool had_one = endpoint_binder(&attach->endpoint, &before) == 1;
    clear_dead_connectors(s, attach);
    endpoint_announce(&attach->endpoint, s->segment.header->id, (uint32_t)s->type, 0);
    attach->gen = endpoint_gen(&attach->endpoint);
    attach->next = s->attaches;
    s->attaches = attach;
    event_push(s, SHM_EVENT_BOUND, NULL, name, 0);
    sync_bound(s, attach);
    if (had_one) /* unless a connector has still to look at what it left */
        remote_unnamed(s->directory, attach->endpoint.file, ANY_PLACE, before.id_hex);
    return 0;
}

static int connect_attach(struct shm_socket *s, struct attach *attach, const char *name)
{
    struct link *link;
    struct party binder;

    int error = endpoint_connect(&attach->endpoint, s->directory, name);
    if (error < 0)
        return error;
    attach->links = calloc(1, sizeof(struct link *));
    error = attach->links == NULL ? -ENOMEM : link_new(&link, s, attach, 0, -1);
    if (error < 0) {
        endpoint_leave(&attach->endpoint, true);
        return error;
    }
    attach->links[0] = link;
    link->slot = attach->endpoint.slot;
    attach->next = s->attaches;
    s->attaches = attach;
    endpoint_announce(&attach->endpoint, s->segment.header->id, (uint32_t)s->type, link->record_block->offset);
    attach->gen = endpoint_gen(&attach->endpoint);
    attach->untold = endpoint_binder(&attach->endpoint, &binder) && !notify_party(s, binder.id_hex);
    sync_connected(s, attach);
    return 0;
}

int socket_attach(struct shm_socket *s, const char *name, bool bind)
{
    return find(s, name, bind) == NULL ? socket_attach_to(s, name, bind, "") : bind ? -EADDRINUSE : 0;
}

int socket_attach_to(struct shm_socket *s, const char *name, bool bind, const char *only)
{
    if (!bind && s->type == SHM_PAIR && has_partner(s))
        return -EISCONN;
    struct attach *attach = calloc(1, sizeof *attach);
    if (attach == NULL)
        return -ENOMEM;
    attach->bound = bind;
    snprintf(attach->handed_to, sizeof attach->handed_to, "%s", only);
    shared_u32 *attached = &s->segment.header->attached; /* before a name leads here; and some may stay when we leave */
    uint32_t before = load_relaxed(attached);
    if (before < 2)
        store_relaxed(attached, before + 1);
    int error = bind ? bind_attach(s, attach, name) : connect_attach(s, attach, name);
    if (error < 0) {
        store_relaxed(attached, before);
        free_attach(attach);
        return error;
    }
    snprintf(s->last_endpoint, sizeof s->last_endpoint, "shm://%s", name);
    if (s->fd >= 0)
        socket_fd_watch(s);
    return 0;
}

int socket_open_shared_out(struct shm_socket *s, uint32_t kind)
{
    if (s->has_shared_out)
        return 0;
    int error = ring_out_open(&s->shared_out, &s->arena, kind, mark_of(s->options.send_hwm), s->options.lock_memory);
    if (error < 0)
        return error;
    s->shared_out.retired = &s->limbo;
    if (kind == RING_SHARED) {
        struct claims *claims = calloc(1, sizeof *claims);
        error = claims == NULL ? -ENOMEM
                               : claims_new(claims, directory_fd(s->directory), s->segment.id_hex,
                                            s->shared_out.mask + 1);
        if (error < 0) {
            free(claims);
            ring_out_close(&s->shared_out);
            return error;
        }
        s->shared_out.claims = claims;
    } else {
        s->shared_out.header->newest_only = s->options.conflate != 0;
    }
    store_release(&s->segment.header->ring_offset, ring_out_offset(&s->shared_out));
    s->has_shared_out = true;
    return 0;
}

/* ---- leaving ---- */

static bool has_unread(struct link *link)
{
    if (link->out == NULL)
        return false;
    if (link->out->kind == RING_EXCLUSIVE) {
        link_look_at_tail(link);
        return link->out->head > link->out->acked;
    }
    return link->out->head > 0;
}

/* Say in the own record that no more will come. */
static void say_end(struct link *link)
{
    if (link->record == NULL)
        return;
    store_relaxed(&link->record->end, link->out != NULL ? link->out->head : 0);
    store_release(&link->record->left, 1);
}

static void leave_link(struct link *link)
{
    struct shm_socket *s = link->socket;
    quick_forget(s);
    if (s->in.link == link)
        in_leave(s);
    say_end(link);
    if (link->state == LINK_UP) {
        if (link->trusted)
            stat_add(s, STAT_PEERS, (uint64_t)-1);
        if (s->pattern->link_gone != NULL && link->trusted)
            s->pattern->link_gone(s, link);
        link->state = LINK_LEAVING;
    } else if (link->state == LINK_QUEUED) {
        link->state = LINK_LEAVING;
    }
    peer_unlink(link_early_end(link, false)); /* LEAVING with a peer means that it knows us */
    link->has_in = false;
    trust_leave(link);
    if (s->out.active && s->out.link == link) {
        out_cancel(s);
        s->out.active = s->out.discard = true;
        s->out.link = NULL;
    }
}

static void leave_bound(struct shm_socket *s, struct attach *attach)
{
    struct party peer;
    for (uint32_t slot = 0; slot < attach->capacity; slot++) {
        struct link *link = attach->links[slot];
        if (link == NULL)
            continue;
        if (s->in.link == link)
            in_leave(s); /* before it is said how far that is */
        if (link->state == LINK_UP && endpoint_connector(&attach->endpoint, slot, &peer)) {
            struct answer words;
            if (endpoint_answer_read(&attach->endpoint, slot, &words)) {
                words.resume = load_relaxed(&link->record->tail);
                endpoint_answer_write(&attach->endpoint, slot, &words);
            }
        }
        /* A connector goes on with the next binder and reads the rest of this one's ring beside it,
         * without saying how far it is. */
        link->sticky = has_unread(link);
        leave_link(link);
        link->attach = NULL;
    }
    endpoint_leave(&attach->endpoint, true);
}

static bool is_binder(const struct endpoint *endpoint, const uint8_t *id)
{
    struct party now;
    return endpoint_binder_lives(endpoint) && endpoint_binder(endpoint, &now) && memcmp(now.id, id, sizeof now.id) == 0;
}

static void leave_connected(struct shm_socket *s, struct attach *attach)
{
    struct link *link = attach->links[0];
    struct party binder;
    bool queued = link->state == LINK_QUEUED;
    bool binder_lives = endpoint_binder(&attach->endpoint, &binder) && endpoint_binder_lives(&attach->endpoint);
    /* Messages that the binder has not even seen: it reads them like those of one that died. */
    bool inherits = queued && binder_lives && has_unread(link) && !trust_pending(link) &&
                    link->refused != binder.gen && s->pattern->ring_kind(s, -1) != RING_PRIVATE;

    if (queued && !inherits && link->out == &link->own_ring)
        stat_add(s, STAT_DROPPED, link->own_ring.head - link->own_ring.acked);
    leave_link(link);
    link->attach = NULL;
    if (!inherits)
        endpoint_retract(&attach->endpoint);
    struct answer said; /* by one who has gone, and left its files to us */
    bool orphans = !inherits && endpoint_answer_read(&attach->endpoint, attach->endpoint.slot, &said) &&
                   !is_binder(&attach->endpoint, said.binder_id);
    endpoint_leave(&attach->endpoint, !inherits);
    if (orphans)
        forget_binder(s, attach->endpoint.file, said.binder_id);
    if (binder_lives)
        notify_party(s, binder.id_hex);
    /* It may have linked to us, and we could not look: then it reads, and may have views. */
    link->own_ring.stays = link->own_ring.stays || queued;
    bool viewed = binder_lives && link->own_ring.kind == RING_PRIVATE && link->own_ring.in_flight != NULL;
    if (queued && !inherits && !viewed)
        link_free(link);
}

static void leave(struct shm_socket *s, struct attach *attach)
{
    if (attach->bound)
        leave_bound(s, attach);
    else
        leave_connected(s, attach);
    for (uint32_t i = 0; i < s->link_count; i++)
        if (s->links[i]->attach == attach)
            s->links[i]->attach = NULL;
    for (uint32_t i = 0; i < s->link_count; i++)
        if (s->links[i]->state == LINK_LEAVING)
            link_notify(s->links[i]);
    socket_free_links(s);
    free_attach(attach);
}

int socket_detach(struct shm_socket *s, const char *name, bool bound)
{
    for (struct attach **at = &s->attaches; *at != NULL; at = &(*at)->next) {
        struct attach *attach = *at;
        bool either = attach->handed_to[0] != '\0'; /* who bound there was not the caller's choice */
        if ((attach->bound != bound && !either) || strcmp(attach->endpoint.name, name) != 0)
            continue;
        *at = attach->next;
        leave(s, attach);
        notify_bell(&s->bell); /* our place or a name may be free for one who was turned away elsewhere */
        return 0;
    }
    return -ENOENT;
}

/* An answer that came after the last look: its binder may have sent, too, before it died. */
static bool has_news(struct attach *attach)
{
    struct answer said;
    return endpoint_answer_read(&attach->endpoint, attach->endpoint.slot, &said) == 1 &&
           said.peer_gen == attach->gen && said.verdict == ANSWER_LINKED && said.binder_gen != attach->links[0]->answered;
}

/* Is there a link to this one that has no place any more? What it sent may lie in memory that has yet to be mapped. */
static bool has_rest_of(const struct shm_socket *s, const char *id_hex)
{
    for (uint32_t i = 0; i < s->link_count; i++)
        if (s->links[i]->attach == NULL && strcmp(s->links[i]->party.id_hex, id_hex) == 0)
            return true;
    return false;
}

/* One that was handed over, when the other side has gone: no other ever comes. */
static bool has_done(struct shm_socket *s, struct attach *attach)
{
    const struct link *link = attach->links[0];
    if (attach->handed_to[0] == '\0')
        return false;
    attach->met = attach->met || (link != NULL && link->state == LINK_UP);
    if (link != NULL && (attach->bound || link->state != LINK_QUEUED || link->early || s->in.link == link))
        return false;
    if (has_rest_of(s, attach->handed_to))
        return false;
    if (attach->met)
        return true;
    /* It was there when it was handed over; it may have died since, or given up. */
    if (attach->bound)
        return !attach->look_again && endpoint_is_empty(&attach->endpoint); /* or not all of it could be looked at */
    return !endpoint_binder_lives(&attach->endpoint) && !has_news(attach);
}

static void leave_handed(struct shm_socket *s)
{
    for (struct attach *attach = s->attaches, *next; attach != NULL; attach = next) {
        char name[ENDPOINT_NAME_MAX + 1], id_hex[2 * SEGMENT_ID_SIZE + 1];
        next = attach->next;
        if (!has_done(s, attach)) {
            attach->look_again = attach->look_again || (attach->handed_to[0] != '\0' && !attach->met); /* it may die first */
            continue;
        }
        memcpy(name, attach->endpoint.name, sizeof name);
        memcpy(id_hex, attach->handed_to, sizeof id_hex);
        socket_detach(s, name, attach->bound);
        handover_forget(s, id_hex);
    }
}

/* May the files go with us? Not while a peer that was promised messages has not mapped them. */
static bool is_awaited(struct shm_socket *s)
{
    for (uint32_t i = 0; i < s->link_count; i++) {
        struct link *link = s->links[i];
        if (link->state != LINK_LEAVING || !has_unread(link))
            continue;
        if (link->peer == NULL)
            return true;
        if (!link->died && link_is_awaited(link) &&
            segment_is_alive(directory_fd(s->directory), link->party.id_hex))
            return true;
    }
    return false;
}

bool socket_leave_all(struct shm_socket *s)
{
    while (s->attaches != NULL) {
        struct attach *attach = s->attaches;
        s->attaches = attach->next;
        leave(s, attach);
    }
    return is_awaited(s);
}
