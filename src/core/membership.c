/* SPDX-License-Identifier: MIT */
/*
 * A socket's memberships of endpoints, and how it follows the members that come and go there.
 *
 * A process that changes an endpoint sets `changed` in the bells of the members concerned; their next call compares the
 * endpoint's table with their pipes (membership_sync). Deaths do not announce themselves: membership_check() asks the
 * kernel about the life locks whenever a sleep lasts a whole slice, while spinning, and now and then while polling.
 */
#include "core/membership.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/waitable.h"
#include "core/peer.h"
#include "core/pipe.h"
#include "core/rx.h"

void membership_forget_binder(struct shm_socket *s, const char *file, const uint8_t *id)
{
    char id_hex[2 * SEGMENT_ID_SIZE + 1];
    if (memcmp(id, s->segment.header->id, SEGMENT_ID_SIZE) == 0)
        return;
    segment_id_hex(id_hex, id);
    remote_unnamed(s->store, file, ANY_PLACE, id_hex);
}

bool membership_has_partner(const struct shm_socket *s)
{
    for (uint32_t i = 0; i < s->pipes.count; i++)
        if (!pipe_is_ending(s->pipes.list[i]))
            return true;
    return false;
}

bool membership_can_go(struct pipe *pipe)
{
    struct membership *membership = pipe->membership;
    if (membership == NULL)
        return true;
    bool can = (pipe->faulty || pipe->has_in || !error_passes(pipe_renew(pipe))) &&
               (membership->bound || pipe_reserve(pipe) == 0);
    membership->look_again = membership->look_again || !can;
    return can;
}

/* ---- joining ---- */

static struct membership *find(struct shm_socket *s, const char *name, bool bound)
{
    for (struct membership *membership = s->memberships; membership != NULL; membership = membership->next)
        if (membership->bound == bound && strcmp(membership->endpoint.name, name) == 0)
            return membership;
    return NULL;
}

static void membership_free(struct membership *membership)
{
    free(membership->pipes);
    free(membership->rejected);
    free(membership);
}

int membership_join(struct shm_socket *s, const char *name, bool bind)
{
    return find(s, name, bind) == NULL ? membership_join_at(s, name, bind, "") : bind ? -EADDRINUSE : 0;
}

int membership_join_at(struct shm_socket *s, const char *name, bool bind, const char *only)
{
    if (!bind && s->kind->one_peer && membership_has_partner(s))
        return -EISCONN;
    struct membership *membership = calloc(1, sizeof *membership);
    if (membership == NULL)
        return -ENOMEM;
    membership->bound = bind;
    snprintf(membership->handed_to, sizeof membership->handed_to, "%s", only);
    shared_u32 *attached = &s->segment.header->attached; /* raised before a name leads here; leaving may leave names */
    uint32_t before = load_relaxed(attached);
    if (before < 2)
        store_relaxed(attached, before + 1);
    int error = bind ? membership_join_bound(s, membership, name) : membership_join_connected(s, membership, name);
    if (error < 0) {
        store_relaxed(attached, before);
        membership_free(membership);
        return error;
    }
    snprintf(s->identity.last_endpoint, sizeof s->identity.last_endpoint, "shm://%s", name);
    if (s->wait.descriptor.fd >= 0)
        descriptor_watch(&s->wait);
    return 0;
}

/* ---- leaving ---- */

static void leave(struct shm_socket *s, struct membership *membership)
{
    if (membership->bound)
        membership_leave_bound(s, membership);
    else
        membership_leave_connected(s, membership);
    for (uint32_t i = 0; i < s->pipes.count; i++)
        if (s->pipes.list[i]->membership == membership)
            s->pipes.list[i]->membership = NULL;
    for (uint32_t i = 0; i < s->pipes.count; i++)
        if (s->pipes.list[i]->state == PIPE_LEAVING)
            pipe_notify(s->pipes.list[i]);
    pipe_free_ended(s);
    membership_free(membership);
}

int membership_leave(struct shm_socket *s, const char *name, bool bound)
{
    for (struct membership **at = &s->memberships; *at != NULL; at = &(*at)->next) {
        struct membership *membership = *at;
        bool either = membership->handed_to[0] != '\0'; /* hand-over: the caller did not choose which side bound */
        if ((membership->bound != bound && !either) || strcmp(membership->endpoint.name, name) != 0)
            continue;
        *at = membership->next;
        leave(s, membership);
        peer_notify_bell(&s->bell); /* look again: a peer that another endpoint rejected may fit now */
        return 0;
    }
    return -ENOENT;
}

/* Must our files outlive us, because a peer has yet to map them to read its messages? */
static bool is_awaited(struct shm_socket *s)
{
    for (uint32_t i = 0; i < s->pipes.count; i++) {
        struct pipe *pipe = s->pipes.list[i];
        if (pipe->state != PIPE_LEAVING || !pipe_has_unread(pipe))
            continue;
        if (pipe->peer == NULL)
            return true;
        if (!pipe->died && pipe_is_awaited(pipe) &&
            segment_is_alive(s->store, pipe->member.id_hex))
            return true;
    }
    return false;
}

