/* SPDX-License-Identifier: MIT */
/* Waiting by itself, for something that is no socket: a counter that is ready for reading while it is above zero. */
#include <poll.h>
#include <pthread.h>

#include "core/waitable.h"
#include "support/harness.h"
#include "transport/store.h"

#define ID(n) "0000000000000000000000000000000" #n

struct counter {
    struct waitable wait;
    struct bell bell;
    shared_u64 sleeps;
    int64_t spin_ns;
    _Atomic int level;
    _Atomic bool ended;
    const char *watched;
    int level_at_check; /* what a check finds out, if it is not 0 */
    unsigned looks, checks, idles;
};

static struct counter *counter_of(struct waitable *w)
{
    return (struct counter *)(void *)((char *)w - offsetof(struct counter, wait));
}

static short events(struct waitable *w, short wanted)
{
    return (short)(atomic_load(&counter_of(w)->level) > 0 ? wanted & SHM_POLLIN : 0);
}

static int ended(struct waitable *w)
{
    return atomic_load(&counter_of(w)->ended) ? -ETERM : 0;
}

static void look(struct waitable *w)
{
    counter_of(w)->looks++;
}

static void check(struct waitable *w)
{
    struct counter *counter = counter_of(w);
    counter->checks++;
    w->checked_at = cpu_ticks();
    if (counter->level_at_check != 0)
        atomic_store(&counter->level, counter->level_at_check);
}

static void idle(struct waitable *w)
{
    counter_of(w)->idles++;
}

static uint32_t announce(struct waitable *w, uint32_t how)
{
    bell_announce(w->bell, how);
    return how;
}

static const char *watched(struct waitable *w, unsigned i)
{
    return i == 0 ? counter_of(w)->watched : NULL;
}

static const struct waitable_ops counter_ops = {events, ended, look, check, idle, announce, watched};

static struct store *store;
static struct counter one, two;

static void open_counter(struct counter *counter, const char *id_hex)
{
    CHECK_INT(bell_new(&counter->bell, store, id_hex), 0);
    counter->wait = (struct waitable){.ops = &counter_ops, .bell = &counter->bell, .store = store,
                                      .spin_ns = &counter->spin_ns, .sleeps = &counter->sleeps,
                                      .checked_at = cpu_ticks()};
    descriptor_init(&counter->wait.descriptor);
}

static void open_counters(void)
{
    CHECK_OK(store_open(&store));
    open_counter(&one, ID(1));
    open_counter(&two, ID(2));
}

static void close_counters(void)
{
    descriptor_close(&one.wait);
    descriptor_close(&two.wait);
    bell_detach(&one.bell);
    bell_detach(&two.bell);
    bell_unlink(store, ID(1));
    bell_unlink(store, ID(2));
    store_close(store);
}

static void with_counters(void (*body)(void))
{
    open_counters();
    body();
    close_counters();
}

static void raise_counter(struct counter *counter)
{
    atomic_fetch_add(&counter->level, 1); /* S1 */
    bell_ring(&counter->bell);
}

static void end_counter(struct counter *counter)
{
    atomic_store(&counter->ended, true);
    bell_ring(&counter->bell);
}

/* Another thread does it to a counter once somebody sleeps on that, in whichever way. */
struct later {
    void (*act)(struct counter *counter);
    struct counter *counter;
    pthread_t thread;
};

static void *act_later(void *argument)
{
    struct later *later = argument;
    while (load_relaxed(&later->counter->bell.page->waiting) == 0)
        pass_ms(1);
    later->act(later->counter);
    return NULL;
}

static void start_later(struct later *later)
{
    CHECK_INT(pthread_create(&later->thread, NULL, act_later, later), 0);
}

static void join_later(struct later *later)
{
    CHECK_INT(pthread_join(later->thread, NULL), 0);
}

/* ---- one ---- */

TEST_RUN_BY(with_counters, nothing_is_waited_for_until_the_deadline_and_no_longer, void)
{
    uint64_t deadline_ns = clock_deadline_ns(20);
    CHECK_INT(waitable_wait(&one.wait, SHM_POLLIN, deadline_ns), -EAGAIN);
    CHECK(clock_now_ns() >= deadline_ns);
    CHECK(load_relaxed(&one.sleeps) <= 1);
    CHECK_INT(load_relaxed(&one.bell.page->waiting), 0);
    CHECK_INT(waitable_wait(&one.wait, SHM_POLLIN, 1), -EAGAIN); /* long past */
    atomic_store(&one.level, 1);
    CHECK_INT(waitable_wait(&one.wait, SHM_POLLOUT, clock_deadline_ns(1)), -EAGAIN); /* not what it is ready for */
}

