/* SPDX-License-Identifier: MIT */
/* PUSH and PULL: each message to one puller, once. */
#include "support/short.h"
#include "support/history.h"

static shm_socket_t *pull_new(const char *name)
{
    shm_socket_t *pull = socket_new(SHM_PULL);

    CHECK_OK(shm_connect(pull, name));
    return pull;
}

static shm_socket_t *push_new(void)
{
    shm_socket_t *push = socket_new(SHM_PUSH);

    CHECK_OK(shm_bind(push, "jobs"));
    return push;
}

static uint64_t recv_number(shm_socket_t *pull)
{
    uint64_t number = 0;

    CHECK_INT(shm_recv(pull, &number, sizeof number, 0), sizeof number);
    return number;
}

/* ---- The mark ---- */

TEST_THAT(a_push_refuses_after_exactly_the_mark_and_goes_on_after_reading)
{
    static const int marks[] = {1, 2, 5, 8, 100, 1000};

    for (size_t m = 0; m < COUNT_OF(marks); m++)
        for (int by_receiver = 0; by_receiver < 2; by_receiver++) {
            shm_socket_t *push = socket_new(SHM_PUSH), *pull = socket_new(SHM_PULL);
            int mark = marks[m];

            if (mark != 1000) /* the smaller of both marks holds */
                set_int(by_receiver ? pull : push, by_receiver ? SHM_RCVHWM : SHM_SNDHWM, mark);
            CHECK_OK(shm_bind(push, "jobs"));
            CHECK_OK(shm_connect(pull, "jobs"));
            join(push, pull);
            for (int round = 0; round < 3; round++) {
                for (int i = 0; i < mark; i++)
                    CHECK_INT(shm_send(push, &i, sizeof i, SHM_DONTWAIT), sizeof i);
                CHECK_ERR(shm_send(push, "x", 1, SHM_DONTWAIT), EAGAIN);
                CHECK_INT(get_int(push, SHM_EVENTS), 0);
                for (int i = 0, got; i < mark; i++) {
                    CHECK_INT(shm_recv(pull, &got, sizeof got, SHM_DONTWAIT), sizeof got);
                    CHECK_INT(got, i);
                    if (i >= (mark + 1) / 2 && i < mark - 1)
                        CHECK_INT(get_int(push, SHM_EVENTS), SHM_POLLOUT);
                }
                expect_nothing(pull);
            }
            CLOSE_ALL(push, pull);
        }
}

TEST_THAT(a_mark_of_zero_means_a_million)
{
    shm_socket_t *push = socket_new(SHM_PUSH), *pull = socket_new(SHM_PULL);

    set_int(push, SHM_SNDHWM, 0);
    set_int(pull, SHM_RCVHWM, 0);
    CHECK_OK(shm_bind(push, "jobs"));
    CHECK_OK(shm_connect(pull, "jobs"));
    join(push, pull);
    for (uint64_t i = 0; i < 200000; i++)
        CHECK_INT(shm_send(push, &i, sizeof i, SHM_DONTWAIT), sizeof i);
    for (uint64_t i = 0; i < 200000; i++)
        CHECK_INT(recv_number(pull), i);
    CLOSE_ALL(push, pull);
}

/* ---- Who gets what ---- */

TEST_THAT(every_message_goes_to_one_puller)
{
    shm_socket_t *push = push_new(), *pulls[4];
    unsigned char seen[400] = {0};

    for (size_t i = 0; i < COUNT_OF(pulls); i++) {
        pulls[i] = pull_new("jobs");
        join(push, pulls[i]);
    }
    for (uint64_t n = 0; n < COUNT_OF(seen); n++)
        send_number(push, n);
    for (size_t n = 0; n < COUNT_OF(seen); n++) {
        uint64_t number = recv_number(pulls[n % COUNT_OF(pulls)]);

        CHECK(number < COUNT_OF(seen) && !seen[number]++);
    }
    for (size_t i = 0; i < COUNT_OF(pulls); i++) {
        expect_nothing(pulls[i]);
        CHECK_OK(shm_close(pulls[i]));
    }
    CHECK_OK(shm_close(push));
}

/* A free puller takes the next message: one that sleeps keeps nothing from the others. */
TEST_THAT(a_puller_that_does_not_read_keeps_nothing_back)
{
    shm_socket_t *push = push_new(), *lazy = pull_new("jobs"), *busy = pull_new("jobs");

    join(push, lazy);
    join(push, busy);
    for (uint64_t n = 0; n < 500; n++) {
        send_number(push, n);
        CHECK_INT(recv_number(busy), n);
    }
    for (uint64_t n = 0; n < 500; n++)
        send_number(push, n);
    for (uint64_t n = 0; n < 500; n++)
        CHECK_INT(recv_number(busy), n);
    expect_nothing(lazy);
    CLOSE_ALL(lazy, busy, push);
}

