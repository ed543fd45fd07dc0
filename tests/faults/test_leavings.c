/* SPDX-License-Identifier: MIT */
/* What a closed or dead socket leaves behind stays as long as any peer at any of its endpoints may need it, and no
 * longer. Its messages arrive once. */
#include "support/ends.h"

/* A socket has one of these. */
static unsigned count_segments(void)
{
    return count_files_ending(test_dir(), ".seg");
}

static void look(shm_socket_t *socket)
{
    get_int(socket, SHM_EVENTS);
}

static char page[100000];

/* Larger than a slot: it lies in memory that the receiver has to map. */
static void send_numbered(shm_socket_t *socket, char number, bool large)
{
    page[0] = number;
    CHECK_INT(shm_send(socket, page, large ? sizeof page : 1, SHM_DONTWAIT), large ? sizeof page : 1);
}

static void expect_numbered(shm_socket_t *socket, char number, bool large)
{
    static char got[sizeof page];

    CHECK_INT(shm_recv(socket, got, sizeof got, 0), large ? sizeof page : 1);
    CHECK_INT(got[0], number);
}

static void expect_nothing(shm_socket_t *socket)
{
    char byte;

    for (int i = 0; i < 3; i++)
        CHECK_ERR(shm_recv(socket, &byte, 1, SHM_DONTWAIT), EAGAIN);
}

/* ---- No longer ---- */

struct binder {
    int type;
    unsigned names;
};

static const char *const names[] = {"one", "two"};

static shm_socket_t *bind_to_all(const struct binder *binder)
{
    shm_socket_t *bound = socket_new(binder->type);

    for (unsigned i = 0; i < binder->names; i++)
        CHECK_OK(shm_bind(bound, names[i]));
    return bound;
}

static void be_bound(struct child *up, void *argument)
{
    shm_socket_t *bound = bind_to_all(argument);

    child_say(up, 0);
    while (!child_has_spoken(up))
        look(bound);
    child_say(up, 0);
    pause();
}

/* Nobody binds the name again, and the connected peers stay. */
TEST_THAT(files_of_one_that_has_gone_go_though_its_peers_stay)
{
    static const int pairs[][2] = {
        {SHM_PUB, SHM_SUB}, {SHM_PUSH, SHM_PULL}, {SHM_ROUTER, SHM_DEALER}, {SHM_PULL, SHM_PUSH}};
    enum { PEERS = 3 };

    for (unsigned i = 0; i < COUNT_OF(pairs) * 4; i++) {
        struct binder binder = {pairs[i / 4][0], 1 + i % 2};
        bool dies = i / 2 % 2;
        shm_socket_t *bound = NULL, *peers[PEERS];
        struct child child;

        if (dies) {
            child = child_start(be_bound, &binder);
            child_hear(&child);
        } else {
            bound = bind_to_all(&binder);
        }
        for (unsigned p = 0; p < PEERS; p++) {
            peers[p] = socket_new(pairs[i / 4][1]);
            CHECK_OK(shm_connect(peers[p], names[p % binder.names]));
        }
        for (unsigned p = 0; p < PEERS; p++) {
            if (dies)
                await_event(peers[p], SHM_EVENT_CONNECTED);
            else
                await_events(peers[p], SHM_EVENT_CONNECTED, bound, SHM_EVENT_CONNECTED);
        }
        CHECK_INT(count_segments(), PEERS + 1);
        if (dies) {
            child_say(&child, 0);
            child_hear(&child);
            child_kill(&child);
        } else {
            CHECK_OK(shm_close(bound));
        }
        for (unsigned p = 0; p < PEERS; p++)
            await_event(peers[p], dies ? SHM_EVENT_DIED : SHM_EVENT_LEFT);
        for (unsigned p = 0; p < PEERS; p++)
            look(peers[p]);
        CHECK_INT(count_segments(), PEERS);
        for (unsigned p = 0; p < PEERS; p++)
            CHECK_OK(shm_close(peers[p]));
        CHECK_INT(count_files(test_dir()), 0);
    }
}

