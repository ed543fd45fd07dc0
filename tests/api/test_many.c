/* SPDX-License-Identifier: MIT */
/* A thousand peers on one endpoint, in a few processes; a thousand endpoints in one. */
#include "support/short.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { CROWDS = 4, CROWD = 250, MANY = CROWDS * CROWD };

#define MIB ((uint64_t)1 << 20)

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = limit.rlim_max;
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
    if (limit.rlim_cur < 8 * MANY)
        skip_test("too few descriptors are permitted for a thousand peers");
}

/* What the files of the runtime directory take, in bytes. */
static uint64_t shared_bytes(void)
{
    DIR *directory = opendir(test_dir());
    struct dirent *entry;
    uint64_t bytes = 0;

    CHECK(directory != NULL);
    while ((entry = readdir(directory))) {
        struct stat status;

        if (fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode))
            bytes += (uint64_t)status.st_blocks * 512;
    }
    closedir(directory);
    return bytes;
}

static void await_peers(shm_socket_t *socket, uint64_t count)
{
    shm_event_t event;

    while (get_stats(socket).peers != count) {
        while (shm_event_recv(socket, &event, SHM_DONTWAIT) == 0)
            ;
        sched_yield();
    }
}

/* Run MAIN with a socket of TYPE bound to "it", and CROWDS children that run CROWD_FN. */
static void run_crowds(int type, void (*crowd_fn)(struct child *up, void *argument),
                       void (*main_fn)(shm_socket_t *socket))
{
    struct child children[CROWDS];

    raise_descriptor_limit();
    for (unsigned i = 0; i < CROWDS; i++)
        children[i] = child_start(crowd_fn, &i);
    shm_socket_t *socket = socket_bound(type);
    await_peers(socket, MANY);
    CHECK(shared_bytes() <= MANY * MIB / 2); /* half a MiB for each pair of sockets at most */
    for (unsigned i = 0; i < CROWDS; i++)
        child_say(&children[i], 1);
    main_fn(socket);
    for (unsigned i = 0; i < CROWDS; i++) {
        CHECK_INT(child_hear(&children[i]), 2);
        child_say(&children[i], 3);
        child_wait(&children[i]);
    }
    await_peers(socket, 0);
    CHECK_OK(shm_close(socket));
}

static void crowd_open(shm_socket_t **crowd, int type)
{
    for (unsigned i = 0; i < CROWD; i++) {
        crowd[i] = type == SHM_SUB ? sub_new("") : socket_new(type);
        CHECK_OK(shm_connect(crowd[i], "it"));
    }
    for (unsigned i = 0; i < CROWD; i++)
        await_event(crowd[i], SHM_EVENT_CONNECTED);
}

static void crowd_close(struct child *up, shm_socket_t **crowd)
{
    child_say(up, 2);
    CHECK_INT(child_hear(up), 3);
    for (unsigned i = 0; i < CROWD; i++)
        CHECK_OK(shm_close(crowd[i]));
}

/* ---- DEALER and ROUTER ---- */

static void ask_thrice(struct child *up, void *argument)
{
    unsigned which = *(const unsigned *)argument;
    shm_socket_t *crowd[CROWD];

    crowd_open(crowd, SHM_DEALER);
    CHECK_INT(child_hear(up), 1);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < CROWD; i++)
            send_number(crowd[i], (which * CROWD + i) * 3 + round);
        for (unsigned i = 0; i < CROWD; i++)
            CHECK_INT(recv_number(crowd[i]), (which * CROWD + i) * 3 + round);
    }
    crowd_close(up, crowd);
}

static void answer_all(shm_socket_t *router)
{
    for (unsigned i = 0; i < 3 * MANY; i++) {
        unsigned char id[8];

        CHECK_INT(shm_recv(router, id, sizeof id, 0), 5);
        uint64_t number = recv_number(router);
        CHECK_INT(shm_send(router, id, 5, SHM_SNDMORE), 5);
        send_number(router, number);
    }
}

TEST_WITHIN(120, a_router_serves_a_thousand_dealers)
{
    run_crowds(SHM_ROUTER, ask_thrice, answer_all);
}

/* ---- PUB and SUB ---- */

static void hear_twenty(struct child *up, void *argument)
{
    shm_socket_t *crowd[CROWD];

    crowd_open(crowd, SHM_SUB);
    CHECK_INT(child_hear(up), 1);
    for (unsigned i = 0; i < CROWD; i++)
        for (uint64_t n = 0; n < 20; n++)
            CHECK_INT(recv_number(crowd[i]), n);
    crowd_close(up, crowd);
}

static void publish_twenty(shm_socket_t *pub)
{
    send_numbers(pub, 0, 19);
}

