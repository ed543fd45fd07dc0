/* SPDX-License-Identifier: MIT */
/*
 * Nobody touches memory that was not allocated, in whatever order peers come, send, look and go: in a file
 * system that is full at all times (full.h), where that is a SIGBUS. And when there is no room for an
 * allocation, the caller is told ENOSPC, or needs none; nothing that was acknowledged is lost by it.
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

/* Errors that tell of a state, or of the want of room. */
static void check_told(const char *what)
{
    static const int clear[] = {EAGAIN, ENOSPC, EPIPE, EHOSTUNREACH, EFSM, ECONNRESET, EADDRINUSE, ENOENT, ENOTSUP};

    for (size_t i = 0; i < COUNT_OF(clear); i++)
        if (errno == clear[i])
            return;
    FAIL("%s: %s", what, shm_strerror(errno));
}

/* Every byte of a part is the same. */
static void check_part(const void *data, size_t size)
{
    const unsigned char *at = data;

    for (size_t i = 0; i < size; i++)
        if (at[i] != at[0])
            FAIL("byte %zu of %zu is %u, and the first %u", i, size, at[i], at[0]);
}

static void let_go(struct actor *actor)
{
    if (!actor->viewing)
        return;
    check_part(shm_msg_data(&actor->view), shm_msg_size(&actor->view));
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
    end_open(&actor->end, walk->pipe, left); /* with the key that the environment has */
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
            check_part(bytes, (size_t)n);
    }
    if (n < 0)
        check_told("to receive");
    while (n >= 0 && get_int(actor->end.socket, SHM_RCVMORE)) {
        CHECK_OK(n = shm_recv(actor->end.socket, bytes, sizeof bytes, SHM_DONTWAIT));
        check_part(bytes, (size_t)n);
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

/* ---- What the walks found ---- */

static void look(struct end *end)
{
    get_int(end->socket, SHM_EVENTS);
}

static void leave_it(struct end *end, const struct pipe *pipe)
{
    if (end->is_left == pipe->right_binds)
        CHECK_OK(shm_disconnect(end->socket, "it"));
    else
        CHECK_OK(shm_unbind(end->socket, "it"));
}

/* Have it give back what nobody needs any more. */
static void tidy(struct end *end)
{
    CHECK_OK(shm_bind(end->socket, "other"));
    CHECK_OK(shm_unbind(end->socket, "other"));
}

static void close_in_order(struct end *end)
{
    CHECK_INT(get_stats(end->socket).protocol_errors, 0);
    end_close(end);
}

/* What the answer names is there as long as somebody may come to look at it. */
TEST_EACH_PIPE(a_binder_leaves_before_its_connector_has_looked, pipe)
{
    struct end binder, connector;

    full_begin();
    end_start(&binder, pipe, !pipe->right_binds, "it");
    end_start(&connector, pipe, pipe->right_binds, "it");
    look(&binder);
    leave_it(&binder, pipe);
    look(&connector);
    close_in_order(&connector);
    close_in_order(&binder);
    full_end();
}

/* The pipe record of the second time lies where that of the first one lay, which the connector came to. */
TEST_EACH_PIPE(it_does_so_again_at_the_same_place, pipe)
{
    struct end binder, connector;

    full_begin();
    end_start(&binder, pipe, !pipe->right_binds, "it");
    end_start(&connector, pipe, pipe->right_binds, "it");
    look(&binder);
    look(&connector);
    leave_it(&binder, pipe);
    look(&connector);
    tidy(&binder);
    end_attach(&binder, pipe, "it");
    leave_it(&binder, pipe);
    look(&connector);
    close_in_order(&connector);
    close_in_order(&binder);
    full_end();
}

/* The one before lives, and has given its ring's memory back. */
TEST_EACH_PIPE(the_next_binder_does_not_look_where_there_is_nothing, pipe)
{
    struct end binder, next, connector;

    full_begin();
    end_start(&binder, pipe, !pipe->right_binds, "it");
    end_start(&connector, pipe, pipe->right_binds, "it");
    look(&binder);
    look(&connector);
    leave_it(&binder, pipe);
    look(&connector);
    tidy(&binder);
    end_start(&next, pipe, !pipe->right_binds, "it");
    look(&connector);
    CHECK_INT(get_stats(next.socket).peers, 1);
    close_in_order(&connector);
    close_in_order(&next);
    close_in_order(&binder);
    full_end();
}

static void fill_with(int byte)
{
    memset(bytes, byte, 9000);
}

static bool sends_unmet(const struct pipe *pipe)
{
    return pipe->right_binds && pipe->pair->waits && pipe->pair->left != SHM_ROUTER;
}

/* Also when its socket was closed, and the next one has come before the sender looked. */
TEST_EACH_PIPE(a_view_is_unchanged_though_the_sender_never_met_its_holder, pipe)
{
    struct end left, right, next;
    shm_msg_t view;

    if (!sends_unmet(pipe))
        return;
    full_begin();
    end_start(&right, pipe, false, "it");
    end_start(&left, pipe, true, "it");
    fill_with(1);
    CHECK_INT(end_send(&left, bytes, 9000, 0), 9000);
    CHECK_OK(shm_msg_init(&view));
    CHECK_INT(end_msg_recv(&right, &view, 0), 9000);
    close_in_order(&right);
    end_start(&next, pipe, false, "it");
    for (int i = 0; i < 20; i++) {
        fill_with(2);
        look(&left);
        look(&next);
        if (end_send(&left, bytes, 9000, SHM_DONTWAIT) < 0)
            CHECK_INT(errno, EAGAIN);
        else if (end_recv(&next, bytes, sizeof bytes, SHM_DONTWAIT) < 0)
            CHECK_INT(errno, EAGAIN);
        else
            end_give_turn(&next);
        check_part(shm_msg_data(&view), 9000);
        CHECK_INT(*(unsigned char *)shm_msg_data(&view), 1);
    }
    CHECK_OK(shm_msg_close(&view));
    close_in_order(&left);
    close_in_order(&next);
    full_end();
}

/* To see that there is one is not to take it. */
TEST_EACH_PIPE(a_message_that_was_only_looked_at_is_not_lost_by_leaving, pipe)
{
    struct end left, right;
    bool came[3] = {false};

    if (!sends_unmet(pipe))
        return;
    full_begin();
    end_start(&right, pipe, false, "it");
    end_start(&left, pipe, true, "it");
    set_int(right.socket, SHM_RCVTIMEO, 3000);
    fill_with(1);
    CHECK_INT(end_send(&left, bytes, 9000, 0), 9000);
    CHECK(get_int(right.socket, SHM_EVENTS) & SHM_POLLIN);
    leave_it(&right, pipe);
    look(&left);
    fill_with(2);
    CHECK_INT(end_send(&left, bytes, 9000, 0), 9000);
    end_attach(&right, pipe, "it");
    look(&left);
    for (int i = 1; i <= 2; i++) {
        CHECK_INT(end_recv(&right, bytes, sizeof bytes, 0), 9000);
        check_part(bytes, 9000);
        CHECK(bytes[0] <= 2 && !came[bytes[0]]);
        came[bytes[0]] = true;
        end_give_turn(&right);
        look(&left);
    }
    close_in_order(&left);
    close_in_order(&right);
    full_end();
}

TEST_EACH_PIPE(a_message_that_was_taken_in_part_does_not_come_again, pipe)
{
    struct end left, right;

    if (!sends_unmet(pipe))
        return;
    full_begin();
    end_start(&right, pipe, false, "it");
    end_start(&left, pipe, true, "it");
    fill_with(1);
    CHECK_INT(end_send(&left, bytes, 9000, SHM_SNDMORE), 9000);
    CHECK_INT(end_send(&left, bytes, 9000, 0), 9000);
    CHECK_INT(end_recv(&right, bytes, sizeof bytes, 0), 9000);
    leave_it(&right, pipe);
    right.envelope_received = false;
    end_attach(&right, pipe, "it");
    fill_with(2);
    CHECK_INT(end_send(&left, bytes, 9000, 0), 9000);
    CHECK_INT(end_recv(&right, bytes, sizeof bytes, 0), 9000);
    CHECK_INT(bytes[0], 2);
    check_part(bytes, 9000);
    close_in_order(&left);
    close_in_order(&right);
    full_end();
}

/* Its own ring, with its subscription, is that of the time with a publisher before. */
TEST_EACH_PIPE(a_subscriber_leaves_that_reads_before_it_was_answered, pipe)
{
    struct end publisher, next, subscriber;

    if (pipe->right_binds || (pipe->pair->right != SHM_SUB && pipe->pair->right != SHM_XSUB))
        return;
    full_begin();
    end_start(&publisher, pipe, true, "it");
    end_open(&subscriber, pipe, false);
    set_int(subscriber.socket, SHM_HISTORY, 20);
    end_attach(&subscriber, pipe, "it");
    look(&publisher);
    look(&subscriber);
    leave_it(&publisher, pipe);
    end_open(&next, pipe, true);
    full_refuse(2, true); /* it can bind, and cannot answer yet */
    end_attach(&next, pipe, "it");
    full_refuse(0, false);
    look(&subscriber);
    leave_it(&subscriber, pipe);
    close_in_order(&subscriber);
    close_in_order(&next);
    close_in_order(&publisher);
    full_end();
}

static bool is_simple(const struct pair *pair)
{
    return pair->waits && !pair->turns && pair->left != SHM_ROUTER;
}

/* It had been the last part of a message, and is sent as a message of its own. */
TEST_PIPES(is_simple, a_loan_that_could_not_be_sent_is_as_it_was, pipe)
{
    struct end left, right;
    shm_msg_t loan;

    full_begin();
    pipe_start(&left, &right, pipe);
    for (int i = 0; i < 30; i++) /* what of the ring has memory; ring_out.c */
        pipe_transfer(&left, &right, "small");
    CHECK_OK(shm_msg_loan(&loan, left.socket, 9000));
    memset(shm_msg_data(&loan), 7, 9000);
    fill_with(6);
    CHECK_INT(end_send(&left, bytes, 9000, SHM_SNDMORE), 9000);
    full_refuse(1, true);
    CHECK_ERR(end_msg_send(&left, &loan, 0), ENOSPC);
    full_refuse(0, false);
    CHECK_INT(end_send(&left, "end", 3, 0), 3);
    CHECK_INT(end_msg_send(&left, &loan, 0), 9000);
    CHECK_INT(end_recv(&right, bytes, sizeof bytes, 0), 9000);
    CHECK_INT(bytes[0], 6);
    CHECK_INT(shm_recv(right.socket, bytes, sizeof bytes, 0), 3);
    CHECK_INT(end_recv(&right, bytes, sizeof bytes, 0), 9000);
    CHECK_INT(bytes[0], 7);
    for (int byte = 1; byte <= 3; byte++) { /* three blocks, each of its own */
        fill_with(byte);
        CHECK_INT(end_send(&left, bytes, 9000, 0), 9000);
    }
    for (int byte = 1; byte <= 3; byte++) {
        CHECK_INT(end_recv(&right, bytes, sizeof bytes, 0), 9000);
        CHECK_INT(bytes[0], byte);
    }
    close_in_order(&left);
    close_in_order(&right);
    full_end();
}
