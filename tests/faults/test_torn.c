/* SPDX-License-Identifier: MIT */
/* A publisher laps readers that are in the middle of a message: what they get is whole, in order, and gaps are
 * counted, in slots or blocks, copied or viewed. */
#include "support/ends.h"
#include "support/history.h"

enum { WANTED = 100000 };

struct storm {
    size_t least, most; /* sizes of messages */
    int hwm;
    bool by_view;
};

static void publish_until_told(struct child *up, void *argument)
{
    const struct storm *storm = argument;
    shm_socket_t *pub = socket_new(SHM_PUB);
    unsigned char *bytes = CHECK_PTR(malloc(storm->most));

    set_int(pub, SHM_SNDHWM, storm->hwm);
    CHECK_OK(shm_bind(pub, "it"));
    await_event(pub, SHM_EVENT_CONNECTED);
    child_say(up, 1);
    for (uint64_t n = 1; n % 1024 != 0 || !child_has_spoken(up); n++) {
        size_t size = storm->least + n % (storm->most - storm->least + 1);

        history_message_make(bytes, size, 0, n);
        CHECK_INT(shm_send(pub, bytes, size, 0), size);
    }
    free(bytes);
    CHECK_OK(shm_close(pub));
}

static uint64_t check_message(const void *bytes, size_t size)
{
    unsigned sender;
    uint64_t number;

    if (!history_message_read(bytes, size, &sender, &number))
        FAIL("a message of %zu bytes is torn", size);
    return number;
}

/* A view is checked twice, many laps apart. */
static uint64_t take_view(shm_socket_t *sub, unsigned turn)
{
    static shm_msg_t kept[4]; /* some stay for a while */
    shm_msg_t *msg = &kept[turn % COUNT_OF(kept)];
    uint64_t number;

    if (turn >= COUNT_OF(kept)) {
        check_message(shm_msg_data(msg), shm_msg_size(msg));
        CHECK_OK(shm_msg_close(msg));
    }
    CHECK_OK(shm_msg_init(msg));
    CHECK_OK(shm_msg_recv(msg, sub, 0));
    number = check_message(shm_msg_data(msg), shm_msg_size(msg));
    if (turn % 8 == 0)
        for (unsigned i = 0; i < 20; i++)
            check_message(shm_msg_data(msg), shm_msg_size(msg));
    if (turn + 1 == WANTED)
        for (size_t i = 0; i < COUNT_OF(kept); i++)
            CHECK_OK(shm_msg_close(&kept[i]));
    return number;
}

static void run_storm(size_t least, size_t most, int hwm, bool by_view)
{
    struct storm storm = {least, most, hwm, by_view};
    struct child child = child_start(publish_until_told, &storm);
    shm_socket_t *sub = socket_new(SHM_SUB);
    unsigned char *bytes = CHECK_PTR(malloc(most));
    uint64_t last = 0, first = 0, number, received = 0, lost;
    size_t size = sizeof lost;

    CHECK_OK(shm_setsockopt(sub, SHM_SUBSCRIBE, "", 0));
    CHECK_OK(shm_connect(sub, "it"));
    await_event(sub, SHM_EVENT_CONNECTED);
    CHECK_INT(child_hear(&child), 1);
    while (received < WANTED) {
        if (by_view)
            number = take_view(sub, (unsigned)received);
        else
            number = check_message(bytes, (size_t)CHECK_OK(shm_recv(sub, bytes, most, 0)));
        if (number <= last)
            FAIL("%llu came behind %llu", (unsigned long long)number, (unsigned long long)last);
        if (!received++) {
            CHECK_OK(shm_getsockopt(sub, SHM_LOST, &lost, &size));
            first = number - lost; /* the first number it could have seen */
        }
        last = number;
    }
    CHECK_OK(shm_getsockopt(sub, SHM_LOST, &lost, &size));
    CHECK_INT(received + lost, last - first + 1);
    child_end(&child);
    free(bytes);
    CHECK_OK(shm_close(sub));
}

TEST_WITHIN(120, copies_from_a_slot_are_whole)
{
    run_storm(HISTORY_MESSAGE_MIN, 112, 1, false);
}

TEST_WITHIN(120, copies_from_a_large_ring_are_whole)
{
    run_storm(HISTORY_MESSAGE_MIN, 112, 256, false);
}

TEST_WITHIN(120, copies_from_blocks_are_whole)
{
    run_storm(113, 3000, 1, false);
}

TEST_WITHIN(120, copies_of_every_size_are_whole)
{
    run_storm(HISTORY_MESSAGE_MIN, 300, 2, false);
}

TEST_WITHIN(120, views_of_blocks_are_whole_and_stay)
{
    run_storm(113, 3000, 1, true);
}

TEST_WITHIN(120, views_of_every_size_are_whole_and_stay)
{
    run_storm(HISTORY_MESSAGE_MIN, 300, 2, true);
}
