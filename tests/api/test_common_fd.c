/* SPDX-License-Identifier: MIT */
/* Every pattern: SHM_FD under epoll, level and edge triggered. */
#include "support/short.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/epoll.h>

static int epoll_of(shm_socket_t *socket, uint32_t flags)
{
    int ep = (int)CHECK_OK(epoll_create1(EPOLL_CLOEXEC));
    struct epoll_event event = {.events = EPOLLIN | flags};

    CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, get_int(socket, SHM_FD), &event));
    return ep;
}

static bool is_readable(int ep, int timeout_ms)
{
    struct epoll_event event;

    return CHECK_OK(epoll_wait(ep, &event, 1, timeout_ms)) == 1;
}

static bool drain_one(struct end *right, uint64_t *got)
{
    ssize_t n = end_recv(right, got, sizeof *got, SHM_DONTWAIT);

    if (n < 0)
        CHECK_INT(errno, EAGAIN);
    else
        end_give_turn(right);
    return n >= 0;
}

/* The loop of every event-driven program: wait, then receive until EAGAIN. Nothing may be missed,
 * and with nothing there the descriptor must be still, or the loop would burn the processor. */
static void run_loop(const struct pipe *pipe, uint32_t flags)
{
    struct child child = pipe_child(pipe, send_when_asked);
    struct end right;
    uint64_t got = 0;
    unsigned vain = 0;

    end_meet(&right, pipe, false);
    CHECK_INT(get_int(right.socket, SHM_FD), get_int(right.socket, SHM_FD));
    int ep = epoll_of(right.socket, flags);
    while (drain_one(&right, &got))
        ;
    for (uint64_t i = 1; i <= 200; i++) {
        child_say(&child, i);
        while (got != i) {
            CHECK(is_readable(ep, -1));
            if (!drain_one(&right, &got))
                vain++;
            while (drain_one(&right, &got))
                ;
        }
    }
    CHECK(vain < 400);
    for (vain = 0; is_readable(ep, 50) && vain < 10; vain++)
        CHECK(!drain_one(&right, &got));
    CHECK(vain < 10);
    child_end(&child);
    close(ep);
    end_close(&right);
}

TEST_EACH_PIPE(a_level_or_edge_triggered_loop_misses_nothing_and_rests, pipe)
{
    run_loop(pipe, 0);
    run_loop(pipe, EPOLLET);
}

TEST_EACH_MET_PIPE(a_descriptor_made_after_the_message_is_readable, pipe, left, right)
{
    uint64_t number = 7, got = 0;

    CHECK_INT(end_send(left, &number, sizeof number, 0), sizeof number);
    int ep = epoll_of(right->socket, 0);
    CHECK(is_readable(ep, -1));
    CHECK(is_readable(ep, 0)); /* level-triggered: still readable until the message is received */
    CHECK(drain_one(right, &got));
    CHECK_INT(got, 7);
    end_take_turn(left);
    close(ep);
}

TEST_MET_PIPES(pair_waits, 4, a_descriptor_tells_of_room_after_a_refusal, pipe, left, right)
{
    int ep = epoll_of(left->socket, 0);
    end_fill(left);
    end_drain(right, 4);
    CHECK(is_readable(ep, -1));
    CHECK_INT(end_send(left, "x", 1, SHM_DONTWAIT), 1);
    close(ep);
}

/* ---- it rests ---- */

/* Wakes while nothing happens, of a loop that looks in this way. */
static unsigned wakes_in_silence(struct end *end, uint32_t flags, void (*look)(struct end *end))
{
    int ep = epoll_of(end->socket, flags);
    unsigned wakes = 0;

    for (int64_t until = now_ms() + 100; now_ms() < until; wakes += is_readable(ep, 20))
        look(end);
    close(ep);
    return wakes;
}

static void look_for_messages(struct end *end)
{
    uint64_t got;

    if (end->is_left)
        get_int(end->socket, SHM_EVENTS); /* it may be one that only sends */
    else
        CHECK(!drain_one(end, &got));
}