TEST_RUN_BY(with_counters, an_ended_one_is_not_waited_for_and_the_end_wakes_who_does, void)
{
    struct later later = {end_counter, &one, 0};
    start_later(&later);
    CHECK_INT(waitable_wait(&one.wait, SHM_POLLIN, CLOCK_FOREVER), 0); /* look: it has changed */
    join_later(&later);
    CHECK_INT(waitable_wait(&one.wait, SHM_POLLIN, CLOCK_FOREVER), -ETERM);
}

TEST_RUN_BY(with_counters, a_signal_ends_the_wait, void)
{
    start_ticking();
    CHECK_INT(waitable_wait(&one.wait, SHM_POLLIN, CLOCK_FOREVER), -EINTR);
    stop_ticking();
}

TEST_RUN_BY(with_counters, what_is_ready_or_has_changed_is_not_slept_on, void)
{
    atomic_store(&one.level, 1);
    CHECK_INT(waitable_wait(&one.wait, SHM_POLLIN, CLOCK_FOREVER), 0);
    atomic_store(&one.level, 0);
    store_relaxed(&one.bell.page->changed, 1);
    CHECK_INT(waitable_wait(&one.wait, SHM_POLLIN, CLOCK_FOREVER), 0);
    CHECK_INT(load_relaxed(&one.sleeps), 0);
}

TEST_RUN_BY(with_counters, who_waits_is_woken_by_who_makes_it_ready, void)
{
    for (int round = 0; round < 2; round++) {
        struct later later = {raise_counter, &one, 0};
        one.spin_ns = round == 0 ? 0 : -2; /* at once, or having spun for as long as pays */
        atomic_store(&one.level, 0);
        start_later(&later);
        CHECK_INT(waitable_wait(&one.wait, SHM_POLLIN, CLOCK_FOREVER), 0);
        CHECK_INT(atomic_load(&one.level), 1);
        join_later(&later);
    }
}

TEST_RUN_BY(with_counters, who_spins_without_end_does_not_sleep_and_asks_after_its_peers_all_the_same, void)
{
    one.spin_ns = -1;
    CHECK_INT(waitable_wait(&one.wait, SHM_POLLIN, clock_deadline_ns(10)), -EAGAIN);
    one.checks = 0;
    one.level_at_check = 1;
    one.wait.checked_at = 0;
    CHECK_INT(waitable_wait(&one.wait, SHM_POLLIN, CLOCK_FOREVER), 0);
    CHECK_INT(one.checks, 1);
    CHECK_INT(load_relaxed(&one.sleeps), 0);
}

TEST_RUN_BY(with_counters, what_nobody_rings_for_is_found_out_at_the_end_of_a_slice, void)
{
    one.level_at_check = 1; /* its peer has died */
    uint64_t before_ns = clock_now_ns();
    CHECK_INT(waitable_wait(&one.wait, SHM_POLLIN, CLOCK_FOREVER), 0);
    CHECK(clock_now_ns() - before_ns >= BELL_SLICE_NS);
    CHECK_INT(one.checks, 1);
    CHECK_INT(load_relaxed(&one.sleeps), 1);
}

/* ---- several ---- */

TEST_RUN_BY(with_counters, of_several_that_are_not_ready_none_is_until_the_deadline, void)
{
    struct wait_item items[] = {{&one.wait, -1, SHM_POLLIN, 7}, {&two.wait, -1, SHM_POLLIN, 7}};
    atomic_store(&two.level, 1);
    items[1].events = SHM_POLLOUT;
    CHECK_INT(waitable_poll(items, 2, clock_deadline_ns(10)), 0);
    CHECK(items[0].revents == 0 && items[1].revents == 0);
    CHECK(one.idles == 1 && two.idles == 1);
    CHECK_INT(waitable_poll(items, 0, clock_deadline_ns(1)), 0);
    CHECK_INT(load_relaxed(&one.bell.page->waiting) | load_relaxed(&two.bell.page->waiting), 0);
}

TEST_RUN_BY(with_counters, an_end_of_one_of_several_ends_the_wait_for_all, void)
{
    struct wait_item items[] = {{&one.wait, -1, SHM_POLLIN, 0}, {&two.wait, -1, SHM_POLLIN, 0}};
    struct later later = {end_counter, &two, 0};
    start_later(&later);
    CHECK_INT(waitable_poll(items, 2, CLOCK_FOREVER), -ETERM);
    join_later(&later);
}

TEST_RUN_BY(with_counters, the_one_of_several_that_becomes_ready_wakes_who_waits_for_all, void)
{
    enum { MANY = 20 }; /* more than have room on the stack */
    struct wait_item items[MANY];
    for (int count = 2; count <= MANY; count += MANY - 2) {
        struct later later = {raise_counter, &two, 0};
        for (int i = 0; i < count; i++)
            items[i] = (struct wait_item){i == count - 1 ? &two.wait : &one.wait, -1, SHM_POLLIN, 0};
        atomic_store(&two.level, 0);
        start_later(&later);
        CHECK_INT(waitable_poll(items, count, CLOCK_FOREVER), 1);
        CHECK_INT(items[count - 1].revents, SHM_POLLIN);
        CHECK_INT(items[0].revents, 0);
        join_later(&later);
    }
    CHECK(one.looks > 1 && two.looks > 1);
}

