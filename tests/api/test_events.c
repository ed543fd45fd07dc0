/* SPDX-License-Identifier: MIT */
/* What shm_event_recv() tells: order, limits, polling. (Who died or left: test_common_fork.c.) */
#include "support/short.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

static void drop_events(shm_socket_t *socket)
{
    shm_event_t event;

    while (shm_event_recv(socket, &event, SHM_DONTWAIT) == 0)
        ;
    CHECK_INT(errno, EAGAIN);
}

TEST_THAT(a_socket_tells_its_life_in_order)
{
    static const int wanted[] = {SHM_EVENT_BOUND, SHM_EVENT_CONNECTED, SHM_EVENT_LEFT,
                                 SHM_EVENT_BOUND};
    shm_socket_t *a = socket_new(SHM_DEALER), *b = socket_new(SHM_DEALER);
    shm_event_t event;

    CHECK_OK(shm_bind(a, "one"));
    CHECK_OK(shm_connect(b, "one"));
    send_text(b, "x");
    CHECK_INT(shm_recv(a, &event, 1, 0), 1); /* has seen its peer by now */
    await_event(b, SHM_EVENT_CONNECTED);
    CHECK_OK(shm_disconnect(b, "one"));
    CHECK_ERR(shm_send(a, "x", 1, SHM_DONTWAIT), EAGAIN); /* and its end */
    CHECK_OK(shm_bind(a, "two"));
    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        CHECK_OK(shm_event_recv(a, &event, SHM_DONTWAIT));
        CHECK_INT(event.event, wanted[i]);
        CHECK(strstr(event.endpoint, i < 3 ? "one" : "two") != NULL);
        CHECK(memchr(event.endpoint, 0, sizeof event.endpoint) != NULL);
        if (event.event == SHM_EVENT_CONNECTED || event.event == SHM_EVENT_LEFT) {
            CHECK_INT(event.peer_type, SHM_DEALER);
            CHECK_INT(event.peer_pid, getpid());
        }
    }
    CHECK_ERR(shm_event_recv(a, &event, SHM_DONTWAIT), EAGAIN);
    CLOSE_ALL(a, b);
}

TEST_THAT(long_names_fit_into_events)
{
    shm_socket_t *a = socket_new(SHM_DEALER);
    char name[201];

    memset(name, 'n', 200);
    name[200] = '\0';
    CHECK_OK(shm_bind(a, name));
    shm_event_t event = await_event(a, SHM_EVENT_BOUND);
    CHECK(strstr(event.endpoint, name) != NULL);
    CHECK_OK(shm_close(a));
}

TEST_THAT(events_make_pollpri_readable)
{
    shm_socket_t *a = socket_new(SHM_DEALER), *b = socket_new(SHM_DEALER);
    shm_pollitem_t item = {a, -1, SHM_POLLPRI, 0};

    CHECK_INT(shm_poll(&item, 1, 20), 0);
    CHECK_OK(shm_bind(a, "it"));
    CHECK_INT(shm_poll(&item, 1, -1), 1);
    CHECK_INT(item.revents, SHM_POLLPRI);
    drop_events(a);
    CHECK_INT(shm_poll(&item, 1, 0), 0);
    CHECK_OK(shm_connect(b, "it"));
    CHECK_INT(shm_poll(&item, 1, -1), 1);
    CHECK_INT(item.revents, SHM_POLLPRI);
    await_event(a, SHM_EVENT_CONNECTED);
    CHECK_OK(shm_close(b));
    CHECK_INT(shm_poll(&item, 1, -1), 1);
    await_event(a, SHM_EVENT_LEFT);
    CHECK_OK(shm_close(a));
}

static void connect_when_told(struct child *up, void *argument)
{
    shm_socket_t *socket = socket_new(SHM_DEALER);

    await_asleep(up->pid);
    CHECK_OK(shm_connect(socket, "it"));
    child_hear(up);
    CHECK_OK(shm_close(socket));
}

TEST_THAT(sleeping_waits_for_events_are_woken)
{
    for (int by_poll = 0; by_poll < 2; by_poll++) {
        shm_socket_t *socket = socket_new(SHM_DEALER);
        shm_pollitem_t item = {socket, -1, SHM_POLLPRI, 0};
        shm_event_t event;

        CHECK_OK(shm_bind(socket, "it"));
        drop_events(socket);
        struct child child = child_start(connect_when_told, NULL);
        if (by_poll)
            CHECK_INT(shm_poll(&item, 1, -1), 1);
        CHECK_OK(shm_event_recv(socket, &event, 0));
        CHECK_INT(event.event, SHM_EVENT_CONNECTED);
        CHECK_INT(event.peer_pid, child.pid);
        child_end(&child);
        CHECK_OK(shm_close(socket));
    }
}

/* The newest 64 events are kept, and the number of dropped ones is reported. */
TEST_THAT(events_that_nobody_reads_are_counted)
{
    shm_socket_t *a = socket_new(SHM_DEALER);
    uint64_t missed = 0, seen = 0;
    shm_event_t event;
    char name[16];

    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "name%d", i);
        CHECK_OK(shm_bind(a, name));
    }
    while (shm_event_recv(a, &event, SHM_DONTWAIT) == 0) {
        if (event.event == SHM_EVENT_MISSED) {
            CHECK_INT(seen, 0); /* before the others: they were older */
            missed += event.value;
        } else {
            CHECK_INT(event.event, SHM_EVENT_BOUND);
            seen++;
            snprintf(name, sizeof name, "name%u", (unsigned)(missed + seen - 1));
            CHECK(strstr(event.endpoint, name) != NULL);
        }
    }
    CHECK_INT(errno, EAGAIN);
    CHECK_INT(missed + seen, 200);
    CHECK(seen >= 63 && seen <= 64);
    CHECK_OK(shm_close(a));
}

TEST_THAT(every_type_has_events)
{
    for (int type = SHM_PAIR; type <= SHM_XSUB; type++) {
        shm_socket_t *socket = socket_new(type);
        shm_event_t event;

        CHECK_OK(shm_bind(socket, "it"));
        CHECK_OK(shm_event_recv(socket, &event, 0));
        CHECK_INT(event.event, SHM_EVENT_BOUND);
        CHECK_OK(shm_close(socket));
    }
}

static int64_t cpu_time_ns(void)
{
    struct timespec used;

    CHECK_OK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used));
    return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

/* A bound socket has an unread event from the start. */
TEST_THAT(an_unread_event_lets_a_poll_rest_that_did_not_ask_for_events)
{
    shm_socket_t *socket = socket_new(SHM_PULL);
    int ends[2];

    CHECK_OK(pipe2(ends, O_CLOEXEC));
    CHECK_OK(shm_bind(socket, "it"));
    shm_pollitem_t items[] = {{socket, -1, SHM_POLLIN, 0}, {NULL, ends[0], SHM_POLLIN, 0}};
    int64_t before = cpu_time_ns();
    CHECK_INT(shm_poll(items, 2, 500), 0);
    CHECK(cpu_time_ns() - before < 250000000);
    items[0].events = SHM_POLLPRI;
    CHECK_INT(shm_poll(items, 2, 500), 1);
    CHECK_INT(items[0].revents, SHM_POLLPRI);
    close(ends[0]);
    close(ends[1]);
    CHECK_OK(shm_close(socket));
}