static void look_for_events(struct end *end)
{
    shm_event_t event;

    while (shm_event_recv(end->socket, &event, SHM_DONTWAIT) == 0)
        ;
}

TEST_EACH_PIPE(an_unread_event_lets_the_descriptor_rest, pipe)
{
    struct end left, right;
    char subscription;

    end_start(&left, pipe, true, "it");
    end_start(&right, pipe, false, "it");
    while (get_stats(left.socket).peers == 0 || get_stats(right.socket).peers == 0)
        ; /* each has the event of the other's coming */
    while (shm_recv(left.socket, &subscription, 1, SHM_DONTWAIT) >= 0)
        ; /* an XPUB's */
    for (unsigned i = 0; i < 2; i++) {
        CHECK(wakes_in_silence(&left, i * (unsigned)EPOLLET, look_for_messages) <= 2);
        CHECK(wakes_in_silence(&right, i * (unsigned)EPOLLET, look_for_messages) <= 2);
    }
    pipe_close(&left, &right);
}

TEST_PIPES(pair_waits, a_refused_send_that_was_given_up_lets_the_descriptor_rest, pipe)
{
    struct end left, right;
    char byte;

    pipe_start_hwm(&left, &right, pipe, 4);
    CHECK(wakes_in_silence(&left, 0, look_for_events) <= 2);
    while (end_send(&left, "x", 1, SHM_DONTWAIT) == 1)
        ;
    CHECK_INT(errno, EAGAIN);
    while (end_recv(&right, &byte, 1, SHM_DONTWAIT) == 1) {
        end_give_turn(&right);
        end_recv(&left, &byte, 1, SHM_DONTWAIT); /* an answer, in some patterns */
    }
    CHECK(wakes_in_silence(&left, 0, look_for_events) <= 2);
    pipe_close(&left, &right);
}

static void come_and_wait(struct child *up, void *argument)
{
    struct end left;

    end_start(&left, argument, true, "it");
    end_await(&left);
    child_say(up, 0);
    child_hear(up);
}

/* Messages first, then events: what the first receives bring about is read by the second. */
TEST_EACH_PIPE(who_reads_messages_then_events_until_there_are_none_hears_of_a_death, pipe)
{
    struct pipe copy = *pipe;
    struct child child = child_start(come_and_wait, &copy);
    struct end right;
    shm_event_t event = {.event = 0};
    uint64_t got;
    int ep;

    end_start(&right, pipe, false, "it");
    end_await(&right);
    child_hear(&child);
    ep = epoll_of(right.socket, EPOLLET);
    for (bool killed = false; event.event != SHM_EVENT_DIED;) {
        while (drain_one(&right, &got))
            ;
        while (event.event != SHM_EVENT_DIED && shm_event_recv(right.socket, &event, SHM_DONTWAIT) == 0)
            ;
        if (!killed)
            child_kill(&child);
        killed = true;
        CHECK(event.event == SHM_EVENT_DIED || is_readable(ep, 10000));
    }
    close(ep);
    end_close(&right);
}

/* The sender wakes a peer that sleeps on its descriptor, although it cannot open a file itself. */
TEST_EACH_MET_PIPE(a_sender_without_descriptors_wakes_a_descriptor, pipe, left, right)
{
    char got[8];
    struct pollfd item = {-1, POLLIN, 0};
    struct rlimit limit;
    size_t size = sizeof item.fd;

    CHECK_OK(shm_getsockopt(right->socket, SHM_FD, &item.fd, &size));
    while (poll(&item, 1, 0) == 1) /* until it has nothing left to handle */
        CHECK_ERR(end_recv_byte(right, SHM_DONTWAIT), EAGAIN);
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, limit.rlim_max}));
    end_send_text(left, "wake up");
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
    CHECK_INT(poll(&item, 1, 5000), 1);
    CHECK_INT(end_recv(right, got, sizeof got, SHM_DONTWAIT), 7);
    pipe_turn(left, right);
}
