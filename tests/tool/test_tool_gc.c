/* SPDX-License-Identifier: MIT */
/* `shmq gc` removes what the dead left and keeps what the living use, down to the last unread message. */
#include "run_tool.h"

#include <fcntl.h>
#include <sys/stat.h>

static void gc_leaves_nothing(void)
{
    run_tool("gc", NULL);
    CHECK_INT(count_files(test_dir()), 0);
}

/* Both ends of every kind of ring, with messages of all sizes in flight. */
static void leave_everything(struct child *up, void *argument)
{
    static const int types[][2] = {{SHM_PUB, SHM_SUB}, {SHM_PULL, SHM_PUSH}, {SHM_REP, SHM_REQ}};
    static const char *const names[] = {"robot/pose", "jobs", "arm"};
    static char large[100000];
    shm_socket_t *bound, *connected;

    for (size_t i = 0; i < COUNT_OF(types); i++) {
        bound = socket_new(types[i][0]);
        connected = socket_new(types[i][1]);
        CHECK_OK(shm_bind(bound, names[i]));
        CHECK_OK(shm_connect(connected, names[i]));
        join(bound, connected);
        get_int(bound, SHM_FD); /* its FIFO */
        CHECK_OK(shm_send(types[i][0] == SHM_PUB ? bound : connected, large, sizeof large, 0));
    }
    child_stay(up, 1);
}

TEST_THAT(what_the_dead_left_is_listed_and_removed)
{
    struct child child = child_start_until(1, leave_everything, NULL);

    tool_says(1, "gc");
    child_kill(&child);
    unsigned files = count_files(test_dir());
    CHECK(files > 3 + 6 + 6);
    CHECK_INT(count_in(tool_says(0, "ls"), "stale"), 3);
    CHECK_INT(count_in(tool_says_json(0, "info", "jobs"), "\"dead\""), 2); /* its last counters */
    CHECK_INT(count_in(tool_says_json(0, "gc", "--dry-run"), "\"kind\":"), 3 + 6);
    const char *text = tool_says(0, "gc", "--dry-run");
    CHECK_INT(count_in(text, "\nendpoint "), 3);
    CHECK_INT(count_in(text, "\nsocket "), 6);
    CHECK_INT(count_files(test_dir()), files);
    text = tool_says_json(0, "gc");
    CHECK_INT(count_in(text, "\"kind\":\"endpoint\""), 3);
    CHECK_INT(count_in(text, "\"kind\":\"socket\""), 6);
    CHECK_INT(count_files(test_dir()), 0);
    tool_says(1, "gc");
    tool_says(1, "gc", "--dry-run");
    tool_says(1, "ls");
    tool_says(1, "info", "jobs");
}

TEST_THAT(the_living_keep_all_of_theirs)
{
    shm_socket_t *pub = socket_new(SHM_PUB), *sub = socket_new(SHM_SUB), *idle = socket_new(SHM_PULL);

    subscribe_to(sub, "");
    pair_up_at("mine", pub, sub);
    unsigned files = count_files(test_dir());
    struct child child = child_start_until(1, leave_everything, NULL);
    CHECK_OK(shm_send(pub, "before", 6, 0));
    child_kill(&child);
    CHECK_INT(count_in(tool_says(0, "gc"), "\nsocket "), 6);
    CHECK_INT(count_files(test_dir()), files);
    CHECK_OK(shm_send(pub, "behind", 6, 0));
    expect_text(sub, "before");
    expect_text(sub, "behind");
    CLOSE_ALL(idle, sub, pub);
}

/* Sends to "it", whose binder lives but does not look; also connected to "that", where nobody else is. */
static void send_and_wait(struct child *up, void *argument)
{
    int type = *(const int *)argument;
    shm_socket_t *socket = socket_new(type);

    if (type == SHM_PUSH)
        CHECK_OK(shm_connect(socket, "that"));
    CHECK_OK(shm_connect(socket, "it"));
    for (int i = 0; i < 5; i++)
        send_text(socket, "unread");
    child_stay(up, 1);
}

static void check_unread(int sender, int receiver)
{
    shm_socket_t *socket = socket_new(receiver);

    CHECK_OK(shm_bind(socket, "it"));
    struct child child = child_start_until(1, send_and_wait, &sender);
    child_kill(&child);
    unsigned files = count_files(test_dir());
    tool_says(sender == SHM_PUSH ? 0 : 1, "gc", "--dry-run");
    tool_says(sender == SHM_PUSH ? 0 : 1, "gc"); /* "that" */
    CHECK_INT(count_files(test_dir()), files - (sender == SHM_PUSH));
    for (int i = 0; i < 5; i++)
        expect_text(socket, "unread");
    CHECK_OK(shm_close(socket));
    gc_leaves_nothing();
}

