/* SPDX-License-Identifier: MIT */
/* Random SIGKILLs of one end of every pattern, while messages flow; the other end checks by
 * history that what was acknowledged arrived, in order, once, and goes on with the next one. */
#include "support/actor.h"

#include <sched.h>

enum { SENDER, RECEIVER, ACTORS, ENTRIES = 400000 };

static bool flows(const struct pair *pair)
{
    return !pair->turns;
}

/* A PUB is lossless here: each reader can be checked message by message. */
static void start(struct actor *actor, const struct pipe *pipe, bool left, struct history *history)
{
    *actor =
        (struct actor){.history = history, .number = left ? SENDER : RECEIVER, .policy = {.parts = 1, .views = true}};
    end_open(&actor->end, pipe, left);
    policy_set(&actor->policy, &actor->end);
    set_int(actor->end.socket, SHM_SNDHWM, 32);
    end_attach(&actor->end, pipe, "it");
}

/* A child's: what its parent has set up but for the socket. */
struct part {
    struct pipe pipe;
    struct history *history;
    unsigned receiver;
};

static bool send_now(struct actor *left, uint64_t number)
{
    return actor_send_logged(left, number, HISTORY_MESSAGE_MIN + number * 37 % 370, SHM_DONTWAIT);
}

static void receive_all(struct actor *right)
{
    while (actor_recv_logged(right, SHM_DONTWAIT))
        ;
}

static void send_for_ever(struct child *up, void *argument)
{
    const struct part *part = argument;
    struct actor left;

    start(&left, &part->pipe, true, part->history);
    end_await(&left.end);
    child_say(up, 1);
    child_hear(up); /* the other side has met us, too */
    for (uint64_t n = 1; n < ENTRIES / 2;)
        if (send_now(&left, n))
            n++;
        else
            sched_yield();
    child_hear(up);
}

static void receive_for_ever(struct child *up, void *argument)
{
    const struct part *part = argument;
    struct actor right;

    start(&right, &part->pipe, false, part->history);
    right.number = part->receiver;
    end_await(&right.end);
    child_say(up, 1);
    for (;;)
        if (!actor_recv_logged(&right, SHM_DONTWAIT))
            sched_yield();
}

/* The child has come, and met us. */
static struct child bring(void (*function)(struct child *, void *), struct part *part, struct actor *other)
{
    struct child child = child_start(function, part);

    end_await(&other->end);
    CHECK_INT(child_hear(&child), 1);
    return child;
}

static void kill_at_random(struct child *child, uint64_t *state, struct actor *other, unsigned number)
{
    rest_us((unsigned)(random_next(state) % (UINT64_C(1) << (random_next(state) % 13)))); /* to 4 ms */
    child_kill(child);
    history_log(other->history, number, HISTORY_DIED, 0, 0);
    await_event(other->end.socket, SHM_EVENT_DIED);
}

static void check(const char *wrong)
{
    if (wrong)
        FAIL("%s", wrong);
}

static void what_a_killed_sender_had_sent_arrives_in_order(const struct pipe *pipe)
{
    uint64_t state = test_seed();
    struct actor right;

    start(&right, pipe, false, NULL);
    for (unsigned i = 0; i < kills(4); i++) {
        struct part part = {*pipe, history_new(ACTORS, ENTRIES), RECEIVER};
        struct child child;
        int64_t end;

        right.history = part.history;
        child = bring(send_for_ever, &part, &right);
        child_say(&child, 1);
        end = now_ms() + (int64_t)(random_next(&state) % 8);
        while (now_ms() < end)
            actor_recv_logged(&right, SHM_DONTWAIT);
        kill_at_random(&child, &state, &right, SENDER);
        receive_all(&right);
        check(history_check_fifo(part.history, SENDER, RECEIVER));
        history_free(part.history);
    }
    end_close(&right.end);
}

/* Send for a random time while a child receives, then kill it. *NUMBER is the next. */
static void send_until_kill(struct actor *left, struct part *part, uint64_t *number, uint64_t *state)
{
    struct child child = bring(receive_for_ever, part, left);
    int64_t end = now_ms() + (int64_t)(random_next(state) % 8);

    while (now_ms() < end && *number < ENTRIES / 4)
        *number += send_now(left, *number);
    kill_at_random(&child, state, left, part->receiver);
}

/* The binding side loses with its peer what that had not read; a PUB does so in any case: the next
 * subscriber sees only what is new to it. */
static void lose_the_queue(const struct pipe *pipe)
{
    uint64_t state = test_seed();
    struct actor left;

    start(&left, pipe, true, NULL);
    for (unsigned i = 0; i < kills(4); i++) {
        struct part part = {*pipe, history_new(ACTORS, ENTRIES), RECEIVER};
        uint64_t number = 1;

        left.history = part.history;
        left.called = 0;
        send_until_kill(&left, &part, &number, &state);
        if (left.called == number)
            history_log(part.history, SENDER, HISTORY_CANCEL, SENDER, number);
        check(history_check_fifo(part.history, SENDER, RECEIVER));
        history_free(part.history);
    }
    end_close(&left.end);
}

/* The connecting side keeps it for the next binder, and a PUSH does so whoever binds: over all
 * receivers everything arrives once and in order, but for at most one message per death. */
static void keep_the_queue(const struct pipe *pipe)
{
    uint64_t state = test_seed(), number = 1;
    unsigned count = kills(4);
    struct part part = {*pipe, history_new(2 + count, ENTRIES), RECEIVER};
    struct actor left, right;

    start(&left, pipe, true, part.history);
    for (unsigned i = 0; i < count; i++, part.receiver++)
        send_until_kill(&left, &part, &number, &state);
    start(&right, pipe, false, part.history);
    right.number = part.receiver;
    pipe_meet(&left.end, &right.end);
    do /* a PAIR may be told of its former peer first */
        receive_all(&right);
    while (left.called == number && !send_now(&left, number));
    receive_all(&right);
    check(history_check_shared(part.history, true));
    history_free(part.history);
    end_close(&left.end);
    end_close(&right.end);
}

static void a_killed_receiver_loses_one_message_at_most_or_the_queue_it_was_given(const struct pipe *pipe)
{
    if ((pipe->right_binds && !pair_fans_out(pipe->pair)) || pipe->pair->left == SHM_PUSH)
        keep_the_queue(pipe);
    else
        lose_the_queue(pipe);
}

int main(int argc, char **argv)
{
    static const struct pipe_test tests[] = {
        {"what_a_killed_sender_had_sent_arrives_in_order", what_a_killed_sender_had_sent_arrives_in_order, flows, 300},
        {"a_killed_receiver_loses_one_message_at_most_or_the_queue_it_was_given",
         a_killed_receiver_loses_one_message_at_most_or_the_queue_it_was_given, flows, 300},
    };

    return pipe_test_main("kill_pipes", tests, COUNT_OF(tests), argc, argv);
}
