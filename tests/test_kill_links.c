/* SPDX-License-Identifier: MIT */
/* Random SIGKILLs of one end of every pattern, while messages flow; the other end checks by
 * history that what was acknowledged arrived, in order, once, and goes on with the next one. */
#include "support/ends.h"
#include "support/history.h"
#include "support/kills.h"

#include <sched.h>

enum { SENDER, RECEIVER, ACTORS, ENTRIES = 400000 };

struct flow {
    struct link link;
    struct history *history;
};

static bool flows(const struct pair *pair)
{
    return !pair->turns;
}

static bool is_fanout(const struct link *link)
{
    return link->pair->left == SHM_PUB || link->pair->left == SHM_XPUB;
}

/* A PUB is lossless here: each reader can be checked message by message. */
static void start(struct end *end, const struct link *link, bool left)
{
    end_open(end, link, left);
    if (left && is_fanout(link))
        set_int(end->socket, SHM_LOSSLESS, 1);
    set_int(end->socket, SHM_SNDHWM, 32);
    end_attach(end, link, "it");
}

/* Send message NUMBER if there is room. The call is logged once, its return when it is through. */
static bool send_logged(struct end *left, struct history *history, uint64_t number, bool *called)
{
    unsigned char bytes[400];
    size_t size = HISTORY_MESSAGE_MIN + number * 37 % 370;

    history_message_make(bytes, size, SENDER, number);
    if (!*called)
        history_log(history, SENDER, HISTORY_CALL, SENDER, number);
    *called = true;
    if (end_send(left, bytes, size, SHM_DONTWAIT) < 0) {
        CHECK(errno == EAGAIN || errno == EHOSTUNREACH || errno == EPIPE);
        return false;
    }
    history_log(history, SENDER, HISTORY_RETURN, SENDER, number);
    *called = false;
    return true;
}

static bool receive_logged(struct end *right, struct history *history)
{
    unsigned char bytes[400];
    ssize_t n = end_recv(right, bytes, sizeof bytes, SHM_DONTWAIT);

    if (n < 0) {
        CHECK(errno == EAGAIN || (errno == EPIPE && right->type == SHM_PAIR));
        return false;
    }
    history_log_message(history, RECEIVER, bytes, (size_t)n, false);
    return true;
}

static void send_for_ever(struct child *up, void *argument)
{
    const struct flow *flow = argument;
    struct end left;
    bool called = false;

    start(&left, &flow->link, true);
    end_await(&left);
    child_say(up, 1);
    child_hear(up); /* the other side has met us, too */
    for (uint64_t n = 1; n < ENTRIES / 2;)
        if (send_logged(&left, flow->history, n, &called))
            n++;
        else
            sched_yield();
    child_hear(up);
}

static void receive_for_ever(struct child *up, void *argument)
{
    const struct flow *flow = argument;
    struct end right;

    start(&right, &flow->link, false);
    end_await(&right);
    child_say(up, 1);
    for (;;)
        if (!receive_logged(&right, flow->history))
            sched_yield();
}

static void check_flow(struct history *history, unsigned died)
{
    const char *wrong;

    history_log(history, died, HISTORY_DIED, 0, 0);
    wrong = history_check_fifo(history, SENDER, RECEIVER);
    if (wrong)
        FAIL("%s", wrong);
}

static void what_a_killed_sender_had_sent_arrives_in_order(const struct link *link)
{
    uint64_t state = test_seed();
    struct end right;

    start(&right, link, false);
    for (unsigned i = 0; i < kills(10); i++) {
        struct flow flow = {*link, history_new(ACTORS, ENTRIES)};
        struct child child = child_start(send_for_ever, &flow);
        int64_t end;

        end_await(&right);
        CHECK_INT(child_hear(&child), 1);
        child_say(&child, 1);
        end = now_ms() + (int64_t)(random_next(&state) % 8);
        while (now_ms() < end)
            receive_logged(&right, flow.history);
        pass_random(&state);
        child_kill(&child);
        await_event(right.socket, SHM_EVENT_DIED);
        while (receive_logged(&right, flow.history))
            ;
        check_flow(flow.history, SENDER);
        history_free(flow.history);
    }
    end_close(&right);
}

static bool has_no_queue_for_others(const struct pair *pair)
{
    return !pair->turns && pair->left != SHM_PUSH; /* a PUSH keeps it for the next PULL */
}

static void a_killed_receiver_got_a_prefix_and_its_sender_goes_on(const struct link *link)
{
    uint64_t state = test_seed();
    struct end left;

    start(&left, link, true);
    for (unsigned i = 0; i < kills(10); i++) {
        struct flow flow = {*link, history_new(ACTORS, ENTRIES)};
        struct child child = child_start(receive_for_ever, &flow);
        uint64_t n = 1;
        bool called = false;
        int64_t end;

        end_await(&left);
        CHECK_INT(child_hear(&child), 1);
        end = now_ms() + (int64_t)(random_next(&state) % 8);
        while (now_ms() < end && n < ENTRIES / 8)
            n += send_logged(&left, flow.history, n, &called);
        pass_random(&state);
        child_kill(&child);
        await_event(left.socket, SHM_EVENT_DIED);
        if (called)
            history_log(flow.history, SENDER, HISTORY_CANCEL, SENDER, n);
        check_flow(flow.history, RECEIVER);
        history_free(flow.history);
    }
    end_close(&left);
}

int main(int argc, char **argv)
{
    static const struct link_test tests[] = {
        {"what_a_killed_sender_had_sent_arrives_in_order",
         what_a_killed_sender_had_sent_arrives_in_order, flows, 300},
        {"a_killed_receiver_got_a_prefix_and_its_sender_goes_on",
         a_killed_receiver_got_a_prefix_and_its_sender_goes_on, has_no_queue_for_others, 300},
    };

    return link_test_main("kill_links", tests, COUNT_OF(tests), argc, argv);
}
