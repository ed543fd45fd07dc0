/* SPDX-License-Identifier: MIT */
/* REQs and REPs in processes of their own, over a broker of ROUTER and DEALER; checked by history.
 */
#include "support/ends.h"
#include "support/history.h"

enum { CLIENTS = 3, SERVERS = 2, CALLS = 3000 };

struct calls {
    struct history *history;
    unsigned actor;
};

static void call_and_log(struct child *up, void *argument)
{
    const struct calls *calls = argument;
    struct history *history = calls->history;
    unsigned actor = calls->actor;
    shm_socket_t *req = socket_new(SHM_REQ);
    unsigned char bytes[64];

    CHECK_OK(shm_connect(req, "front"));
    for (uint64_t n = 1; n <= CALLS; n++) {
        ssize_t size;

        history_message_make(bytes, HISTORY_MESSAGE_MIN + n % 40, actor, n);
        history_log(history, actor, HISTORY_CALL, actor, n);
        CHECK_OK(shm_send(req, bytes, HISTORY_MESSAGE_MIN + n % 40, 0));
        history_log(history, actor, HISTORY_RETURN, actor, n);
        size = CHECK_OK(shm_recv(req, bytes, sizeof bytes, 0));
        history_log_message(history, actor, bytes, (size_t)size, false);
    }
    CHECK_OK(shm_close(req));
    child_say(up, 1);
}

static void serve_and_log(struct child *up, void *argument)
{
    const struct calls *calls = argument;
    shm_socket_t *rep = socket_new(SHM_REP);
    unsigned char bytes[64];
    ssize_t size;

    CHECK_OK(shm_connect(rep, "back"));
    while ((size = CHECK_OK(shm_recv(rep, bytes, sizeof bytes, 0))) > 0) {
        history_log_message(calls->history, calls->actor, bytes, (size_t)size, false);
        CHECK_INT(shm_send(rep, bytes, (size_t)size, 0), size);
    }
    CHECK_OK(shm_send(rep, "", 0, 0));
    CHECK_OK(shm_close(rep));
    child_say(up, 1);
}

/* REQs over a ROUTER and a DEALER to REPs: each call is served once, and the asker gets the answer. */
TEST_THAT(calls_through_a_broker_are_a_bijection)
{
    struct history *history = history_new(CLIENTS + SERVERS, 3 * CALLS * CLIENTS);
    shm_socket_t *front = socket_new(SHM_ROUTER), *back = socket_new(SHM_DEALER);
    struct child children[CLIENTS + SERVERS];
    unsigned done = 0, ended = 0;
    const char *wrong;

    for (unsigned i = 0; i < CLIENTS + SERVERS; i++) {
        struct calls calls = {history, i};

        children[i] = child_start(i < CLIENTS ? call_and_log : serve_and_log, &calls);
    }
    CHECK_OK(shm_bind(front, "front"));
    CHECK_OK(shm_bind(back, "back"));
    for (unsigned i = 0; i < SERVERS; i++)
        await_event(back, SHM_EVENT_CONNECTED);
    while (done < CLIENTS) {
        shm_socket_t *ways[2] = {front, back};
        shm_pollitem_t items[2] = {{front, -1, SHM_POLLIN, 0}, {back, -1, SHM_POLLIN, 0}};

        CHECK_OK(shm_poll(items, 2, 100));
        for (int i = 0; i < 2; i++)
            for (shm_msg_t msg; items[i].revents;) {
                int more;

                CHECK_OK(shm_msg_init(&msg));
                if (shm_msg_recv(&msg, ways[i], SHM_DONTWAIT) < 0)
                    break;
                do {
                    more = shm_msg_more(&msg) ? SHM_SNDMORE : 0;
                    CHECK_OK(shm_msg_send(&msg, ways[1 - i], more));
                    if (more)
                        CHECK_OK(shm_msg_recv(&msg, ways[i], 0));
                } while (more);
            }
        for (unsigned i = done = 0; i < CLIENTS; i++)
            done += child_has_spoken(&children[i]);
    }
    for (unsigned i = 0; i < SERVERS; i++) { /* round robin: one each */
        CHECK_INT(shm_send(back, "", 0, SHM_SNDMORE), 0);
        CHECK_INT(shm_send(back, "", 0, 0), 0);
    }
    for (; ended < CLIENTS + SERVERS; ended++)
        child_wait(&children[ended]);
    wrong = history_check_calls(history, false);
    if (wrong)
        FAIL("%s", wrong);
    history_free(history);
    CLOSE_ALL(front, back);
}
