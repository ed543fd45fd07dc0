/* SPDX-License-Identifier: MIT */
/* shm_proxy(): both ways, whole messages, a copy for the capture, and its end. */
#include "support/short.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

struct proxy {
    shm_socket_t *front, *back, *capture;
    int result, errnum;
    pthread_t thread;
};

static void *run_proxy(void *argument)
{
    struct proxy *proxy = argument;

    proxy->result = shm_proxy(proxy->front, proxy->back, proxy->capture);
    proxy->errnum = errno;
    return NULL;
}

static void proxy_bind(struct proxy *proxy, int front, int back, int hwm)
{
    *proxy = (struct proxy){.front = socket_new(front), .back = socket_new(back)};
    set_int(proxy->back, SHM_SNDHWM, hwm);
    set_int(proxy->back, SHM_RCVHWM, hwm);
    CHECK_OK(shm_bind(proxy->front, "front"));
    CHECK_OK(shm_bind(proxy->back, "back"));
}

static void proxy_run(struct proxy *proxy, void *(*run)(void *proxy))
{
    CHECK_INT(pthread_create(&proxy->thread, NULL, run, proxy), 0);
}

static void proxy_start(struct proxy *proxy, int front, int back, shm_socket_t *capture)
{
    proxy_bind(proxy, front, back, 1000);
    if (capture) {
        proxy->capture = socket_new(SHM_PAIR);
        pair_up_at("capture", capture, proxy->capture);
    }
    proxy_run(proxy, run_proxy);
}

static void proxy_stop(struct proxy *proxy, bool by_back)
{
    CHECK_OK(shm_shutdown(by_back ? proxy->back : proxy->front));
    CHECK_INT(pthread_join(proxy->thread, NULL), 0);
    CHECK_INT(proxy->result, -1);
    CHECK_INT(proxy->errnum, ETERM);
    CLOSE_ALL(proxy->front, proxy->back);
    if (proxy->capture)
        CHECK_OK(shm_close(proxy->capture));
}

TEST_THAT(bad_arguments_are_refused)
{
    shm_socket_t *socket = socket_new(SHM_DEALER);

    CHECK_ERR(shm_proxy(NULL, socket, NULL), EINVAL);
    CHECK_ERR(shm_proxy(socket, NULL, NULL), EINVAL);
    CHECK_OK(shm_shutdown(socket));
    CHECK_ERR(shm_proxy(socket, socket, NULL), ETERM);
    CHECK_OK(shm_close(socket));
}

TEST_THAT(a_proxy_ends_with_either_of_its_sockets)
{
    for (int by_back = 0; by_back < 2; by_back++) {
        struct proxy proxy;

        proxy_start(&proxy, SHM_ROUTER, SHM_DEALER, NULL);
        proxy_stop(&proxy, by_back);
    }
}

TEST_THAT(calls_pass_both_ways)
{
    struct proxy proxy;
    shm_socket_t *reqs[3], *rep;
    char text[16];

    proxy_start(&proxy, SHM_ROUTER, SHM_DEALER, NULL);
    rep = socket_connected_to(SHM_REP, "back");
    for (size_t i = 0; i < COUNT_OF(reqs); i++)
        reqs[i] = socket_connected_to(SHM_REQ, "front");
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < COUNT_OF(reqs); i++) {
            snprintf(text, sizeof text, "%zu", i);
            send_parts(reqs[i], TEXTS(text, "tail"));
        }
        for (size_t i = 0; i < COUNT_OF(reqs); i++) {
            ssize_t n = CHECK_OK(shm_recv(rep, text, sizeof text, 0));

            expect_part(rep, "tail", false);
            CHECK_INT(shm_send(rep, text, (size_t)n, 0), n);
        }
        for (size_t i = 0; i < COUNT_OF(reqs); i++) {
            snprintf(text, sizeof text, "%zu", i);
            expect_part(reqs[i], text, false);
        }
    }
    CLOSE_EACH(reqs);
    CHECK_OK(shm_close(rep));
    proxy_stop(&proxy, false);
}

static void expect_big(shm_socket_t *socket, unsigned char *room, unsigned seed)
{
    CHECK_INT(shm_recv(socket, room, 200000, 0), 200000);
    pattern_check(room, 200000, seed);
    CHECK_INT(get_int(socket, SHM_RCVMORE), 0);
}

TEST_THAT(jobs_pass_with_a_copy_for_the_capture)
{
    struct proxy proxy;
    shm_socket_t *push, *pull, *capture = socket_new(SHM_PAIR);
    unsigned char *big = CHECK_PTR(malloc(200000));

    proxy_start(&proxy, SHM_PULL, SHM_PUSH, capture);
    push = socket_connected_to(SHM_PUSH, "front");
    pull = socket_connected_to(SHM_PULL, "back");
    for (unsigned i = 0; i < 50; i++) {
        pattern_fill(big, 200000, i);
        send_part(push, "head");
        CHECK_INT(shm_send(push, big, 200000, 0), 200000);
        expect_part(pull, "head", true);
        expect_big(pull, big, i);
        expect_part(capture, "head", true);
        expect_big(capture, big, i);
    }
    free(big);
    CLOSE_ALL(push, pull, capture);
    proxy_stop(&proxy, true);
}

