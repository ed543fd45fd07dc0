/* SPDX-License-Identifier: MIT */
/*
 * The receiving side of test_each_call.c: receiving, waiting, watching, joining late and closing, with each system
 * and heap call failing, once and permanently.
 *
 * After a failure the operation has reported a meaningful errno or managed without; repeated, it works; whatever was
 * acknowledged arrives, in order, once; no peer is taken for a liar; nothing stays open, mapped or in the directory.
 */
#include "../support/ends.h"
#include "../support/leaks.h"
#include "each.h"


enum { VIEWS = 3 };

struct scene {
    const struct pipe *pipe;
    struct end left, right;
    uint32_t sent, got;
    shm_msg_t views[VIEWS];
    bool joined;
};

struct operation {
    const char *name;
    void (*prepare)(struct scene *scene);
    int (*call)(struct scene *scene); /* 0, or -1 and errno */
    bool late;                        /* the right end comes later */
};

/* ---- Messages, numbered from 1 ---- */

static size_t size_of(uint32_t number)
{
    static const size_t sizes[] = {300000, 16, 113, 5000, 70000};

    return sizes[number % COUNT_OF(sizes)];
}

static void send_next(struct scene *scene)
{
    static unsigned char bytes[300000];
    uint32_t number = ++scene->sent;
    size_t size = size_of(number);

    pattern_fill(bytes, size, number);
    CHECK_INT(end_send_anew(&scene->left, bytes, size), size);
}

static void take_turns(struct scene *scene)
{
    if (scene->pipe->pair->turns)
        pipe_turn(&scene->left, &scene->right);
}

static int count_taken(struct scene *scene, const void *bytes, ssize_t n)
{
    if (n < 0)
        return -1;
    scene->got++;
    CHECK_INT(n, size_of(scene->got));
    pattern_check(bytes, (size_t)n, scene->got);
    return 0;
}

static int take_copy(struct scene *scene)
{
    static unsigned char bytes[300000];

    return count_taken(scene, bytes, end_recv(&scene->right, bytes, sizeof bytes, SHM_DONTWAIT));
}

static int take_view(struct scene *scene)
{
    shm_msg_t msg;
    ssize_t n;
    int result;

    CHECK_OK(shm_msg_init(&msg));
    n = end_msg_recv(&scene->right, &msg, SHM_DONTWAIT);
    result = count_taken(scene, n < 0 ? NULL : shm_msg_data(&msg), n);
    int error = errno;
    CHECK_OK(shm_msg_close(&msg));
    errno = error;
    return result;
}

/* ---- States ---- */

static void one_large(struct scene *scene)
{
    scene->sent = scene->got = 4;
    send_next(scene);
}

static void one_small(struct scene *scene)
{
    send_next(scene);
}

static void nothing(struct scene *scene)
{
    (void)scene;
}

/* A binder that reads two of four and dies. */
static void read_two(struct child *up, void *argument)
{
    struct scene *scene = argument;

    end_start(&scene->right, scene->pipe, false, "it");
    for (int i = 0; i < 2; i++) {
        static unsigned char bytes[300000];

        CHECK_INT(count_taken(scene, bytes, end_recv(&scene->right, bytes, sizeof bytes, 0)), 0);
    }
    child_say(up, 0);
    child_hear(up);
}

static void two_left_by_a_dead_one(struct scene *scene)
{
    struct child child;

    CHECK_OK(shm_close(scene->right.socket)); /* for the time being */
    child = child_start(read_two, scene);
    await_event(scene->left.socket, SHM_EVENT_CONNECTED);
    for (int i = 0; i < 4; i++)
        send_next(scene);
    child_hear(&child);
    child_kill(&child);
    scene->got = 2;
    end_open(&scene->right, scene->pipe, false);
}

/* For a subscriber that comes late. */
static void three_before(struct scene *scene)
{
    for (int i = 0; i < 3; i++)
        send_next(scene);
}

static void views_open(struct scene *scene)
{
    for (int i = 0; i < VIEWS; i++) {
        send_next(scene);
        CHECK_OK(shm_msg_init(&scene->views[i]));
        CHECK_INT(end_msg_recv(&scene->right, &scene->views[i], 0), size_of(++scene->got));
        take_turns(scene);
    }
}

/* ---- Operations ---- */

/* Nothing comes: a wait that ends too early is as bad as one that never ends. */
static int wait_a_little(struct scene *scene)
{
    char byte;
    int result;

    set_int(scene->right.socket, SHM_RCVTIMEO, 2);
    result = (int)end_recv(&scene->right, &byte, 1, 0);
    CHECK_INT(result, -1);
    return errno == EAGAIN ? 0 : -1;
}

static int poll_one(struct scene *scene)
{
    return shm_poll(&(shm_pollitem_t){scene->right.socket, -1, SHM_POLLIN | SHM_POLLPRI, 0}, 1, 2) < 0 ? -1 : 0;
}

