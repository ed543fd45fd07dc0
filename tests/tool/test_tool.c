/* SPDX-License-Identifier: MIT */
/* `shmq ls` and `shmq info`: what they print is true, and looking disturbs nobody. */
#include "run_tool.h"

#include <poll.h>
#include <sys/stat.h>

/* ---- the command line ---- */

TEST_THAT(wrong_command_lines_end_with_2)
{
    tool_says(2, NULL);
    tool_says(2, "frobnicate");
    tool_says(2, "--frobnicate");
    tool_says(2, "info");
    tool_says(2, "ls", "it");
    tool_says(2, "info", "it", "that");
    tool_says(2, "ls", "--dry-run");
    tool_says(2, "ls", "--json=1");
    tool_says(2, "info", "tcp://localhost");
    tool_says(2, "info", "");
}

TEST_THAT(help_and_version_are_said)
{
    char version[64];

    snprintf(version, sizeof version, "shmq %d.%d.%d\n", SHM_VERSION_MAJOR, SHM_VERSION_MINOR, SHM_VERSION_PATCH);
    CHECK(strstr(tool_says(0, "--help"), "Usage:") != NULL);
    CHECK(strcmp(tool_says(0, "--version"), version) == 0);
    CHECK(strcmp(tool_says(0, "ls", "--version"), version) == 0);
}

TEST_THAT(nothing_is_found_where_nothing_is)
{
    CHECK(strcmp(tool_says(1, "ls"), "") == 0);
    CHECK(strstr(tool_says_json(1, "ls"), "\"endpoints\":[]") != NULL);
    tool_says(1, "gc");
    CHECK(strstr(tool_says_json(1, "gc"), "\"removed\":[]") != NULL);
    tool_says(1, "info", "it");
    tool_says(1, "info", "--json", "shm://it");
}

TEST_THAT(the_directory_is_not_made)
{
    char path[300];
    struct stat status;

    snprintf(path, sizeof path, "%s/none", test_dir());
    CHECK_OK(setenv("SHMQ_DIR", path, 1));
    nothing_is_found_where_nothing_is();
    CHECK_ERR(stat(path, &status), ENOENT);
}

TEST_THAT(a_directory_that_is_not_ours_alone_is_refused)
{
    char path[300];

    snprintf(path, sizeof path, "%s/open", test_dir());
    CHECK_OK(mkdir(path, 0700));
    CHECK_OK(chmod(path, 0755));
    CHECK_OK(setenv("SHMQ_DIR", path, 1));
    tool_says(3, "ls");
    tool_says(3, "info", "it");
    tool_says(3, "gc");
    CHECK_OK(rmdir(path));
}

/* ---- what lives ---- */

#define PUBLISHED 17
#define PUBLISHED_READ 10

static void bind_all(struct child *up, void *argument)
{
    shm_socket_t *pub = socket_new(SHM_PUB), *pull = socket_new(SHM_PULL), *rep = socket_new(SHM_REP);

    CHECK_OK(shm_bind(pub, "robot/pose"));
    CHECK_OK(shm_bind(pull, "jobs"));
    CHECK_OK(shm_bind(rep, "arm"));
    child_say(up, 1);
    await_event(pub, SHM_EVENT_CONNECTED); /* a binder meets its peers inside its calls */
    await_event(pull, SHM_EVENT_CONNECTED);
    expect_text(rep, "go");
    send_text(rep, "ok");
    for (int i = 0; i < PUBLISHED; i++)
        send_text(pub, "12345678");
    child_say(up, 2);
    CHECK_INT(child_hear(up), 1); /* the jobs are there */
    expect_text(pull, "job");
    child_stay(up, 3);
}

