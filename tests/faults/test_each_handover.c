/* SPDX-License-Identifier: MIT */
/*
 * shm_handover() with each of its system and heap calls failing, once and permanently, with each error that the call
 * can have, and with the process dying there; at the binding and at the connecting end. The other end returns in
 * time, with success or a meaningful errno; the next attempt succeeds; nothing stays open, mapped or allocated; what
 * was acknowledged arrives.
 */
#include "../support/line.h"
#include "each.h"
#include "handover.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include "core/socket.h"
#include "transport/store.h"

#define SIZE 20000

enum { TIMEOUT_MS = 2000, LATE_MS = 6000, SENDS = 3 };

/* ---- Messages ---- */

static bool sends(int type)
{
    return type != SHM_PULL && type != SHM_SUB;
}

static void send_number(shm_socket_t *s, uint64_t number)
{
    static unsigned char bytes[SIZE];

    memcpy(bytes, &number, sizeof number);
    while (shm_send(s, bytes, number % 2 ? SIZE : sizeof number, 0) < 0)
        CHECK_INT(errno, EPIPE); /* a PAIR is told once that its former peer has gone */
}

static void receive_number(shm_socket_t *s, uint64_t want)
{
    static unsigned char bytes[SIZE];
    uint64_t number;
    ssize_t n;

    while ((n = shm_recv(s, bytes, sizeof bytes, 0)) < 0)
        CHECK_INT(errno, EPIPE);
    CHECK_INT(n, want % 2 ? SIZE : sizeof number);
    memcpy(&number, bytes, sizeof number);
    CHECK_INT(number, want);
}

/* ---- What must not stay ---- */

static unsigned count_memory(void)
{
    FILE *file = fopen("/proc/self/maps", "re");
    char line[1024];
    unsigned count = 0;

    CHECK(file != NULL);
    while (fgets(line, sizeof line, file))
        count += strstr(line, "memfd:shmq") != NULL;
    fclose(file);
    return count;
}

struct rest {
    unsigned open, mapped;
    long blocks;
};

static struct rest rest_now(void)
{
    struct rest rest = {count_files("/proc/self/fd"), count_memory(), inject_blocks()};

    return rest;
}

/* A peer is released during one of the next calls. */
static void check_rest(shm_socket_t *s, const struct rest *before)
{
    int64_t end = now_ms() + 5000;

    for (;;) {
        struct rest now = rest_now();

        if (now.open <= before->open && now.mapped <= before->mapped && (s || now.blocks <= before->blocks))
            return;
        if (now_ms() > end)
            FAIL("%u descriptors of %u, %u mappings of %u, %ld blocks of %ld", now.open, before->open, now.mapped,
                 before->mapped, now.blocks, before->blocks);
        if (s)
            poll_once(s);
    }
}

/* ---- The other side, in another process ---- */

enum { JOIN, SEND, RECEIVE, SETTLE, CLOSE, END };

struct play {
    const char *name;
    int type, peer_type;
    bool binds; /* the end to which it happens */
};

static int listener;
static struct sockaddr_un {
    sa_family_t family;
    char path[108];
} address;
static socklen_t address_size;

