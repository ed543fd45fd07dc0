/* SPDX-License-Identifier: MIT */
/* SHM_FD in a real event loop: libuv. */
#include "support/ends.h"

#include <uv.h>

enum { MESSAGES = 2000 };

struct consumer {
    struct end end;
    uint64_t next;
    unsigned wakes, vain;
    uv_poll_t poll;
    uv_timer_t timer;
};

static void send_in_bursts(struct child *up, void *argument)
{
    const struct pipe *pipe = argument;
    uint64_t state = test_seed();
    struct end left;

    end_open(&left, pipe, true);
    if (left.type == SHM_PUB || left.type == SHM_XPUB)
        set_int(left.socket, SHM_LOSSLESS, 1); /* on a busy machine the loop may be slow */
    end_attach(&left, pipe, "it");
    end_await(&left);
    child_hear(up);
    for (uint64_t n = 1; n <= MESSAGES; n++) {
        CHECK_INT(end_send(&left, &n, sizeof n, 0), sizeof n);
        end_take_turn(&left);
        if (random_next(&state) % 16 == 0)
            pass_ms((unsigned)(random_next(&state) % 3)); /* let the loop go to sleep */
    }
    child_hear(up);
    end_close(&left);
}

static void finish(uv_timer_t *timer)
{
    struct consumer *consumer = timer->data;

    uv_poll_stop(&consumer->poll);
    uv_close((uv_handle_t *)&consumer->poll, NULL);
    uv_close((uv_handle_t *)timer, NULL);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct consumer *consumer = poll->data;
    uint64_t got, before = consumer->next;

    CHECK_INT(status, 0);
    CHECK_INT(events, UV_READABLE);
    consumer->wakes++;
    while (end_recv(&consumer->end, &got, sizeof got, SHM_DONTWAIT) == (ssize_t)sizeof got) {
        CHECK_INT(got, consumer->next++);
        end_give_turn(&consumer->end);
    }
    CHECK_INT(errno, EAGAIN);
    consumer->vain += consumer->next == before;
    if (before <= MESSAGES && consumer->next > MESSAGES) /* then 100 ms of nothing */
        CHECK_INT(uv_timer_start(&consumer->timer, finish, 100, 0), 0);
}

TEST_EACH_PIPE(a_libuv_loop_receives_everything_and_rests, pipe)
{
    struct child child = pipe_child(pipe, send_in_bursts);
    struct consumer consumer = {.next = 1};
    uv_loop_t loop;

    CHECK_INT(uv_loop_init(&loop), 0);
    end_meet(&consumer.end, pipe, false);
    CHECK_INT(uv_poll_init(&loop, &consumer.poll, get_int(consumer.end.socket, SHM_FD)), 0);
    CHECK_INT(uv_timer_init(&loop, &consumer.timer), 0);
    consumer.poll.data = &consumer;
    consumer.timer.data = &consumer;
    CHECK_INT(uv_poll_start(&consumer.poll, UV_READABLE, on_readable), 0);
    child_say(&child, 1);
    CHECK_INT(uv_run(&loop, UV_RUN_DEFAULT), 0);
    CHECK_INT(uv_loop_close(&loop), 0);
    uv_library_shutdown(); /* its own descriptors */
    CHECK_INT(consumer.next, MESSAGES + 1);
    if (consumer.vain > consumer.wakes / 2 + 20)
        FAIL("%u of %u wakes were in vain", consumer.vain, consumer.wakes);
    child_end(&child);
    end_close(&consumer.end);
}
