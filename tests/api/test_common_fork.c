/* SPDX-License-Identifier: MIT */
/* Every pattern: forks, deaths, restarts, and who finds whom again. */
#include "support/ends.h"

#include <signal.h>
#include <sys/prctl.h>

/* ---- Fork ---- */

static void refuse_everything(shm_socket_t *socket)
{
    shm_pollitem_t item = {socket, -1, SHM_POLLIN, 0};
    shm_event_t event;
    shm_msg_t msg = msg_new();
    size_t size = sizeof(int);
    int value = 1;
    char byte = 0;

    CHECK_ERR(shm_send(socket, &byte, 1, 0), EFORKED);
    CHECK_ERR(shm_recv(socket, &byte, 1, 0), EFORKED);
    CHECK_ERR(shm_msg_send(&msg, socket, 0), EFORKED);
    CHECK_ERR(shm_msg_recv(&msg, socket, 0), EFORKED);
    CHECK_ERR(shm_msg_loan(&msg, socket, 200), EFORKED);
    CHECK_ERR(shm_bind(socket, "child"), EFORKED);
    CHECK_ERR(shm_connect(socket, "child"), EFORKED);
    CHECK_ERR(shm_unbind(socket, "it"), EFORKED);
    CHECK_ERR(shm_disconnect(socket, "it"), EFORKED);
    CHECK_ERR(shm_setsockopt(socket, SHM_LINGER, &value, sizeof value), EFORKED);
    CHECK_ERR(shm_getsockopt(socket, SHM_TYPE, &value, &size), EFORKED);
    CHECK_ERR(shm_event_recv(socket, &event, 0), EFORKED);
    CHECK_ERR(shm_poll(&item, 1, -1), EFORKED);
    CHECK_ERR(shm_shutdown(socket), EFORKED);
}

struct inherited {
    const struct pipe *pipe;
    struct end *left, *right;
    bool closes;
};

static void use_what_was_inherited(struct child *up, void *argument)
{
    const struct inherited *inherited = argument;
    struct pipe own = *inherited->pipe;
    struct end left, right;

    refuse_everything(inherited->left->socket);
    refuse_everything(inherited->right->socket);
    if (inherited->closes) {
        CLOSE_ALL(inherited->left->socket, inherited->right->socket);
    }
    end_start(&left, &own, true, "child");
    end_start(&right, &own, false, "child");
    pipe_meet(&left, &right);
    pipe_transfer(&left, &right, "hello");
    child_stay(up, 1);
    pipe_transfer(&left, &right, "hello");
    pipe_close(&left, &right);
}

TEST_EACH_PIPE(a_forked_child_is_refused_and_disturbs_nobody, pipe)
{
    for (int closes = 0; closes < 2; closes++) {
        struct end left, right;
        struct inherited inherited = {pipe, &left, &right, closes};

        pipe_start(&left, &right, pipe);
        pipe_transfer(&left, &right, "hello");
        struct child child = child_start(use_what_was_inherited, &inherited);
        pipe_transfer(&left, &right, "hello");
        CHECK_INT(child_hear(&child), 1);
        pipe_transfer(&left, &right, "hello");
        child_end(&child);
        pipe_transfer(&left, &right, "hello");
        pipe_close(&left, &right);
    }
}

struct orphan {
    struct pipe pipe;
    _Atomic pid_t grandchild;
};

/* Holds an end, and leaves behind a child of its own that inherited it. */
static void be_bound_with_a_child(struct child *up, void *argument)
{
    struct orphan *orphan = argument;
    struct end right;

    end_meet(&right, &orphan->pipe, false);
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, 0);
        orphan->grandchild = getpid();
        for (;;)
            pause();
    }
    while (orphan->grandchild == 0)
        ;
    child_stay(up, 1);
}

/* A killed process counts as dead even if a live child inherited its descriptors. */
TEST_EACH_PIPE(a_death_is_seen_though_a_forked_child_lives_on, pipe)
{
    struct orphan *orphan = shared_memory(sizeof *orphan);
    struct end left, right;

    orphan->pipe = *pipe;
    struct child child = child_start(be_bound_with_a_child, orphan);
    end_meet(&left, pipe, true);
    CHECK_INT(child_hear(&child), 1);
    child_kill(&child);
    await_event(left.socket, SHM_EVENT_DIED);
    CHECK_OK(kill(orphan->grandchild, 0));
    end_start(&right, pipe, false, "it");
    pipe_meet(&left, &right);
    pipe_transfer(&left, &right, "hello");
    kill_guarded(orphan->grandchild, SIGKILL);
    shared_memory_free(orphan, sizeof *orphan);
    pipe_close(&left, &right);
}

/* ---- Stopped is not dead ---- */

static void receive_one(struct child *up, void *argument)
{
    struct end right;

    end_meet(&right, argument, false);
    child_say(up, 1);
    end_expect_text(&right, "hello");
    end_give_turn(&right);
    child_hear(up);
    end_close(&right);
}

TEST_EACH_PIPE(a_stopped_peer_is_alive, pipe)
{
    struct child child = pipe_child(pipe, receive_one);
    struct end left;
    shm_socket_t *other;
    shm_event_t event;

    end_meet(&left, pipe, true);
    CHECK_INT(child_hear(&child), 1);
    child_stop(&child);
    end_send_text(&left, "hello");
    if (pipe->right_binds) {
        other = socket_new(pipe->pair->right);
        CHECK_ERR(shm_bind(other, "it"), EADDRINUSE);
        CHECK_OK(shm_close(other));
    }
    set_int(left.socket, SHM_RCVTIMEO, 100);
    while (shm_event_recv(left.socket, &event, 0) == 0)
        CHECK(event.event != SHM_EVENT_DIED && event.event != SHM_EVENT_LEFT);
    CHECK_INT(errno, EAGAIN);
    set_int(left.socket, SHM_RCVTIMEO, -1);
    child_continue(&child);
    end_take_turn(&left);
    child_end(&child);
    end_close(&left);
}

