/* SPDX-License-Identifier: MIT */
/*
 * Actors: processes with one socket each that do what the director says, one order at a time.
 * Nothing they are told to do waits, but to park; so a reply that does not come is a hang.
 */
#include "crash.h"
#include "inside.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { REPLY_DEADLINE_MS = 10000, PARK_MS = 300, PEERS_GONE = 4 };

static struct {
    pid_t pid;
    int fd;
    bool killed;
} actors[ACTORS];

/* ---- the director's side ---- */

const char *actor_name(enum who who)
{
    static const char *const names[] = {"VICTIM",    "PEER",       "FORMER", "GHOST",
                                        "NEXT_LEFT", "NEXT_RIGHT", "SECOND", "nobody"};
    return names[who];
}

unsigned char actor_letter(enum who who)
{
    return (unsigned char)"VPFGLRS"[who];
}

bool actor_lives(enum who who)
{
    return who < ACTORS && actors[who].pid > 1;
}

bool actor_was_killed(enum who who)
{
    return actors[who].killed;
}

pid_t actor_pid(enum who who)
{
    return actors[who].pid;
}

void tell_only(enum who who, enum verb verb, int count)
{
    struct order order = {verb, count};

    CHECK(actor_lives(who));
    CHECK_INT(send(actors[who].fd, &order, sizeof order, MSG_NOSIGNAL), sizeof order);
}

int64_t hear(enum who who)
{
    struct pollfd item = {actors[who].fd, POLLIN, 0};
    int64_t value;

    if (poll(&item, 1, REPLY_DEADLINE_MS) != 1)
        FAIL("%s hangs", actor_name(who));
    if (recv(actors[who].fd, &value, sizeof value, 0) != (ssize_t)sizeof value)
        FAIL("%s has ended", actor_name(who));
    return value;
}

int64_t tell(enum who who, enum verb verb, int count)
{
    tell_only(who, verb, count);
    return hear(who);
}

static void reap(enum who who)
{
    int status;

    CHECK_INT(waitpid(actors[who].pid, &status, __WALL), actors[who].pid);
    close(actors[who].fd);
    actors[who].pid = 0;
}

void actor_kill(enum who who)
{
    CHECK(actors[who].pid > 1);
    kill(actors[who].pid, SIGKILL);
    actors[who].killed = true;
    reap(who);
}

void actor_await_asleep(enum who who)
{
    int64_t end = now_ms() + REPLY_DEADLINE_MS;
    char path[64], call[32] = "";

    snprintf(path, sizeof path, "/proc/%d/syscall", (int)actors[who].pid);
    while (strncmp(call, "202 ", 4) != 0 &&
           strncmp(call, "449 ", 4) != 0) { /* futex, futex_waitv */
        int fd = (int)CHECK_OK(open(path, O_RDONLY | O_CLOEXEC));
        ssize_t n = read(fd, call, sizeof call - 1);

        call[n > 0 ? n : 0] = '\0';
        close(fd);
        CHECK(now_ms() < end);
        sched_yield();
    }
}

void actor_end(enum who who)
{
    shutdown(actors[who].fd, SHUT_WR);
    reap(who);
}

/* ---- the actor's side ---- */

struct actor {
    enum who who;
    const struct scenario *scenario;
    const struct state *state;
    struct ledger *ledger;
    struct pipe pipe;
    struct end end;
    struct doing doing;
    shm_msg_t held;
    uint64_t held_number;
    enum who held_from;
    bool holds, is_left, attached, traced;
    uint64_t begun;           /* a message of which the first part was sent */
    unsigned char half[2048]; /* the first part of a message that was not received further */
    size_t half_size;
};

bool ends_have_turns(const struct scenario *scenario)
{
    return scenario->pair->left == SHM_REQ;
}

static bool replies(const struct scenario *scenario)
{
    return scenario->pair->turns;
}

void message_make(unsigned char *bytes, size_t size, enum who from, uint64_t number)
{
    uint64_t head[3] = {from, number, size};

    pattern_fill(bytes, size, (unsigned)number * 7 + from);
    memcpy(bytes, head, sizeof head);
}

