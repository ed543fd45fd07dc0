/* SPDX-License-Identifier: MIT */
/*
 * Random SIGKILLs among workers, servers, clients and those who come and go; what the survivors
 * saw is checked against the contract by history. The seed is printed when a check fails.
 */
#include "support/ends.h"
#include "support/history.h"
#include "support/kills.h"

#include <sched.h>

enum { ENTRIES = 400000, CREW = 3 };

/* What all processes of one test share. */
struct stage {
    struct history *history;
    _Atomic bool stop;
    _Atomic uint64_t progress; /* messages or calls that went through */
    _Atomic bool finished;     /* no more will come: the history is full */
    bool by_view;
    unsigned actor; /* of the child about to be started */
};

static struct stage *stage_new(unsigned actors)
{
    struct stage *stage = shared_memory(sizeof *stage);

    stage->history = history_new(actors, ENTRIES);
    return stage;
}

static void stage_end(struct stage *stage, const char *wrong)
{
    if (wrong)
        FAIL("%s", wrong);
    history_free(stage->history);
    shared_memory_free(stage, sizeof *stage);
}

/* Wait until the other end speaks, in calls on SOCKET: those who come and go are met in calls. */
static void serve_until_told(struct child *up, shm_socket_t *socket)
{
    while (!child_has_spoken(up)) {
        get_int(socket, SHM_EVENTS);
        pass_ms(1);
    }
    child_hear(up);
}

static struct child actor_start(struct stage *stage, unsigned actor,
                                void (*function)(struct child *up, void *argument))
{
    struct child child;

    stage->actor = actor;
    child = child_start(function, stage);
    CHECK_INT(child_hear(&child), 1); /* it is attached, and has read its number */
    return child;
}

static void actor_kill(struct stage *stage, unsigned actor, struct child *child)
{
    child_kill(child);
    history_log(stage->history, actor, HISTORY_DIED, 0, 0);
}

/* Kill COUNT times one of CREW, and start another in its place; then let all of them finish. */
static void run_kills(struct stage *stage, unsigned first, unsigned count,
                      void (*function)(struct child *up, void *argument))
{
    uint64_t state = test_seed();
    struct child crew[CREW];
    unsigned actors[CREW], next = first;

    for (unsigned i = 0; i < CREW; i++) {
        actors[i] = next;
        crew[i] = actor_start(stage, next++, function);
    }
    for (unsigned i = 0; i < count; i++) {
        unsigned k = (unsigned)(random_next(&state) % CREW);
        uint64_t before = stage->progress;

        while (stage->progress < before + 5 && !stage->finished)
            sched_yield();
        pass_random(&state);
        actor_kill(stage, actors[k], &crew[k]);
        actors[k] = next;
        crew[k] = actor_start(stage, next++, function);
    }
    stage->stop = true;
    for (unsigned i = 0; i < CREW; i++)
        child_wait(&crew[i]);
}

/* ---- Workers ---- */

static void push_until_stopped(struct child *up, void *argument)
{
    struct stage *stage = argument;
    struct history *history = stage->history;
    shm_socket_t *push = socket_new(SHM_PUSH);
    uint64_t state = test_seed() + 1;
    unsigned char bytes[400];

    set_int(push, SHM_SNDTIMEO, 50);
    set_int(push, SHM_SNDHWM, 64);
    CHECK_OK(shm_bind(push, "it"));
    child_say(up, 1);
    for (uint64_t n = 1; !stage->stop && n < ENTRIES / 2; n++) {
        size_t size = HISTORY_MESSAGE_MIN + random_next(&state) % (n % 4 ? 80 : 370);
        ssize_t sent;

        history_message_make(bytes, size, 0, n);
        history_log(history, 0, HISTORY_CALL, 0, n);
        while ((sent = shm_send(push, bytes, size, 0)) < 0 && !stage->stop)
            CHECK_INT(errno, EAGAIN);
        history_log(history, 0, sent < 0 ? HISTORY_CANCEL : HISTORY_RETURN, 0, n);
        stage->progress++;
    }
    stage->finished = true;
    serve_until_told(up, push);
    CHECK_OK(shm_close(push));
}