/* A socket that the binder rejected for its type leaves no messages. */
TEST_THAT(nothing_stays_of_one_that_did_not_fit)
{
    shm_socket_t *bound = socket_new(SHM_PUB), *push = socket_new(SHM_PUSH);

    CHECK_OK(shm_bind(bound, names[0]));
    CHECK_OK(shm_connect(push, names[0]));
    await_events(push, SHM_EVENT_REJECTED, bound, SHM_EVENT_REJECTED);
    send_numbered(push, 0, true);
    CHECK_OK(shm_close(push));
    for (int i = 0; i < 3; i++)
        look(bound);
    CHECK_INT(count_segments(), 1);
    CHECK_OK(shm_close(bound));
}

/* ---- As long ---- */

struct sender {
    bool large;
};

static void send_to_both(struct child *up, void *argument)
{
    const struct sender *sender = argument;
    shm_socket_t *dealer = socket_new(SHM_DEALER);

    for (unsigned i = 0; i < 2; i++)
        CHECK_OK(shm_connect(dealer, names[i]));
    for (char n = 0; n < 4; n++)
        send_numbered(dealer, n, sender->large);
    child_say(up, 0);
    child_hear(up); /* or death */
    CHECK_OK(shm_close(dealer));
}

/* One of the sender's two peers comes and releases it before the other has looked. */
TEST_THAT(messages_for_one_peer_outlive_the_other)
{
    for (unsigned i = 0; i < 4; i++) {
        struct sender sender = {i & 1};
        shm_socket_t *bound[2] = {socket_new(SHM_DEALER), socket_new(SHM_DEALER)};

        for (unsigned b = 0; b < 2; b++)
            CHECK_OK(shm_bind(bound[b], names[b]));
        struct child child = child_start(send_to_both, &sender);
        child_hear(&child);
        if (i & 2)
            child_kill(&child);
        else
            child_end(&child);
        for (unsigned b = 0; b < 2; b++) {
            expect_numbered(bound[b], (char)b, sender.large);
            expect_numbered(bound[b], (char)(b + 2), sender.large);
            for (int k = 0; k < 3; k++)
                expect_nothing(bound[b]);
        }
        for (unsigned b = 0; b < 2; b++)
            CHECK_OK(shm_close(bound[b]));
        CHECK_INT(count_files(test_dir()), 0);
    }
}

/* A connector at one endpoint releases a binder that has sent to a connector at another endpoint, which has not
 * looked yet. */
TEST_THAT(what_a_binder_sent_at_one_endpoint_outlives_the_other)
{
    for (unsigned i = 0; i < 4; i++) {
        bool large = i & 1;
        shm_socket_t *bound = socket_new(SHM_DEALER), *next = NULL;
        shm_socket_t *quick = socket_new(SHM_DEALER), *slow = socket_new(SHM_DEALER);

        CHECK_OK(shm_connect(quick, names[0]));
        CHECK_OK(shm_connect(slow, names[1]));
        for (unsigned b = 0; b < 2; b++)
            CHECK_OK(shm_bind(bound, names[b]));
        if (getenv("SHMQ_TEST_AUTH") != NULL) { /* with a key nothing is sent to a peer that has proven nothing */
            join(bound, quick);
            join(bound, slow);
        }
        for (char n = 0; n < 4; n++)
            send_numbered(bound, n, large);
        CHECK_OK(shm_close(bound));
        expect_numbered(quick, 0, large);
        expect_numbered(quick, 2, large);
        expect_nothing(quick);
        if (i & 2) {
            next = socket_new(SHM_DEALER);
            CHECK_OK(shm_bind(next, names[0]));
            join(next, quick);
        }
        expect_numbered(slow, 1, large);
        expect_numbered(slow, 3, large);
        expect_nothing(slow);
        CLOSE_ALL(quick, slow);
        if (next != NULL)
            CHECK_OK(shm_close(next));
        CHECK_INT(count_files(test_dir()), 0);
    }
}

