/* SPDX-License-Identifier: MIT */
/* Every pattern: shm_poll(), shm_shutdown(), and sockets that change threads. */
#include "support/short.h"

#include <pthread.h>
#include <sys/eventfd.h>

static short poll_one(shm_socket_t *socket, short events, long timeout_ms)
{
    shm_pollitem_t item = {socket, -1, events, (short)0x7fff};
    int ready = shm_poll(&item, 1, timeout_ms);

    CHECK_OK(ready);
    CHECK_INT(ready, item.revents != 0);
    return item.revents;
}

/* ---- shm_poll ---- */

TEST_EACH_MET_PIPE(poll_refuses_bad_arguments, pipe, left, right)
{
    shm_pollitem_t item = {NULL, -1, SHM_POLLIN, 0};

    CHECK_ERR(shm_poll(NULL, 1, 0), EINVAL);
    item.socket = left->socket;
    CHECK_ERR(shm_poll(&item, -1, 0), EINVAL);
    CHECK_INT(shm_poll(NULL, 0, 0), 0);
}

TEST_EACH_MET_PIPE(poll_times_out_and_is_interrupted, pipe, left, right)
{
    int64_t start = now_ms();

    shm_pollitem_t item = {right->socket, -1, SHM_POLLIN, 0};
    CHECK_INT(poll_one(right->socket, SHM_POLLIN, 0), 0);
    start = now_ms();
    CHECK_INT(poll_one(right->socket, SHM_POLLIN, 50), 0);
    CHECK(now_ms() - start >= 49 && now_ms() - start < 5000);
    CHECK_INTERRUPTED(shm_poll(&item, 1, -1));
}

/* What shm_poll() and SHM_EVENTS report is what the calls then do. */
TEST_EACH_MET_PIPE(poll_tells_what_will_not_wait, pipe, left, right)
{
    char got[8];

    CHECK_INT(poll_one(left->socket, SHM_POLLOUT, 0), SHM_POLLOUT);
    CHECK_INT(get_int(left->socket, SHM_EVENTS), SHM_POLLOUT);
    CHECK_INT(get_int(right->socket, SHM_EVENTS) & SHM_POLLIN, 0);
    end_send_text(left, "hello");
    CHECK_INT(poll_one(right->socket, SHM_POLLIN, 1000), SHM_POLLIN);
    CHECK_INT(poll_one(right->socket, SHM_POLLIN, 0), SHM_POLLIN); /* and still */
    CHECK_INT(get_int(right->socket, SHM_EVENTS) & SHM_POLLIN, SHM_POLLIN);
    if (pipe->pair->left == SHM_REQ)
        CHECK_INT(poll_one(left->socket, SHM_POLLOUT, 0), 0); /* an answer is due */
    CHECK_INT(end_recv(right, got, sizeof got, SHM_DONTWAIT), 5);
    CHECK_INT(get_int(right->socket, SHM_EVENTS) & SHM_POLLIN, 0);
    end_give_turn(right);
    if (pipe->pair->turns)
        CHECK_INT(poll_one(left->socket, SHM_POLLIN, 1000), SHM_POLLIN);
    end_take_turn(left);
    CHECK_INT(poll_one(left->socket, SHM_POLLIN, 0), 0);
}

TEST_MET_PIPES(pair_waits, 4, poll_waits_for_room, pipe, left, right)
{
    if (pipe->pair->left == SHM_ROUTER)
        return; /* always writable: the peer is not known before the id is sent */
    end_fill(left);
    CHECK_INT(poll_one(left->socket, SHM_POLLOUT, 20), 0);
    end_drain(right, 4);
    CHECK_INT(poll_one(left->socket, SHM_POLLOUT, 1000), SHM_POLLOUT);
    CHECK_INT(end_send(left, "x", 1, SHM_DONTWAIT), 1);
}

