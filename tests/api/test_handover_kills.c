/* SPDX-License-Identifier: MIT */
/* Sockets without a directory (SHM_MEMFD) whose peers are killed: while they join, send, or work. */
#include "support/ends.h"
#include "support/line.h"

#include <sys/wait.h>
#include <time.h>

enum { SIZE = 20000 };

static int ends[2];

/* Wait until this process has no more of them than BEFORE. */
static void await_descriptors(shm_socket_t *socket, unsigned before)
{
    for (int i = 0; i < 100 && count_files("/proc/self/fd") > before; i++)
        CHECK_OK(shm_poll(&(shm_pollitem_t){socket, -1, 0, 0}, 1, 20));
    CHECK(count_files("/proc/self/fd") <= before);
}

static void join_and_wait(struct child *up, void *argument)
{
    shm_socket_t *pair = memfd_socket(SHM_PAIR);

    child_stay(up, 0);
    if (shm_handover(pair, ends[1], 5000) == 0)
        child_say(up, 0);
    pass_ms(5000);
}

/* Killed anywhere while joining: the other side learns it from the Unix socket, or by the death. */
TEST_THAT(who_is_killed_while_joining_leaves_nothing_behind)
{
    shm_socket_t *pair = memfd_socket(SHM_PAIR);
    uint64_t random = test_seed();
    unsigned before = 0, enough = test_is_slow_build() ? 20 : 60;

    for (unsigned i = 0; i < enough; i++) {
        CHECK_OK(line_make(ends));
        struct child child = child_start(join_and_wait, NULL);

        child_hear(&child);
        close(ends[1]);
        child_say(&child, 0);
        pid_t killer = (pid_t)CHECK_OK(fork());
        if (killer == 0) {
            struct timespec nap = {0, (long)(random_next(&random) % 300000)};
            nanosleep(&nap, NULL);
            kill_guarded(child.pid, SIGKILL);
            _exit(0);
        }
        random_next(&random);
        if (shm_handover(pair, ends[0], 5000) < 0)
            CHECK(errno == EPIPE || errno == ECONNRESET);
        CHECK_INT(waitpid(killer, NULL, 0), killer);
        child_reap(&child);
        close(ends[0]);
        do
            CHECK_OK(shm_poll(&(shm_pollitem_t){pair, -1, 0, 0}, 1, 1));
        while (get_stats(pair).peers > 0);
        if (i == 10)
            before = count_files("/proc/self/fd");
    }
    await_descriptors(pair, before);
    CHECK_OK(shm_close(pair));
}

/* ---- Kills in traffic ---- */

enum { JOBS_MAX = 100000, LARGEST = 1 << 20 };

struct traffic {
    _Atomic uint64_t acknowledged;
    _Atomic unsigned char done[JOBS_MAX];
};

static size_t size_in_traffic(uint64_t number)
{
    static const size_t sizes[] = {64, SIZE, 8, 300000, 5000, 64, LARGEST, 112};

    return sizes[number % COUNT_OF(sizes)];
}

static void fill(unsigned char *bytes, uint64_t number)
{
    pattern_fill(bytes, size_in_traffic(number), (unsigned)number);
    memcpy(bytes, &number, sizeof number);
}

static uint64_t number_of(unsigned char *bytes, size_t size)
{
    static unsigned char want[LARGEST];
    uint64_t number;

    CHECK(size >= sizeof number);
    memcpy(&number, bytes, sizeof number);
    CHECK(number < JOBS_MAX);
    fill(want, number);
    CHECK_MEM(bytes, size, want, size_in_traffic(number));
    return number;
}

static void send_until_killed(struct child *up, void *argument)
{
    static unsigned char bytes[LARGEST];
    struct traffic *traffic = argument;
    shm_socket_t *push = memfd_socket(SHM_PUSH);

    set_int(push, SHM_SNDHWM, 20);
    CHECK_OK(shm_handover(push, ends[1], 5000));
    child_say(up, 0);
    for (uint64_t i = 0; i < JOBS_MAX; i++) {
        fill(bytes, i);
        CHECK_OK(shm_send(push, bytes, size_in_traffic(i), 0));
        traffic->acknowledged = i + 1;
    }
    pass_ms(30000);
}

