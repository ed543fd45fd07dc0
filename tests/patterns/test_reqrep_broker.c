/* SPDX-License-Identifier: MIT */
/* REQs and REPs in processes of their own, over a broker of ROUTER and DEALER; checked by history. */
#include "support/actor.h"
#include "support/short.h"

enum { CLIENTS = 3, SERVERS = 2, CALLS = 3000 };

static void call_and_log(struct child *up, void *argument)
{
    struct actor *actor = argument;

    actor->end = (struct end){.socket = socket_connected_to(SHM_REQ, "front"), .type = SHM_REQ};
    for (uint64_t n = 1; n <= CALLS; n++) {
        CHECK(actor_send_logged(actor, n, HISTORY_MESSAGE_MIN + n % 40, 0));
        CHECK(actor_recv_logged(actor, 0));
    }
    end_close(&actor->end);
    child_say(up, 1);
}

static void serve_and_log(struct child *up, void *argument)
{
    struct actor *actor = argument;
    shm_socket_t *rep = socket_connected_to(SHM_REP, "back");
    unsigned char bytes[64];
    ssize_t size;

    while ((size = CHECK_OK(shm_recv(rep, bytes, sizeof bytes, 0))) > 0) {
        history_log_message(actor->history, actor->number, bytes, (size_t)size, false);
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

    for (unsigned i = 0; i < CLIENTS + SERVERS; i++) {
        struct actor actor = {.history = history, .number = i, .policy.parts = 1};

        children[i] = child_start(i < CLIENTS ? call_and_log : serve_and_log, &actor);
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
        send_parts(back, TEXTS("", ""));
    }
    for (; ended < CLIENTS + SERVERS; ended++)
        child_wait(&children[ended]);
    const char *wrong = history_check_calls(history, false);
    if (wrong)
        FAIL("%s", wrong);
    history_free(history);
    CLOSE_ALL(front, back);
}
