/* SPDX-License-Identifier: MIT */
/* PUSH and PULL: a worker is killed with a job in hand. */
#include "support/short.h"

static shm_socket_t *pull_new(int redeliver)
{
    shm_socket_t *pull = socket_new(SHM_PULL);

    set_int(pull, SHM_REDELIVER, redeliver);
    CHECK_OK(shm_connect(pull, "jobs"));
    return pull;
}

static shm_socket_t *push_new(int hwm)
{
    shm_socket_t *push = socket_new(SHM_PUSH);

    set_int(push, SHM_SNDHWM, hwm);
    CHECK_OK(shm_bind(push, "jobs"));
    return push;
}

static uint64_t recv_job(shm_socket_t *pull, bool *redelivered)
{
    uint64_t got;
    shm_msg_t msg = msg_new();

    CHECK_INT(shm_msg_recv(&msg, pull, 0), sizeof got);
    memcpy(&got, shm_msg_data(&msg), sizeof got);
    *redelivered = shm_msg_redelivered(&msg);
    CHECK_OK(shm_msg_close(&msg));
    return got;
}

static void expect_job(shm_socket_t *pull, uint64_t number, bool again)
{
    bool redelivered;

    CHECK_INT(recv_job(pull, &redelivered), number);
    CHECK_INT(redelivered, again);
}

/* One after the other is sent and received. */
static void pass_jobs(shm_socket_t *push, shm_socket_t *pull, uint64_t first, uint64_t last)
{
    for (uint64_t n = first; n <= last; n++) {
        send_number(push, n);
        expect_job(pull, n, false);
    }
}

enum how { BY_VIEW, BY_COPY, FIRST_PART_BY_VIEW, FIRST_PART_BY_COPY, VIEW_CLOSED };

struct worker {
    int redeliver;
    enum how how;
};

/* Takes one job, says its number, and waits with it in hand. */
static void work_and_die(struct child *up, void *argument)
{
    const struct worker *worker = argument;
    shm_socket_t *pull = pull_new(worker->redeliver);
    uint64_t number = 0;
    shm_msg_t msg = msg_new();

    await_event(pull, SHM_EVENT_CONNECTED);
    child_say(up, 0);
    if (worker->how == BY_COPY || worker->how == FIRST_PART_BY_COPY) {
        CHECK_OK(shm_recv(pull, &number, sizeof number, 0));
    } else {
        CHECK_OK(shm_msg_recv(&msg, pull, 0));
        memcpy(&number, shm_msg_data(&msg), sizeof number);
        if (worker->how == VIEW_CLOSED)
            CHECK_OK(shm_msg_close(&msg));
    }
    child_stay(up, number);
}

static struct child worker_start(shm_socket_t *push, int redeliver, enum how how)
{
    struct worker worker = {redeliver, how};
    struct child child = child_start(work_and_die, &worker);

    await_event(push, SHM_EVENT_CONNECTED);
    CHECK_INT(child_hear(&child), 0);
    return child;
}

/* One that has job 1 in hand. */
static struct child worker_with_job(shm_socket_t *push, int redeliver, enum how how)
{
    struct child child = worker_start(push, redeliver, how);

    send_number(push, 1);
    CHECK_INT(child_hear(&child), 1);
    return child;
}

static shm_socket_t *pull_of(shm_socket_t *push, int redeliver)
{
    shm_socket_t *pull = pull_new(redeliver);

    join(push, pull);
    return pull;
}

/* ---- What is not redelivered ---- */

TEST_THAT(finished_jobs_are_not_given_back)
{
    static const enum how hows[] = {BY_COPY, VIEW_CLOSED};

    for (size_t i = 0; i < COUNT_OF(hows); i++) {
        shm_socket_t *push = push_new(8), *pull;
        struct child child = worker_with_job(push, 1, hows[i]);

        child_kill(&child);
        await_event(push, SHM_EVENT_DIED);
        pull = pull_of(push, 1);
        expect_nothing(pull);
        pass_jobs(push, pull, 2, 2);
        CHECK_INT(get_stats(pull).redelivered, 0);
        CLOSE_ALL(pull, push);
    }
}