TEST_THAT(strict_round_robin_gives_each_puller_its_turn)
{
    shm_socket_t *push = socket_new(SHM_PUSH), *pulls[4];

    set_int(push, SHM_ROUND_ROBIN, 1);
    set_int(push, SHM_SNDHWM, 10);
    CHECK_OK(shm_bind(push, "jobs"));
    for (size_t i = 0; i < COUNT_OF(pulls); i++) {
        pulls[i] = pull_new("jobs");
        join(push, pulls[i]);
    }
    for (uint64_t n = 0; n < 10 * COUNT_OF(pulls); n++)
        CHECK_INT(shm_send(push, &n, sizeof n, SHM_DONTWAIT), sizeof n);
    CHECK_ERR(shm_send(push, "x", 1, SHM_DONTWAIT), EAGAIN); /* a queue each, all full */
    for (size_t i = 0; i < COUNT_OF(pulls); i++) {
        uint64_t first = recv_number(pulls[i]);

        CHECK(first < COUNT_OF(pulls));
        for (uint64_t k = 1; k < 10; k++)
            CHECK_INT(recv_number(pulls[i]), first + k * COUNT_OF(pulls));
        expect_nothing(pulls[i]);
    }
    CLOSE_EACH(pulls);
    CHECK_OK(shm_close(push));
}

TEST_THAT(a_puller_hears_its_pushers_fairly)
{
    shm_socket_t *pull = socket_new(SHM_PULL), *pushes[5];
    unsigned heard[COUNT_OF(pushes)] = {0};

    CHECK_OK(shm_bind(pull, "jobs"));
    for (size_t i = 0; i < COUNT_OF(pushes); i++) {
        pushes[i] = socket_new(SHM_PUSH);
        CHECK_OK(shm_connect(pushes[i], "jobs"));
        join(pushes[i], pull);
        for (uint64_t n = 0; n < 100; n++)
            send_number(pushes[i], 1000 * i + n);
    }
    for (unsigned k = 0; k < 100 * COUNT_OF(pushes); k++) {
        uint64_t got = recv_number(pull);

        CHECK_INT(got % 1000, heard[got / 1000]++);
        if (k == 50 * COUNT_OF(pushes) - 1)
            for (size_t i = 0; i < COUNT_OF(pushes); i++)
                CHECK(heard[i] >= 30 && heard[i] <= 70);
    }
    expect_nothing(pull);
    CLOSE_EACH(pushes);
    CHECK_OK(shm_close(pull));
}

TEST_THAT(conflate_keeps_the_newest_job_only)
{
    shm_socket_t *pull = socket_new(SHM_PULL), *push = socket_new(SHM_PUSH);

    set_int(pull, SHM_CONFLATE, 1);
    set_int(push, SHM_CONFLATE, 1);
    CHECK_OK(shm_bind(pull, "jobs"));
    CHECK_OK(shm_connect(push, "jobs"));
    join(push, pull);
    for (uint64_t n = 0; n < 3000; n++)
        CHECK_INT(shm_send(push, &n, sizeof n, SHM_DONTWAIT), sizeof n);
    CHECK_INT(recv_number(pull), 2999);
    expect_nothing(pull);
    CLOSE_ALL(push, pull);
}

/* ---- Waiting for a puller ---- */

static void pull_one_later(struct child *up, void *argument)
{
    shm_socket_t *pull = socket_new(SHM_PULL);

    await_asleep(up->pid); /* in shm_close() */
    CHECK_OK(shm_bind(pull, "jobs"));
    for (uint64_t n = 0; n < 3; n++)
        CHECK_INT(recv_number(pull), n);
    CHECK_OK(shm_close(pull));
}

