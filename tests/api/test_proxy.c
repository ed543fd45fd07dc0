/* SPDX-License-Identifier: MIT */
/* shm_proxy(): both ways, whole messages, a copy for the capture, and its end. */
#include "support/ends.h"

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

static void proxy_start(struct proxy *proxy, int front, int back, shm_socket_t *capture)
{
    *proxy = (struct proxy){.front = socket_new(front), .back = socket_new(back)};
    CHECK_OK(shm_bind(proxy->front, "front"));
    CHECK_OK(shm_bind(proxy->back, "back"));
    if (capture) {
        proxy->capture = socket_new(SHM_PAIR);
        CHECK_OK(shm_bind(capture, "capture"));
        CHECK_OK(shm_connect(proxy->capture, "capture"));
        join(capture, proxy->capture);
    }
    CHECK_INT(pthread_create(&proxy->thread, NULL, run_proxy, proxy), 0);
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

static shm_socket_t *client_new(int type, const char *name)
{
    shm_socket_t *socket = socket_new(type);

    CHECK_OK(shm_connect(socket, name));
    return socket;
}

static void send_text(shm_socket_t *socket, const char *text, int flags)
{
    CHECK_INT(shm_send(socket, text, strlen(text), flags), strlen(text));
}

static void expect_text(shm_socket_t *socket, const char *text, int more)
{
    char got[64];
    ssize_t n = CHECK_OK(shm_recv(socket, got, sizeof got, 0));

    CHECK_MEM(got, n, text, strlen(text));
    CHECK_INT(get_int(socket, SHM_RCVMORE), more);
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
    rep = client_new(SHM_REP, "back");
    for (size_t i = 0; i < COUNT_OF(reqs); i++)
        reqs[i] = client_new(SHM_REQ, "front");
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < COUNT_OF(reqs); i++) {
            snprintf(text, sizeof text, "%zu", i);
            send_text(reqs[i], text, SHM_SNDMORE);
            send_text(reqs[i], "tail", 0);
        }
        for (size_t i = 0; i < COUNT_OF(reqs); i++) {
            ssize_t n = CHECK_OK(shm_recv(rep, text, sizeof text, 0));

            expect_text(rep, "tail", 0);
            CHECK_INT(shm_send(rep, text, (size_t)n, 0), n);
        }
        for (size_t i = 0; i < COUNT_OF(reqs); i++) {
            snprintf(text, sizeof text, "%zu", i);
            expect_text(reqs[i], text, 0);
        }
    }
    CLOSE_EACH(reqs);
    CHECK_OK(shm_close(rep));
    proxy_stop(&proxy, false);
}

TEST_THAT(jobs_pass_with_a_copy_for_the_capture)
{
    struct proxy proxy;
    shm_socket_t *push, *pull, *capture = socket_new(SHM_PAIR);
    unsigned char *big = CHECK_PTR(malloc(200000));

    proxy_start(&proxy, SHM_PULL, SHM_PUSH, capture);
    push = client_new(SHM_PUSH, "front");
    pull = client_new(SHM_PULL, "back");
    for (unsigned i = 0; i < 50; i++) {
        pattern_fill(big, 200000, i);
        send_text(push, "head", SHM_SNDMORE);
        CHECK_INT(shm_send(push, big, 200000, 0), 200000);
        expect_text(pull, "head", 1);
        CHECK_INT(shm_recv(pull, big, 200000, 0), 200000);
        pattern_check(big, 200000, i);
        expect_text(capture, "head", 1);
        CHECK_INT(shm_recv(capture, big, 200000, 0), 200000);
        pattern_check(big, 200000, i);
        CHECK_INT(get_int(capture, SHM_RCVMORE), 0);
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
    proxy = (struct proxy){.front = socket_new(SHM_XSUB), .back = socket_new(SHM_XPUB)};
    CHECK_OK(shm_connect(proxy.front, "source"));
    CHECK_OK(shm_bind(proxy.back, "back"));
    CHECK_INT(pthread_create(&proxy.thread, NULL, run_proxy, &proxy), 0);
    sub = client_new(SHM_SUB, "back");
    CHECK_OK(shm_setsockopt(sub, SHM_SUBSCRIBE, "topic", 5));
    await_event(sub, SHM_EVENT_CONNECTED);
    CHECK_INT(shm_recv(pub, got, sizeof got, 0), 6);
    CHECK_MEM(got, 6, "\1topic", 6);
    for (int i = 0; i < 100; i++) {
        send_text(pub, "other", 0);
        send_text(pub, "topic", SHM_SNDMORE);
        send_text(pub, "news", 0);
        expect_text(sub, "topic", 1);
        expect_text(sub, "news", 0);
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
    struct proxy proxy = {.front = socket_new(SHM_ROUTER), .back = socket_new(SHM_DEALER)};
    pthread_t worker;

    for (int option = SHM_SNDHWM; option <= SHM_RCVHWM; option++)
        set_int(proxy.back, option, 1);
    CHECK_OK(shm_bind(proxy.front, "front"));
    CHECK_OK(shm_bind(proxy.back, "back"));
    shm_socket_t *server = socket_new(SHM_DEALER), *client = client_new(SHM_DEALER, "front");
    for (int option = SHM_SNDHWM; option <= SHM_RCVHWM; option++)
        set_int(server, option, 1);
    CHECK_OK(shm_connect(server, "back"));
    join(proxy.back, server);
    CHECK_INT(pthread_create(&worker, NULL, answer_twice, server), 0);
    CHECK_INT(pthread_create(&proxy.thread, NULL, run_proxy, &proxy), 0);
    for (int i = 0; i < 6; i++)
        send_text(client, "q", 0);
    for (int i = 0; i < 12; i++)
        expect_text(client, "q", 0);
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
    struct proxy proxy = {.front = socket_new(SHM_PULL), .back = socket_new(SHM_PUSH)};
    struct sigaction action = {.sa_handler = handle};
    int got;

    CHECK_OK(sigaction(SIGUSR1, &action, NULL));
    set_int(proxy.back, SHM_SNDHWM, 1);
    CHECK_OK(shm_bind(proxy.front, "front"));
    CHECK_OK(shm_bind(proxy.back, "back"));
    shm_socket_t *in = client_new(SHM_PUSH, "front"), *out = socket_new(SHM_PULL);
    set_int(out, SHM_RCVHWM, 1);
    CHECK_OK(shm_connect(out, "back"));
    join(proxy.front, in);
    join(proxy.back, out);
    CHECK_INT(pthread_create(&proxy.thread, NULL, run_proxy_through_signals, &proxy), 0);
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
