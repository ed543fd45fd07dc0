/* SPDX-License-Identifier: MIT */
#include "core/event.h"

#include <stdio.h>
#include <string.h>

#include "core/peer.h"

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

bool event_take(struct shm_socket *s, shm_event_t *event)
{
    if (s->events.missed > 0) {
        memset(event, 0, sizeof *event);
        event->event = SHM_EVENT_MISSED;
        event->peer_type = -1;
        event->value = s->events.missed;
        s->events.missed = 0;
        return true;
    }
    if (s->events.count == 0)
        return false;
    *event = s->events.list[s->events.first];
    s->events.first = (s->events.first + 1) % EVENTS_KEPT;
    s->events.count--;
    return true;
}
