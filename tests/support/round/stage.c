/* SPDX-License-Identifier: MIT */
/* The memory that the processes of a round share, and what every actor does with its socket. */
#include "round.h"

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
    return history_missing(stage->history, sender, plan_keeps_newest(&stage->plan));
}

/* ---- An actor's socket ---- */

void actor_says(struct actor *actor, const char *doing)
{
    actor->stage->doing[actor->number] = doing;
}

/* ---- Names: one, or two, of which who stays has both, or who comes and goes, or all ---- */

static const char *const names[] = {"it", "that"};

static bool has_name(const struct actor *actor, unsigned i)
{
    const struct policy *policy = &actor->policy;
    bool stays = actor->number < actor->plan->survivors;

    if (stays ? policy->two_names : policy->roams)
        return true;
    return policy->two_names || policy->roams ? actor->number % 2 == i : i == 0;
}

static bool binds_at(const struct actor *actor, unsigned i)
{
    return end_binds(&actor->end, &actor->pipe) != (actor->policy.crossed && i == 1);
}

static void actor_attach(struct actor *actor)
{
    shm_socket_t *socket = actor->end.socket;

    for (unsigned i = 0; i < COUNT_OF(names); i++)
        while (has_name(actor, i) && socket_attach(socket, binds_at(actor, i), names[i]) < 0)
            if (!(actor->plan->stops && errno == EBUSY) &&
                !actor_lacks_memory(actor)) /* one was stopped amid leaving */
                FAIL("%s: %s", binds_at(actor, i) ? "shm_bind" : "shm_connect", shm_strerror(errno));
}

/* Before it closes, or not. */
static void actor_detach(struct actor *actor)
{
    for (unsigned i = 0; i < COUNT_OF(names); i++)
        if (actor->policy.detaches && has_name(actor, i))
            CHECK_OK(socket_detach(actor->end.socket, binds_at(actor, i), names[i]));
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
    policy_set(&actor->policy, &actor->end);
    if (plan->hwm)
        set_int(socket, SHM_SNDHWM, plan->hwm);
    CHECK_OK(shm_setsockopt(socket, SHM_SPIN_NS, &plan->spin_ns, sizeof plan->spin_ns));
    set_int(socket, SHM_RCVTIMEO, 5);
    set_int(socket, SHM_SNDTIMEO, 5);
    actor_says(actor, "attaching");
    actor_attach(actor);
    actor->fd = plan->waiting == BY_FD ? get_int(socket, SHM_FD) : -1;
    actor_says(actor, "attached");
}

void actor_close(struct actor *actor)
{
    actor_says(actor, "closing");
    actor_detach(actor);
    end_close(&actor->end);
    actor_says(actor, "closed");
}

/* Unread events keep SHM_POLLPRI awake. */
void actor_idle(struct actor *actor)
{
    actor_drop_events(actor);
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
