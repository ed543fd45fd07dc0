/* SPDX-License-Identifier: MIT */
/* A publisher's memory: what its readers may keep of it, who comes when it is used up, and what the dead leave. */
#include "support/short.h"

#define FRAME 300000
#define VIEWS 64

static shm_socket_t *sub_to(const char *name)
{
    shm_socket_t *sub = socket_new(SHM_SUB);

    CHECK_OK(shm_setsockopt(sub, SHM_SUBSCRIBE, "", 0));
    CHECK_OK(shm_connect(sub, name));
    return sub;
}

static void limit_memory(shm_socket_t *socket, uint64_t bytes)
{
    CHECK_OK(shm_setsockopt(socket, SHM_MEMORY_LIMIT, &bytes, sizeof bytes));
}

static int send_frame(shm_socket_t *pub, unsigned seed)
{
    static unsigned char bytes[FRAME];

    pattern_fill(bytes, FRAME, seed);
    return (int)shm_send(pub, bytes, FRAME, SHM_DONTWAIT);
}

static void check_frame(shm_msg_t *msg, unsigned seed)
{
    CHECK_INT(shm_msg_size(msg), FRAME);
    pattern_check(shm_msg_data(msg), FRAME, seed);
}

/* Receive VIEWS frames and keep them. */
static void hold_frames(shm_socket_t *pub, shm_socket_t *sub, shm_msg_t *held)
{
    for (unsigned i = 0; i < VIEWS; i++) {
        CHECK_INT(send_frame(pub, i), FRAME);
        CHECK_OK(shm_msg_init(&held[i]));
        CHECK_INT(shm_msg_recv(&held[i], sub, SHM_DONTWAIT), FRAME);
    }
}

/* Its limit is 16 frames; one reader stops with 64 in hand. */
TEST_THAT(a_reader_that_keeps_what_it_received_stops_no_publisher)
{
    shm_socket_t *pub = socket_new(SHM_PUB), *stopped, *other;
    shm_msg_t held[VIEWS], msg;

    limit_memory(pub, 16 * FRAME);
    CHECK_OK(shm_bind(pub, "it"));
    stopped = sub_to("it");
    join(pub, stopped);
    hold_frames(pub, stopped, held);
    if (!test_has_key()) /* with a key all messages are copied anyway */
        CHECK(await_event(stopped, SHM_EVENT_SHARE_USED).value >= 8 * FRAME);
    other = sub_to("it");
    join(pub, other);
    CHECK_OK(shm_msg_init(&msg));
    for (unsigned i = 0; i < 200; i++) {
        CHECK_INT(send_frame(pub, 1000 + i), FRAME);
        CHECK_INT(shm_msg_recv(&msg, other, SHM_DONTWAIT), FRAME);
        check_frame(&msg, 1000 + i);
    }
    CHECK_OK(shm_msg_close(&msg));
    for (unsigned i = 0; i < VIEWS; i++) {
        check_frame(&held[i], i);
        CHECK_OK(shm_msg_close(&held[i]));
    }
    CHECK_INT(get_stats(other).lost, 0);
    CHECK(get_stats(stopped).lost == 0);
    CLOSE_ALL(stopped, other, pub);
}

/* Readers that may keep all of it are let in all the same, when it is used up: by a PUB with SHM_VIEW_SHARE 100. */
TEST_THAT(a_newcomer_is_let_in_while_the_memory_is_used_up)
{
    shm_socket_t *pub = socket_new(SHM_PUB), *stopped, *newcomer;
    static const unsigned char bytes[FRAME];
    shm_msg_t held[VIEWS];
    unsigned count = 0;

    if (test_has_key())
        skip_test("with a key all messages are copied");
    limit_memory(pub, 16 * FRAME);
    set_int(pub, SHM_VIEW_SHARE, 100);
    CHECK_OK(shm_bind(pub, "it"));
    stopped = sub_to("it");
    join(pub, stopped);
    for (size_t size = FRAME; size > 112; size /= 2) /* to the last block that is larger than a slot */
        for (; shm_send(pub, bytes, size, SHM_DONTWAIT) >= 0; count++) {
            CHECK(count < VIEWS);
            CHECK_OK(shm_msg_init(&held[count]));
            CHECK_INT(shm_msg_recv(&held[count], stopped, SHM_DONTWAIT), size);
        }
    CHECK_INT(errno, EAGAIN);
    newcomer = sub_to("it");
    join(pub, newcomer);
    for (unsigned i = 0; i < count; i++)
        CHECK_OK(shm_msg_close(&held[i]));
    CHECK_INT(send_frame(pub, count), FRAME);
    CHECK_OK(shm_msg_init(&held[0]));
    CHECK_INT(shm_msg_recv(&held[0], newcomer, SHM_DONTWAIT), FRAME);
    CHECK_OK(shm_msg_close(&held[0]));
    CLOSE_ALL(stopped, newcomer, pub);
}

/* ---- What the dead leave ---- */

#define FRAMES_EACH 10

static void publish_and_die(struct child *up, void *argument)
{
    shm_socket_t *pub = socket_bound(SHM_PUB);

    await_event(pub, SHM_EVENT_CONNECTED);
    for (unsigned i = 0; i < FRAMES_EACH; i++)
        CHECK_INT(send_frame(pub, i), FRAME);
    child_say(up, 1);
    child_hear(up);
}

/* The subscriber follows who comes and goes, and reads nothing. */
TEST_THAT(what_dead_publishers_leave_to_a_reader_has_a_bound)
{
    shm_socket_t *sub = sub_to("it");
    unsigned left = 0;
    static char bytes[FRAME];

    limit_memory(sub, 3 * FRAMES_EACH * FRAME);
    for (int i = 0; i < 8; i++) {
        struct child child = child_start(publish_and_die, NULL);

        await_event(sub, SHM_EVENT_CONNECTED);
        CHECK_INT(child_hear(&child), 1);
        child_kill(&child);
        await_event(sub, SHM_EVENT_DIED);
    }
    while (shm_recv(sub, bytes, FRAME, SHM_DONTWAIT) == FRAME)
        left++;
    CHECK(left >= FRAMES_EACH && left <= 3 * FRAMES_EACH);
    CHECK_INT(get_stats(sub).lost, 8 * FRAMES_EACH - left);
    CHECK_OK(shm_close(sub));
    leave_files(); /* of the killed */
}