static void work(struct child *up, void *argument)
{
    struct stage *stage = argument;
    unsigned actor = stage->actor;
    shm_socket_t *pull = socket_new(SHM_PULL);
    bool quiet = false;

    set_int(pull, SHM_RCVTIMEO, 200);
    set_int(pull, SHM_REDELIVER, stage->by_view); /* what comes again is told by views only */
    CHECK_OK(shm_connect(pull, "it"));
    await_event(pull, SHM_EVENT_CONNECTED);
    child_say(up, 1);
    while (!quiet) {
        unsigned char bytes[400];
        shm_msg_t msg;
        ssize_t n;

        CHECK_OK(shm_msg_init(&msg));
        n = stage->by_view ? shm_msg_recv(&msg, pull, 0) : shm_recv(pull, bytes, sizeof bytes, 0);
        if (n >= 0)
            history_log_message(stage->history, actor, stage->by_view ? shm_msg_data(&msg) : bytes,
                                (size_t)n, stage->by_view && shm_msg_redelivered(&msg));
        else
            CHECK_INT(errno, EAGAIN);
        CHECK_OK(shm_msg_close(&msg));
        quiet = n < 0 && stage->stop;
    }
    CHECK_OK(shm_close(pull));
}

static void run_workers(bool by_view)
{
    unsigned count = kills(60);
    struct stage *stage = stage_new(1 + CREW + count);
    struct child pusher;

    stage->by_view = by_view;
    pusher = actor_start(stage, 0, push_until_stopped);
    run_kills(stage, 1, count, work);
    child_say(&pusher, 1);
    child_wait(&pusher);
    CHECK(history_count(stage->history, 0, HISTORY_RETURN) > 100);
    stage_end(stage, history_check_shared(stage->history, !by_view));
}

static void killed_workers_give_every_job_back(void)
{
    run_workers(true);
}

static void killed_receivers_lose_at_most_the_message_in_hand(void)
{
    run_workers(false);
}

/* ---- Servers and clients ---- */

static void serve(struct child *up, void *argument)
{
    struct stage *stage = argument;
    unsigned actor = stage->actor;
    shm_socket_t *rep = socket_new(SHM_REP);

    set_int(rep, SHM_RCVTIMEO, 200);
    CHECK_OK(shm_connect(rep, "servers"));
    await_event(rep, SHM_EVENT_CONNECTED);
    child_say(up, 1);
    for (;;) {
        unsigned char bytes[100];
        ssize_t n = shm_recv(rep, bytes, sizeof bytes, 0);

        if (n < 0) {
            CHECK_INT(errno, EAGAIN);
            if (stage->stop)
                break;
            continue;
        }
        history_log_message(stage->history, actor, bytes, (size_t)n, false);
        CHECK_INT(shm_send(rep, bytes, (size_t)n, 0), n);
    }
    CHECK_OK(shm_close(rep));
}

/* A client that binds, and servers that connect to it: each request to one of them in turn. */
static void call_servers(struct child *up, void *argument)
{
    struct stage *stage = argument;
    struct history *history = stage->history;
    shm_socket_t *req = socket_new(SHM_REQ);
    unsigned char bytes[100];

    set_int(req, SHM_SNDTIMEO, 50);
    CHECK_OK(shm_bind(req, "servers"));
    child_say(up, 1);
    for (uint64_t n = 1; !stage->stop && n < ENTRIES / 4; n++) {
        size_t size = HISTORY_MESSAGE_MIN + n % 70;
        ssize_t got;

        history_message_make(bytes, size, 0, n);
        history_log(history, 0, HISTORY_CALL, 0, n);
        if (shm_send(req, bytes, size, 0) < 0) {
            CHECK_INT(errno, EAGAIN);
            history_log(history, 0, HISTORY_CANCEL, 0, n);
            continue;
        }
        history_log(history, 0, HISTORY_RETURN, 0, n);
        got = shm_recv(req, bytes, sizeof bytes, 0);
        if (got >= 0) {
            history_log_message(history, 0, bytes, (size_t)got, false);
            stage->progress++;
        } else {
            CHECK_INT(errno, ECONNRESET);
            history_log(history, 0, HISTORY_CANCEL, 0, n);
        }
    }
    stage->finished = true;
    serve_until_told(up, req);
    CHECK_OK(shm_close(req));
}

