/* SPDX-License-Identifier: MIT */
#include "actor.h"

#include <time.h>

unsigned kills(unsigned count)
{
    const char *text = getenv("SHMQ_TEST_KILLS");
    unsigned factor = text ? (unsigned)strtoul(text, NULL, 10) : 1;

    return count * (factor ? factor : 1);
}

void rest_us(unsigned us)
{
    struct timespec rest = {us / 1000000, (long)(us % 1000000) * 1000};

    nanosleep(&rest, NULL);
}

bool actor_lacks_memory(struct actor *actor)
{
    if (actor->turned_away == NULL || errno != ENOSPC)
        return false;
    ++*actor->turned_away;
    rest_us(200);
    return true;
}

void policy_set(const struct policy *policy, const struct end *end)
{
    bool left = end->is_left, conflates = policy->conflate != CONFLATE_NONE;
    bool publishes = end->type == SHM_PUB || end->type == SHM_XPUB;

    if (policy->key != KEY_NONE)
        CHECK_OK(socket_set_key(end->socket, policy->key == KEY_SEALED));
    if (publishes && !policy->lossy && !conflates)
        set_int(end->socket, SHM_LOSSLESS, 1);
    if (conflates && end->type != SHM_ROUTER && (left || end->type == SHM_DEALER || policy->conflate == CONFLATE_BOTH))
        set_int(end->socket, SHM_CONFLATE, 1);
    if (left && policy->round_robin)
        set_int(end->socket, SHM_ROUND_ROBIN, 1);
    if (left && policy->resend)
        set_int(end->socket, SHM_REQ_RESEND, 1);
    if (!left && policy->history)
        set_int(end->socket, SHM_HISTORY, policy->history);
    if (end->type == SHM_PULL && policy->once)
        set_int(end->socket, SHM_REDELIVER, 0);
}

/* ---- Sending ---- */

static size_t cut(const struct actor *actor, size_t size, unsigned part)
{
    return actor->cuts ? actor->cuts[part] : size * part / actor->policy.parts;
}

static ssize_t send_loan(struct end *end, const void *bytes, size_t size, int flags)
{
    shm_msg_t msg;
    ssize_t sent;

    if (end_send_envelope(end, flags & ~SHM_SNDMORE) < 0 || shm_msg_loan(&msg, end->socket, size) < 0)
        return -1;
    memcpy(shm_msg_data(&msg), bytes, size);
    sent = end_msg_send(end, &msg, flags);
    if (sent < 0) {
        int error = errno;

        CHECK_OK(shm_msg_close(&msg));
        errno = error;
    }
    return sent;
}

ssize_t actor_send_parts(struct actor *actor, const void *bytes, size_t size, unsigned end, int flags)
{
    unsigned parts = actor->policy.parts;

    for (; actor->part < end; actor->part++) {
        size_t from = cut(actor, size, actor->part), length = cut(actor, size, actor->part + 1) - from;
        int more = actor->part + 1 < parts ? flags | SHM_SNDMORE : flags;
        const char *at = (const char *)bytes + from;
        ssize_t sent =
            actor->policy.loans ? send_loan(&actor->end, at, length, more) : end_send(&actor->end, at, length, more);
        if (sent < 0)
            return -1;
    }
    if (actor->part == parts)
        actor->part = 0;
    return (ssize_t)size;
}

ssize_t actor_send(struct actor *actor, const void *bytes, size_t size, int flags)
{
    return actor_send_parts(actor, bytes, size, actor->policy.parts, flags);
}

/* A PAIR is told of a peer that has gone. */
static bool may_fail(struct actor *actor)
{
    return errno == EAGAIN || (errno == EPIPE && actor->end.type == SHM_PAIR) || actor_lacks_memory(actor);
}

bool actor_send_logged(struct actor *actor, uint64_t number, size_t size, int flags)
{
    static unsigned char bytes[MESSAGE_ROOM];

    if (actor->called != number) {
        history_message_make(bytes, size, actor->number, number);
        history_log(actor->history, actor->number, HISTORY_CALL, actor->number, number);
        actor->called = number;
    }
    if (actor_send(actor, bytes, size, flags) == (ssize_t)size) {
        history_log(actor->history, actor->number, HISTORY_RETURN, actor->number, number);
        return true;
    }
    if (errno != EHOSTUNREACH && !may_fail(actor))
        FAIL("send: %s", shm_strerror(errno));
    return false;
}

