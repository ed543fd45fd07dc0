/* SPDX-License-Identifier: MIT */
/* Bells by themselves: how an owner sleeps, how others wake it, and what the killed leave. */
#include <poll.h>

#include "base/clock.h"
#include "support/harness.h"
#include "transport/bell.h"
#include "transport/store.h"
#include "race.h"

#define ID        "00112233445566778899aabbccddeeff"
#define ID_OTHER  "ffeeddccbbaa99887766554433221100"
#define LONG_NS   UINT64_C(20000000000)
#define MOMENT_NS UINT64_C(5000000)

static struct store *store;
static struct bell mine, peers; /* the owner's, and as a peer has it */

static void open_bells(void)
{
    CHECK_OK(store_open(&store));
    CHECK_INT(bell_new(&mine, store, ID), 0);
    CHECK_INT(bell_attach(&peers, store, ID), 0);
}

static void close_bells(void)
{
    bell_detach(&mine);
    bell_detach(&peers);
    bell_unlink(store, ID);
    store_close(store);
}

static void with_bells(void (*body)(void))
{
    open_bells();
    body();
    close_bells();
}

static uint32_t waiting(void)
{
    return load_relaxed(&mine.page->waiting);
}

/* ---- the file ---- */

TEST_THAT(a_bell_that_is_not_there_or_is_none_is_refused)
{
    struct bell bell;
    CHECK_OK(store_open(&store));
    CHECK_INT(bell_attach(&bell, store, ID), -ENOENT);
    CHECK(bell.page == NULL);
    CHECK_INT(bell_new(&mine, store, ID), 0);
    CHECK_INT(bell_new(&bell, store, ID), -EEXIST);
    mine.page->magic++;
    CHECK_INT(bell_attach(&bell, store, ID), -EPROTO);
    bell_unlink(store, ID);
    int fd = store_file_new(store, sizeof(struct bell_page) / 2);
    CHECK_INT(store_file_link(store, fd, mine.name, OS_WRITE), 0);
    CHECK_INT(bell_attach(&bell, store, ID), -EPROTO);
    CHECK(bell.page == NULL);
    os_close(fd);
    close_bells();
}

TEST_RUN_BY(with_bells, a_bell_whose_file_is_gone_rings_for_those_who_have_it, void)
{
    bell_unlink(store, ID);
    CHECK_INT(count_files(test_dir()), 0);
    bell_announce(&mine, BELL_WAITING);
    CHECK_INT(bell_ring(&peers), 1);
    CHECK_INT(waiting(), 0);
}

/* ---- who rings, and who sleeps ---- */

TEST_RUN_BY(with_bells, nobody_is_woken_who_does_not_sleep_and_nothing_is_kept_for_later, void)
{
    CHECK_INT(bell_ring(&peers), 0);
    bell_announce(&mine, BELL_WAITING);
    CHECK_INT(waiting(), BELL_WAITING);
    CHECK_INT(bell_sleep(&mine, BELL_WAITING, MOMENT_NS), -ETIMEDOUT); /* by that ring: none */
    bell_retract(&mine);
    CHECK_INT(waiting(), 0);
    CHECK_INT(bell_ring(&peers), 0);
}

TEST_RUN_BY(with_bells, a_ring_between_announcing_and_sleeping_ends_the_sleep_before_it_begins, void)
{
    bell_announce(&mine, BELL_WAITING);
    CHECK_INT(bell_ring(&peers), 1);
    uint64_t before_ns = clock_now_ns();
    CHECK_INT(bell_sleep(&mine, BELL_WAITING, LONG_NS), 0);
    CHECK(clock_now_ns() - before_ns < LONG_NS / 2);
    bell_retract(&mine);
}

TEST_RUN_BY(with_bells, several_rings_are_one_wake, void)
{
    for (unsigned round = 0; round < 3; round++) {
        bell_announce(&mine, BELL_WAITING);
        CHECK_INT(bell_ring(&peers), 1);
        CHECK_INT(bell_ring(&peers), 0);
        CHECK_INT(bell_ring(&mine), 0);
        CHECK_INT(bell_sleep(&mine, BELL_WAITING, LONG_NS), 0);
        bell_retract(&mine);
    }
}

static void sleep_once(struct child *up, void *unused)
{
    struct bell bell;
    CHECK_INT(bell_attach(&bell, store, ID), 0);
    bell_announce(&bell, BELL_WAITING);
    child_say(up, 1);
    CHECK_INT(bell_sleep(&bell, BELL_WAITING, LONG_NS), 0);
    bell_retract(&bell);
    bell_detach(&bell);
}

TEST_RUN_BY(with_bells, a_ring_wakes_a_sleeping_process, void)
{
    struct child child = child_start(sleep_once, NULL);
    child_hear(&child);
    await_asleep(child.pid);
    CHECK_INT(bell_ring(&peers), 1);
    child_wait(&child);
    CHECK_INT(waiting(), 0);
}

