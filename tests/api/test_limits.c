/* SPDX-License-Identifier: MIT */
/* SHM_MEMORY_LIMIT, the texts of errors, the version. */
#include "support/ends.h"

#define LIMIT ((uint64_t)1 << 20)

static void set_limit(shm_socket_t *socket, uint64_t limit)
{
    CHECK_OK(shm_setsockopt(socket, SHM_MEMORY_LIMIT, &limit, sizeof limit));
}

static void start_limited(struct end *left, struct end *right, const struct pipe *pipe)
{
    end_open(left, pipe, true);
    set_limit(left->socket, LIMIT);
    end_open(right, pipe, false);
    pipe_attach(left, right, pipe);
}

TEST_PIPES(pair_waits, messages_over_the_limit_are_too_large, pipe)
{
    struct end left, right;
    static unsigned char bytes[2 * LIMIT];
    shm_msg_t msg;

    start_limited(&left, &right, pipe);
    CHECK_ERR(end_send(&left, bytes, 2 * LIMIT, SHM_DONTWAIT), EMSGSIZE);
    CHECK_ERR(end_send(&left, bytes, 2 * LIMIT, 0), EMSGSIZE); /* waiting would not help */
    CHECK_ERR(shm_msg_loan(&msg, left.socket, 2 * LIMIT), EMSGSIZE);
    CHECK_ERR(shm_msg_loan(&msg, left.socket, SIZE_MAX / 2), EMSGSIZE);
    end_send_text(&left, "small");
    CHECK_INT(end_recv(&right, bytes, 5, 0), 5);
    CHECK_MEM(bytes, 5, "small", 5);
    pipe_turn(&left, &right);
    pipe_close(&left, &right);
}

TEST_PIPES(pair_waits, at_the_limit_senders_wait_until_receivers_let_go, pipe)
{
    struct end left, right;
    static unsigned char bytes[100000];
    unsigned queued;
    shm_msg_t loan, view;

    start_limited(&left, &right, pipe);
    for (int round = 0; round < 3; round++) {
        queued = 0;
        while (end_send(&left, bytes, 100000, SHM_DONTWAIT) == 100000)
            if (++queued > LIMIT / 100000)
                FAIL("%u messages of 100000 bytes within a limit of 1 MiB", queued);
        CHECK_INT(errno, EAGAIN);
        CHECK(queued >= 3);
        CHECK_ERR(shm_msg_loan(&loan, left.socket, 100000), EAGAIN);
        set_int(left.socket, SHM_SNDTIMEO, 20);
        CHECK_ERR(end_send(&left, bytes, 100000, 0), EAGAIN);
        set_int(left.socket, SHM_SNDTIMEO, -1);
        for (unsigned i = 0; i < queued; i++) {
            CHECK_INT(end_recv(&right, bytes, 100000, 0), 100000);
            end_give_turn(&right);
        }
    }
    /* Memory that a receiver still views is not free either. */
    CHECK_INT(end_send(&left, bytes, 100000, 0), 100000);
    CHECK_OK(shm_msg_init(&view));
    CHECK_INT(end_msg_recv(&right, &view, 0), 100000);
    end_give_turn(&right);
    for (queued = 0; end_send(&left, bytes, 100000, SHM_DONTWAIT) == 100000; queued++)
        ;
    CHECK(queued + 1 <= LIMIT / 100000);
    CHECK_OK(shm_msg_close(&view));
    pipe_close(&left, &right);
}

TEST_PIPES(pair_waits, the_limit_bounds_what_is_allocated, pipe)
{
    struct end left, right;
    static unsigned char bytes[100000];

    start_limited(&left, &right, pipe);
    uint64_t at_start = get_stats(left.socket).memory;
    for (unsigned i = 0; i < 2000; i++) {
        size_t size = i * 997 % 100000;

        if (end_send(&left, bytes, size, SHM_DONTWAIT) < 0) {
            CHECK_INT(errno, EAGAIN);
            CHECK(end_recv(&right, bytes, 100000, 0) >= 0);
            end_give_turn(&right);
        }
        /* Rings are not under the limit: that of a PUSH has 2048 slots. */
        CHECK(get_stats(left.socket).memory <= at_start + LIMIT + LIMIT / 2);
    }
    pipe_close(&left, &right);
}

/* A PUB does not wait: it drops its oldest messages and stays within the limit. */
TEST_THAT(a_pub_at_its_limit_drops_the_oldest)
{
    shm_socket_t *pub = socket_new(SHM_PUB), *sub = socket_new(SHM_SUB);
    static unsigned char bytes[100000];
    uint32_t last = 0, got = 0, received = 0;
    uint64_t lost;
    size_t size = sizeof lost;

    set_limit(pub, LIMIT);
    subscribe_to(sub, "");
    pair_up(pub, sub);
    CHECK_ERR(shm_send(pub, bytes, 2 * LIMIT, 0), EMSGSIZE);
    for (uint32_t i = 1; i <= 500; i++) {
        memcpy(bytes, &i, sizeof i);
        CHECK_INT(shm_send(pub, bytes, 100000, 0), 100000);
        CHECK(get_stats(pub).memory <= 2 * LIMIT);
    }
    while (shm_recv(sub, bytes, 100000, SHM_DONTWAIT) == 100000) {
        memcpy(&got, bytes, sizeof got);
        CHECK(got > last);
        last = got;
        received++;
    }
    CHECK_INT(errno, EAGAIN);
    CHECK_INT(last, 500);
    CHECK(received >= 3);
    CHECK_OK(shm_getsockopt(sub, SHM_LOST, &lost, &size));
    CHECK_INT(lost + received, 500);
    CLOSE_ALL(pub, sub);
}

/* ---- Texts ---- */

TEST_THAT(every_error_has_a_text)
{
    static const int own[] = {EFSM, ETERM, ENOCOMPATPROTO, EFORKED};

    for (size_t i = 0; i < COUNT_OF(own); i++) {
        const char *text = shm_strerror(own[i]);

        CHECK(text != NULL && strlen(text) > 5);
        CHECK(!strstr(text, "nknown"));
        CHECK(text == shm_strerror(own[i]));
        for (size_t k = 0; k < i; k++)
            CHECK(strcmp(text, shm_strerror(own[k])) != 0);
    }
    CHECK(strcmp(shm_strerror(EAGAIN), strerror(EAGAIN)) == 0);
    CHECK(strcmp(shm_strerror(EADDRINUSE), strerror(EADDRINUSE)) == 0);
    CHECK(shm_strerror(0) != NULL);
    CHECK(shm_strerror(-1) != NULL);
    CHECK(shm_strerror(INT32_MAX) != NULL);
    CHECK(shm_strerror(INT32_MIN) != NULL);
}

TEST_THAT(the_version_is_that_of_the_header)
{
    int major = -1, minor = -1, patch = -1;

    shm_version(&major, &minor, &patch);
    CHECK_INT(major, SHM_VERSION_MAJOR);
    CHECK_INT(minor, SHM_VERSION_MINOR);
    CHECK_INT(patch, SHM_VERSION_PATCH);
}