static void connect_all(struct child *up, void *argument)
{
    shm_socket_t *sub = socket_new(SHM_SUB), *push = socket_new(SHM_PUSH), *req = socket_new(SHM_REQ);

    subscribe_to(sub, "");
    CHECK_OK(shm_connect(sub, "robot/pose"));
    CHECK_OK(shm_connect(push, "jobs"));
    CHECK_OK(shm_connect(req, "arm"));
    await_event(push, SHM_EVENT_CONNECTED);
    await_event(sub, SHM_EVENT_CONNECTED);
    send_text(req, "go");
    expect_text(req, "ok");
    for (int i = 0; i < 3; i++)
        send_text(push, "job");
    for (int i = 0; i < PUBLISHED_READ; i++)
        expect_text(sub, "12345678");
    child_stay(up, 1);
}

static void start_all(struct child *binder, struct child *connector)
{
    *binder = child_start(bind_all, NULL);
    CHECK_INT(child_hear(binder), 1);
    *connector = child_start(connect_all, NULL);
    CHECK_INT(child_hear(binder), 2);
    CHECK_INT(child_hear(connector), 1);
    child_say(binder, 1);
    CHECK_INT(child_hear(binder), 3);
}

static void check_ls_line(const char *text, const char *name, const char *type, pid_t pid)
{
    CHECK(word_in_line(text, name, 0) != NULL);
    CHECK(strcmp(word_in_line(text, name, 1), "alive") == 0);
    CHECK(strcmp(word_in_line(text, name, 2), type) == 0);
    CHECK_INT(atoi(word_in_line(text, name, 3)), getuid());
    CHECK_INT(atoi(word_in_line(text, name, 4)), pid);
    CHECK_INT(atoi(word_in_line(text, name, 5)), 1);
}

static void stop_all(struct child *binder, struct child *connector)
{
    child_kill(binder);
    child_kill(connector);
    tool_says(0, "gc");
    CHECK_INT(count_files(test_dir()), 0);
}

TEST_THAT(ls_shows_who_is_there)
{
    struct child binder, connector;

    start_all(&binder, &connector);
    const char *text = tool_says(0, "ls");
    CHECK_INT(count_in(text, "\n"), 4);
    check_ls_line(text, "robot/pose", "PUB", binder.pid);
    check_ls_line(text, "jobs", "PULL", binder.pid);
    check_ls_line(text, "arm", "REP", binder.pid);
    text = tool_says_json(0, "ls");
    CHECK_INT(count_in(text, "\"state\":\"alive\""), 3);
    CHECK_INT(count_in(text, "\"alive\":true"), 3);
    CHECK_INT(count_in(text, "\"peers\":1"), 3);
    CHECK(strstr(text, "\"name\":\"robot/pose\"") != NULL);
    stop_all(&binder, &connector);
}

/* The number behind KEY, after the first WHERE. */
static long long number_at(const char *json, const char *where, const char *key)
{
    char quoted[64];

    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = strstr(json, where);
    CHECK(at != NULL);
    at = strstr(at, quoted);
    CHECK(at != NULL);
    at += strlen(quoted);
    return strncmp(at, "null", 4) == 0 ? -1 : atoll(at);
}