TEST_WITHIN(120, a_pub_reaches_a_thousand_subs)
{
    run_crowds(SHM_PUB, hear_twenty, publish_twenty);
}

/* ---- PUSH and PULL ---- */

static void push_five(struct child *up, void *argument)
{
    unsigned which = *(const unsigned *)argument;
    shm_socket_t *crowd[CROWD];

    crowd_open(crowd, SHM_PUSH);
    CHECK_INT(child_hear(up), 1);
    for (uint64_t n = 0; n < 5; n++)
        for (unsigned i = 0; i < CROWD; i++)
            send_number(crowd[i], (which * CROWD + i) * 5 + n);
    crowd_close(up, crowd);
}

static void pull_all(shm_socket_t *pull)
{
    static unsigned heard[MANY];

    for (unsigned i = 0; i < 5 * MANY; i++) {
        uint64_t number = recv_number(pull);

        CHECK(number / 5 < MANY);
        CHECK_INT(number % 5, heard[number / 5]++);
    }
}

TEST_WITHIN(120, a_pull_takes_from_a_thousand_pushes)
{
    run_crowds(SHM_PULL, push_five, pull_all);
}

static _Atomic unsigned *taken; /* of 5 * MANY: how often each, and their sum at the end */

static void pull_what_comes(struct child *up, void *argument)
{
    shm_socket_t *crowd[CROWD];

    crowd_open(crowd, SHM_PULL);
    CHECK_INT(child_hear(up), 1);
    while (taken[5 * MANY] < 5 * MANY) {
        for (unsigned i = 0; i < CROWD; i++) {
            uint64_t number = 0;

            if (shm_recv(crowd[i], &number, sizeof number, SHM_DONTWAIT) < 0) {
                CHECK_INT(errno, EAGAIN);
                continue;
            }
            CHECK(number < 5 * MANY);
            CHECK_INT(taken[number]++, 0);
            taken[5 * MANY]++;
        }
        sched_yield();
    }
    crowd_close(up, crowd);
}

static void push_all(shm_socket_t *push)
{
    send_numbers(push, 0, 5 * MANY - 1);
}

TEST_WITHIN(120, a_push_gives_to_a_thousand_pulls)
{
    size_t size = (5 * MANY + 1) * sizeof *taken;

    taken = shared_memory(size);
    run_crowds(SHM_PUSH, pull_what_comes, push_all);
    for (unsigned n = 0; n < 5 * MANY; n++)
        CHECK_INT(taken[n], 1);
    shared_memory_free((void *)taken, size);
}

/* ---- Endpoints ---- */

TEST_WITHIN(120, one_process_binds_a_thousand_names)
{
    shm_socket_t *pulls[MANY], *push = socket_new(SHM_PUSH);
    char name[32];

    raise_descriptor_limit();
    for (unsigned i = 0; i < MANY; i++) {
        pulls[i] = socket_new(SHM_PULL);
        snprintf(name, sizeof name, "robot/%u/pose", i);
        CHECK_OK(shm_bind(pulls[i], name));
    }
    for (uint64_t i = 0; i < MANY; i += 50) {
        snprintf(name, sizeof name, "robot/%u/pose", (unsigned)i);
        CHECK_OK(shm_connect(push, name));
        join(push, pulls[i]);
        send_number(push, i);
        CHECK_INT(recv_number(pulls[i]), i);
        CHECK_OK(shm_disconnect(push, name));
    }
    CLOSE_EACH(pulls);
    CHECK_OK(shm_close(push));
}

TEST_WITHIN(120, one_socket_connects_to_hundreds_of_names)
{
    enum { NAMES = 300 };
    shm_socket_t *pulls[NAMES], *push = socket_new(SHM_PUSH);
    bool heard[NAMES] = {false};
    char name[32];

    raise_descriptor_limit();
    set_int(push, SHM_ROUND_ROBIN, 1);
    for (unsigned i = 0; i < NAMES; i++) {
        pulls[i] = socket_new(SHM_PULL);
        snprintf(name, sizeof name, "worker %u", i);
        CHECK_OK(shm_bind(pulls[i], name));
        CHECK_OK(shm_connect(push, name));
        join(push, pulls[i]);
    }
    CHECK_INT(get_stats(push).peers, NAMES);
    send_numbers(push, 0, NAMES - 1);
    for (unsigned i = 0; i < NAMES; i++) {
        uint64_t number = recv_number(pulls[i]);

        CHECK(number < NAMES && !heard[number]);
        heard[number] = true;
    }
    CLOSE_EACH(pulls);
    CHECK_OK(shm_close(push));
}