TEST_THAT(unread_messages_of_a_dead_sender_stay_for_the_binder)
{
    check_unread(SHM_PUSH, SHM_PULL);
    check_unread(SHM_DEALER, SHM_DEALER);
    check_unread(SHM_PAIR, SHM_PAIR);
}

static void bind_send_and_wait(struct child *up, void *argument)
{
    shm_socket_t *push = socket_bound(SHM_PUSH);

    await_event(push, SHM_EVENT_CONNECTED);
    for (int i = 0; i < 5; i++)
        send_text(push, "unread");
    child_stay(up, 1);
}

/* The connector has been accepted, but has not looked yet. */
TEST_THAT(unread_messages_of_a_dead_binder_stay_for_the_connector)
{
    shm_socket_t *pull = socket_connected(SHM_PULL);

    struct child child = child_start_until(1, bind_send_and_wait, NULL);
    child_kill(&child);
    CHECK(strcmp(word_in_line(tool_says(0, "ls"), "it", 1), "unbound") == 0);
    tool_says(1, "gc");
    for (int i = 0; i < 5; i++)
        expect_text(pull, "unread");
    CHECK_OK(shm_close(pull));
    gc_leaves_nothing();
}

#define LARGE 100000 /* does not fit a slot: the view is into the sender's memory */

static void send_large_and_wait(struct child *up, void *argument)
{
    static char large[LARGE];
    shm_socket_t *socket = socket_new(SHM_DEALER);

    pattern_fill(large, LARGE, 1);
    CHECK_OK(shm_connect(socket, "it"));
    CHECK_INT(shm_send(socket, large, LARGE, 0), LARGE);
    child_stay(up, 1);
}

/* A view is read after its sender died. */
TEST_THAT(what_a_view_shows_stays)
{
    shm_socket_t *socket = socket_bound(SHM_DEALER);
    shm_msg_t msg = msg_new();

    struct child child = child_start_until(1, send_large_and_wait, NULL);
    CHECK_INT(shm_msg_recv(&msg, socket, 0), LARGE);
    child_kill(&child);
    tool_says(1, "gc");
    pattern_check(shm_msg_data(&msg), LARGE, 1);
    CHECK_OK(shm_msg_close(&msg));
    CHECK_OK(shm_close(socket));
    gc_leaves_nothing();
}

static void make_file(const char *name)
{
    char path[300];

    snprintf(path, sizeof path, "%s/%s", test_dir(), name);
    int fd = (int)CHECK_OK(open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
    CHECK_INT(write(fd, "x", 1), 1);
    close(fd);
}

/* As a process leaves it that dies while removing a socket's files. */
TEST_THAT(a_half_done_removal_is_finished)
{
    char path[300];

    make_file("0123456789abcdef0123456789abcdef.bell");
    make_file("0123456789abcdef0123456789abcdef.claims");
    make_file("00000000000000000000000000000000.seg");
    snprintf(path, sizeof path, "%s/ffffffffffffffffffffffffffffffff.fifo", test_dir());
    CHECK_OK(mkfifo(path, 0600));
    CHECK_INT(count_in(tool_says_json(0, "gc", "--dry-run"), "\"kind\":"), 4);
    CHECK_INT(count_in(tool_says_json(0, "gc"), "\"kind\":"), 4);
    CHECK_INT(count_files(test_dir()), 0);
}

/* Sockets that come while gc runs are not hurt: they meet, talk and close, over and over. */
static void come_and_go(struct child *up, void *argument)
{
    for (int i = 0; i < 300; i++) {
        shm_socket_t *pull = socket_new(SHM_PULL), *push = socket_new(SHM_PUSH);
        CHECK_OK(shm_bind(pull, "it"));
        CHECK_OK(shm_connect(push, "it"));
        send_text(push, "job");
        if (i % 2 == 0)
            CHECK_OK(shm_close(push));
        expect_text(pull, "job");
        if (i % 2 == 1)
            CHECK_OK(shm_close(push));
        CHECK_OK(shm_close(pull));
    }
    child_say(up, 1);
}

TEST_THAT(who_comes_meanwhile_is_not_hurt)
{
    struct child child = child_start(come_and_go, NULL);

    while (!child_has_spoken(&child))
        CHECK(run_tool("gc", NULL)->status <= 1);
    CHECK_INT(child_hear(&child), 1);
    child_wait(&child);
    CHECK_INT(count_files(test_dir()), 0);
}
