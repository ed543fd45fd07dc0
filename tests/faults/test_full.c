/* SPDX-License-Identifier: MIT */
/*
 * No process touches memory that was not allocated, in whatever order peers come, send, look and leave: random walks
 * in a file system that is always full (full.h), where that would be a SIGBUS. If an allocation finds no room the
 * caller gets ENOSPC or does without, and nothing acknowledged is lost.
 */
#include "../support/ends.h"
#include "full.h"

enum { PART_MAX = 100000 };

static unsigned char bytes[PART_MAX];

/* ---- Any order ---- */

enum { ACTORS = 4, STEPS = 80 };

/* A socket that may be there or not, attached or not, with a view in hand or not. Two of them are left. */
struct actor {
    struct end end;
    bool attached, viewing;
    shm_msg_t view;
};

struct walk {
    const struct pipe *pipe;
    uint64_t state;
    struct actor actors[ACTORS];
};

static unsigned draw(struct walk *walk, unsigned below)
{
    return (unsigned)(random_next(&walk->state) % below);
}

/* Errors that describe a state, or a lack of room. */
static void check_told(const char *what)
{
    static const int clear[] = {EAGAIN, ENOSPC, EPIPE, EHOSTUNREACH, EFSM, ECONNRESET, EADDRINUSE, ENOENT, ENOTSUP};

    for (size_t i = 0; i < COUNT_OF(clear); i++)
        if (errno == clear[i])
            return;
    FAIL("%s: %s", what, shm_strerror(errno));
}

static void let_go(struct actor *actor)
{
    if (!actor->viewing)
        return;
    full_check_part(shm_msg_data(&actor->view), shm_msg_size(&actor->view));
    CHECK_OK(shm_msg_close(&actor->view));
    actor->viewing = false;
}

static void close_it(struct actor *actor)
{
    if (actor->end.socket == NULL)
        return;
    CHECK_INT(get_stats(actor->end.socket).protocol_errors, 0);
    end_close(&actor->end);
    actor->attached = false;
}

static void begin(struct walk *walk, struct actor *actor)
{
    bool left = actor < walk->actors + ACTORS / 2;
    shm_socket_t *socket = shm_socket(left ? walk->pipe->pair->left : walk->pipe->pair->right);

    if (socket == NULL) {
        check_told("shm_socket");
        return;
    }
    CHECK_OK(shm_close(socket));
    full_refuse_some(0, 0);
    end_open(&actor->end, walk->pipe, left); /* with the key that SHMQ_TEST_AUTH asks for */
    if (draw(walk, 2) && (actor->end.type == SHM_SUB || actor->end.type == SHM_XSUB))
        set_int(actor->end.socket, SHM_HISTORY, 20);
    if (draw(walk, 4) == 0)
        set_int(actor->end.socket, SHM_SNDHWM, 4);
}

static void attach_or_leave(struct walk *walk, struct actor *actor)
{
    bool binds = actor->end.is_left != walk->pipe->right_binds;
    int result;

    if (actor->attached)
        result = binds ? shm_unbind(actor->end.socket, "it") : shm_disconnect(actor->end.socket, "it");
    else
        result = binds ? shm_bind(actor->end.socket, "it") : shm_connect(actor->end.socket, "it");
    if (result == 0)
        actor->attached = !actor->attached;
    else
        check_told("to attach or leave");
}

static size_t draw_size(struct walk *walk)
{
    static const size_t sizes[] = {1, 30, 100, 113, 400, 1023, 1024, 3000, 5000, 9000, 20000, 70000};

    return sizes[draw(walk, COUNT_OF(sizes))];
}

static ssize_t send_loan(struct end *end, size_t size, int byte, int flags)
{
    shm_msg_t msg;

    if (end_send_envelope(end, SHM_DONTWAIT) < 0 || shm_msg_loan(&msg, end->socket, size) < 0)
        return -1;
    memset(shm_msg_data(&msg), byte, size);
    ssize_t sent = end_msg_send(end, &msg, flags);
    int error = errno;
    if (sent < 0)
        CHECK_OK(shm_msg_close(&msg));
    errno = error;
    return sent;
}

/* One message, or the rest of one that could not be sent as a whole. */
static void send_one(struct walk *walk, struct actor *actor)
{
    unsigned parts = draw(walk, 2) ? 1 : 2 + draw(walk, 3);

    if (actor->end.type == SHM_XSUB)
        return; /* it sends subscriptions only */

    for (unsigned i = 1; i <= parts; i++) {
        int flags = SHM_DONTWAIT | (i < parts ? SHM_SNDMORE : 0), byte = (int)draw(walk, 256);
        size_t size = draw_size(walk);
        ssize_t sent;

        memset(bytes, byte, size);
        sent = draw(walk, 3) == 0 ? send_loan(&actor->end, size, byte, flags)
                                  : end_send(&actor->end, bytes, size, flags);
        if (sent < 0) {
            check_told("to send");
            return;
        }
    }
}