TEST_THAT(without_redelivery_the_job_of_the_dead_is_dropped)
{
    shm_socket_t *push = push_new(4);
    struct child child = worker_with_job(push, 0, BY_VIEW);
    shm_socket_t *pull = pull_of(push, 0);

    send_numbers(push, 2, 3);
    child_kill(&child);
    await_event(push, SHM_EVENT_DIED);
    expect_job(pull, 2, false);
    expect_job(pull, 3, false);
    expect_nothing(pull);
    pass_jobs(push, pull, 4, 39); /* and its place in the ring is used again */
    CHECK_INT(get_stats(pull).redelivered, 0);
    CLOSE_ALL(pull, push);
}

/* ---- What is ---- */

TEST_THAT(a_killed_worker_gives_its_job_back)
{
    shm_socket_t *push = push_new(8);
    struct child child = worker_with_job(push, 1, BY_VIEW);
    shm_socket_t *pull = pull_of(push, 1);

    pass_jobs(push, pull, 2, 2);
    expect_nothing(pull);
    child_kill(&child);
    expect_job(pull, 1, true); /* waits to learn of it, if need be */
    expect_nothing(pull);
    CHECK_INT(get_stats(pull).redelivered, 1);
    pass_jobs(push, pull, 3, 39);
    CLOSE_ALL(pull, push);
}

TEST_THAT(a_job_that_comes_back_waits_for_a_worker)
{
    shm_socket_t *push = push_new(8), *pull;
    struct child child = worker_start(push, 1, BY_VIEW);

    send_numbers(push, 1, 2);
    CHECK_INT(child_hear(&child), 1);
    child_kill(&child);
    await_event(push, SHM_EVENT_DIED);
    pull = pull_of(push, 1); /* it comes after the death */
    for (int i = 0; i < 2; i++) {
        bool redelivered;
        uint64_t got = recv_job(pull, &redelivered);

        CHECK(got == 1 || got == 2);
        CHECK_INT(redelivered, got == 1);
    }
    expect_nothing(pull);
    CLOSE_ALL(pull, push);
}

static void receive_sleeping(struct child *up, void *argument)
{
    shm_socket_t *pull = pull_new(1);

    await_event(pull, SHM_EVENT_CONNECTED);
    child_say(up, 0);
    expect_job(pull, 1, true);
    CHECK_OK(shm_close(pull));
}

TEST_THAT(a_sleeping_worker_is_woken_for_a_job_that_comes_back)
{
    shm_socket_t *push = push_new(8);
    struct child first = worker_with_job(push, 1, BY_VIEW), second = child_start(receive_sleeping, NULL);

    await_event(push, SHM_EVENT_CONNECTED);
    CHECK_INT(child_hear(&second), 0);
    await_asleep(second.pid);
    child_kill(&first);
    child_wait(&second); /* the PUSH makes no call meanwhile */
    CHECK_OK(shm_close(push));
}

/* Of a message whose first part only was taken, all parts come back. */
TEST_THAT(a_job_in_parts_comes_back_whole)
{
    static const enum how hows[] = {FIRST_PART_BY_VIEW, FIRST_PART_BY_COPY};

    for (size_t i = 0; i < COUNT_OF(hows); i++) {
        shm_socket_t *push = push_new(8), *pull;
        struct child child = worker_start(push, 1, hows[i]);
        static unsigned char big[50000], got[50000];
        uint64_t number = 7;
        shm_msg_t msg = msg_new();

        pattern_fill(big, sizeof big, 3);
        CHECK_INT(shm_send(push, &number, sizeof number, SHM_SNDMORE), sizeof number);
        CHECK_INT(shm_send(push, big, sizeof big, SHM_SNDMORE), sizeof big);
        send_text(push, "end");
        CHECK_INT(child_hear(&child), 7);
        child_kill(&child);
        pull = pull_of(push, 1);
        CHECK_INT(shm_msg_recv(&msg, pull, 0), sizeof number);
        CHECK_MEM(shm_msg_data(&msg), shm_msg_size(&msg), &number, sizeof number);
        CHECK_INT(shm_msg_redelivered(&msg), 1);
        CHECK_INT(shm_msg_more(&msg), 1);
        CHECK_OK(shm_msg_close(&msg));
        CHECK_INT(shm_recv(pull, got, sizeof got, 0), sizeof big);
        pattern_check(got, sizeof big, 3);
        expect_part(pull, "end", false);
        expect_nothing(pull);
        CLOSE_ALL(pull, push);
    }
}