/* A peer that left while holding a view releases the binder; another peer has its slot by then, and has not looked. */
TEST_THAT(what_was_sent_to_the_next_in_a_place_outlives_the_former)
{
    shm_socket_t *bound = socket_new(SHM_DEALER), *former = socket_new(SHM_DEALER), *next = socket_new(SHM_DEALER);
    shm_msg_t view;

    CHECK_OK(shm_bind(bound, names[0]));
    CHECK_OK(shm_connect(former, names[0]));
    join(bound, former);
    send_numbered(bound, 0, true);
    CHECK_OK(shm_msg_init(&view));
    CHECK_INT(shm_msg_recv(&view, former, 0), sizeof page);
    CHECK_OK(shm_disconnect(former, names[0]));
    look(bound);
    CHECK_OK(shm_connect(next, names[0]));
    if (getenv("SHMQ_TEST_AUTH") != NULL)
        join(bound, next);
    look(bound);
    send_numbered(bound, 1, true);
    CHECK_OK(shm_close(bound));
    CHECK_OK(shm_msg_close(&view));
    CHECK_INT(shm_poll(&(shm_pollitem_t){former, -1, SHM_POLLIN, 0}, 1, 250), 0); /* it looks after its pipes */
    expect_numbered(next, 1, true);
    CLOSE_ALL(former, next);
    CHECK_INT(count_files(test_dir()), 0);
}

/* It disconnects from one name, with messages left there, and then closes. */
TEST_THAT(messages_at_a_name_that_was_left_outlive_the_other)
{
    for (unsigned i = 0; i < 2; i++) {
        bool large = i & 1;
        shm_socket_t *bound[2] = {socket_new(SHM_DEALER), socket_new(SHM_DEALER)}, *dealer = socket_new(SHM_DEALER);

        for (unsigned b = 0; b < 2; b++) {
            CHECK_OK(shm_bind(bound[b], names[b]));
            CHECK_OK(shm_connect(dealer, names[b]));
        }
        send_numbered(dealer, 0, large);
        send_numbered(dealer, 1, large);
        CHECK_OK(shm_disconnect(dealer, names[0]));
        CHECK_OK(shm_close(dealer));
        expect_numbered(bound[1], 1, large);
        expect_nothing(bound[1]);
        expect_numbered(bound[0], 0, large);
        expect_nothing(bound[0]);
        for (unsigned b = 0; b < 2; b++)
            CHECK_OK(shm_close(bound[b]));
        CHECK_INT(count_files(test_dir()), 0);
    }
}

/* With a key, a connector has to be met before it is read: a binder that leaves before that hands on how far one
 * before it had read. */
TEST_THAT(what_was_read_by_the_one_before_the_last_does_not_come_again)
{
    shm_socket_t *dealer = socket_new(SHM_DEALER), *bound[3];

    for (unsigned b = 0; b < COUNT_OF(bound); b++)
        bound[b] = socket_new(SHM_DEALER);
    CHECK_OK(shm_bind(bound[0], names[0]));
    CHECK_OK(shm_connect(dealer, names[0]));
    for (char n = 0; n < 5; n++)
        send_numbered(dealer, n, false);
    for (char n = 0; n < 3; n++)
        expect_numbered(bound[0], n, false);
    CHECK_OK(shm_close(bound[0]));
    CHECK_OK(shm_bind(bound[1], names[0]));
    look(bound[1]);
    CHECK_OK(shm_close(bound[1]));
    CHECK_OK(shm_bind(bound[2], names[0]));
    for (int k = 0; k < 3; k++) {
        look(bound[2]);
        look(dealer);
    }
    expect_numbered(bound[2], 3, false);
    expect_numbered(bound[2], 4, false);
    expect_nothing(bound[2]);
    CLOSE_ALL(bound[2], dealer);
}
