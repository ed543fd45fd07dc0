/* SPDX-License-Identifier: MIT */
/* Loans: memory of a socket's own, whoever dies or closes. (What is in them: test_common_data.c, test_common_views.c.) */
#include "support/ends.h"

#include <unistd.h>

static shm_socket_t *subscriber(void)
{
    shm_socket_t *sub = socket_new(SHM_SUB);

    subscribe_to(sub, "");
    return sub;
}

#define HELD_VIEWS 8
#define HELD_SIZE  ((size_t)1 << 20)

static void hold_views(struct child *up, void *argument)
{
    shm_socket_t *sub = subscriber();
    shm_msg_t views[HELD_VIEWS];

    CHECK_OK(shm_connect(sub, "it"));
    await_event(sub, SHM_EVENT_CONNECTED);
    for (int i = 0; i < HELD_VIEWS; i++) {
        CHECK_OK(shm_msg_init(&views[i]));
        CHECK_INT(shm_msg_recv(&views[i], sub, 0), HELD_SIZE);
    }
    child_stay(up, 1);
}

static int loan_and_send(shm_socket_t *pub)
{
    shm_msg_t msg;

    if (shm_msg_loan(&msg, pub, HELD_SIZE) < 0)
        return -1;
    return CHECK_INT(shm_msg_send(&msg, pub, 0), HELD_SIZE), 0;
}

TEST_THAT(a_pub_that_only_loans_notices_that_who_held_its_memory_died)
{
    struct child child = child_start(hold_views, NULL);
    shm_socket_t *pub = socket_new(SHM_PUB);
    uint64_t limit = HELD_VIEWS * HELD_SIZE;

    if (test_has_key()) /* loans are private memory then, and views are copies */
        limit = UINT64_MAX;
    CHECK_OK(shm_setsockopt(pub, SHM_MEMORY_LIMIT, &limit, sizeof limit));
    set_int(pub, SHM_VIEW_SHARE, 100);
    CHECK_OK(shm_bind(pub, "it"));
    await_event(pub, SHM_EVENT_CONNECTED);
    for (int i = 0; i < HELD_VIEWS; i++)
        CHECK_OK(loan_and_send(pub));
    CHECK_INT(child_hear(&child), 1);
    if (!test_has_key())
        CHECK_ERR(loan_and_send(pub), EAGAIN);
    child_kill(&child);
    while (loan_and_send(pub) < 0) { /* nothing but loans, to the deadline of the test */
        CHECK_INT(errno, EAGAIN);
        usleep(1000);
    }
    CHECK_OK(shm_close(pub));
}

TEST_THAT(a_loan_outlives_its_socket_and_is_sent_by_another)
{
    shm_socket_t *first = socket_new(SHM_PAIR), *second, *peer = socket_new(SHM_PAIR);
    size_t size = 500000;
    shm_msg_t msg, got;

    CHECK_OK(shm_msg_loan(&msg, first, size));
    memset(shm_msg_data(&msg), 7, size);
    CHECK_OK(shm_close(first));
    second = socket_new(SHM_PAIR);
    pair_up(second, peer);
    CHECK_INT(shm_msg_send(&msg, second, 0), size);
    CHECK_OK(shm_msg_init(&got));
    CHECK_INT(shm_msg_recv(&got, peer, 0), size);
    for (size_t i = 0; i < size; i++)
        CHECK_INT(((unsigned char *)shm_msg_data(&got))[i], 7);
    CHECK_OK(shm_msg_close(&got));
    CLOSE_ALL(second, peer);
}

TEST_THAT(a_loan_that_outlives_its_socket_is_given_back)
{
    shm_socket_t *socket = socket_new(SHM_PUSH);
    shm_msg_t msgs[3];

    for (int i = 0; i < 3; i++)
        CHECK_OK(shm_msg_loan(&msgs[i], socket, 100000));
    CHECK_OK(shm_close(socket));
    for (int i = 0; i < 3; i++)
        CHECK_OK(shm_msg_close(&msgs[i])); /* the harness sees what stays: files, mappings, memory */
}
