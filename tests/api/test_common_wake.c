/* SPDX-License-Identifier: MIT */
/* Every pattern: a sleeper is woken at once, by a wake-up and not by a timeout. */
#include "support/ends.h"

#include <pthread.h>

enum { WAKES = 15 };

static void send_the_time_to_a_sleeper(struct child *up, void *argument)
{
    struct end left;

    end_meet(&left, argument, true);
    for (int i = 0; i < WAKES; i++) {
        child_hear(up);
        await_asleep(up->pid);
        int64_t now = now_ms();
        CHECK_INT(end_send(&left, &now, sizeof now, 0), sizeof now);
        end_take_turn(&left);
    }
    end_close(&left);
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

/* The median: on a busy machine some may have waited. */
static void check_wakes(const struct pipe *pipe, int (*wait)(struct end *end))
{
    struct child child = pipe_child(pipe, send_the_time_to_a_sleeper);
    int64_t sent, waits_ms[WAKES];
    struct end right;

    end_meet(&right, pipe, false);
    for (int i = 0; i < WAKES; i++) {
        child_say(&child, 1);
        if (wait)
            CHECK_INT(wait(&right), 1);
        CHECK_INT(end_recv(&right, &sent, sizeof sent, 0), sizeof sent);
        waits_ms[i] = now_ms() - sent;
        end_give_turn(&right);
    }
    qsort(waits_ms, WAKES, sizeof waits_ms[0], by_size);
    if (waits_ms[WAKES / 2] > 25)
        FAIL("it took %lld ms to wake a sleeper", (long long)waits_ms[WAKES / 2]);
    child_wait(&child);
    end_close(&right);
}

TEST_EACH_PIPE(sleeping_receives_and_polls_are_woken_at_once, pipe)
{
    check_wakes(pipe, NULL);
    check_wakes(pipe, end_wait_in_poll);
    check_wakes(pipe, end_wait_in_mixed_poll);
}

static void *drain_later(void *argument)
{
    struct end *right = argument;
    pid_t sleeper = getpid(); /* the first thread, in shm_send() */
    int64_t *now = CHECK_PTR(malloc(sizeof *now));

    await_asleep(sleeper);
    *now = now_ms();
    end_drain(right, 4);
    return now;
}

/* The other direction: free room wakes a sender. */
TEST_PIPES(pair_waits, sleeping_sends_are_woken_at_once, pipe)
{
    int64_t waits_ms[WAKES];

    for (int i = 0; i < WAKES; i++) {
        struct end left, right;
        pthread_t thread;
        void *since;

        pipe_start_hwm(&left, &right, pipe, 4);
        end_fill(&left);
        CHECK_INT(pthread_create(&thread, NULL, drain_later, &right), 0);
        end_send_text(&left, "x");
        waits_ms[i] = now_ms();
        CHECK_INT(pthread_join(thread, &since), 0);
        waits_ms[i] -= *(int64_t *)since;
        free(since);
        pipe_close(&left, &right);
    }
    qsort(waits_ms, WAKES, sizeof waits_ms[0], by_size);
    if (waits_ms[WAKES / 2] > 25)
        FAIL("it took %lld ms to wake a sleeper", (long long)waits_ms[WAKES / 2]);
}
