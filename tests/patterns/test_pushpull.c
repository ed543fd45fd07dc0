/* SPDX-License-Identifier: MIT */
/* PUSH and PULL: each message to one puller, once. */
#include "support/actor.h"
#include "support/short.h"

#include <poll.h>
#include <pthread.h>

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
            pair_up(push, pull);
            for (int round = 0; round < 3; round++) {
                send_numbers_now(push, 0, (uint64_t)mark - 1);
                CHECK_ERR(shm_send(push, "x", 1, SHM_DONTWAIT), EAGAIN);
                CHECK_INT(get_int(push, SHM_EVENTS), 0);
                for (int i = 0; i < mark; i++) {
                    expect_number_now(pull, (uint64_t)i);
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
    pair_up(push, pull);
    send_numbers_now(push, 0, 199999);
    expect_numbers_now(pull, 0, 199999);
    CLOSE_ALL(push, pull);
}

/* ---- Who gets what ---- */

TEST_THAT(every_message_goes_to_one_puller)
{
    shm_socket_t *push = socket_bound(SHM_PUSH), *pulls[4];
    unsigned char seen[400] = {0};

    sockets_join(push, SHM_PULL, pulls, COUNT_OF(pulls));
    send_numbers(push, 0, COUNT_OF(seen) - 1);
    for (size_t n = 0; n < COUNT_OF(seen); n++) {
        uint64_t number = recv_number(pulls[n % COUNT_OF(pulls)]);

        CHECK(number < COUNT_OF(seen) && !seen[number]++);
    }
    for (size_t i = 0; i < COUNT_OF(pulls); i++)
        expect_nothing(pulls[i]);
    CLOSE_EACH(pulls);
    CHECK_OK(shm_close(push));
}

/* A free puller takes the next message: one that sleeps keeps nothing from the others. */
TEST_THAT(a_puller_that_does_not_read_keeps_nothing_back)
{
    shm_socket_t *push = socket_bound(SHM_PUSH), *lazy = socket_joined(push, SHM_PULL),
                 *busy = socket_joined(push, SHM_PULL);

    pass_numbers(push, busy, 0, 499);
    send_numbers(push, 0, 499);
    expect_numbers_now(busy, 0, 499);
    expect_nothing(lazy);
    CLOSE_ALL(lazy, busy, push);
}

TEST_THAT(strict_round_robin_gives_each_puller_its_turn)
{
    shm_socket_t *push = socket_new(SHM_PUSH), *pulls[4];

    set_int(push, SHM_ROUND_ROBIN, 1);
    set_int(push, SHM_SNDHWM, 10);
    CHECK_OK(shm_bind(push, "it"));
    sockets_join(push, SHM_PULL, pulls, COUNT_OF(pulls));
    send_numbers_now(push, 0, 10 * COUNT_OF(pulls) - 1);
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

TEST_THAT(conflate_keeps_the_newest_job_only)
{
    shm_socket_t *pull = socket_new(SHM_PULL), *push = socket_new(SHM_PUSH);

    set_int(pull, SHM_CONFLATE, 1);
    set_int(push, SHM_CONFLATE, 1);
    pair_up(pull, push);
    send_numbers_now(push, 0, 2999);
    CHECK_INT(recv_number(pull), 2999);
    expect_nothing(pull);
    CLOSE_ALL(push, pull);
}

/* ---- Waiting for a puller ---- */

static void pull_one_later(struct child *up, void *argument)
{
    await_asleep(up->pid); /* in shm_close() */
    shm_socket_t *pull = socket_bound(SHM_PULL);
    for (uint64_t n = 0; n < 3; n++)
        CHECK_INT(recv_number(pull), n);
    CHECK_OK(shm_close(pull));
}

/* How long the close of a PUSH takes that nobody is connected to, until PULLER may be. */
static int64_t close_after_sending(int linger, bool shut_down, struct child *puller)
{
    shm_socket_t *push = socket_connected(SHM_PUSH);
    int64_t start = now_ms();

    set_int(push, SHM_LINGER, linger);
    send_numbers(push, 0, 2);
    if (puller)
        *puller = child_start(pull_one_later, NULL);
    if (shut_down)
        CHECK_OK(shm_shutdown(push));
    CHECK_OK(shm_close(push));
    return now_ms() - start;
}

TEST_THAT(close_lingers_for_messages_that_nobody_is_there_to_take)
{
    struct child puller;

    CHECK(close_after_sending(0, false, NULL) < 5000);
    for (int shut_down = 0; shut_down < 2; shut_down++) {
        int64_t waited = close_after_sending(50, shut_down, NULL);
        CHECK(waited >= 49 && waited < 5000);
    }
    close_after_sending(-1, true, &puller);
    child_wait(&puller);
}

/* ---- Who is told of a job ---- */

static bool is_readable(int fd)
{
    struct pollfd item = {fd, POLLIN, 0};

    return CHECK_OK(poll(&item, 1, 0)) == 1;
}

static void *await_an_event(void *pull)
{
    shm_event_t event;

    return shm_event_recv(pull, &event, 0) < 0 && errno == ETERM ? NULL : pull;
}

/* The other may be busy elsewhere, or wait for something else: whoever may not take the job keeps nobody asleep. */
TEST_THAT(every_job_makes_the_descriptor_of_a_free_puller_readable)
{
    for (unsigned round = 0; round < 4; round++) {
        bool busy = round < 2; /* on its descriptor, but it never looks; else it waits for events */
        shm_socket_t *push = socket_bound(SHM_PUSH), *pulls[] = {socket_connected(SHM_PULL), socket_connected(SHM_PULL)};
        shm_socket_t *other = pulls[round % 2], *free_one = pulls[1 - round % 2];
        shm_event_t event;
        pthread_t thread;
        int fd = get_int(free_one, SHM_FD);

        while (get_stats(push).peers < 2 || get_stats(pulls[0]).peers < 1 || get_stats(pulls[1]).peers < 1)
            ;
        while (shm_event_recv(other, &event, SHM_DONTWAIT) == 0)
            ;
        if (busy)
            CHECK_OK(get_int(other, SHM_FD));
        expect_nothing(other);
        if (!busy)
            CHECK_INT(pthread_create(&thread, NULL, await_an_event, other), 0);
        for (uint64_t job = 1; job <= 4; job++) {
            while (is_readable(fd))
                expect_nothing(free_one);
            if (!busy)
                pass_ms(2); /* the other is asleep again */
            send_number(push, job);
            CHECK(is_readable(fd));
            CHECK_INT(recv_number(free_one), job);
        }
        if (!busy) {
            CHECK_OK(shm_shutdown(other));
            CHECK_INT(pthread_join(thread, NULL), 0);
        }
        CLOSE_ALL(other, free_one, push);
    }
}

/* ---- Across processes, checked by history ---- */

enum { PUSHERS = 2, PULLERS = 3, COUNT = 10000 };

static _Atomic unsigned *taken; /* by all pullers together */

static void push_and_log(struct child *up, void *argument)
{
    struct actor *actor = argument;
    uint64_t state = test_seed() + actor->number;
    char name[16];

    actor->end = (struct end){.socket = socket_new(SHM_PUSH), .type = SHM_PUSH};
    snprintf(name, sizeof name, "jobs%u", actor->number);
    CHECK_OK(shm_bind(actor->end.socket, name));
    for (uint64_t n = 1; n <= COUNT; n++)
        CHECK(actor_send_logged(actor, n, HISTORY_MESSAGE_MIN + random_next(&state) % (n % 16 ? 80 : 500), 0));
    child_stay(up, 1);
    end_close(&actor->end);
}

static void pull_and_log(struct child *up, void *argument)
{
    struct actor *actor = argument;
    shm_socket_t *pull = socket_connected_to(SHM_PULL, "jobs0");

    actor->end = (struct end){.socket = pull, .type = SHM_PULL};
    CHECK_OK(shm_connect(pull, "jobs1"));
    set_int(pull, SHM_RCVTIMEO, 20);
    while (*taken < PUSHERS * COUNT)
        *taken += actor_recv_logged(actor, 0);
    child_stay(up, 1);
    expect_nothing(pull);
    CHECK_OK(shm_close(pull));
}

static void run_pushers_and_pullers(bool by_view)
{
    struct history *history = history_new(PUSHERS + PULLERS, 2 * PUSHERS * COUNT + 16);
    struct child children[PUSHERS + PULLERS];
    unsigned got = 0;

    taken = shared_memory(sizeof *taken);
    for (unsigned i = 0; i < PUSHERS + PULLERS; i++) {
        struct actor actor = {.history = history, .number = i, .policy = {.parts = 1, .views = by_view}};

        children[i] = child_start(i < PUSHERS ? push_and_log : pull_and_log, &actor);
    }
    for (unsigned i = 0; i < PUSHERS + PULLERS; i++)
        CHECK_INT(child_hear(&children[i]), 1);
    for (unsigned i = PUSHERS + PULLERS; i-- > 0;) {
        child_end(&children[i]);
        got += history_count(history, i, HISTORY_GOT);
    }
    CHECK_INT(got, PUSHERS * COUNT);
    const char *wrong = history_check_shared(history, false);
    if (wrong)
        FAIL("%s", wrong);
    shared_memory_free((void *)taken, sizeof *taken);
    history_free(history);
}

TEST_THAT(many_pushers_and_pullers_exchange_everything_once)
{
    run_pushers_and_pullers(false);
    run_pushers_and_pullers(true);
}