static void killed_servers_leave_no_call_without_an_end(void)
{
    unsigned count = kills(60);
    struct stage *stage = stage_new(1 + CREW + count);
    struct child client = actor_start(stage, 0, call_servers);

    run_kills(stage, 1, count, serve);
    child_say(&client, 1);
    child_wait(&client);
    CHECK(history_count(stage->history, 0, HISTORY_GOT) > 100);
    stage_end(stage, history_check_calls(stage->history, false));
}

static void serve_as_binder(struct child *up, void *argument)
{
    struct stage *stage = argument;
    shm_socket_t *rep = socket_new(SHM_REP);
    unsigned char bytes[100];
    ssize_t n;

    CHECK_OK(shm_bind(rep, "server"));
    child_say(up, 1);
    while ((n = CHECK_OK(shm_recv(rep, bytes, sizeof bytes, 0))) > 0) {
        history_log_message(stage->history, 0, bytes, (size_t)n, false);
        CHECK_INT(shm_send(rep, bytes, (size_t)n, 0), n);
        stage->progress++;
    }
    CHECK_OK(shm_close(rep));
}

static void call_the_server(struct child *up, void *argument)
{
    struct stage *stage = argument;
    struct history *history = stage->history;
    unsigned actor = stage->actor;
    shm_socket_t *req = socket_new(SHM_REQ);
    unsigned char bytes[100];

    CHECK_OK(shm_connect(req, "server"));
    await_event(req, SHM_EVENT_CONNECTED);
    child_say(up, 1);
    for (uint64_t n = 1; !stage->stop; n++) {
        ssize_t got;

        if (stage->progress > ENTRIES / 2)
            pass_ms(1); /* the server's history is not endless */
        history_message_make(bytes, HISTORY_MESSAGE_MIN + n % 70, actor, n);
        history_log(history, actor, HISTORY_CALL, actor, n);
        CHECK_OK(shm_send(req, bytes, HISTORY_MESSAGE_MIN + n % 70, 0));
        history_log(history, actor, HISTORY_RETURN, actor, n);
        got = CHECK_OK(shm_recv(req, bytes, sizeof bytes, 0));
        history_log_message(history, actor, bytes, (size_t)got, false);
    }
    CHECK_OK(shm_close(req));
}

static void killed_clients_do_not_disturb_the_others(void)
{
    unsigned count = kills(60);
    struct stage *stage = stage_new(1 + CREW + count);
    struct child server = actor_start(stage, 0, serve_as_binder);
    shm_socket_t *req = socket_new(SHM_REQ);

    run_kills(stage, 1, count, call_the_server);
    CHECK_OK(shm_connect(req, "server"));
    CHECK_INT(shm_send(req, "", 0, 0), 0); /* the end */
    child_wait(&server);
    CHECK_OK(shm_close(req));
    CHECK(history_count(stage->history, 0, HISTORY_GOT) > 100);
    stage_end(stage, history_check_calls(stage->history, false));
}

/* ---- Fan-out ---- */

static void publish_lossless(struct child *up, void *argument)
{
    struct stage *stage = argument;
    shm_socket_t *pub = socket_new(SHM_PUB);
    unsigned char bytes[300];

    set_int(pub, SHM_LOSSLESS, 1);
    set_int(pub, SHM_SNDHWM, 32);
    CHECK_OK(shm_bind(pub, "it"));
    child_say(up, 1);
    while (!child_has_spoken(up)) {
        size_t size = HISTORY_MESSAGE_MIN + stage->progress % 250;

        history_message_make(bytes, size, 0, stage->progress + 1);
        CHECK_INT(shm_send(pub, bytes, size, 0), size); /* a dead reader must not hold it up */
        stage->progress++;
    }
    CHECK_OK(shm_close(pub));
}