/* One job kills a worker after the other, and comes back each time. */
TEST_THAT(a_job_comes_back_as_often_as_its_worker_dies)
{
    shm_socket_t *push = push_new(8), *pull;

    for (int i = 0; i < 10; i++) {
        struct child child = worker_start(push, 1, BY_VIEW);

        if (i == 0)
            send_number(push, 13);
        CHECK_INT(child_hear(&child), 13);
        child_kill(&child);
        await_event(push, SHM_EVENT_DIED);
    }
    pull = pull_of(push, 1);
    expect_job(pull, 13, true);
    expect_nothing(pull);
    CLOSE_ALL(pull, push);
}

TEST_THAT(two_dead_workers_give_both_jobs_back)
{
    shm_socket_t *push = push_new(8), *pull;
    struct child a = worker_with_job(push, 1, BY_VIEW), b = worker_start(push, 1, BY_VIEW);
    uint64_t sum = 0;

    send_number(push, 2);
    CHECK_INT(child_hear(&b), 2);
    child_kill(&b);
    child_kill(&a);
    pull = pull_of(push, 1);
    for (int i = 0; i < 2; i++) {
        bool redelivered;

        sum += recv_job(pull, &redelivered) * (i ? 1 : 100);
        CHECK(redelivered);
    }
    CHECK(sum == 102 || sum == 201);
    expect_nothing(pull);
    CHECK_INT(get_stats(pull).redelivered, 2);
    CLOSE_ALL(pull, push);
}

/* The job of a stopped worker is not taken away: it is not dead. */
TEST_THAT(a_stopped_worker_keeps_its_job)
{
    shm_socket_t *push = push_new(8), *pull;
    struct child child = worker_with_job(push, 1, BY_VIEW);

    child_stop(&child);
    pull = pull_of(push, 1);
    set_int(pull, SHM_RCVTIMEO, 200);
    CHECK_ERR(recv_byte(pull, 0), EAGAIN);
    set_int(pull, SHM_RCVTIMEO, -1);
    child_kill(&child);
    expect_job(pull, 1, true);
    CLOSE_ALL(pull, push);
}

/* Unclaimed messages are not lost with the only puller. */
TEST_THAT(unclaimed_jobs_stay_when_the_only_puller_dies)
{
    shm_socket_t *push = push_new(20), *pull;
    struct child child = worker_start(push, 1, BY_VIEW);

    send_numbers(push, 1, 10);
    CHECK_INT(child_hear(&child), 1);
    child_kill(&child);
    await_event(push, SHM_EVENT_DIED);
    pull = pull_of(push, 0); /* drops the one in hand */
    for (uint64_t n = 2; n <= 10; n++)
        expect_job(pull, n, false);
    expect_nothing(pull);
    CLOSE_ALL(pull, push);
}

static void take_three(struct child *up, void *argument)
{
    shm_socket_t *pull = pull_new(1);

    for (uint64_t n = 1; n <= 3; n++)
        expect_job(pull, n, false);
    child_say(up, 1);
    CHECK_OK(shm_close(pull));
}

/* Jobs wait; the PUSH has gone to do something else. A worker that comes gets them. */
TEST_THAT(waiting_jobs_are_taken_while_the_push_makes_no_call)
{
    if (test_has_key())
        skip_test("with a key the PUSH answers first");
    shm_socket_t *push = push_new(20);
    struct child child = worker_start(push, 1, VIEW_CLOSED);
    send_numbers(push, 0, 3);
    CHECK_INT(child_hear(&child), 0);
    child_kill(&child);
    await_event(push, SHM_EVENT_DIED);
    child = child_start_until(1, take_three, NULL);
    child_wait(&child);
    CHECK_OK(shm_close(push));
}