/* ---- Death of the other ---- */

struct counted {
    struct pipe pipe;
    unsigned count;
};

static void send_some_and_wait(struct child *up, void *argument)
{
    const struct counted *counted = argument;
    struct end left;

    end_meet(&left, &counted->pipe, true);
    child_hear(up);
    end_send_counting(&left, counted->count, 0);
    child_stay(up, 1);
}

/* A message whose send returned outlives the sender, even if its death is noticed first. */
static void read_after_kill(const struct pipe *pipe, bool know_first)
{
    struct counted counted = {*pipe, pipe->pair->turns ? 1 : 100};
    struct child child = child_start(send_some_and_wait, &counted);
    struct end right;

    end_meet(&right, pipe, false);
    child_say(&child, 1);
    CHECK_INT(child_hear(&child), 1);
    child_kill(&child);
    if (know_first)
        await_event(right.socket, SHM_EVENT_DIED);
    end_expect_counting(&right, counted.count);
    if (!know_first)
        await_event(right.socket, SHM_EVENT_DIED);
    if (right.type == SHM_REP)
        end_give_turn(&right); /* to nobody */
    CHECK_ERR(end_recv_byte(&right, SHM_DONTWAIT), right.type == SHM_PAIR ? EPIPE : EAGAIN);
    end_close(&right);
}

TEST_EACH_PIPE(what_was_sent_before_a_kill_is_read_after_it, pipe)
{
    read_after_kill(pipe, false);
    read_after_kill(pipe, true);
}

TEST_EACH_PIPE(events_tell_who_it_was, pipe)
{
    struct counted counted = {*pipe, 0};
    struct child child = child_start(send_some_and_wait, &counted);
    pid_t pid = child.pid;
    struct end right;

    end_start(&right, pipe, false, "it");
    shm_event_t event = await_event(right.socket, SHM_EVENT_CONNECTED);
    CHECK_INT(event.peer_type, pipe->pair->left);
    CHECK_INT(event.peer_pid, pid);
    CHECK(strcmp(event.endpoint, "it") == 0 || strcmp(event.endpoint, "shm://it") == 0);
    child_say(&child, 1);
    CHECK_INT(child_hear(&child), 1);
    CHECK_INT(get_stats(right.socket).peers, 1);
    child_kill(&child);
    event = await_event(right.socket, SHM_EVENT_DIED);
    CHECK_INT(event.peer_type, pipe->pair->left);
    CHECK_INT(event.peer_pid, pid);
    CHECK_INT(get_stats(right.socket).peers, 0);
    end_close(&right);
}

/* ---- Restarts ---- */

struct restart {
    struct pipe pipe;
    bool left; /* which end restarts */
};

static void be_one_generation(struct child *up, void *argument)
{
    const struct restart *restart = argument;
    struct end end;

    end_start(&end, &restart->pipe, restart->left, "it");
    end_await(&end);
    if (restart->left) {
        end_send_text(&end, "hello");
        end_take_turn(&end);
    } else {
        end_expect_text(&end, "hello");
        end_give_turn(&end);
    }
    child_say(up, 1);
    if (child_hear(up) == 2)
        for (;;)
            pause();
    end_close(&end);
}

/* We make no other call: a newcomer must wake us and be found. */
static void meet_generation(struct end *end)
{
    char got[8];

    if (end->is_left) {
        CHECK_INT(end_send_anew(end, "hello", 5), 5);
        end_take_turn(end);
    } else {
        CHECK_INT(end_recv_anew(end, got, sizeof got), 5);
        end_give_turn(end);
    }
}

/* One end comes and goes, by close or by kill -9; the other stays and is found again. */
static void run_generations(const struct pipe *pipe, bool left_restarts)
{
    struct restart restart = {*pipe, left_restarts};
    struct end end;

    end_start(&end, pipe, !left_restarts, "it");
    for (int i = 0; i < 4; i++) {
        bool by_kill = i % 2 == 1;
        struct child child = child_start(be_one_generation, &restart);

        if (end.is_left)
            end_await(&end);
        meet_generation(&end);
        CHECK_INT(child_hear(&child), 1);
        child_leave(&child, by_kill);
        if (end.is_left)
            await_event(end.socket, by_kill ? SHM_EVENT_DIED : SHM_EVENT_LEFT);
    }
    end_close(&end);
}

TEST_EACH_PIPE(an_end_that_restarts_is_found_again, pipe)
{
    run_generations(pipe, true);
    run_generations(pipe, false);
}

/* Both die; their files hinder nobody and are gone once the name has been used again. */
TEST_EACH_PIPE(the_leavings_of_the_dead_are_taken_over, pipe)
{
    struct restart a = {*pipe, true}, b = {*pipe, false};
    struct child left = child_start(be_one_generation, &a);
    struct child right = child_start(be_one_generation, &b);
    struct end l, r;

    CHECK_INT(child_hear(&left), 1);
    CHECK_INT(child_hear(&right), 1);
    child_kill(&left);
    child_kill(&right);
    pipe_start(&l, &r, pipe);
    pipe_transfer(&l, &r, "hello");
    pipe_close(&l, &r);
}