TEST_THAT(info_shows_the_counters_of_both_sides)
{
    struct child binder, connector;

    start_all(&binder, &connector);
    const char *text = tool_says_json(0, "info", "shm://robot/pose");
    CHECK(strstr(text, "\"state\":\"alive\"") != NULL);
    CHECK(strstr(text, "\"state\":\"connected\"") != NULL);
    CHECK_INT(number_at(text, "\"binder\"", "pid"), binder.pid);
    CHECK_INT(number_at(text, "\"binder\"", "sent"), PUBLISHED);
    CHECK_INT(number_at(text, "\"binder\"", "bytes_sent"), 8 * PUBLISHED);
    CHECK_INT(number_at(text, "\"binder\"", "peers"), 1);
    CHECK_INT(number_at(text, "\"binder\"", "unread"), PUBLISHED - PUBLISHED_READ);
    CHECK(number_at(text, "\"binder\"", "memory") > 0);
    CHECK_INT(number_at(text, "\"peers\":[", "pid"), connector.pid);
    CHECK_INT(number_at(text, "\"peers\":[", "received"), PUBLISHED_READ);
    CHECK_INT(number_at(text, "\"peers\":[", "bytes_received"), 8 * PUBLISHED_READ);
    CHECK_INT(number_at(text, "\"peers\":[", "lost"), 0);
    CHECK_INT(number_at(text, "\"peers\":[", "lag"), PUBLISHED - PUBLISHED_READ);
    CHECK_INT(number_at(text, "\"peers\":[", "pipe_received"), PUBLISHED_READ);

    text = tool_says_json(0, "info", "jobs"); /* three were pushed, one was pulled */
    CHECK_INT(number_at(text, "\"binder\"", "received"), 1);
    CHECK_INT(number_at(text, "\"binder\"", "lag"), 2);
    CHECK_INT(number_at(text, "\"peers\":[", "sent"), 3);
    CHECK_INT(number_at(text, "\"peers\":[", "unread"), 2);
    CHECK_INT(number_at(text, "\"peers\":[", "in_hand"), 0);

    text = tool_says_json(0, "info", "arm");
    CHECK_INT(number_at(text, "\"binder\"", "received"), 1);
    CHECK_INT(number_at(text, "\"binder\"", "sent"), 1);
    CHECK_INT(number_at(text, "\"binder\"", "lag"), 0);
    CHECK_INT(number_at(text, "\"peers\":[", "received"), 1);
    CHECK_INT(number_at(text, "\"peers\":[", "lag"), 0);

    text = tool_says(0, "info", "robot/pose");
    CHECK_INT(atoi(word_in_line(text, "binder", 3)), binder.pid);
    CHECK_INT(atoi(word_in_line(text, "binder", 4)), PUBLISHED);
    CHECK_INT(atoi(word_in_line(text, "peer", 5)), PUBLISHED_READ);
    CHECK_INT(atoi(word_in_line(text, "peer", 8)), PUBLISHED - PUBLISHED_READ);
    tool_says(1, "info", "robot");
    stop_all(&binder, &connector);
}

TEST_THAT(a_name_that_nobody_is_bound_to_is_unbound)
{
    shm_socket_t *push = socket_connected(SHM_PUSH);

    send_text(push, "job");
    CHECK(strcmp(word_in_line(tool_says(0, "ls"), "it", 1), "unbound") == 0);
    const char *text = tool_says_json(0, "info", "it");
    CHECK(strstr(text, "\"binder\":null") != NULL);
    CHECK(strstr(text, "\"state\":\"waiting\"") != NULL);
    CHECK_INT(number_at(text, "\"peers\":[", "unread"), 1);
    CHECK_OK(shm_close(push));
}

/* A subscriber that was overrun: how many it missed is exact once it has noticed. */
TEST_THAT(a_slow_subscriber_is_seen_to_lag_and_to_lose)
{
    shm_socket_t *pub = socket_new(SHM_PUB), *sub = sub_new("");

    set_int(pub, SHM_SNDHWM, 16);
    pair_up(pub, sub);
    for (int i = 0; i < 1000; i++)
        send_text(pub, "x");
    CHECK_INT(number_at(tool_says_json(0, "info", "it"), "\"peers\":[", "lag"), 1000);
    expect_text(sub, "x");
    const char *text = tool_says_json(0, "info", "it");
    long long lost = number_at(text, "\"peers\":[", "lost");
    CHECK_INT(lost, get_stats(sub).lost);
    CHECK(lost > 0);
    CHECK_INT(number_at(text, "\"peers\":[", "pipe_lost"), lost);
    CHECK_INT(number_at(text, "\"peers\":[", "lag"), 1000 - lost - 1);
    CLOSE_ALL(sub, pub);
}

/* ---- it disturbs nobody ---- */

#define STREAM 200000

static void stream(struct child *up, void *argument)
{
    shm_socket_t *pub = socket_bound_with(SHM_PUB, SHM_LOSSLESS, 1);

    child_say(up, 1);
    await_event(pub, SHM_EVENT_CONNECTED);
    for (int i = 0; i < STREAM; i++)
        CHECK_INT(shm_send(pub, &i, sizeof i, 0), sizeof i);
    child_hear(up);
    CHECK_INT(get_stats(pub).sent, STREAM);
    CHECK_OK(shm_close(pub));
}