void actor_answer(struct actor *actor, const void *bytes, size_t size, bool in_parts)
{
    while ((in_parts ? actor_send(actor, bytes, size, SHM_DONTWAIT)
                     : end_send(&actor->end, bytes, size, SHM_DONTWAIT)) < 0) {
        if (errno == EHOSTUNREACH || errno == EAGAIN)
            break;
        if (!actor_lacks_memory(actor))
            FAIL("answer: %s", shm_strerror(errno));
    }
    actor->end.envelope_sent = false;
}

/* ---- Receiving ---- */

ssize_t actor_recv_rest(struct actor *actor, shm_msg_t *view, void *buffer, size_t got, size_t room, int flags,
                        bool *again)
{
    shm_socket_t *socket = actor->end.socket;
    char *at = buffer;

    for (unsigned part = actor->taken;; part++) {
        CHECK(got <= room);
        if (actor->cuts)
            CHECK_INT(got, actor->cuts[part + 1] - actor->cuts[part]);
        if (view)
            memcpy(at, shm_msg_data(view), got);
        *again = *again || (view ? shm_msg_redelivered(view) : actor->is_again && actor->is_again(socket));
        at += got;
        room -= got;
        if (!get_int(socket, SHM_RCVMORE)) {
            CHECK_INT(part + 1, actor->policy.parts);
            actor->taken = 0;
            return at - (char *)buffer;
        }
        got = (size_t)CHECK_OK(view ? shm_msg_recv(view, socket, flags) : shm_recv(socket, at, room, flags));
    }
}

ssize_t actor_recv(struct actor *actor, shm_msg_t *msg, void *buffer, size_t room, int flags, bool *again)
{
    bool views = actor->policy.views;
    ssize_t n;

    CHECK_OK(shm_msg_init(msg));
    *again = false;
    n = views ? end_msg_recv(&actor->end, msg, flags) : end_recv(&actor->end, buffer, room, flags);
    return n < 0 ? -1 : actor_recv_rest(actor, views ? msg : NULL, buffer, (size_t)n, room, flags, again);
}

bool actor_recv_logged(struct actor *actor, int flags)
{
    static unsigned char bytes[MESSAGE_ROOM];
    bool again;
    ssize_t n = actor_recv(actor, actor_place(actor), bytes, sizeof bytes, flags, &again);

    if (n >= 0) {
        history_log_message(actor->history, actor->number, bytes, (size_t)n, again);
        actor->got = bytes;
        actor->got_size = (size_t)n;
        history_message_read(bytes, (size_t)n, &actor->got_sender, &actor->got_number);
    } else if (!may_fail(actor)) {
        FAIL("receive: %s", shm_strerror(errno));
    }
    actor_keep(actor, n >= 0);
    return n >= 0;
}

void actor_drop_wishes(struct actor *actor)
{
    char wish[64];

    while (actor->end.type == SHM_XPUB && shm_recv(actor->end.socket, wish, sizeof wish, SHM_DONTWAIT) >= 0)
        ;
}

void actor_drop_events(struct actor *actor)
{
    shm_event_t event;

    while (shm_event_recv(actor->end.socket, &event, SHM_DONTWAIT) == 0)
        ;
}

/* ---- Views that are held: unchanged until closed, whoever dies and however far the senders run ahead ---- */

static uint64_t sum_of(shm_msg_t *msg)
{
    return history_sum(shm_msg_size(msg), shm_msg_data(msg), shm_msg_size(msg));
}

static bool close_held(struct held *held)
{
    if (!held->is_open)
        return false;
    if (sum_of(&held->msg) != held->sum)
        FAIL("a view of %zu bytes was not what it had been", shm_msg_size(&held->msg));
    CHECK_OK(shm_msg_close(&held->msg));
    held->is_open = false;
    return true;
}

shm_msg_t *actor_place(struct actor *actor)
{
    struct held *held = &actor->held[actor->held_next];

    close_held(held);
    return &held->msg;
}

/* Nothing came: perhaps because the views in hand are all that there may be. */
void actor_keep(struct actor *actor, bool came)
{
    struct held *held = &actor->held[actor->held_next];

    if (came && actor->policy.holds) {
        held->is_open = true;
        held->sum = sum_of(&held->msg);
    } else {
        CHECK_OK(shm_msg_close(&held->msg));
    }
    actor->held_next = (actor->held_next + 1) % HELD_MAX;
}

unsigned actor_let_go(struct actor *actor)
{
    unsigned count = 0;

    for (unsigned i = 0; i < HELD_MAX; i++)
        count += close_held(&actor->held[i]);
    return count;
}
