/* SPDX-License-Identifier: MIT */
/* The memory that the processes of a round share, and what every actor does with its socket. */
#include "storm.h"
#include "../support/history_logs.h"

#include <poll.h>
#include <sched.h>
#include <time.h>

struct stage *stage_new(void)
{
    return shared_memory(sizeof(struct stage));
}

/* History 0 is of no use: a round that has no messages has none. */
void stage_reset(struct stage *stage, const struct plan *plan)
{
    memset(stage, 0, sizeof *stage);
    stage->plan = *plan;
    stage->history = history_new(plan->victims + plan->survivors + 4, ENTRIES);
}

void stage_clear(struct stage *stage)
{
    history_free(stage->history);
    stage->history = NULL;
}

void stage_free(struct stage *stage)
{
    shared_memory_free(stage, sizeof *stage);
}

unsigned stage_missing(const struct stage *stage, unsigned sender)
{
    static uint8_t fates[ENTRIES + 1];
    unsigned count, missing = 0, calls, newest = 0;
    const struct history_entry *entries = history_entries(stage->history, sender, &count);

    calls = count; /* at least as many as numbers */
    memset(fates, 0, calls + 1);
    for (unsigned i = 0; i < count; i++)
        if (entries[i].kind == HISTORY_RETURN && entries[i].number < ENTRIES) {
            fates[entries[i].number] = 1;
            newest = (unsigned)entries[i].number;
        }
    for (unsigned actor = 0; actor < stage->history->actors; actor++) {
        entries = history_entries(stage->history, actor, &count);
        for (unsigned i = 0; i < count; i++)
            if ((entries[i].kind == HISTORY_GOT || entries[i].kind == HISTORY_GOT_AGAIN) &&
                entries[i].sender == sender && entries[i].number < ENTRIES)
                fates[entries[i].number] = 0;
    }
    for (unsigned n = 0; n <= calls && n < ENTRIES; n++)
        missing += fates[n];
    return plan_keeps_newest(&stage->plan) ? fates[newest] : missing;
}

/* ---- An actor's socket ---- */

void actor_says(struct actor *actor, const char *doing)
{
    actor->stage->doing[actor->number] = doing;
}

void rest_us(unsigned us)
{
    struct timespec rest = {0, (long)us * 1000};

    nanosleep(&rest, NULL);
}

bool actor_lacks_memory(struct actor *actor)
{
    if (!actor->plan->full || errno != ENOSPC)
        return false;
    actor->stage->turned_away++;
    rest_us(200);
    return true;
}

void actor_open(struct actor *actor, bool left)
{
    const struct plan *plan = actor->plan;
    const struct pair *pair = plan->pipe.pair;
    shm_socket_t *socket;

    actor_says(actor, "opening");
    while ((socket = shm_socket(left ? pair->left : pair->right)) == NULL)
        if (!actor_lacks_memory(actor))
            FAIL("shm_socket: %s", shm_strerror(errno));
    set_int(socket, SHM_LINGER, 0);
    end_setup(&actor->end, &plan->pipe, left, socket);
    policy_set(plan, socket, left);
    if (plan->hwm)
        set_int(socket, SHM_SNDHWM, plan->hwm);
    CHECK_OK(shm_setsockopt(socket, SHM_SPIN_NS, &plan->spin_ns, sizeof plan->spin_ns));
    set_int(socket, SHM_RCVTIMEO, 5);
    set_int(socket, SHM_SNDTIMEO, 5);
    if (pair->right == SHM_PULL && !left)
        set_int(socket, SHM_REDELIVER, plan->by_view); /* what comes again is told by views only */
    actor_says(actor, "attaching");
    policy_attach(actor);
    actor->fd = plan->waiting == BY_FD ? get_int(socket, SHM_FD) : -1;
    actor_says(actor, "attached");
}

void actor_close(struct actor *actor)
{
    actor_says(actor, "closing");
    policy_part(actor);
    end_close(&actor->end);
    actor_says(actor, "closed");
}

/* Unread events keep SHM_FD and SHM_POLLPRI awake. */
void actor_idle(struct actor *actor)
{
    shm_event_t event;

    while (shm_event_recv(actor->end.socket, &event, SHM_DONTWAIT) == 0)
        ;
    actor_wait(actor);
}

void actor_wait(struct actor *actor)
{
    struct pollfd descriptor = {actor->fd, POLLIN, 0};
    shm_pollitem_t item = {actor->end.socket, -1, SHM_POLLIN | SHM_POLLPRI, 0};

    switch (actor->plan->waiting) {
    case BY_YIELD:
        get_int(actor->end.socket, SHM_EVENTS);
        rest_us(30);
        break;
    case BY_FD:
        get_int(actor->end.socket, SHM_EVENTS);
        poll(&descriptor, 1, 5);
        break;
    case BY_POLL:
        CHECK(shm_poll(&item, 1, 5) >= 0);
        break;
    case BY_BLOCKING:
        break; /* the call itself waits */
    }
}
