/* SPDX-License-Identifier: MIT */
/* Those who come and go until they are killed; bystanders; the probe that a name is usable. */
#include "round.h"

static uint64_t state_of(const struct actor *actor)
{
    return actor->plan->seed * 31 + actor->plan->round * 1009 + actor->number;
}

/* Any end, bound or connected, a few calls whose results do not matter, and gone. */
void churn_come_and_go(struct actor *actor)
{
    uint64_t state = state_of(actor);
    struct pipe pipe = actor->pipe;
    char bytes[300] = {0};
    bool first = true;

    doom_reached(actor, AT_START, 0);
    for (;;) {
        bool left = random_next(&state) % 2;
        bool binds = random_next(&state) % 2;
        struct end *end = &actor->end;

        pipe.right_binds = left != binds;
        actor_says(actor, "coming");
        end_open(end, &pipe, left);
        policy_set(&actor->policy, end);
        if (socket_attach(end->socket, binds, "it") < 0)
            CHECK(errno == EADDRINUSE || errno == EBUSY); /* EBUSY: by one stopped amid leaving */
        if (first)
            doom_reached(actor, WHEN_MET, 0);
        first = false;
        for (unsigned i = (unsigned)random_next(&state) % 4; i > 0; i--) {
            end_send(end, bytes, (size_t)random_next(&state) % sizeof bytes, SHM_DONTWAIT);
            end->envelope_sent = false;
            shm_recv(end->socket, bytes, sizeof bytes, SHM_DONTWAIT);
        }
        if (actor->policy.detaches && random_next(&state) % 2) {
            actor_says(actor, "leaving the name, and coming back");
            if (socket_detach(end->socket, binds, "it") < 0)
                CHECK_INT(errno, ENOENT); /* it had not come */
            if (socket_attach(end->socket, binds, "it") < 0)
                CHECK(errno == EADDRINUSE || errno == EBUSY);
            shm_recv(end->socket, bytes, sizeof bytes, SHM_DONTWAIT);
        }
        actor_says(actor, "going");
        end_close(end);
        if (actor->doom.phase == NEVER)
            return;
    }
}

/* Two fresh ends meet under the name, and a message goes from one to the other. */
void churn_probe(struct actor *actor)
{
    struct end right;

    actor_says(actor, "probing");
    pipe_start(&actor->end, &right, &actor->plan->pipe);
    pipe_transfer(&actor->end, &right, "hello");
    end_close(&right);
    actor_close(actor);
}

/* In the same directory, with files of its own that nobody touches: it notices nothing. */
void churn_stand_by(struct actor *actor)
{
    shm_socket_t *push = socket_new(SHM_PUSH), *pull = socket_new(SHM_PULL);
    uint64_t number = 0, got = 0;

    set_int(pull, SHM_RCVTIMEO, 2000);
    CHECK_OK(shm_bind(push, "bystander"));
    CHECK_OK(shm_connect(pull, "bystander"));
    actor->stage->ready++;
    while (!actor->stage->finished) {
        actor_says(actor, "standing by");
        number++;
        CHECK_INT(shm_send(push, &number, sizeof number, 0), sizeof number);
        CHECK_INT(shm_recv(pull, &got, sizeof got, 0), sizeof got);
        CHECK_INT(got, number);
        rest_us(100);
    }
    CHECK_OK(shm_close(push));
    CHECK_OK(shm_close(pull));
}
