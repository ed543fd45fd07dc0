/* SPDX-License-Identifier: MIT */
/*
 * Two containers that share only the runtime directory: every pattern between them, in order and exactly once,
 * however the receiver waits; deaths; names that change owners; clocks days apart; no /proc. Both ends are process
 * 1, each in its own namespaces.
 */
#include "../support/container.h"
#include "../support/ends.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>

#define DAYS (24L * 3600)

enum { MESSAGES = 60, ROUNDS = 8 };

static const struct container_kind left_kind = {CONTAINER_OWN_PROC, 10 * DAYS};
static const struct container_kind right_kind = {CONTAINER_ELSEWHERE | CONTAINER_OWN_USERS, 300 * DAYS};

static size_t size_of(uint64_t number)
{
    static const size_t sizes[] = {8, 112, 113, 4000, 70000};

    return sizes[number % COUNT_OF(sizes)];
}

/* ---- The ends ---- */

struct task {
    struct pipe pipe;
    _Atomic uint64_t sent; /* acknowledged */
};

static void open_end(struct end *end, const struct pipe *pipe, bool left)
{
    end_open(end, pipe, left);
    if (end->type == SHM_PUB || end->type == SHM_XPUB)
        set_int(end->socket, SHM_LOSSLESS, 1);
    CHECK_OK(shm_setsockopt(end->socket, SHM_SPIN_NS, &(int64_t){0}, sizeof(int64_t))); /* always sleep */
    end_attach(end, pipe, "it");
}

static void send_number(struct end *left, struct task *task)
{
    static unsigned char bytes[70000];
    uint64_t number = task->sent + 1;

    pattern_fill(bytes, size_of(number), (unsigned)number);
    memcpy(bytes, &number, sizeof number);
    CHECK_INT(end_send(left, bytes, size_of(number), 0), size_of(number));
    task->sent = number;
}

static void check_number(const unsigned char *bytes, size_t size, uint64_t number)
{
    static unsigned char wanted[70000];

    pattern_fill(wanted, size_of(number), (unsigned)number);
    memcpy(wanted, &number, sizeof number);
    CHECK_MEM(bytes, size, wanted, size_of(number));
}

static void wait_by_poll(struct end *end)
{
    shm_pollitem_t item = {end->socket, -1, SHM_POLLIN, 0};

    while (shm_poll(&item, 1, 10000) != 1)
        ;
}

static void wait_by_two(struct end *end)
{
    shm_socket_t *other = socket_new(SHM_PULL);
    shm_pollitem_t items[2] = {{other, -1, SHM_POLLIN, 0}, {end->socket, -1, SHM_POLLIN, 0}};

    while (shm_poll(items, 2, 10000) != 1)
        ;
    CHECK_OK(shm_close(other));
}

/* As an event loop does: only when the descriptor is readable, and until there is nothing left. */
static void wait_by_descriptor(struct end *end)
{
    struct pollfd item = {-1, POLLIN, 0};
    size_t size = sizeof item.fd;

    CHECK_OK(shm_getsockopt(end->socket, SHM_FD, &item.fd, &size));
    for (;;) {
        shm_pollitem_t look = {end->socket, -1, SHM_POLLIN, 0};

        if (shm_poll(&look, 1, 0) == 1)
            return;
        CHECK_INT(poll(&item, 1, 10000), 1);
    }
}

/* Wait for message NUMBER in one of five ways. */
static void receive_number(struct end *right, uint64_t number)
{
    static unsigned char bytes[70000];
    shm_msg_t msg;
    ssize_t n;

    if (number % 5 == 1)
        wait_by_poll(right);
    if (number % 5 == 2)
        wait_by_two(right);
    if (number % 5 == 3 && number > MESSAGES / 2) /* once it has a descriptor, a socket sleeps differently */
        wait_by_descriptor(right);
    if (number % 2) {
        n = end_recv(right, bytes, sizeof bytes, 0);
        CHECK_OK(n);
        check_number(bytes, (size_t)n, number);
    } else {
        CHECK_OK(shm_msg_init(&msg));
        n = end_msg_recv(right, &msg, 0);
        CHECK_OK(n);
        check_number(shm_msg_data(&msg), (size_t)n, number);
        CHECK_OK(shm_msg_close(&msg));
    }
    end_give_turn(right);
}

/* ---- Messages ---- */