TEST_EACH_MET_PIPE(poll_mixes_sockets_and_descriptors, pipe, left, right)
{
    int fd = (int)CHECK_OK(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    shm_pollitem_t items[3];

    items[0] = (shm_pollitem_t){NULL, fd, SHM_POLLIN, 0};
    items[1] = (shm_pollitem_t){right->socket, -1, SHM_POLLIN, 0};
    items[2] = (shm_pollitem_t){NULL, fd, SHM_POLLIN | SHM_POLLOUT, 0};
    CHECK_INT(shm_poll(items, 2, 20), 0);
    CHECK_INT(shm_poll(items, 3, -1), 1);
    CHECK_INT(items[2].revents, SHM_POLLOUT);
    end_send_text(left, "hello");
    CHECK_INT(shm_poll(items, 2, -1), 1);
    CHECK_INT(items[0].revents, 0);
    CHECK_INT(items[1].revents, SHM_POLLIN);
    CHECK_OK(eventfd_write(fd, 1));
    CHECK_INT(shm_poll(items, 2, -1), 2);
    CHECK_INT(items[0].revents, SHM_POLLIN);
    end_expect_text(right, "hello");
    CHECK_INT(shm_poll(items, 2, -1), 1);
    CHECK_INT(items[0].revents, SHM_POLLIN);
    CHECK_INT(items[1].revents, 0);
    close(fd);
}

struct sleeper {
    struct end *end;
    _Atomic pid_t tid;
    int (*wait)(struct end *end);
    int errnum;
};

static void *sleep_in_wait(void *argument)
{
    struct sleeper *sleeper = argument;

    sleeper->tid = gettid();
    sleeper->errnum = sleeper->wait(sleeper->end) < 0 ? errno : 0;
    return NULL;
}

/* A thread that sleeps in shm_poll() is woken by a message from another process. */
TEST_EACH_PIPE(sleeping_polls_are_woken, pipe)
{
    static int (*const waits[])(struct end *) = {end_wait_in_poll, end_wait_in_mixed_poll};
    struct child child = pipe_child(pipe, send_when_asked);
    struct end right;

    end_meet(&right, pipe, false);
    for (uint64_t i = 1; i <= 10; i++) {
        struct sleeper sleeper = {&right, 0, waits[i % 2], -1};
        pthread_t thread;
        uint64_t got = 0;

        CHECK_INT(pthread_create(&thread, NULL, sleep_in_wait, &sleeper), 0);
        while (sleeper.tid == 0)
            ;
        await_asleep(sleeper.tid);
        child_say(&child, i);
        CHECK_INT(pthread_join(thread, NULL), 0);
        CHECK_INT(sleeper.errnum, 0);
        CHECK_INT(end_recv(&right, &got, sizeof got, SHM_DONTWAIT), sizeof got);
        CHECK_INT(got, i);
        end_give_turn(&right);
    }
    child_end(&child);
    end_close(&right);
}

static void wait_to_be_killed(struct child *up, void *argument)
{
    struct end left;

    end_meet(&left, argument, true);
    child_stay(up, 0);
}

/* A caller that only polls, and receives when there is something, needs no other call. */
TEST_EACH_PIPE(a_poll_that_does_not_wait_notices_a_death, pipe)
{
    struct child child = pipe_child(pipe, wait_to_be_killed);
    struct end right;

    end_meet(&right, pipe, false);
    child_hear(&child);
    child_kill(&child);
    int64_t end = now_ms() + 2000;
    while (shm_poll(&(shm_pollitem_t){right.socket, -1, SHM_POLLPRI, 0}, 1, 0) == 0)
        if (now_ms() > end)
            FAIL("nothing was noticed in two seconds");
    end_close(&right);
}

/* ---- shm_shutdown ---- */

static int wait_in_recv(struct end *end)
{
    return (int)recv_byte(end->socket, 0);
}

static int wait_in_event_recv(struct end *end)
{
    shm_event_t event;
    int result;

    do
        result = shm_event_recv(end->socket, &event, 0);
    while (result == 0);
    return result;
}

static int wait_in_send(struct end *end)
{
    ssize_t n;

    do
        n = end_send(end, "x", 1, 0);
    while (n >= 0);
    return (int)n;
}

static void shut_down_while(struct end *end, int (*wait)(struct end *end), bool spinning)
{
    struct sleeper sleeper = {end, 0, wait, -1};
    int64_t forever = -1;
    pthread_t thread;

    if (spinning)
        CHECK_OK(shm_setsockopt(end->socket, SHM_SPIN_NS, &forever, sizeof forever));
    CHECK_INT(pthread_create(&thread, NULL, sleep_in_wait, &sleeper), 0);
    while (sleeper.tid == 0)
        ;
    if (!spinning)
        await_asleep(sleeper.tid);
    CHECK_OK(shm_shutdown(end->socket));
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(sleeper.errnum, ETERM);
}

TEST_EACH_PIPE(a_shutdown_ends_blocked_and_later_calls, pipe)
{
    static int (*const waits[])(struct end *) = {wait_in_recv, end_wait_in_poll, end_wait_in_mixed_poll,
                                                 wait_in_event_recv};

    for (size_t i = 0; i < 2 * COUNT_OF(waits); i++) {
        struct end left, right;
        shm_event_t event;
        shm_msg_t msg = msg_new();
        char byte;

        pipe_start(&left, &right, pipe);
        shut_down_while(&right, waits[i / 2], i % 2);
        CHECK_ERR(shm_recv(right.socket, &byte, 1, 0), ETERM);
        CHECK_ERR(shm_recv(right.socket, &byte, 1, SHM_DONTWAIT), ETERM);
        CHECK_ERR(shm_msg_recv(&msg, right.socket, 0), ETERM);
        CHECK_ERR(shm_event_recv(right.socket, &event, SHM_DONTWAIT), ETERM);
        CHECK_ERR(end_wait_in_poll(&right), ETERM);
        if (pipe->pair->two_way)
            CHECK_ERR(shm_send(right.socket, &byte, 1, 0), ETERM);
        CHECK_ERR(shm_connect(right.socket, "elsewhere"), ETERM);
        CHECK_OK(shm_shutdown(right.socket));
        pipe_close(&right, &left);
    }
}

TEST_MET_PIPES(pair_waits, 4, a_shutdown_ends_a_blocked_send, pipe, left, right)
{
    shut_down_while(left, wait_in_send, false);
    CHECK_ERR(end_send(left, "x", 1, SHM_DONTWAIT), ETERM);
}

/* ---- Threads ---- */

struct handed {
    struct end *left, *right;
};

static void *use_elsewhere(void *argument)
{
    const struct handed *handed = argument;

    for (int i = 0; i < 20; i++)
        pipe_transfer(handed->left, handed->right, "from a thread");
    return NULL;
}

TEST_EACH_MET_PIPE(sockets_move_between_threads, pipe, left, right)
{
    struct handed handed = {left, right};

    for (int i = 0; i < 10; i++) {
        pthread_t thread;

        CHECK_INT(pthread_create(&thread, NULL, use_elsewhere, &handed), 0);
        CHECK_INT(pthread_join(thread, NULL), 0);
        pipe_transfer(left, right, "from the first");
    }
}
