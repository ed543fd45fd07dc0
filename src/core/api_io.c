/* SPDX-License-Identifier: MIT */
/* shm_send(), shm_recv(). */
#include <string.h>

#include "core/api.h"
#include "core/fast_path.h"
#include "core/rx.h"
#include "core/tx.h"

/* There is room in the ring, but no memory until receivers release some: how soon to retry. */
#define MEMORY_RETRY_NS 500000

static int wait_to_send(struct shm_socket *s, uint64_t deadline_ns, bool *retried)
{
    bool room = s->kind->can_send(s);
    if (room && !*retried) {
        *retried = true; /* there is room now; if the retry fails, memory is short */
        return 0;
    }
    *retried = false;
    if (room) {
        uint64_t soon = clock_now_ns() + MEMORY_RETRY_NS;
        int error = socket_wait(s, 0, soon < deadline_ns ? soon : deadline_ns);
        return error == -EAGAIN && clock_now_ns() < deadline_ns ? 0 : error;
    }
    uint64_t slice_ns = clock_now_ns() + BELL_SLICE_NS;
    s->tx.blocked = true;
    int error = socket_wait(s, SHM_POLLOUT, slice_ns < deadline_ns ? slice_ns : deadline_ns);
    s->tx.blocked = false;
    /* After a whole slice any room is enough. */
    return error == -EAGAIN && (s->kind->can_send(s) || clock_now_ns() < deadline_ns) ? 0 : error;
}

/* Discard further parts of a message whose peer has gone. */
static inline int send_part(struct shm_socket *s, const struct part *part)
{
    bool swallowed = unlikely(s->tx.message.discard) && !s->kind->ends_discarding;
    return swallowed ? tx_discard(s, part) : s->kind->send(s, part);
}

static int send_waiting(struct shm_socket *s, const struct part *part, int flags, int error)
{
    bool wait = !(flags & SHM_DONTWAIT) && s->options.send_timeout != 0;
    uint64_t deadline_ns = wait ? clock_deadline_ns(s->options.send_timeout) : 0;
    bool retried = false;
    s->tx.refused = true;
    while (error == -EAGAIN && wait) {
        error = wait_to_send(s, deadline_ns, &retried);
        if (error < 0)
            return error;
        membership_look(s);
        if (api_is_terminated(s))
            return -ETERM;
        error = send_part(s, part); /* the peer of earlier parts may have gone while we waited */
    }
    if (error == -EAGAIN)
        socket_empty_poll(s);
    return error;
}

ssize_t api_send(struct shm_socket *s, const struct part *part, int flags)
{
    if (unlikely(s->kind->send == NULL)) {
        errno = ENOTSUP;
        return -1;
    }
    membership_look(s);
    int error = send_part(s, part);
    if (unlikely(error == -EAGAIN))
        error = send_waiting(s, part, flags, error);
    if (unlikely(error < 0)) {
        if (error == -EHOSTUNREACH)
            socket_empty_poll(s); /* a caller may retry until the peer is there */
        errno = -error;
        return -1;
    }
    s->tx.refused = false;
    if (look_is_due(&s->tx.look))
        socket_sent_many(s);
    if (likely(!s->tx.message.discard))
        stat_add(s, STAT_BYTES_SENT, part->size);
    return (ssize_t)part->size;
}

SHM_API ssize_t shm_send(shm_socket_t *s, const void *data, size_t size, int flags)
{
    if (likely(s != NULL && data != NULL && !(flags & ~SHM_DONTWAIT) && process_is_mine(s->mark) &&
               !api_is_terminated(s)) &&
        likely(s->kind->fast_send == NULL ? fast_send(s, data, size) : s->kind->fast_send(s, data, size)))
        return (ssize_t)size;
    if (unlikely((data == NULL && size > 0) || (flags & ~(SHM_DONTWAIT | SHM_SNDMORE)) != 0 ||
                 size > SSIZE_MAX)) {
        errno = EINVAL;
        return -1;
    }
    if (unlikely(api_usable(s) < 0))
        return -1;
    struct part part = {data != NULL ? data : "", size, NULL, (flags & SHM_SNDMORE) != 0, false};
    ssize_t result = api_send(s, &part, flags);
    fast_plan(s);
    return result;
}

/* ---- receiving ---- */

int api_receive(struct shm_socket *s, struct part *part, int flags)
{
    if (unlikely(s->kind->advance == NULL)) {
        errno = ENOTSUP;
        return -1;
    }
    membership_look(s);
    if (look_is_due(&s->rx.look))
        socket_received_many(s);
    int result = rx_part(s, part);
    if (unlikely(result == 0)) {
        bool wait = !(flags & SHM_DONTWAIT) && s->options.receive_timeout != 0;
        uint64_t deadline_ns = wait ? clock_deadline_ns(s->options.receive_timeout) : 0;
        while (result == 0 && wait) {
            result = socket_wait(s, SHM_POLLIN, deadline_ns);
            if (result < 0)
                break;
            membership_look(s);
            if (api_is_terminated(s))
                result = -ETERM;
            else
                result = rx_part(s, part);
        }
        if (result == 0)
            result = -EAGAIN;
        if (result == -EAGAIN)
            socket_empty_poll(s);
    }
    if (unlikely(result < 0)) {
        errno = -result;
        return -1;
    }
    s->rx.message.given = true;
    s->rx.last_more = part->more;
    s->rx.last_redelivered = s->rx.message.active && s->rx.message.taken.redelivered;
    stat_add(s, STAT_BYTES_RECEIVED, part->size);
    return 0;
}

void api_received(struct shm_socket *s, const struct part *part)
{
    if (part->more)
        return;
    stat_add(s, STAT_RECEIVED, 1);
    if (s->rx.message.active)
        rx_end(s);
}

SHM_API ssize_t shm_recv(shm_socket_t *s, void *buffer, size_t size, int flags)
{
    if (likely(s != NULL && buffer != NULL && !(flags & ~SHM_DONTWAIT) && process_is_mine(s->mark) &&
               !api_is_terminated(s))) {
        ssize_t got = s->kind->fast_receive == NULL ? fast_receive(s, buffer, size, flags)
                                                        : s->kind->fast_receive(s, buffer, size, flags);
        if (likely(got >= 0))
            return got;
    }
    struct part part;
    if (unlikely((buffer == NULL && size > 0) || (flags & ~SHM_DONTWAIT) != 0)) {
        errno = EINVAL;
        return -1;
    }
    if (unlikely(api_usable(s) < 0 || api_receive(s, &part, flags) < 0))
        return -1;
    size_t copied = part.size < size ? part.size : size;
    if (copied > 0)
        memcpy(buffer, part.data, copied);
    api_received(s, &part);
    fast_plan(s);
    return (ssize_t)part.size;
}
