/* SPDX-License-Identifier: MIT */
/*
 * A process dies, and its reader runs out of memory, descriptors or file system at each system call in turn while it
 * reads what is left. It may be told so; but once there is enough again, everything the dead process had sent
 * arrives, once and in order, and no peer is taken for a liar.
 */
#include "../support/ends.h"
#include "each.h"

enum { SENT = 1, LARGE = 100000 };

struct scene {
    struct pipe pipe;
    unsigned count; /* messages */
};

static unsigned char bytes[LARGE];

/* The second one lies beyond what a peer maps at first. */
static size_t size_of(unsigned number)
{
    return number == 2 ? LARGE : 64;
}

static void send_them(struct end *end, unsigned count)
{
    for (unsigned n = 1; n <= count; n++) {
        memset(bytes, (int)n, size_of(n));
        CHECK_INT(end_send(end, bytes, size_of(n), 0), size_of(n));
    }
}

/* Number of the next one; 0: none, and errno. */
static unsigned receive_one(struct end *end)
{
    ssize_t n = end_recv(end, bytes, sizeof bytes, SHM_DONTWAIT);

    if (n < 0)
        return 0;
    CHECK_INT(n, size_of(bytes[0]));
    CHECK_INT(bytes[n - 1], bytes[0]);
    return bytes[0];
}

static bool sends_unmet(const struct pipe *pipe)
{
    int left = pipe->pair->left;

    return pipe->right_binds && left != SHM_PUB && left != SHM_XPUB && left != SHM_ROUTER;
}

static void send_and_die(struct child *up, void *argument)
{
    const struct scene *scene = argument;
    struct end end;

    end_start(&end, &scene->pipe, true, "it");
    if (!scene->pipe.right_binds)
        child_say(up, 0);
    if (!sends_unmet(&scene->pipe))
        await_event(end.socket, SHM_EVENT_CONNECTED);
    send_them(&end, scene->count);
    child_say(up, SENT);
    child_hear(up);
}

/* ---- Under want ---- */

/* A lack of resources, or nothing to receive just now. (EPIPE: a PAIR's peer has gone.) */
static const int clear[] = {EAGAIN, EPIPE, ENOMEM, EMFILE, ENOSPC};

/* A few calls with the K-th call of the system failing. Returns false when there are fewer. */
static bool call_in_want(struct end *end, const struct injection *injection, unsigned count, unsigned *got)
{
    for (int i = 0; i < 4 && *got < count; i++) {
        unsigned number;

        if (i == 0)
            inject(injection);
        number = receive_one(end);
        if (number == 0)
            each_check_told("to receive", errno, clear, COUNT_OF(clear), true);
        else
            CHECK_INT(number, ++*got);
    }
    return inject_stop() >= injection->at;
}

static void check_all_come(struct end *end, const struct scene *scene, unsigned got)
{
    int64_t end_ms = now_ms() + 5000;

    while (got < scene->count) {
        unsigned number = receive_one(end);

        if (number != 0)
            CHECK_INT(number, ++got);
        else if (errno != EAGAIN && errno != EPIPE)
            FAIL("then: %s", shm_strerror(errno));
        else if (now_ms() > end_ms)
            FAIL("of %u messages %u came", scene->count, got);
        else
            shm_poll(&(shm_pollitem_t){end->socket, -1, SHM_POLLIN, 0}, 1, 20);
    }
    if (!scene->pipe.pair->turns)
        CHECK_INT(receive_one(end), 0); /* none twice */
    CHECK_INT(get_stats(end->socket).protocol_errors, 0);
}

static void close_and_gc(struct end *end)
{
    end_close(end);
    leave_files(); /* what could not be removed is left for `shmq gc` */
}

static bool die_and_be_read(const struct injection *injection, void *argument)
{
    const struct scene *scene = argument;
    struct child child;
    struct end end;
    unsigned got = 0;

    if (scene->pipe.right_binds)
        end_start(&end, &scene->pipe, false, "it");
    child = child_start(send_and_die, (void *)(uintptr_t)scene);
    if (!scene->pipe.right_binds) {
        child_hear(&child);
        end_start(&end, &scene->pipe, false, "it");
    }
    while (scene->pipe.right_binds && !sends_unmet(&scene->pipe) && !child_has_spoken(&child))
        CHECK(get_stats(end.socket).peers <= 1 && get_int(end.socket, SHM_EVENTS) >= 0);
    CHECK_INT(child_hear(&child), SENT);
    child_kill(&child);
    bool fired = call_in_want(&end, injection, scene->count, &got);
    check_all_come(&end, scene, got);
    close_and_gc(&end);
    return fired;
}

static const int errors[] = {ENOSPC, ENOMEM, EMFILE};

TEST_PIPES_WITHIN(120, NULL, what_a_dead_one_sent_survives_a_want, pipe)
{
    struct scene scene = {*pipe, pipe->pair->turns ? 1 : 3};

    printf("%s: %u cases\n", pipe->pair->name, each_call_fails(errors, COUNT_OF(errors), die_and_be_read, &scene));
}