static int poll_both(struct scene *scene)
{
    shm_pollitem_t items[2] = {{scene->right.socket, -1, SHM_POLLIN, 0}, {scene->left.socket, -1, SHM_POLLPRI, 0}};

    return shm_poll(items, 2, 2) < 0 ? -1 : 0;
}

static int poll_with_descriptor(struct scene *scene)
{
    shm_pollitem_t items[2] = {{scene->right.socket, -1, SHM_POLLIN, 0}, {NULL, STDIN_FILENO, 0, 0}};

    return shm_poll(items, 2, 2) < 0 ? -1 : 0;
}

/* As an event loop: the descriptor, then all there is. */
static int watch(struct scene *scene)
{
    int fd;
    size_t size = sizeof fd;

    if (shm_getsockopt(scene->right.socket, SHM_FD, &fd, &size) < 0)
        return -1;
    shm_poll(&(shm_pollitem_t){scene->right.socket, -1, SHM_POLLIN, 0}, 1, 0);
    return take_copy(scene) == 0 || errno == EAGAIN ? 0 : -1;
}

static int take_events(struct scene *scene)
{
    shm_event_t event;

    set_int(scene->right.socket, SHM_RCVTIMEO, 2);
    while (shm_event_recv(scene->right.socket, &event, 0) == 0)
        CHECK(event.event != SHM_EVENT_BROKEN);
    return errno == EAGAIN ? 0 : -1;
}

static int subscribe_to_another(struct scene *scene)
{
    return shm_setsockopt(scene->right.socket, SHM_SUBSCRIBE, "another topic", 13);
}

static int unsubscribe_from_another(struct scene *scene)
{
    return shm_setsockopt(scene->right.socket, SHM_UNSUBSCRIBE, "another topic", 13);
}

static void subscribed(struct scene *scene)
{
    CHECK_OK(subscribe_to_another(scene));
}

/* Reads what was published before it came. */
static int join_late(struct scene *scene)
{
    if (!scene->joined && (scene->pipe->right_binds ? shm_bind(scene->right.socket, "it")
                                                    : shm_connect(scene->right.socket, "it")) < 0) {
        if (errno == EADDRINUSE)
            errno = EINTR; /* what a refused lock means; here the refusal was injected */
        return -1;
    }
    scene->joined = true;
    return take_copy(scene) == 0 || errno == EAGAIN ? 0 : -1;
}

static int close_right(struct scene *scene)
{
    return shm_close(scene->right.socket);
}

/* ---- One case ---- */

static void look(struct end *end)
{
    /* What could not be had is tried again at the end of a sleep. */
    CHECK_OK(shm_poll(&(shm_pollitem_t){end->socket, -1, 0, 0}, 1, 1));
}

/* Whatever was sent and three more. */
static void receive_the_rest(struct scene *scene)
{
    int64_t end = now_ms() + 8000;
    unsigned more = 3;

    while (get_stats(scene->left.socket).peers == 0 || get_stats(scene->right.socket).peers == 0) {
        look(&scene->left);
        look(&scene->right);
        if (now_ms() > end)
            FAIL("the two did not meet again after %s", inject_what());
    }
    for (;;) {
        if (scene->got == scene->sent && more-- > 0)
            send_next(scene);
        if (scene->got == scene->sent)
            break;
        while (take_copy(scene) < 0) {
            CHECK_INT(errno, EAGAIN);
            look(&scene->left);
            if (now_ms() > end)
                FAIL("%u of %u messages arrived after %s", scene->got, scene->sent, inject_what());
        }
        take_turns(scene);
    }
}

static void open_scene(struct scene *scene, const struct operation *operation)
{
    if (operation->late) {
        end_open(&scene->left, scene->pipe, true);
        if (scene->pipe->right_binds)
            CHECK_OK(shm_connect(scene->left.socket, "it"));
        else
            CHECK_OK(shm_bind(scene->left.socket, "it"));
        end_open(&scene->right, scene->pipe, false);
        if (scene->right.type == SHM_SUB)
            set_int(scene->right.socket, SHM_HISTORY, 100);
    } else {
        pipe_start(&scene->left, &scene->right, scene->pipe);
    }
    if (operation->prepare)
        operation->prepare(scene);
}

static void end_scene(struct scene *scene, const struct operation *operation)
{
    if (operation->call != close_right) {
        receive_the_rest(scene);
        CHECK_INT(get_stats(scene->right.socket).protocol_errors, 0);
        CHECK_OK(shm_close(scene->right.socket));
    } else {
        for (int i = 0; i < VIEWS; i++) { /* they outlive their socket */
            pattern_check(shm_msg_data(&scene->views[i]), size_of((uint32_t)i + 1), (unsigned)i + 1);
            CHECK_OK(shm_msg_close(&scene->views[i]));
        }
    }
    CHECK_OK(shm_close(scene->left.socket));
}