bool membership_leave_all(struct shm_socket *s)
{
    while (s->memberships != NULL) {
        struct membership *membership = s->memberships;
        s->memberships = membership->next;
        leave(s, membership);
    }
    return is_awaited(s);
}

/* ---- endpoints made by a hand-over (api_handover.c) ---- */

/* Is there an accept record that we have not acted on? Its binder may have sent messages before it died. */
static bool has_news(struct membership *membership)
{
    struct accepted said;
    return endpoint_accept_read(&membership->endpoint, membership->endpoint.slot, &said) == 1 &&
           said.peer_gen == membership->gen && said.verdict == VERDICT_ACCEPTED &&
           said.binder_gen != membership->pipes[0]->accepted_gen;
}

/* Is there a drain of this peer? Reading it may need files of the peer that are not mapped yet. */
static bool has_drain_of(const struct shm_socket *s, const char *id_hex)
{
    for (uint32_t i = 0; i < s->pipes.count; i++)
        if (s->pipes.list[i]->membership == NULL && strcmp(s->pipes.list[i]->member.id_hex, id_hex) == 0)
            return true;
    return false;
}

/* Is this a hand-over's endpoint whose other side has gone? Nobody else will ever come to it. */
static bool has_done(struct shm_socket *s, struct membership *membership)
{
    const struct pipe *pipe = membership->pipes[0];
    if (membership->handed_to[0] == '\0')
        return false;
    membership->met = membership->met || (pipe != NULL && pipe_has_met(pipe));
    if (pipe != NULL && (membership->bound || pipe->state != PIPE_QUEUED || s->rx.message.pipe == pipe))
        return false;
    if (has_drain_of(s, membership->handed_to))
        return false;
    if (membership->met)
        return true;
    /* We never met. The peer was alive at the hand-over, but may have died or given up since. */
    if (membership->bound)
        return !membership->look_again && endpoint_is_empty(&membership->endpoint); /* and all of it was seen */
    return !endpoint_binder_lives(&membership->endpoint) && !has_news(membership);
}

static void leave_handed(struct shm_socket *s)
{
    for (struct membership *membership = s->memberships, *next; membership != NULL; membership = next) {
        char name[ENDPOINT_NAME_MAX + 1], id_hex[2 * SEGMENT_ID_SIZE + 1];
        next = membership->next;
        if (!has_done(s, membership)) {
            if (membership->handed_to[0] != '\0' && !membership->met)
                membership->look_again = true; /* it may die unmet */
            continue;
        }
        memcpy(name, membership->endpoint.name, sizeof name);
        memcpy(id_hex, membership->handed_to, sizeof id_hex);
        membership_leave(s, name, membership->bound);
        peer_forget_files(s, id_hex);
    }
}

/* ---- looking ---- */

static void sync_all(struct shm_socket *s)
{
    pipe_act_on_notes(s);
    for (struct membership *membership = s->memberships; membership != NULL; membership = membership->next) {
        if (membership->bound)
            membership_sync_bound(s, membership);
        else
            membership_sync_connected(s, membership);
    }
    pipe_act_on_notes(s);
    pipe_free_ended(s);
    leave_handed(s);
}

void membership_sync(struct shm_socket *s)
{
    fast_forget(s);
    store_relaxed(&s->bell.page->changed, 0); /* the fence orders it */
    fence_seq_cst();
    uint32_t before = s->pipes.count;
    sync_all(s);
    if (s->pipes.count != before)
        sync_all(s); /* a pipe ended: a waiting connector may have its place (PAIR) */
    rx_adopt(s);
}

/* Has the binder whose ring we pre-read accepted us? */
static bool is_accepted(struct pipe *pipe)
{
    struct membership *membership = pipe->membership;
    struct accepted said;
    return endpoint_accept_read(&membership->endpoint, membership->endpoint.slot, &said) == 1 &&
           said.peer_gen == membership->gen && said.verdict == VERDICT_ACCEPTED && said.binder_gen == pipe->member.gen;
}

void membership_check(struct shm_socket *s)
{
    bool died = false;

    s->wait.checked_at = cpu_ticks();
    for (uint32_t i = s->pipes.count; i-- > 0;) {
        if (i >= s->pipes.count)
            continue;
        struct pipe *pipe = s->pipes.list[i];
        if (pipe->died || pipe->peer == NULL || !pipe_is_dead(pipe))
            continue;
        if (pipe_has_met(pipe)) {
            if (membership_can_go(pipe))
                pipe_gone(pipe, true);
        } else if (pipe->state != PIPE_PRE_ACCEPT) {
            pipe->died = true;
        } else if (!is_accepted(pipe) && membership_can_go(pipe)) { /* if accepted, sync_all() meets it below */
            pipe_pre_accept_end(pipe, true);
        }
        died = true;
    }
    rx_adopt(s);
    for (struct membership *membership = s->memberships; membership != NULL; membership = membership->next)
        died = died || membership->look_again; /* the peer that this waits for may be the one that died */
    if (died) {
        /* Wake the other pullers: they adopt the messages that the dead one had claimed. */
        for (uint32_t i = 0; s->tx.shared.claims != NULL && i < s->pipes.count; i++)
            pipe_notify(s->pipes.list[i]);
        sync_all(s);
    }
    pipe_free_ended(s);
    leave_handed(s);
}