TEST_THAT(close_lingers_for_messages_that_nobody_is_there_to_take)
{
    shm_socket_t *push = socket_new(SHM_PUSH);
    struct child child;
    int64_t start = now_ms();

    CHECK_OK(shm_connect(push, "jobs"));
    send_number(push, 0);
    CHECK_OK(shm_close(push)); /* LINGER is 0 */
    CHECK(now_ms() - start < 5000);
    push = socket_new(SHM_PUSH);
    set_int(push, SHM_LINGER, 50);
    CHECK_OK(shm_connect(push, "jobs"));
    send_number(push, 0);
    start = now_ms();
    CHECK_OK(shm_close(push));
    CHECK(now_ms() - start >= 49 && now_ms() - start < 5000);
    push = socket_new(SHM_PUSH);
    set_int(push, SHM_LINGER, -1);
    CHECK_OK(shm_connect(push, "jobs"));
    for (uint64_t n = 0; n < 3; n++)
        send_number(push, n);
    child = child_start(pull_one_later, NULL);
    CHECK_OK(shm_close(push));
    child_wait(&child);
}

/* ---- Across processes, checked by history ---- */

enum { PUSHERS = 2, PULLERS = 3, COUNT = 10000 };

struct part {
    struct history *history;
    _Atomic unsigned *taken; /* by all pullers together */
    unsigned actor;
    bool by_view;
};

static void push_and_log(struct child *up, void *argument)
{
    const struct part *part = argument;
    shm_socket_t *push = socket_new(SHM_PUSH);
    unsigned char bytes[600];
    uint64_t state = test_seed() + part->actor;
    char name[16];

    snprintf(name, sizeof name, "jobs%u", part->actor);
    CHECK_OK(shm_bind(push, name));
    for (uint64_t n = 1; n <= COUNT; n++) {
        size_t size = HISTORY_MESSAGE_MIN + random_next(&state) % (n % 16 ? 80 : 500);

        history_message_make(bytes, size, part->actor, n);
        history_log(part->history, part->actor, HISTORY_CALL, part->actor, n);
        CHECK_INT(shm_send(push, bytes, size, 0), size);
        history_log(part->history, part->actor, HISTORY_RETURN, part->actor, n);
    }
    child_say(up, 1);
    child_hear(up);
    CHECK_OK(shm_close(push));
}

static void pull_and_log(struct child *up, void *argument)
{
    const struct part *part = argument;
    shm_socket_t *pull = socket_new(SHM_PULL);
    unsigned char bytes[600];
    shm_msg_t msg;

    CHECK_OK(shm_connect(pull, "jobs0"));
    CHECK_OK(shm_connect(pull, "jobs1"));
    CHECK_OK(shm_msg_init(&msg));
    set_int(pull, SHM_RCVTIMEO, 20);
    while (*part->taken < PUSHERS * COUNT) {
        ssize_t n =
            part->by_view ? shm_msg_recv(&msg, pull, 0) : shm_recv(pull, bytes, sizeof bytes, 0);
        const void *data = part->by_view ? shm_msg_data(&msg) : bytes;

        if (n < 0) {
            CHECK_INT(errno, EAGAIN);
            continue;
        }
        history_log_message(part->history, part->actor, data, (size_t)n,
                            part->by_view && shm_msg_redelivered(&msg));
        ++*part->taken;
    }
    CHECK_OK(shm_msg_close(&msg));
    child_say(up, 1);
    child_hear(up);
    expect_nothing(pull);
    CHECK_OK(shm_close(pull));
}

static void run_pushers_and_pullers(bool by_view)
{
    struct history *history = history_new(PUSHERS + PULLERS, 2 * PUSHERS * COUNT + 16);
    _Atomic unsigned *taken = shared_memory(sizeof *taken);
    struct child children[PUSHERS + PULLERS];
    unsigned actor, got = 0;
    const char *wrong;

    for (actor = 0; actor < PUSHERS + PULLERS; actor++) {
        struct part part = {history, taken, actor, by_view};

        children[actor] = child_start(actor < PUSHERS ? push_and_log : pull_and_log, &part);
    }
    for (actor = 0; actor < PUSHERS + PULLERS; actor++)
        CHECK_INT(child_hear(&children[actor]), 1);
    for (actor = PUSHERS; actor < PUSHERS + PULLERS; actor++) {
        child_say(&children[actor], 1);
        child_wait(&children[actor]);
        got += history_count(history, actor, HISTORY_GOT);
    }
    for (actor = 0; actor < PUSHERS; actor++) {
        child_say(&children[actor], 1);
        child_wait(&children[actor]);
    }
    CHECK_INT(got, PUSHERS * COUNT);
    wrong = history_check_shared(history, false);
    if (wrong)
        FAIL("%s", wrong);
    shared_memory_free((void *)taken, sizeof *taken);
    history_free(history);
}

TEST_THAT(many_pushers_and_pullers_exchange_everything_once)
{
    run_pushers_and_pullers(false);
}

TEST_THAT(the_same_by_views)
{
    run_pushers_and_pullers(true);
}