static const int clear[] = {ENOMEM, EMFILE, ENOSPC, EACCES, EINTR};

struct run {
    const struct pipe *pipe;
    const struct operation *operation;
    struct leaks *before;
};

static bool do_it_with(const struct injection *injection, const struct run *run)
{
    const struct operation *operation = run->operation;
    struct scene scene = {.pipe = run->pipe};
    bool fired;
    int result, error;

    open_scene(&scene, operation);
    inject(injection);
    result = operation->call(&scene);
    error = errno;
    fired = inject_stop() >= injection->at;
    if (result < 0) {
        each_check_told(operation->name, error, clear, COUNT_OF(clear), false);
        if (operation->call(&scene) < 0)
            FAIL("%s: %s, and the next call with %s", operation->name, each_case(), shm_strerror(errno));
    }
    if (run->pipe->pair->turns && scene.got > 0 && operation->call != close_right && operation->prepare != views_open)
        take_turns(&scene);
    end_scene(&scene, operation);
    return fired;
}

static bool fail_at(const struct injection *injection, void *argument)
{
    struct run *run = argument;

    if (run->operation->prepare == two_left_by_a_dead_one && injection->error == EAGAIN)
        return false; /* means that another process is just removing the dead one's read position */
    bool fired = do_it_with(injection, run);
    leaks_check_open(run->before);
    if (count_files(test_dir()) != 0 && (!inject_what() || strcmp(inject_what(), "unlinkat") != 0))
        FAIL("%s: files were left when %s", run->operation->name, each_case());
    return fired;
}

static void run(const struct pipe *pipe, const struct operation *operation)
{
    static const int errors[] = {ENOMEM, EMFILE, EACCES, EINTR, EAGAIN};
    struct run run = {pipe, operation, CHECK_PTR(malloc(sizeof *run.before))};

    leaks_note(run.before);
    if (operation->prepare != two_left_by_a_dead_one || pipe->right_binds)
        printf("%s: %u cases\n", operation->name, each_call_fails(errors, COUNT_OF(errors), fail_at, &run));
    fflush(stdout);
    free(run.before);
    leave_files(); /* where unlinkat failed */
}

/* ---- The table ---- */

static bool is_chosen(const struct pair *pair)
{
    return pair->left == SHM_PAIR || pair->left == SHM_PUSH || pair->left == SHM_REQ || pair->left == SHM_DEALER ||
           (pair->left == SHM_PUB && pair->right == SHM_SUB);
}

static bool keeps_for_the_next(const struct pair *pair)
{
    return pair->left == SHM_DEALER && pair->right == SHM_DEALER;
}

/* One of each kind of ring: for what only waits. */
static bool is_simple(const struct pair *pair)
{
    return pair->left == SHM_PAIR || pair->left == SHM_PUSH || (pair->left == SHM_PUB && pair->right == SHM_SUB);
}

static bool subscribes(const struct pair *pair)
{
    return pair->right == SHM_SUB;
}

static bool is_pub(const struct pair *pair)
{
    return pair->left == SHM_PUB && pair->right == SHM_SUB;
}

#define OPERATION(fits, sentence, ...)                                                                                 \
    TEST_PIPES_WITHIN(120, fits, sentence, pipe)                                                                       \
    {                                                                                                                  \
        run(pipe, &(struct operation){#sentence, __VA_ARGS__});                                                        \
    }
OPERATION(is_chosen, receive_a_copy_from_memory_not_seen_before, one_large, take_copy, false)
OPERATION(is_chosen, receive_a_view_from_memory_not_seen_before, one_large, take_view, false)
OPERATION(is_chosen, receive_a_short_one, one_small, take_copy, false)
OPERATION(is_simple, wait_in_vain, nothing, wait_a_little, false)
OPERATION(is_simple, poll_in_vain, nothing, poll_one, false)
OPERATION(is_simple, poll_two_in_vain, nothing, poll_both, false)
OPERATION(is_simple, poll_with_a_descriptor_in_vain, nothing, poll_with_descriptor, false)
OPERATION(is_simple, watch_with_a_message_there, one_large, watch, false)
OPERATION(is_simple, events, nothing, take_events, false)
OPERATION(subscribes, subscribe, nothing, subscribe_to_another, false)
OPERATION(subscribes, unsubscribe, subscribed, unsubscribe_from_another, false)
OPERATION(is_pub, join_a_PUB_with_a_history, three_before, join_late, true)
OPERATION(keeps_for_the_next, take_over_from_a_dead_one, two_left_by_a_dead_one, join_late, true)
OPERATION(is_chosen, close_with_views, views_open, close_right, false)