static void send_all(struct child *up, void *argument)
{
    struct task *task = argument;
    struct end left;
    shm_event_t event;

    open_end(&left, &task->pipe, true);
    event = await_event(left.socket, SHM_EVENT_CONNECTED);
    CHECK_INT(event.peer_pid, 1); /* as the peer sees itself */
    if (left.type == SHM_XPUB)
        CHECK_INT(shm_recv(left.socket, &(char[8]){0}, 8, 0), 1);
    child_say(up, 0);
    for (unsigned i = 0; i < ROUNDS; i++) { /* one at a time, when the parent says that the other sleeps */
        child_hear(up);
        send_number(&left, task);
        end_take_turn(&left);
    }
    while (task->sent < MESSAGES) {
        send_number(&left, task);
        end_take_turn(&left);
    }
    child_hear(up); /* all has arrived */
    end_close(&left);
}

static void receive_all(struct child *up, void *argument)
{
    struct task *task = argument;
    struct end right;

    open_end(&right, &task->pipe, false);
    end_await(&right);
    child_say(up, 0);
    for (uint64_t number = 1; number <= MESSAGES; number++) {
        receive_number(&right, number);
        if (number <= ROUNDS)
            child_say(up, number);
    }
    CHECK_ERR(end_recv(&right, &(char[8]){0}, 8, SHM_DONTWAIT), EAGAIN);
    child_say(up, MESSAGES);
    child_hear(up);
    end_close(&right);
}

TEST_EACH_PIPE(messages_pass_between_containers, pipe)
{
    struct task *task = shared_memory(sizeof *task);
    struct container left, right;
    int64_t best = INT64_MAX;

    need_containers();
    task->pipe = *pipe;
    left = container_start(&left_kind, send_all, task);
    right = container_start(&right_kind, receive_all, task);
    child_hear(&left.line);
    child_hear(&right.line);
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        int64_t start = now_ms(), took;

        await_asleep(*right.pid);
        child_say(&left.line, 0);
        CHECK_INT(child_hear(&right.line), i);
        took = now_ms() - start;
        best = took < best ? took : best;
    }
    CHECK_INT(child_hear(&right.line), MESSAGES);
    child_say(&right.line, 0);
    child_say(&left.line, 0);
    container_wait(&right);
    container_wait(&left);
    if (best > 60) /* a sleep ends by itself after 100 ms */
        FAIL("no sleeper was woken: the quickest of %d messages took %lld ms", ROUNDS, (long long)best);
    shared_memory_free(task, sizeof *task);
}

/* ---- Deaths ---- */

static void send_until_killed(struct child *up, void *argument)
{
    struct task *task = argument;
    struct end left;

    open_end(&left, &task->pipe, true);
    end_await(&left);
    child_hear(up);
    for (unsigned i = 0; i < 10; i++) {
        send_number(&left, task);
        end_take_turn(&left);
    }
    child_say(up, 0);
    child_hear(up);
}

static void outlive_two(struct child *up, void *argument)
{
    struct task *task = argument;
    struct end right;
    uint64_t number = 1;

    open_end(&right, &task->pipe, false);
    for (unsigned i = 0; i < 2; i++) {
        shm_event_t event = await_event(right.socket, SHM_EVENT_CONNECTED);

        CHECK_INT(event.peer_pid, 1);
        child_say(up, 0);
        for (unsigned k = 0; k < 10; k++) {
            if (right.type == SHM_PAIR && k == 0 && i > 0) /* it is told that the former peer has gone */
                CHECK_ERR(end_recv(&right, &(char[8]){0}, 8, 0), EPIPE);
            receive_number(&right, number++);
        }
        child_say(up, 0);
        event = await_event(right.socket, SHM_EVENT_DIED);
        CHECK_INT(event.peer_pid, 1);
        child_say(up, 0);
    }
    end_close(&right);
}

/* SIGKILL in one container; the other receives all that was acknowledged, learns of the death, and a third takes
 * over. */
TEST_EACH_PIPE(deaths_are_noticed_and_names_taken_over, pipe)
{
    struct task *task = shared_memory(sizeof *task);
    struct container right;

    need_containers();
    task->pipe = *pipe;
    right = container_start(&right_kind, outlive_two, task);
    for (unsigned i = 0; i < 2; i++) {
        struct container left = container_start(&left_kind, send_until_killed, task);

        child_hear(&right.line);
        child_say(&left.line, 0);
        child_hear(&left.line);
        child_hear(&right.line);
        container_kill(&left);
        child_hear(&right.line);
    }
    container_wait(&right);
    shared_memory_free(task, sizeof *task);
}

/* ---- Clocks ---- */

static void check_took(int64_t start, int64_t least)
{
    int64_t took = now_ms() - start;

    if (took < least || took > least + 5000)
        FAIL("a wait of %lld ms took %lld", (long long)least, (long long)took);
}