TEST_RUN_BY(with_bells, a_signal_ends_a_sleep, void)
{
    start_ticking();
    bell_announce(&mine, BELL_WAITING);
    CHECK_INT(bell_sleep(&mine, BELL_WAITING, LONG_NS), -EINTR);
    bell_retract(&mine);
    stop_ticking();
}

/* Two who hand a number to and fro, each asleep until the other has: work, then the ring; announced, then a look. */
enum { TURNS = 2000 };
static struct bell two[2];
static shared_u32 turn;

static void *play(void *argument)
{
    uint32_t me = argument != NULL;
    for (uint32_t n = me; n < TURNS; n += 2) {
        while (load_acquire(&turn) != n) {
            bell_announce(&two[me], BELL_WAITING); /* P1 */
            if (load_acquire(&turn) != n) /* P2 */
                CHECK_INT(bell_sleep(&two[me], BELL_WAITING, LONG_NS), 0); /* -ETIMEDOUT: a ring was lost */
            bell_retract(&two[me]);
        }
        store_seq_cst(&turn, n + 1); /* S1 */
        bell_ring(&two[!me]);
    }
    return NULL;
}

TEST_THAT(no_ring_is_lost_between_two_who_wake_each_other)
{
    pthread_t thread;
    CHECK_OK(store_open(&store));
    CHECK_INT(bell_new(&two[0], store, ID), 0);
    CHECK_INT(bell_new(&two[1], store, ID_OTHER), 0);
    CHECK_INT(pthread_create(&thread, NULL, play, two), 0);
    play(NULL);
    CHECK_INT(pthread_join(thread, NULL), 0);
    for (unsigned i = 0; i < 2; i++)
        bell_detach(&two[i]);
    bell_unlink(store, ID);
    bell_unlink(store, ID_OTHER);
    store_close(store);
}

enum { ROUNDS = 20000 };
static struct {
    _Alignas(CACHE_LINE) shared_u32 work;
    _Alignas(CACHE_LINE) _Atomic uint32_t arrived[2];
    bool rang[ROUNDS];
} race;

static void arrive(unsigned side, uint32_t n)
{
    atomic_store(&race.arrived[side], n);
    for (unsigned polls = 1; atomic_load(&race.arrived[!side]) < n; polls++)
        if (polls % 1000 == 0)
            sched_yield();
    for (volatile uint32_t pause = (n >> side * 6) % 64; pause > 0; pause--) /* each a bit before the other */
        ;
}

static void *work_and_ring(void *unused)
{
    race_as(1);
    for (uint32_t n = 1; n <= ROUNDS; n++) {
        arrive(1, 2 * n - 1);
        store_seq_cst(&race.work, n); /* S1 */
        race.rang[n - 1] = bell_ring(&peers) == 1;
        arrive(1, 2 * n);
    }
    return unused;
}

TEST_RUN_BY(with_bells, either_the_owner_sees_the_work_or_the_ringer_that_it_is_about_to_sleep, void)
{
    pthread_t ringer;
    CHECK_INT(pthread_create(&ringer, NULL, work_and_ring, NULL), 0);
    race_as(0);
    for (uint32_t n = 1; n <= ROUNDS; n++) {
        arrive(0, 2 * n - 1);
        bell_announce(&mine, BELL_WAITING);
        bool seen = load_relaxed(&race.work) == n; /* P2 */
        arrive(0, 2 * n);
        bell_retract(&mine);
        CHECK(seen || race.rang[n - 1]);
    }
    CHECK_INT(pthread_join(ringer, NULL), 0);
}

/* ---- the killed ---- */

static void announce_and_wait(struct child *up, void *how)
{
    struct bell bell;
    CHECK_INT(bell_attach(&bell, store, ID), 0);
    bell_announce(&bell, (uint32_t)(uintptr_t)how);
    child_stay(up, 1);
}

static void kill_owner(uintptr_t how)
{
    struct child child = child_start(announce_and_wait, (void *)how);
    child_hear(&child);
    child_kill(&child);
}

TEST_RUN_BY(with_bells, an_owner_killed_between_announcing_and_sleeping_costs_one_call, void)
{
    for (uintptr_t how = BELL_WAITING; how <= BELL_FD; how++) { /* of its FIFO there is nothing left */
        kill_owner(how);
        CHECK_INT(waiting(), how);
        CHECK_INT(bell_ring(&peers), 1);
        CHECK_INT(bell_ring(&peers), 0);
    }
    CHECK_INT(count_files(test_dir()), 1);
}

static void exchange_and_wait(struct child *up, void *unused)
{
    struct bell bell;
    CHECK_INT(bell_attach(&bell, store, ID), 0);
    child_stay(up, 1);
    peer_u32_exchange(&bell.page->waiting, 0); /* half of S3 */
    child_stay(up, 2);
}