static void message_read(const unsigned char *bytes, size_t size, enum who *from, uint64_t *number)
{
    uint64_t head[3];

    CHECK(size >= sizeof head);
    memcpy(head, bytes, sizeof head);
    CHECK(head[0] < ACTORS);
    CHECK_INT(head[2], size);
    *from = (enum who)head[0];
    *number = head[1];
    for (size_t i = sizeof head; i < size; i++)
        if (bytes[i] !=
            (unsigned char)(((unsigned)head[1] * 7 + (unsigned)head[0]) * 37 + i + (i >> 8) * 13))
            FAIL("byte %zu of message %llu of %s is wrong", i, (unsigned long long)head[1],
                 actor_name(*from));
}

void message_note(struct ledger *ledger, enum who by, const void *bytes, size_t size, bool again)
{
    struct got *got = &ledger->got[ledger->count];
    enum who from;

    CHECK(ledger->count < GOTS_MAX);
    message_read(bytes, size, &from, &got->number);
    got->by = (uint8_t)by;
    got->from = (uint8_t)from;
    got->again = again;
    ledger->count++;
}

/* Files of the dead are told by how their names begin. */
static void bind_elsewhere(const struct actor *a)
{
    char name[32];

    snprintf(name, sizeof name, "%02x-elsewhere", actor_letter(a->who));
    CHECK_OK(shm_bind(a->end.socket, name));
}

static void open_end(struct actor *a)
{
    const struct state *state = a->state;
    int mark = state->mark ? state->mark : 8;
    shm_socket_t *socket;

    wrap_first = state->first;
    wrap_fill = state->fast;
    wrap_letter = actor_letter(a->who);
    end_open(&a->end, &a->pipe, a->is_left);
    socket = a->end.socket;
    set_int(socket, SHM_SNDHWM, mark);
    set_int(socket, SHM_RCVHWM, mark);
    policy_set(a->scenario, socket, a->end.type);
    CHECK_OK(shm_setsockopt(socket, SHM_SPIN_NS, &(int64_t){0}, sizeof(int64_t)));
    if (a->end.type == SHM_ROUTER) /* whoever comes instead of another goes by its name */
        set_int(socket, SHM_ROUTER_HANDOVER, 1);
    if (state->elsewhere)
        bind_elsewhere(a);
}

/* ---- sending ---- */

static void attach_end(struct actor *a)
{
    end_attach(&a->end, &a->pipe, "it");
    a->attached = true;
}

/* Where somebody else may be about to leave: 0, or what it says. */
static int64_t try_attach(struct actor *a)
{
    bool connects = a->is_left == a->scenario->right_binds;
    int result = connects ? shm_connect(a->end.socket, "it") : shm_bind(a->end.socket, "it");

    if (result < 0) {
        CHECK(errno == EBUSY || (!connects && errno == EADDRINUSE));
        return errno;
    }
    a->attached = true;
    return 0;
}

/* A PAIR is told of each of its former peers, once. */
static bool is_told_of_gone(const struct actor *a, ssize_t n)
{
    return n < 0 && errno == EPIPE && a->end.type == SHM_PAIR;
}

static bool send_first_part(struct actor *a, const unsigned char *bytes)
{
    int flags = SHM_DONTWAIT | (a->state->parts > 1 ? SHM_SNDMORE : 0);
    ssize_t n = end_send(&a->end, bytes, a->state->size, flags);

    for (int again = 1; again < PEERS_GONE && is_told_of_gone(a, n); again++)
        n = end_send(&a->end, bytes, a->state->size, flags);
    return n >= 0;
}