TEST_RUN_BY(with_counters, a_pipe_and_a_counter_are_waited_for_together, void)
{
    int ends[2];
    struct later later = {raise_counter, &one, 0};
    CHECK_OK(pipe(ends));
    struct wait_item items[] = {{&one.wait, -1, SHM_POLLIN, 0}, {NULL, ends[0], SHM_POLLIN, 0}};
    CHECK_INT(waitable_poll(items, 2, clock_deadline_ns(10)), 0);
    start_later(&later);
    CHECK_INT(waitable_poll(items, 2, CLOCK_FOREVER), 1);
    join_later(&later);
    CHECK(items[0].revents == SHM_POLLIN && items[1].revents == 0);
    CHECK_INT(write(ends[1], "x", 1), 1);
    CHECK_INT(waitable_poll(items, 2, CLOCK_FOREVER), 2);
    CHECK(items[0].revents == SHM_POLLIN && items[1].revents == SHM_POLLIN);
    atomic_store(&one.level, 0);
    CHECK_INT(waitable_poll(items, 2, CLOCK_FOREVER), 1);
    CHECK(items[0].revents == 0 && items[1].revents == SHM_POLLIN);
    close(ends[0]);
    close(ends[1]);
    CHECK_INT(waitable_poll(items, 2, CLOCK_FOREVER), 1);
    CHECK_INT(items[1].revents, SHM_POLLERR);
}

/* ---- the descriptor ---- */

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd item = {fd, POLLIN, 0};
    return CHECK_OK(poll(&item, 1, timeout_ms)) == 1;
}

TEST_RUN_BY(with_counters, a_descriptor_is_readable_until_it_is_armed_and_from_the_next_ring_on, void)
{
    int fd = (int)CHECK_OK(descriptor_open(&one.wait));
    CHECK_INT(descriptor_open(&one.wait), fd);
    CHECK(is_readable(fd, 0));
    descriptor_rearm(&one.wait, SHM_POLLIN);
    CHECK(!is_readable(fd, 0));
    raise_counter(&one);
    CHECK(is_readable(fd, 0));
    descriptor_rearm(&one.wait, SHM_POLLIN);
    CHECK(is_readable(fd, 0)); /* for the counter is as high as it was */
    descriptor_rearm(&one.wait, SHM_POLLOUT);
    CHECK(!is_readable(fd, 0));
    store_relaxed(&one.bell.page->changed, 1);
    descriptor_rearm(&one.wait, SHM_POLLOUT);
    CHECK(is_readable(fd, 0));
}

TEST_RUN_BY(with_counters, a_wait_that_disarmed_the_descriptor_leaves_it_readable, void)
{
    int fd = (int)CHECK_OK(descriptor_open(&one.wait));
    descriptor_rearm(&one.wait, SHM_POLLIN);
    CHECK_INT(waitable_wait(&one.wait, SHM_POLLIN, clock_deadline_ns(1)), -EAGAIN);
    CHECK(is_readable(fd, 0));
}

static void hold_a_file(struct child *up, void *unused)
{
    struct bell bell;
    CHECK_INT(bell_new(&bell, store, ID(3)), 0);
    child_stay(up, 1);
}

TEST_RUN_BY(with_counters, a_descriptor_tells_of_the_death_of_who_has_a_watched_file, void)
{
    struct child child = child_start(hold_a_file, NULL);
    child_hear(&child);
    one.watched = ID(3) ".bell";
    int fd = (int)CHECK_OK(descriptor_open(&one.wait));
    descriptor_rearm(&one.wait, SHM_POLLIN);
    CHECK(!one.wait.descriptor.ticks);
    CHECK(!is_readable(fd, 0));
    CHECK_INT(one.checks, 0);
    child_kill(&child);
    CHECK(is_readable(fd, 10000));
    descriptor_rearm(&one.wait, SHM_POLLIN);
    CHECK_INT(one.checks, 1);
    CHECK(!is_readable(fd, 0));
    bell_unlink(store, ID(3));
}

TEST_RUN_BY(with_counters, a_descriptor_that_has_nothing_to_watch_looks_now_and_then, void)
{
    one.watched = "no such file";
    one.level_at_check = 1;
    int fd = (int)CHECK_OK(descriptor_open(&one.wait));
    CHECK(one.wait.descriptor.ticks);
    descriptor_rearm(&one.wait, SHM_POLLIN);
    CHECK(is_readable(fd, 10000));
    descriptor_rearm(&one.wait, SHM_POLLIN);
    CHECK_INT(one.checks, 1);
    CHECK(is_readable(fd, 0));
}
