/* SPDX-License-Identifier: MIT */
/* Clients and servers; either kind is doomed or stays. */
#include "round.h"

/* The answer, or the word that there will be none. */
static void await_end_of_call(struct actor *actor, uint64_t number)
{
    static unsigned char bytes[MESSAGE_ROOM];
    struct history *history = actor->history;
    bool again;
    shm_msg_t msg;
    ssize_t n;

    actor_says(actor, "awaiting an answer");
    do
        n = actor_recv(actor, &msg, bytes, sizeof bytes, 0, &again);
    while (n < 0 && (errno == EAGAIN || actor_lacks_memory(actor)));
    if (n >= 0) {
        history_log_message(history, actor->number, bytes, (size_t)n, false);
        CHECK_OK(shm_msg_close(&msg));
    } else if (errno == ECONNRESET && !actor->plan->left_dies && !actor->policy.resend)
        history_log(history, actor->number, HISTORY_CANCEL, actor->number, number);
    else
        FAIL("the call ended with: %s", shm_strerror(errno));
}

static bool call(struct actor *actor, uint64_t number)
{
    size_t size = HISTORY_MESSAGE_MIN + number * 31 % (actor->plan->size_max - HISTORY_MESSAGE_MIN + 1);

    actor_says(actor, "calling");
    if (actor_send_logged(actor, number, size, 0))
        return true;
    if (actor->part > 0 || errno == EHOSTUNREACH)
        FAIL("call: %s", shm_strerror(errno));
    history_log(actor->history, actor->number, HISTORY_CANCEL, actor->number, number);
    return false;
}

void calls_client(struct actor *actor)
{
    struct stage *stage = actor->stage;
    uint64_t limit = actor->doomed ? actor->plan->messages : ENTRIES / 4;
    unsigned answered = 0;

    doom_reached(actor, AT_START, 0);
    actor_open(actor, true);
    if (!actor->doomed)
        stage->ready++;
    doom_reached(actor, WHEN_MET, 0);
    for (uint64_t n = 1; n <= limit && (actor->doomed || !stage->finished); n++) {
        if (!actor->doomed && n > MESSAGES_MAX)
            rest_us(1000); /* its history is not endless */
        if (!call(actor, n))
            continue;
        if (answered == 0)
            doom_reached(actor, AFTER_FIRST, 1); /* with the request out */
        await_end_of_call(actor, n);
        doom_reached(actor, AFTER_SOME, ++answered);
        if (!actor->doomed)
            rest_us(actor->plan->pace_us);
    }
    actor_says(actor, "awaiting death");
    if (actor->doomed && actor->doom.phase != NEVER)
        doom_await(actor);
    actor_close(actor);
}

void calls_server(struct actor *actor)
{
    struct stage *stage = actor->stage;
    unsigned served = 0;
    bool done = false;

    doom_reached(actor, AT_START, 0);
    actor_open(actor, false);
    if (!actor->doomed) {
        stage->ready++;
        stage->last_is_here = true;
    }
    doom_reached(actor, WHEN_MET, 0);
    while (!done) {
        actor_says(actor, "serving");
        if (!actor_recv_logged(actor, actor->plan->waiting == BY_BLOCKING ? 0 : SHM_DONTWAIT)) {
            done = stage->others_done || (actor->doomed && actor->doom.phase == NEVER && served >= actor->doom.some);
            if (!done)
                actor_idle(actor);
            continue;
        }
        if (++served == 1)
            doom_reached(actor, AFTER_FIRST, 1);
        doom_reached(actor, AFTER_SOME, served);
        actor_says(actor, "answering");
        actor_answer(actor, actor->got, actor->got_size, true);
        done = actor->doomed && actor->doom.phase == NEVER && served >= actor->doom.some;
    }
    actor_says(actor, "awaiting death");
    if (actor->doomed && actor->doom.phase != NEVER)
        doom_await(actor);
    actor_close(actor);
}