/* A PAIR is told that its former peer has gone; the part was not taken, and is sent again. */
bool complete_parts(struct end *end, const struct state *state, const unsigned char *bytes,
                    unsigned from)
{
    ssize_t n = 0;

    for (unsigned part = from; n >= 0 && part < state->parts; part++)
        for (int again = 0; again < PEERS_GONE; again++) {
            n = end_send(end, bytes, 100 + 1000 * (part == 2),
                         part + 1 < state->parts ? SHM_SNDMORE : 0);
            if (n >= 0 || errno != EPIPE)
                break;
        }
    return n >= 0;
}

static bool send_one(struct actor *a)
{
    uint64_t number = a->begun ? a->begun : a->ledger->from[a->who].acked + 1;
    unsigned char bytes[2048];

    message_make(bytes, a->state->size, a->who, number);
    a->ledger->from[a->who].called = number;
    if ((!a->begun && !send_first_part(a, bytes)) || !complete_parts(&a->end, a->state, bytes, 1)) {
        CHECK(errno == EAGAIN || errno == EHOSTUNREACH || errno == EFSM || errno == EPIPE);
        a->end.envelope_sent = false;
        a->begun = 0;
        return false;
    }
    a->begun = 0;
    a->ledger->from[a->who].acked = number;
    return true;
}

/* The first part only. */
static int64_t begin_message(struct actor *a)
{
    uint64_t number = a->ledger->from[a->who].acked + 1;
    unsigned char bytes[2048];

    message_make(bytes, a->state->size, a->who, number);
    a->ledger->from[a->who].called = number;
    if (!send_first_part(a, bytes))
        return 0;
    a->begun = a->ledger->from[a->who].begun = number;
    return 1;
}

static int64_t send_many(struct actor *a, int count)
{
    int sent = 0;

    while (sent < count && send_one(a))
        sent++;
    return sent;
}

/* ---- receiving ---- */

static void reply(struct actor *a)
{
    ssize_t n;

    if (!replies(a->scenario) || a->is_left)
        return;
    n = end_send(&a->end, "turn", 4, SHM_DONTWAIT);
    if (n < 0) {
        CHECK(errno == EAGAIN || errno == EHOSTUNREACH);
        a->end.envelope_sent = false;
    }
}

/* Of a message that a part was received of before. */
static void take_rest(struct actor *a);

static void rest_of_parts(struct actor *a)
{
    static unsigned char bytes[2048];
    unsigned parts = 1;

    while (get_int(a->end.socket, SHM_RCVMORE)) {
        ssize_t n = CHECK_OK(shm_recv(a->end.socket, bytes, sizeof bytes, SHM_DONTWAIT));
        CHECK_INT(n, 100 + 1000 * (parts == 2));
        parts++;
    }
    CHECK_INT(parts, a->state->parts ? a->state->parts : 1);
}

static bool receive_flags(struct actor *a, int flags)
{
    static unsigned char bytes[4096];
    ssize_t n = end_recv(&a->end, bytes, sizeof bytes, flags);

    for (int again = 1; again < PEERS_GONE && is_told_of_gone(a, n); again++)
        n = end_recv(&a->end, bytes, sizeof bytes, flags);
    if (n < 0) {
        CHECK_INT(errno, EAGAIN);
        return false;
    }
    message_note(a->ledger, a->who, bytes, (size_t)n, inside_redelivered(a->end.socket));
    rest_of_parts(a);
    reply(a);
    return true;
}

static int64_t receive_many(struct actor *a, int count)
{
    unsigned char wish[64];
    int64_t got = 0;

    if (a->is_left && replies(a->scenario))
        return 0;
    while (a->end.type == SHM_XPUB && shm_recv(a->end.socket, wish, sizeof wish, SHM_DONTWAIT) >= 0)
        ;
    if (a->end.type == SHM_PUB || a->end.type == SHM_XPUB || a->end.type == SHM_PUSH)
        return 0;
    if (a->half_size > 0 && got < count) {
        take_rest(a);
        got++;
    }
    while (got < count && receive_flags(a, SHM_DONTWAIT))
        got++;
    return got;
}