TEST_THAT(who_is_killed_while_sending_has_sent_what_was_acknowledged)
{
    static unsigned char bytes[LARGEST];
    struct traffic *traffic = shared_memory(sizeof *traffic);
    shm_socket_t *pull = memfd_socket(SHM_PULL);
    uint64_t random = test_seed();
    unsigned before = 0;

    set_int(pull, SHM_RCVTIMEO, 5000);
    for (int i = 0; i < 40; i++) {
        CHECK_OK(line_make(ends));
        traffic->acknowledged = 0;
        struct child child = child_start(send_until_killed, traffic);
        uint64_t got = 0, enough = random_next(&random) % 60, linger = random_next(&random) % 4;

        CHECK_OK(shm_handover(pull, ends[0], 5000));
        line_drop(ends);
        child_hear(&child);
        for (; got < enough; got++)
            CHECK_INT(number_of(bytes, (size_t)CHECK_OK(shm_recv(pull, bytes, sizeof bytes, 0))), got);
        if (linger > 1)
            pass_ms((unsigned)linger); /* it fills its ring, and waits for us */
        child_kill(&child);
        for (uint64_t all = traffic->acknowledged; got < all; got++)
            CHECK_INT(number_of(bytes, (size_t)CHECK_OK(shm_recv(pull, bytes, sizeof bytes, 0))), got);
        await_event(pull, SHM_EVENT_DIED);
        ssize_t n = shm_recv(pull, bytes, sizeof bytes, SHM_DONTWAIT); /* one whose send had not returned */
        if (n >= 0)
            CHECK_INT(number_of(bytes, (size_t)n), got);
        CHECK_ERR(shm_recv(pull, bytes, sizeof bytes, SHM_DONTWAIT), EAGAIN);
        if (i == 5)
            before = count_files("/proc/self/fd");
    }
    await_descriptors(pull, before);
    CHECK_OK(shm_close(pull));
    shared_memory_free(traffic, sizeof *traffic);
}

static void work_until_killed(struct child *up, void *argument)
{
    struct traffic *traffic = argument;
    shm_socket_t *pull = memfd_socket(SHM_PULL);
    shm_msg_t msg = msg_new();

    CHECK_OK(shm_handover(pull, ends[1], 5000));
    child_say(up, 0);
    while (shm_msg_recv(&msg, pull, 0) >= 0) {
        uint64_t number = number_of(shm_msg_data(&msg), shm_msg_size(&msg));
        traffic->done[number] = 1;
        CHECK_OK(shm_msg_close(&msg));
    }
}

/* A job is in hand until its view is closed, so each is done, by the next worker if need be. */
TEST_THAT(jobs_of_who_is_killed_in_traffic_are_done_by_the_next)
{
    static unsigned char bytes[LARGEST];
    struct traffic *traffic = shared_memory(sizeof *traffic);
    shm_socket_t *push = memfd_socket(SHM_PUSH);
    uint64_t random = test_seed(), sent = 0;
    struct child child = {0};
    unsigned before = 0;

    set_int(push, SHM_SNDHWM, 20);
    set_int(push, SHM_SNDTIMEO, 5000);
    for (int i = 0; i < 40; i++) {
        uint64_t enough = sent + random_next(&random) % 60;

        CHECK_OK(line_make(ends));
        child = child_start(work_until_killed, traffic);
        CHECK_OK(shm_handover(push, ends[0], 5000));
        line_drop(ends);
        child_hear(&child);
        for (; sent < enough; sent++) {
            fill(bytes, sent);
            CHECK_OK(shm_send(push, bytes, size_in_traffic(sent), 0));
        }
        if (i == 39)
            break;
        child_kill(&child);
        await_event(push, SHM_EVENT_DIED);
        if (i == 5)
            before = count_files("/proc/self/fd");
        if (i > 5)
            CHECK(count_files("/proc/self/fd") <= before + 1);
    }
    int64_t end = now_ms() + 10000;
    for (uint64_t i = 0; i < sent; i++)
        while (!traffic->done[i]) {
            CHECK_OK(shm_poll(&(shm_pollitem_t){push, -1, 0, 0}, 1, 1));
            if (now_ms() > end)
                FAIL("job %llu of %llu was lost", (unsigned long long)i, (unsigned long long)sent);
        }
    child_kill(&child);
    CHECK_OK(shm_close(push));
    shared_memory_free(traffic, sizeof *traffic);
}