static void subscribe_until_stopped(struct child *up, void *argument)
{
    struct stage *stage = argument;
    shm_socket_t *sub = socket_new(SHM_SUB);
    uint64_t lost = 0, last = 0, number = 0;
    size_t size = sizeof lost;
    unsigned sender;

    CHECK_OK(shm_setsockopt(sub, SHM_SUBSCRIBE, "", 0));
    CHECK_OK(shm_connect(sub, "it"));
    await_event(sub, SHM_EVENT_CONNECTED);
    child_say(up, 1);
    set_int(sub, SHM_RCVTIMEO, 10000);
    while (!stage->stop || last == 0) {
        unsigned char bytes[300];
        ssize_t n = shm_recv(sub, bytes, sizeof bytes, 0);

        CHECK(n >= 0);
        CHECK(history_message_read(bytes, (size_t)n, &sender, &number));
        CHECK(last == 0 || number == last + 1);
        last = number;
    }
    CHECK_OK(shm_getsockopt(sub, SHM_LOST, &lost, &size));
    CHECK_INT(lost, 0);
    CHECK_OK(shm_close(sub));
}

static void killed_subscribers_do_not_hold_up_a_lossless_pub(void)
{
    unsigned count = kills(40);
    struct stage *stage = stage_new(1 + CREW + count);
    struct child pub = actor_start(stage, 0, publish_lossless);

    run_kills(stage, 1, count, subscribe_until_stopped);
    child_say(&pub, 1);
    child_wait(&pub);
    CHECK(stage->progress > 100);
    stage_end(stage, NULL); /* each subscriber has checked for itself */
}

/* ---- Coming and going ---- */

static void come_and_go(struct child *up, void *argument)
{
    uint64_t state = (uint64_t)getpid() * 7919 + test_seed();
    struct stage *stage = argument;

    child_say(up, 1);
    while (!stage->stop) {
        bool push = random_next(&state) % 2;
        shm_socket_t *socket = socket_new(push ? SHM_PUSH : SHM_PULL);
        uint64_t number = random_next(&state);

        if (random_next(&state) % 2)
            CHECK_OK(shm_connect(socket, "it"));
        else
            shm_bind(socket, "it"); /* or another has it */
        if (push)
            shm_send(socket, &number, sizeof number, SHM_DONTWAIT);
        else
            shm_recv(socket, &number, sizeof number, SHM_DONTWAIT);
        CHECK_OK(shm_close(socket));
    }
}

/* Killed anywhere between shm_socket() and shm_close(): the name stays usable. */
static void those_killed_while_they_come_and_go_leave_the_name_usable(void)
{
    unsigned count = kills(150);
    struct stage *stage = stage_new(1);
    shm_socket_t *pull, *push;
    uint64_t number = 4711;

    leave_files(); /* of sockets that had no name yet: nobody but `shmq gc` finds them */
    for (unsigned i = 0; i < count; i++) {
        struct child child = actor_start(stage, 0, come_and_go);
        uint64_t state = test_seed() + i;

        pass_random(&state);
        child_kill(&child);
        push = socket_new(SHM_PUSH);
        pull = socket_new(SHM_PULL);
        CHECK_OK(shm_bind(pull, "it"));
        CHECK_OK(shm_connect(push, "it"));
        join(push, pull);
        CHECK_INT(shm_send(push, &number, sizeof number, 0), sizeof number);
        do
            CHECK_INT(shm_recv(pull, &number, sizeof number, 0), sizeof number);
        while (number != 4711);
        CHECK_OK(shm_close(push));
        CHECK_OK(shm_close(pull));
    }
    CHECK(count_files(test_dir()) <= 2 * count); /* two for each that was killed so early */
    stage_end(stage, NULL);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        SLOW_TEST(killed_workers_give_every_job_back, 300),
        SLOW_TEST(killed_receivers_lose_at_most_the_message_in_hand, 300),
        SLOW_TEST(killed_servers_leave_no_call_without_an_end, 300),
        SLOW_TEST(killed_clients_do_not_disturb_the_others, 300),
        SLOW_TEST(killed_subscribers_do_not_hold_up_a_lossless_pub, 300),
        SLOW_TEST(those_killed_while_they_come_and_go_leave_the_name_usable, 300),
    };

    return test_main("kill", tests, COUNT_OF(tests), argc, argv);
}
