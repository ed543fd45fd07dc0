/* SPDX-License-Identifier: MIT */
/* Events: what happened to a socket's peers, kept in a small ring of the socket's own. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/socket.h"

void event_push(struct shm_socket *s, int event, const struct pipe *pipe, const char *name, uint64_t value)
{
    uint32_t at = (s->events.first + s->events.count) % EVENTS_KEPT;
    if (s->events.count == EVENTS_KEPT) {
        s->events.first = (s->events.first + 1) % EVENTS_KEPT;
        s->events.missed++;
    } else {
        s->events.count++;
    }
    shm_event_t *e = &s->events.list[at];
    memset(e, 0, sizeof *e);
    e->event = event;
    e->value = value;
    e->peer_type = -1;
    if (pipe != NULL) {
        e->peer_type = pipe->member.gen != 0 ? (int)pipe->member.type : -1;
        e->peer_pid = (int)pipe->member.pid;
        if (pipe->peer != NULL)
            e->peer_pid = (int)peer_u32_once(&pipe->peer->remote->header->pid);
        if (name == NULL && pipe->membership != NULL)
            name = pipe->membership->endpoint.name;
    }
    if (name != NULL)
        snprintf(e->endpoint, sizeof e->endpoint, "%s", name);
}

SHM_API int shm_event_recv(shm_socket_t *s, shm_event_t *event, int flags)
{
    if (event == NULL || (flags & ~SHM_DONTWAIT) != 0) {
        errno = EINVAL;
        return -1;
    }
    if (socket_usable(s) < 0)
        return -1;
    bool wait = !(flags & SHM_DONTWAIT) && s->options.receive_timeout != 0;
    uint64_t deadline = wait ? clock_deadline_ns(s->options.receive_timeout) : 0;
    for (;;) {
        socket_look(s);
        if (s->events.missed > 0) {
            memset(event, 0, sizeof *event);
            event->event = SHM_EVENT_MISSED;
            event->peer_type = -1;
            event->value = s->events.missed;
            s->events.missed = 0;
            return 0;
        }
        if (s->events.count > 0) {
            *event = s->events.list[s->events.first];
            s->events.first = (s->events.first + 1) % EVENTS_KEPT;
            s->events.count--;
            return 0;
        }
        int error = wait ? socket_wait(s, SHM_POLLPRI, deadline) : -EAGAIN;
        if (error < 0) {
            if (!wait)
                socket_empty_poll(s);
            errno = -error;
            return -1;
        }
    }
}