static void wait_in_vain(struct child *up, void *argument)
{
    struct end right, other;
    const struct pipe *pipe = argument;
    shm_pollitem_t items[2];
    char byte;
    int64_t start;

    end_start(&right, pipe, false, "it");
    end_start(&other, pipe, false, "another");
    end_await(&right);
    child_say(up, 0);
    set_int(right.socket, SHM_RCVTIMEO, 150);
    start = now_ms();
    CHECK_ERR(shm_recv(right.socket, &byte, 1, 0), EAGAIN);
    check_took(start, 150);
    items[0] = (shm_pollitem_t){right.socket, -1, SHM_POLLIN, 0};
    items[1] = (shm_pollitem_t){other.socket, -1, SHM_POLLIN, 0};
    for (int count = 1; count <= 2; count++) {
        start = now_ms();
        CHECK_INT(shm_poll(items, count, 150), 0);
        check_took(start, 150);
    }
    items[1] = (shm_pollitem_t){NULL, STDIN_FILENO, 0, 0};
    start = now_ms();
    CHECK_INT(shm_poll(items, 2, 150), 0);
    check_took(start, 150);
    child_hear(up);
    pipe_close(&right, &other);
}

static bool is_pair(const struct pair *pair)
{
    return pair->left == SHM_PAIR;
}

static void linger(struct child *up, void *argument)
{
    struct end left;

    end_start(&left, argument, true, "it");
    end_await(&left);
    child_hear(up);
    end_close(&left);
}

TEST_PIPES(is_pair, timeouts_are_as_long_as_they_say, pipe)
{
    struct pipe copy = *pipe;
    struct container left, right;

    need_containers();
    left = container_start(&left_kind, linger, &copy);
    right = container_start(&right_kind, wait_in_vain, &copy);
    child_hear(&right.line);
    child_say(&right.line, 0);
    container_wait(&right);
    child_say(&left.line, 0);
    container_wait(&left);
}

/* ---- A descriptor without what it watches deaths by ---- */

/* One of each kind of ring. */
static bool is_simple(const struct pair *pair)
{
    return pair->left == SHM_PAIR || pair->left == SHM_PUB || pair->left == SHM_PUSH;
}

static void watch_by_descriptor(struct child *up, struct task *task)
{
    struct end right;
    struct pollfd item = {-1, POLLIN, 0};
    size_t size = sizeof item.fd;
    unsigned looks = 0;

    open_end(&right, &task->pipe, false);
    CHECK_OK(shm_getsockopt(right.socket, SHM_FD, &item.fd, &size));
    end_await(&right);
    child_say(up, 0);
    for (uint64_t number = 1; number <= 10; number++)
        receive_number(&right, number);
    child_say(up, 0);
    for (shm_event_t event = {0}; event.event != SHM_EVENT_DIED; looks++) {
        if (shm_event_recv(right.socket, &event, SHM_DONTWAIT) == 0)
            continue;
        CHECK_INT(poll(&item, 1, 10000), 1); /* a descriptor that does not report deaths would not become readable */
    }
    if (looks > 1000)
        FAIL("%u looks at a descriptor that had nothing to tell", looks);
    end_close(&right);
}

static void watch_without_proc(struct child *up, void *argument)
{
    CHECK(access("/proc/self", F_OK) != 0);
    watch_by_descriptor(up, argument);
}

static void watch_without_inotify(struct child *up, void *argument)
{
    int fd = (int)CHECK_OK(open("/proc/sys/user/max_inotify_instances", O_WRONLY | O_CLOEXEC));

    CHECK_INT(write(fd, "0", 1), 1);
    close(fd);
    CHECK_INT(inotify_init1(IN_CLOEXEC), -1);
    watch_by_descriptor(up, argument);
}

static void take_part(const struct pipe *pipe, const struct container_kind *kind,
                      void (*watch)(struct child *up, void *argument))
{
    struct task *task = shared_memory(sizeof *task);
    struct container left, right;

    need_containers();
    task->pipe = *pipe;
    right = container_start(kind, watch, task);
    left = container_start(&left_kind, send_until_killed, task);
    child_hear(&right.line);
    child_say(&left.line, 0);
    child_hear(&left.line);
    child_hear(&right.line);
    pass_ms(300); /* the death comes while the peer sleeps */
    container_kill(&left);
    container_wait(&right);
    shared_memory_free(task, sizeof *task);
}

TEST_PIPES(is_simple, a_container_without_proc_takes_part, pipe)
{
    static const struct container_kind without = {CONTAINER_NO_PROC, 0};

    take_part(pipe, &without, watch_without_proc);
}

TEST_PIPES(is_simple, a_user_without_watches_learns_of_deaths_all_the_same, pipe)
{
    take_part(pipe, &right_kind, watch_without_inotify);
}
