/* SPDX-License-Identifier: MIT */
#include "core/socket_wait.h"

#include "core/event.h"
#include "core/membership.h"
#include "core/peer.h"
#include "core/rx.h"
#include "core/tx.h"

#define DRAIN_NS      1500  /* between looks for room in a large ring: reading a quarter of it takes longer */
#define CHECK_BUSY_MS 500   /* like CHECK_MS, while messages keep moving */

static struct shm_socket *socket_of(struct waitable *w)
{
    return (struct shm_socket *)(void *)((char *)w - offsetof(struct shm_socket, wait));
}

/* ---- is it ready ---- */

short socket_events(struct shm_socket *s, short wanted)
{
    short events = 0;
    if ((wanted & SHM_POLLIN) && rx_is_ready(s))
        events |= SHM_POLLIN;
    if ((wanted & SHM_POLLOUT) && s->kind->send != NULL && (s->tx.message.active || s->kind->can_send(s)))
        events |= SHM_POLLOUT;
    if ((wanted & SHM_POLLPRI) && event_is_there(s))
        events |= SHM_POLLPRI;
    return events;
}

static short events_of(struct waitable *w, short wanted)
{
    return socket_events(socket_of(w), wanted);
}

static int ended(struct waitable *w)
{
    return atomic_load_explicit(&socket_of(w)->terminated, memory_order_relaxed) ? -ETERM : 0;
}

/* ---- its peers ---- */

static void look(struct waitable *w)
{
    membership_look(socket_of(w));
}

static void check(struct waitable *w)
{
    membership_check(socket_of(w));
}

/* For callers that never wait. While messages move the kernel is asked more rarely, since that is a system call. */
static void check_unless_busy(struct waitable *w)
{
    struct shm_socket *s = socket_of(w);
    uint64_t moved = load_relaxed(&s->stats[STAT_RECEIVED]) + load_relaxed(&s->stats[STAT_SENT]);
    if (!waitable_is_past(s->liveness.looked_at, CHECK_MS))
        return;
    bool busy = moved != s->liveness.looked_moved;
    s->liveness.looked_at = cpu_ticks();
    s->liveness.looked_moved = moved;
    if (!busy || waitable_is_past(w->checked_at, CHECK_BUSY_MS))
        membership_check(s);
}

void socket_sent_many(struct shm_socket *s)
{
    look_acted(&s->tx.look);
    if (waitable_is_past(s->wait.checked_at, CHECK_BUSY_MS))
        membership_check(s);
}

void socket_received_many(struct shm_socket *s)
{
    look_acted(&s->rx.look);
    if (waitable_is_past(s->wait.checked_at, CHECK_BUSY_MS))
        membership_check(s);
    else if (s->kind->adopts)
        rx_adopt(s); /* asks the kernel only about pullers that have claims */
}

void socket_empty_poll(struct shm_socket *s)
{
    if (unlikely(s->wait.descriptor.fd >= 0))
        socket_fd_rearm(s);
    check_unless_busy(&s->wait);
}

/* ---- sleeping ---- */

/* P1: announce the sleep in our own bell, and set has_waiters at the peers whose shared ring we read. */
static uint32_t announce(struct waitable *w, uint32_t how)
{
    struct shm_socket *s = socket_of(w);
    bool said = false;
    if (s->pipes.count != 1)
        how &= ~BELL_TAKES; /* woken for one ring, it may take from another */
    bell_announce(&s->bell, how);
    for (uint32_t i = 0; i < s->pipes.count; i++) {
        struct pipe *pipe = s->pipes.list[i];
        if (pipe_has_met(pipe) && pipe->has_in && pipe->in.kind != RING_SPSC) {
            store_relaxed(&pipe->peer->bell.page->has_waiters, 1); /* between two fences */
            said = true;
        }
    }
    if (said)
        fence_seq_cst();
    return how;
}

int socket_wait(struct shm_socket *s, short events, uint64_t deadline_ns)
{
    bool drains = s->tx.blocked && (s->options.send_hwm == 0 || s->options.send_hwm >= RING_LARGE);
    s->wait.apart_ns = drains ? DRAIN_NS : BURST_NS;
    return waitable_wait(&s->wait, events, deadline_ns);
}

/* ---- the descriptor ---- */

static const char *watched(struct waitable *w, unsigned i)
{
    const struct membership *membership = socket_of(w)->memberships;
    for (; membership != NULL && i > 0; i--)
        membership = membership->next;
    return membership != NULL ? membership->endpoint.file : NULL;
}

void socket_fd_rearm(struct shm_socket *s)
{
    descriptor_rearm(&s->wait, s->tx.refused ? SHM_POLLIN | SHM_POLLOUT : SHM_POLLIN);
    /* Room is told once: the caller may have given that message up. If it came just now, its ring has told. */
    if (s->tx.refused && (socket_events(s, SHM_POLLOUT) & SHM_POLLOUT))
        s->tx.refused = false;
}

const struct waitable_ops socket_waitable = {
    .events = events_of,
    .ended = ended,
    .look = look,
    .check = check,
    .idle = check_unless_busy,
    .announce = announce,
    .watched = watched,
};