static void receive_one(struct actor *actor, bool by_view)
{
    ssize_t n;

    if (by_view) {
        let_go(actor);
        CHECK_OK(shm_msg_init(&actor->view));
        n = end_msg_recv(&actor->end, &actor->view, SHM_DONTWAIT);
        actor->viewing = n >= 0;
    } else {
        n = end_recv(&actor->end, bytes, sizeof bytes, SHM_DONTWAIT);
        if (n >= 0)
            full_check_part(bytes, (size_t)n);
    }
    if (n < 0)
        check_told("to receive");
    while (n >= 0 && get_int(actor->end.socket, SHM_RCVMORE)) {
        CHECK_OK(n = shm_recv(actor->end.socket, bytes, sizeof bytes, SHM_DONTWAIT));
        full_check_part(bytes, (size_t)n);
    }
}

static void step(struct walk *walk, unsigned one_in)
{
    struct actor *actor = &walk->actors[draw(walk, ACTORS)];
    unsigned what = draw(walk, 16);

    full_refuse_some(one_in, walk->state);
    if (actor->end.socket == NULL)
        begin(walk, actor);
    else if (what < 2 || (!actor->attached && what < 12))
        attach_or_leave(walk, actor);
    else if (what < 5)
        get_int(actor->end.socket, SHM_EVENTS);
    else if (what < 9)
        send_one(walk, actor);
    else if (what < 14)
        receive_one(actor, what < 11);
    else if (what == 14)
        let_go(actor);
    else
        close_it(actor);
}

static void walk_once(const struct pipe *pipe, uint64_t seed, unsigned one_in)
{
    struct walk walk = {.pipe = pipe, .state = seed};

    for (int i = 0; i < STEPS; i++)
        step(&walk, one_in);
    full_refuse_some(0, 0);
    for (int i = 0; i < ACTORS; i++)
        close_it(&walk.actors[i]);
    for (int i = 0; i < ACTORS; i++)
        let_go(&walk.actors[i]);
    CHECK_INT(count_files(test_dir()), 0);
}

static unsigned walks(void)
{
    const char *asked = getenv("SHMQ_TEST_WALKS");

    return asked ? (unsigned)strtoul(asked, NULL, 10) : 40;
}

static uint64_t walking;

static void say_which(void)
{
    fprintf(stderr, "    in walk %llu\n", (unsigned long long)walking);
}

TEST_EACH_PIPE(in_any_order_nobody_touches_what_was_not_allocated, pipe)
{
    full_begin();
    on_fail(say_which);
    for (walking = 1; walking <= walks(); walking++)
        walk_once(pipe, walking, 0);
    full_end();
}

TEST_EACH_PIPE(in_any_order_with_some_allocations_refused, pipe)
{
    full_begin();
    on_fail(say_which);
    for (walking = 1; walking <= walks(); walking++)
        walk_once(pipe, walking, 2 + (unsigned)walking % 4);
    full_end();
}

/* ---- Death ---- */

struct doomed {
    const struct pipe *pipe;
    bool left;
    uint64_t seed;
};

static void some_steps(struct walk *walk, struct actor *actor)
{
    for (int i = 0; i < 3; i++) {
        unsigned what = draw(walk, 8);

        if (what < 3)
            send_one(walk, actor);
        else if (what < 7)
            receive_one(actor, what < 5);
        else
            get_int(actor->end.socket, SHM_EVENTS);
    }
}

static void live_until_killed(struct child *up, void *argument)
{
    const struct doomed *doomed = argument;
    struct walk walk = {.pipe = doomed->pipe, .state = doomed->seed};
    struct actor *actor = &walk.actors[doomed->left ? 0 : ACTORS / 2];

    end_open(&actor->end, doomed->pipe, doomed->left);
    attach_or_leave(&walk, actor);
    for (;;) {
        child_say(up, 0);
        child_hear(up);
        some_steps(&walk, actor);
    }
}

/* With messages unread in both ways, parts of messages unsent, and views in hand. */
static void one_dies_after_the_other(const struct pipe *pipe, bool left_dies)
{
    struct walk walk = {.pipe = pipe, .state = 1};
    struct actor *actor = &walk.actors[left_dies ? ACTORS / 2 : 0];

    end_open(&actor->end, pipe, !left_dies);
    attach_or_leave(&walk, actor);
    for (uint64_t life = 1; life <= 8; life++) {
        struct doomed doomed = {pipe, left_dies, life};
        struct child child = child_start(live_until_killed, &doomed);

        for (uint64_t turn = 0; turn < 1 + life % 4; turn++) {
            child_hear(&child);
            some_steps(&walk, actor);
            child_say(&child, 0);
        }
        child_hear(&child);
        child_kill(&child);
        full_again();
        some_steps(&walk, actor);
    }
    let_go(actor);
    close_it(actor);
}

TEST_EACH_PIPE(a_peer_dies_and_the_next_one_comes, pipe)
{
    full_begin();
    one_dies_after_the_other(pipe, true);
    one_dies_after_the_other(pipe, false);
    full_end();
}