static int64_t receive_half(struct actor *a)
{
    ssize_t n = end_recv(&a->end, a->half, sizeof a->half, SHM_DONTWAIT);
    enum who from;
    uint64_t number;

    if (n < 0)
        return 0;
    a->half_size = (size_t)n;
    message_read(a->half, a->half_size, &from, &number);
    a->ledger->from[from].half = number;
    return 1;
}

static void note_half(struct actor *a)
{
    message_note(a->ledger, a->who, a->half, a->half_size, inside_redelivered(a->end.socket));
    a->half_size = 0;
    for (int from = 0; from < ACTORS; from++)
        a->ledger->from[from].half = 0;
}

static void take_rest(struct actor *a)
{
    rest_of_parts(a);
    note_half(a);
    reply(a);
}

/* A left end takes its replies: how many; REQ: -1 told that the other end died, -2 none yet. */
static int64_t take_turns(struct actor *a)
{
    int64_t got = 0;
    char turn[8];

    if (!replies(a->scenario) || !a->is_left)
        return 0;
    for (;;) {
        ssize_t n = end_recv(&a->end, turn, sizeof turn, SHM_DONTWAIT);
        if (n < 0) {
            if (errno == ECONNRESET)
                return -1;
            CHECK(errno == EAGAIN || errno == EFSM);
            return errno == EAGAIN && ends_have_turns(a->scenario) ? -2 : got;
        }
        CHECK_MEM(turn, n, "turn", 4);
        got++;
    }
}

static int64_t hold(struct actor *a)
{
    uint32_t before = a->ledger->count;

    CHECK_OK(shm_msg_init(&a->held));
    if (end_msg_recv(&a->end, &a->held, SHM_DONTWAIT) < 0)
        return 0;
    message_note(a->ledger, a->who, shm_msg_data(&a->held), shm_msg_size(&a->held),
                 shm_msg_redelivered(&a->held));
    rest_of_parts(a);
    a->held_from = a->ledger->got[before].from;
    a->held_number = a->ledger->got[before].number;
    a->holds = true;
    reply(a);
    return 1;
}

/* It is as it was, whoever has died meanwhile. */
static int64_t release(struct actor *a)
{
    enum who from;
    uint64_t number;

    if (!a->holds)
        return 0;
    message_read(shm_msg_data(&a->held), shm_msg_size(&a->held), &from, &number);
    CHECK(from == a->held_from && number == a->held_number);
    CHECK_OK(shm_msg_close(&a->held));
    a->holds = false;
    return 1;
}

/* ---- looking ---- */

static int64_t peers(struct actor *a)
{
    shm_event_t event;

    while (shm_event_recv(a->end.socket, &event, SHM_DONTWAIT) == 0)
        if (event.event == SHM_EVENT_BROKEN)
            FAIL("%s was told that its peer wrote nonsense", actor_name(a->who));
    return (int64_t)get_stats(a->end.socket).peers;
}

/* What a sleeper does when its slice has ended; twice, for it is to be idempotent. */
static int64_t check_peers(struct actor *a)
{
    for (int i = 0; i < 2; i++)
        inside_check_peers(a->end.socket);
    CHECK_INT(get_stats(a->end.socket).protocol_errors, 0);
    return peers(a);
}

/* Sleep in a receive: 1 with a message, within a slice of its being sent (the director looks). */
static int64_t park(struct actor *a)
{
    set_int(a->end.socket, SHM_RCVTIMEO, PARK_MS);
    bool got = receive_flags(a, 0);
    set_int(a->end.socket, SHM_RCVTIMEO, -1);
    return got;
}

/* Messages that it was told it has missed. */
static int64_t lost(struct actor *a)
{
    return (int64_t)get_stats(a->end.socket).lost;
}

static int64_t watch(struct actor *a)
{
    int fd = get_int(a->end.socket, SHM_FD);
    struct pollfd item = {fd, POLLIN, 0};

    receive_many(a, 1 << 20);
    get_int(a->end.socket, SHM_EVENTS);
    return poll(&item, 1, 0);
}