/* Subscriptions go one way, messages the other. */
TEST_THAT(subscriptions_pass_upstream)
{
    struct proxy proxy;
    shm_socket_t *pub = socket_new(SHM_XPUB), *sub;
    char got[16];

    CHECK_OK(shm_bind(pub, "source"));
    proxy = (struct proxy){.front = socket_connected_to(SHM_XSUB, "source"), .back = socket_new(SHM_XPUB)};
    CHECK_OK(shm_bind(proxy.back, "back"));
    proxy_run(&proxy, run_proxy);
    sub = sub_new("topic");
    CHECK_OK(shm_connect(sub, "back"));
    await_event(sub, SHM_EVENT_CONNECTED);
    expect_text(pub, "\1topic");
    for (int i = 0; i < 100; i++) {
        send_text(pub, "other");
        send_parts(pub, TEXTS("topic", "news"));
        expect_parts(sub, TEXTS("topic", "news"));
    }
    CHECK_OK(shm_close(sub));
    CHECK_INT(shm_recv(pub, got, sizeof got, 0), 6);
    CHECK_MEM(got, 6, "\0topic", 6);
    CHECK_OK(shm_close(pub));
    proxy_stop(&proxy, true);
}

/* A DEALER that answers each request twice, with room for one message each way. */
static void *answer_twice(void *socket)
{
    char id[64], text[8];

    for (int requests = 0; requests < 6; requests++) {
        ssize_t size = CHECK_OK(shm_recv(socket, id, sizeof id, 0));
        ssize_t length = CHECK_OK(shm_recv(socket, text, sizeof text, 0));
        for (int i = 0; i < 2; i++) {
            CHECK_OK(shm_send(socket, id, (size_t)size, SHM_SNDMORE));
            CHECK_OK(shm_send(socket, text, (size_t)length, 0));
        }
    }
    return NULL;
}

TEST_THAT(a_full_direction_does_not_hold_up_the_other)
{
    struct proxy proxy;
    pthread_t worker;

    proxy_bind(&proxy, SHM_ROUTER, SHM_DEALER, 1);
    shm_socket_t *server = socket_new(SHM_DEALER), *client = socket_connected_to(SHM_DEALER, "front");
    for (int option = SHM_SNDHWM; option <= SHM_RCVHWM; option++)
        set_int(server, option, 1);
    CHECK_OK(shm_connect(server, "back"));
    join(proxy.back, server);
    CHECK_INT(pthread_create(&worker, NULL, answer_twice, server), 0);
    proxy_run(&proxy, run_proxy);
    for (int i = 0; i < 6; i++)
        send_text(client, "q");
    for (int i = 0; i < 12; i++)
        expect_part(client, "q", false);
    CHECK_INT(pthread_join(worker, NULL), 0);
    CLOSE_ALL(client, server);
    proxy_stop(&proxy, false);
}

static void handle(int signal)
{
}

/* As run_proxy(), and goes on after a signal. */
static void *run_proxy_through_signals(void *argument)
{
    struct proxy *proxy = argument;

    do
        run_proxy(proxy);
    while (proxy->errnum == EINTR);
    return NULL;
}

TEST_THAT(a_signal_loses_nothing)
{
    struct proxy proxy;
    struct sigaction action = {.sa_handler = handle};
    int got;

    CHECK_OK(sigaction(SIGUSR1, &action, NULL));
    proxy_bind(&proxy, SHM_PULL, SHM_PUSH, 1);
    shm_socket_t *in = socket_connected_to(SHM_PUSH, "front"), *out = socket_new(SHM_PULL);
    set_int(out, SHM_RCVHWM, 1);
    CHECK_OK(shm_connect(out, "back"));
    join(proxy.front, in);
    join(proxy.back, out);
    proxy_run(&proxy, run_proxy_through_signals);
    for (int i = 0; i < 4; i++)
        CHECK_OK(shm_send(in, &i, sizeof i, 0));
    for (int i = 0; i < 20; i++) { /* the first fills the queue; the next one waits for room */
        CHECK_INT(pthread_kill(proxy.thread, SIGUSR1), 0);
        usleep(5000);
    }
    for (int i = 0; i < 4; i++) {
        CHECK_INT(shm_recv(out, &got, sizeof got, 0), sizeof got);
        CHECK_INT(got, i);
    }
    CLOSE_ALL(in, out);
    proxy_stop(&proxy, false);
}