static void sleep_slices(struct child *up, void *unused)
{
    struct bell bell;
    CHECK_INT(bell_attach(&bell, store, ID), 0);
    bell_announce(&bell, BELL_WAITING);
    child_say(up, 1);
    CHECK_INT(bell_sleep(&bell, BELL_WAITING, BELL_SLICE_NS), -ETIMEDOUT);
    bell_retract(&bell);
    child_stay(up, 2);
    bell_announce(&bell, BELL_WAITING);
    child_say(up, 3);
    CHECK_INT(bell_sleep(&bell, BELL_WAITING, LONG_NS), 0);
    bell_retract(&bell);
    bell_detach(&bell);
}

TEST_RUN_BY(with_bells, a_ringer_killed_before_it_woke_anybody_costs_a_slice_and_the_next_one_rings, void)
{
    struct child ringer = child_start(exchange_and_wait, NULL);
    child_hear(&ringer);
    struct child sleeper = child_start(sleep_slices, NULL);
    child_hear(&sleeper);
    await_asleep(sleeper.pid);
    child_say(&ringer, 1);
    child_hear(&ringer);
    child_kill(&ringer);
    CHECK_INT(child_hear(&sleeper), 2);
    child_say(&sleeper, 2);
    child_hear(&sleeper);
    await_asleep(sleeper.pid);
    CHECK_INT(bell_ring(&peers), 1);
    child_wait(&sleeper);
}

/* ---- the descriptor ---- */

static bool is_readable(int fd)
{
    struct pollfd item = {fd, POLLIN, 0};
    return CHECK_OK(poll(&item, 1, 0)) == 1;
}

TEST_RUN_BY(with_bells, a_descriptor_is_readable_from_a_raise_to_the_next_drain, void)
{
    int fd = (int)CHECK_OK(bell_fd_open(&mine));
    CHECK(!is_readable(fd));
    bell_fd_drain(fd); /* does not wait */
    bell_fd_raise(fd);
    CHECK(is_readable(fd));
    CHECK(is_readable(fd));
    for (unsigned n = 0; n < 1000; n++)
        bell_fd_raise(fd);
    bell_fd_drain(fd);
    CHECK(!is_readable(fd));
    bell_fd_close(&mine, fd);
}

TEST_RUN_BY(with_bells, a_full_descriptor_keeps_no_ringer_waiting, void)
{
    int fd = (int)CHECK_OK(bell_fd_open(&mine));
    for (unsigned n = 0; n < 70000; n++) /* more than a pipe holds */
        bell_fd_raise(fd);
    bell_announce(&mine, BELL_FD);
    CHECK_INT(bell_ring(&peers), 1);
    bell_fd_drain(fd);
    CHECK(!is_readable(fd));
    bell_fd_close(&mine, fd);
}

static void ring_once(struct child *up, void *unused)
{
    struct bell bell;
    CHECK_INT(bell_attach(&bell, store, ID), 0);
    CHECK_INT(bell_ring(&bell), 1);
    bell_detach(&bell);
}

TEST_RUN_BY(with_bells, a_ring_makes_the_descriptor_readable_once_for_who_announced_it, void)
{
    char byte[8];
    int fd = (int)CHECK_OK(bell_fd_open(&mine));
    CHECK_INT(bell_ring(&peers), 0);
    bell_announce(&mine, BELL_WAITING); /* otherwise */
    CHECK_INT(bell_ring(&peers), 1);
    CHECK(!is_readable(fd));
    bell_announce(&mine, BELL_FD);
    child_run(ring_once, NULL);
    CHECK(is_readable(fd));
    CHECK_INT(bell_ring(&peers), 0);
    CHECK_INT(read(fd, byte, sizeof byte), 1);
    bell_fd_close(&mine, fd);
}

TEST_RUN_BY(with_bells, a_closed_descriptor_is_as_if_it_had_not_been_opened, void)
{
    char fifo[40];
    bell_fd_name(&mine, fifo);
    CHECK_INT(strcmp(fifo, ID ".fifo"), 0);
    for (unsigned round = 0; round < 2; round++) {
        int fd = (int)CHECK_OK(bell_fd_open(&mine));
        CHECK_INT(count_files(test_dir()), 2);
        CHECK_INT(bell_fd_open(&mine), -EEXIST);
        bell_announce(&mine, BELL_FD);
        CHECK_INT(bell_ring(&peers), 1);
        bell_fd_close(&mine, fd);
        CHECK_INT(count_files(test_dir()), 1);
        bell_announce(&mine, BELL_FD);
        CHECK_INT(bell_ring(&peers), 1); /* nobody hears it, and no file is made */
        CHECK_INT(count_files(test_dir()), 1);
    }
    os_close((int)CHECK_OK(bell_fd_open(&mine))); /* killed: bell_unlink() removes it */
}