static void listen_somewhere(void)
{
    address.family = AF_UNIX;
    listener = (int)CHECK_OK(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CHECK_OK(bind(listener, (struct sockaddr *)(void *)&address, sizeof(sa_family_t)));
    address_size = sizeof address;
    CHECK_OK(getsockname(listener, (struct sockaddr *)(void *)&address, &address_size));
    CHECK_OK(listen(listener, 8));
}

static int call_there(void)
{
    int fd = (int)CHECK_OK(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

    CHECK_OK(connect(fd, (struct sockaddr *)(void *)&address, address_size));
    return fd;
}

static int join_by(shm_socket_t *s, int end)
{
    int64_t begun = now_ms();
    int error = hand_over(s, end, TIMEOUT_MS);

    close(end);
    CHECK(now_ms() - begun < TIMEOUT_MS + LATE_MS);
    return error;
}

static shm_socket_t *peer_of(const struct play *play, const char *id_hex)
{
    return id_hex ? open_beside(play->peer_type, id_hex, !play->binds) : open_between(play->peer_type);
}

struct cast {
    const struct play *play;
    char id_hex[40]; /* of the socket it is to be beside; "": any in between */
};

static void take_part(struct child *up, void *argument)
{
    const struct cast *part = argument;
    shm_socket_t *peer = peer_of(part->play, part->id_hex[0] ? part->id_hex : NULL);
    uint64_t sent = 0, got = 0, result;
    struct rest before = {0};

    child_say(up, 0);
    for (int i = 0; i < 32; i++)
        child_say(up, (uint64_t)peer->segment.id_hex[i]);
    for (;;) {
        uint64_t what = child_hear(up);

        result = 0;
        if (what == JOIN) {
            poll_once(peer);
            result = (uint64_t)join_by(peer, (int)CHECK_OK(accept4(listener, NULL, NULL, SOCK_CLOEXEC)));
            sent = got = 0;
        } else if (what == SEND)
            send_number(peer, sent++);
        else if (what == RECEIVE)
            receive_number(peer, got++);
        else if (what == SETTLE) {
            await_peers(peer, 0);
            if (before.open == 0) {
                for (int i = 0; i < 5; i++)
                    poll_once(peer);
                before = rest_now();
            }
            check_rest(peer, &before);
        } else if (what == CLOSE) {
            CHECK_OK(shm_close(peer));
            peer = peer_of(part->play, part->id_hex[0] ? part->id_hex : NULL);
        } else
            break;
        child_say(up, result);
    }
    CHECK_OK(shm_close(peer));
}

static uint64_t ask(struct child *peer, uint64_t what)
{
    child_say(peer, what);
    return child_hear(peer);
}

static void pass_messages(shm_socket_t *s, int type, struct child *peer)
{
    bool both = type == SHM_PAIR;

    for (uint64_t i = 0; i < SENDS; i++) {
        if (sends(type)) {
            if (type == SHM_PUB)
                await_peers(s, 1);
            send_number(s, i);
            ask(peer, RECEIVE);
        }
        if (both || !sends(type)) {
            ask(peer, SEND);
            receive_number(s, i);
        }
    }
}

/* ---- Each call fails ---- */

/* EADDRINUSE: a lock that is held, if only because this test said so. */
static const int clear_here[] = {0,          ENOMEM,  EMFILE,       ENOSPC, EINTR, EAGAIN,    EPIPE,
                                 ECONNRESET, ENOBUFS, ETOOMANYREFS, EPERM,  EIO,   EADDRINUSE};
static const int clear_there[] = {0, EPIPE, ECONNRESET, EAGAIN};
static const int clear_again[] = {0, EPIPE, ECONNRESET, EISCONN};

struct run {
    const struct play *play;
    struct child peer;
    char id_hex[33]; /* of that one's socket */
};

/* Until they have come together. */
static void join_again(const struct run *run, shm_socket_t *s)
{
    int error, there;

    for (int i = 0; i < 500; i++) {
        child_say(&run->peer, JOIN);
        poll_once(s);
        error = join_by(s, call_there());
        there = (int)child_hear(&run->peer);
        each_check_told("again", error, clear_again, COUNT_OF(clear_again), false);
        each_check_told("again, there", there, clear_again, COUNT_OF(clear_again), false);
        if (error == 0 && there == 0)
            return;
    }
    FAIL("%s: they did not come together", run->play->name);
}

static bool fail_at(const struct injection *injection, void *argument)
{
    struct run *run = argument;
    const struct play *play = run->play;
    struct rest before = rest_now();
    shm_socket_t *s = open_beside(play->type, run->id_hex, play->binds);

    child_say(&run->peer, JOIN);
    int line = call_there();
    inject(injection);
    int error = shm_handover(s, line, TIMEOUT_MS) == 0 ? 0 : errno;
    bool fired = inject_stop() >= injection->at;
    close(line);
    int there = (int)child_hear(&run->peer);
    each_check_told(play->name, error, clear_here, COUNT_OF(clear_here), false);
    each_check_told("the other side", there, clear_there, COUNT_OF(clear_there), false);
    if (error != 0 || there != 0)
        join_again(run, s);
    pass_messages(s, play->type, &run->peer);
    CHECK_OK(shm_close(s));
    ask(&run->peer, SETTLE);
    check_rest(NULL, &before);
    return fired;
}

static const int errors[] = {ENOMEM, EMFILE, EINTR, EAGAIN, ENOSPC, ETOOMANYREFS};

static void hear_id(struct child *peer, char id_hex[33])
{
    child_hear(peer);
    for (int i = 0; i < 32; i++)
        id_hex[i] = (char)child_hear(peer);
    id_hex[32] = '\0';
}

static void run_failures(const void *argument)
{
    struct run run = {.play = argument};
    struct cast part = {run.play, ""};

    listen_somewhere();
    run.peer = child_start(take_part, &part);
    hear_id(&run.peer, run.id_hex);
    inject_among_able(true);
    fail_at(&(struct injection){0}, &run); /* so that one-time allocations are done */
    printf("%s: %u cases\n", run.play->name, each_call_fails(errors, COUNT_OF(errors), fail_at, &run));
    fflush(stdout);
    child_say(&run.peer, END);
    child_wait(&run.peer);
    close(listener);
}

/* ---- Death at each call ---- */

struct death {
    const struct play *play;
    char id_hex[33];
    int line, other_line;
    unsigned at;
    _Atomic uint64_t sent;
    _Atomic bool joined, ended;
};

static void die_at(struct child *up, void *argument)
{
    struct death *death = argument;
    const struct play *play = death->play;
    shm_socket_t *s = open_beside(play->type, death->id_hex, play->binds);

    close(death->other_line);
    child_say(up, 0);
    inject(&(struct injection){.at = death->at});
    CHECK_OK(shm_handover(s, death->line, TIMEOUT_MS));
    death->joined = true;
    for (uint64_t i = 0; sends(play->type) && play->type != SHM_PUB && i < SENDS; i++) {
        send_number(s, i);
        death->sent = i + 1;
    }
    death->ended = inject_stop() < death->at;
    kill_guarded(getpid(), SIGKILL);
}

/* After the dead: one that lives is handed over, and messages pass. */
static void meet_a_living_one(shm_socket_t *survivor, int type, struct child *partner)
{
    int error;

    child_say(partner, JOIN);
    for (int i = 0; (error = join_by(survivor, call_there())) != 0; i++) {
        CHECK(error == EISCONN && i < 500);
        child_hear(partner);
        poll_once(survivor);
        child_say(partner, JOIN);
    }
    CHECK_INT(child_hear(partner), 0);
    pass_messages(survivor, type, partner);
    ask(partner, CLOSE);
    await_peers(survivor, 0);
}

static void run_deaths(const void *argument)
{
    const struct play *play = argument;
    struct death *death = shared_memory(sizeof *death);
    struct play other = {play->name, play->type, play->peer_type, play->binds};
    shm_socket_t *survivor = open_between(play->peer_type);
    struct rest before = {0};
    unsigned refused = 0;

    listen_somewhere();
    death->play = play;
    snprintf(death->id_hex, sizeof death->id_hex, "%s", survivor->segment.id_hex);
    struct play reversed = {other.name, play->peer_type, play->type, !play->binds};
    struct cast part = {&reversed, ""};
    snprintf(part.id_hex, sizeof part.id_hex, "%s", survivor->segment.id_hex);
    struct child partner = child_start(take_part, &part);
    char id_hex[33];
    hear_id(&partner, id_hex);
    for (death->at = 1; !death->ended && death->at < EACH_CALLS_MAX; death->at++) {
        int ends[2];

        CHECK_OK(line_make(ends));
        death->line = ends[1];
        death->other_line = ends[0];
        death->sent = 0;
        death->joined = false;
        struct child child = child_start(die_at, death);
        close(ends[1]);
        child_hear(&child);
        int64_t begun = now_ms();
        int error = join_by(survivor, ends[0]);
        CHECK(error == 0 || error == EPIPE || error == ECONNRESET);
        CHECK(error == 0 || now_ms() - begun < TIMEOUT_MS); /* it learned of the death, and did not time out */
        while (waitid(P_PID, (id_t)child.pid, &(siginfo_t){0}, WEXITED | WNOWAIT) < 0)
            ;
        child_reap(&child);
        refused += error != 0;
        CHECK(error == 0 || !death->joined);
        for (uint64_t i = 0; i < death->sent; i++)
            receive_number(survivor, i);
        await_peers(survivor, 0);
        meet_a_living_one(survivor, play->peer_type, &partner);
        if (death->at == 2) {
            for (int i = 0; i < 10; i++)
                poll_once(survivor);
            before = rest_now();
        }
        if (death->at > 2)
            check_rest(survivor, &before);
    }
    CHECK(death->ended && refused > 10);
    child_say(&partner, END);
    child_wait(&partner);
    CHECK_OK(shm_close(survivor));
    close(listener);
    printf("%s: died at each of %u calls, %u of them before the other side was done\n", play->name, death->at - 2,
           refused);
    fflush(stdout);
    shared_memory_free(death, sizeof *death);
}

static const struct play plays[] = {
    {"PAIR, binds", SHM_PAIR, SHM_PAIR, true},    {"PAIR, connects", SHM_PAIR, SHM_PAIR, false},
    {"PUSH, binds", SHM_PUSH, SHM_PULL, true},    {"PUSH, connects", SHM_PUSH, SHM_PULL, false},
    {"PULL, binds", SHM_PULL, SHM_PUSH, true},    {"PULL, connects", SHM_PULL, SHM_PUSH, false},
    {"PUB, binds", SHM_PUB, SHM_SUB, true},       {"PUB, connects", SHM_PUB, SHM_SUB, false},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; i < COUNT_OF(plays); i++) {
        if (plays[i].type != SHM_PUB) /* its hand-over differs from a PUSH's only when a peer dies */
            each_add("each_call_fails", plays[i].name, run_failures, &plays[i]);
        each_add("death_at_each_call", plays[i].name, run_deaths, &plays[i]);
    }
    return suite_run("each_handover", argc, argv);
}