TEST_THAT(looking_at_a_stream_does_not_change_it)
{
    struct child child = child_start(stream, NULL);
    shm_socket_t *sub = socket_new(SHM_SUB);
    long long before = 0;

    CHECK_INT(child_hear(&child), 1);
    subscribe_to(sub, "");
    CHECK_OK(shm_connect(sub, "it"));
    for (int i = 0, got; i < STREAM; i++) {
        CHECK_INT(shm_recv(sub, &got, sizeof got, 0), sizeof got);
        CHECK_INT(got, i);
        if (i % (STREAM / 20) != 0)
            continue;
        long long sent = number_at(tool_says_json(0, "info", "it"), "\"binder\"", "sent");
        CHECK(sent >= before && sent > i && sent <= STREAM);
        before = sent;
        tool_says(0, "ls");
        tool_says(1, "gc");
    }
    shm_stats_t first = get_stats(sub), second;
    for (int i = 0; i < 10; i++)
        tool_says(0, "info", "it");
    second = get_stats(sub);
    CHECK_MEM(&first, sizeof first, &second, sizeof second);
    CHECK_INT(first.received, STREAM);
    CHECK_INT(first.lost, 0);
    child_end(&child);
    CHECK_OK(shm_close(sub));
    CHECK_INT(count_files(test_dir()), 0);
}

TEST_THAT(looking_wakes_no_descriptor)
{
    shm_socket_t *pub = socket_new(SHM_PUB), *sub = sub_new("");

    pair_up(pub, sub);
    struct pollfd item = {get_int(sub, SHM_FD), POLLIN, 0};
    while (CHECK_OK(poll(&item, 1, 0)) == 1)
        expect_nothing(sub);
    tool_says(0, "ls");
    tool_says(0, "info", "it");
    tool_says(1, "gc", "--dry-run");
    tool_says(1, "gc");
    CHECK_INT(poll(&item, 1, 0), 0);
    CLOSE_ALL(sub, pub);
}

/* ---- names ---- */

TEST_THAT(names_of_any_bytes_are_shown_safely)
{
    static const char *const names[] = {
        "quote\" back\\slash", "line\nfeed", "\x1b[31mred\x1b[0m", "not \xff utf-8 \xc3", "\xc2\x9bK",
        "d\xc3\xa9j\xc3\xa0 vu", "..", "%2F", "/a/b/",
    };
    shm_socket_t *pub = socket_new(SHM_PUB);
    char longest[201];

    memset(longest, '/', 200);
    longest[200] = '\0';
    for (size_t i = 0; i < COUNT_OF(names); i++)
        CHECK_OK(shm_bind(pub, names[i]));
    CHECK_OK(shm_bind(pub, longest));
    const char *text = tool_says(0, "ls");
    CHECK_INT(count_in(text, "\n"), COUNT_OF(names) + 2);
    CHECK_INT(count_in(text, "alive"), COUNT_OF(names) + 1);
    CHECK(strpbrk(text, "\x1b\x7f\t") == NULL);
    CHECK_INT(count_in(text, "\xff") + count_in(text, "\xc2\x9b"), 0);
    CHECK(strstr(text, "d\xc3\xa9j\xc3\xa0 vu") != NULL);
    CHECK(strstr(text, "line\\x0afeed") != NULL);
    text = tool_says_json(0, "ls");
    CHECK(strstr(text, "\"name_hex\":\"6e6f7420ff207574662d3820c3\"") != NULL);
    CHECK_INT(count_in(text, "name_hex"), 1);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        CHECK_INT(number_at(tool_says_json(0, "info", names[i]), "\"binder\"", "pid"), getpid());
    tool_says_json(0, "info", longest);
    tool_says(0, "info", longest);
    CHECK_OK(shm_close(pub));
}