/* A large block, taken and given back. */
static int64_t grow(struct actor *a)
{
    shm_msg_t loan;

    if (shm_msg_loan(&loan, a->end.socket, 150000) < 0)
        return 0;
    memset(shm_msg_data(&loan), 1, 150000);
    CHECK_OK(shm_msg_close(&loan));
    return 1;
}

static void mark(void)
{
    __asm__ volatile("int3" ::: "memory");
}

static int64_t step(struct actor *a)
{
    mark();
    operation_do(&a->doing);
    mark();
    int64_t result = operation_finish(&a->doing, a->ledger, a->who);
    if (a->doing.half && a->doing.result >= 0)
        note_half(a);
    return result;
}

/* Come, unless it is there, look who lives, send or receive one message, and look again. */
static int64_t second(struct actor *a)
{
    mark();
    if (!a->attached)
        attach_end(a);
    check_peers(a);
    if (a->is_left) {
        take_turns(a);
        send_one(a);
    } else {
        receive_many(a, 1);
    }
    check_peers(a); /* so that it is also killed after that */
    mark();
    return 0;
}

static int64_t obey(struct actor *a, const struct order *order)
{
    switch (order->verb) {
    case V_OPEN:
        return open_end(a), 0;
    case V_ATTACH:
        return attach_end(a), 0;
    case V_TRY:
        return try_attach(a);
    case V_LOOK:
        return peers(a);
    case V_SEND:
        return send_many(a, order->count);
    case V_RECEIVE:
        return receive_many(a, order->count);
    case V_BEGIN:
        return begin_message(a);
    case V_COMPLETE:
        return a->begun && send_one(a);
    case V_HALF:
        return receive_half(a);
    case V_TURN:
        return take_turns(a);
    case V_REPLY:
        return reply(a), 0;
    case V_HOLD:
        return hold(a);
    case V_RELEASE:
        return release(a);
    case V_CHECK:
        return check_peers(a);
    case V_PARK:
        return park(a);
    case V_LOST:
        return lost(a);
    case V_WATCH:
        return watch(a);
    case V_GROW:
        return grow(a);
    case V_INSPECT:
        return inside_left_with_the_dead(a->end.socket, a->holds);
    case V_SLOTS:
        return inside_slots(a->end.socket);
    case V_CLOSE:
        return end_close(&a->end), 0;
    case V_PREPARE:
        a->doing.scenario = a->scenario;
        a->doing.end = &a->end;
        a->doing.begun = a->begun != 0;
        a->doing.half = a->half_size > 0 && operation_receives(a->scenario);
        if (operation_sends(a->scenario))
            a->begun = 0;
        if (a->scenario->operation == &operations[OP_RELEASE]) {
            a->doing.view = a->held; /* a message may be moved */
            a->doing.has_view = a->holds;
            a->holds = false;
        }
        return operation_prepare(&a->doing, a->ledger, a->who), 0;
    case V_STEP:
        return step(a);
    case V_SECOND:
        return second(a);
    }
    return -1;
}

void actor_start(enum who who, const struct scenario *scenario, struct ledger *ledger, bool is_left,
                 bool traced)
{
    struct actor a = {.who = who,
                      .scenario = scenario,
                      .state = scenario->state,
                      .ledger = ledger,
                      .is_left = is_left};
    struct order order;
    int ends[2];

    CHECK(!actor_lives(who));
    CHECK_OK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
    actors[who].pid = (pid_t)CHECK_OK(fork());
    actors[who].fd = ends[0];
    if (actors[who].pid > 0) {
        close(ends[1]);
        return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < ACTORS; i++)
        if (actors[i].pid > 0) /* (0: itself) */
            close(actors[i].fd);
    a.pipe = (struct pipe){scenario->pair, scenario->right_binds};
    if (traced)
        CHECK_OK(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
    while (recv(ends[1], &order, sizeof order, 0) == (ssize_t)sizeof order) {
        int64_t value = obey(&a, &order);
        CHECK_INT(send(ends[1], &value, sizeof value, MSG_NOSIGNAL), sizeof value);
    }
    _exit(0);
}
