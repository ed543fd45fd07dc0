/* SPDX-License-Identifier: MIT */
/* What an actor does that is told by the director: an order at a time, each answered by a number. */
#include "crash.h"
#include "inside.h"

#include <poll.h>
#include <sys/ptrace.h>

enum { PARK_MS = 300, PEERS_GONE = 4, ALL = 1 << 20 };

bool ends_have_turns(const struct scenario *scenario)
{
    return scenario->pair->left == SHM_REQ;
}

void message_note(struct role *role, const void *bytes, size_t size, bool again)
{
    struct ledger *ledger = role->ledger;
    struct got *got = &ledger->got[ledger->count];
    unsigned from;

    CHECK(ledger->count < GOTS_MAX);
    if (!history_message_read(bytes, size, &from, &got->number) || from >= ACTORS)
        FAIL("%s got a torn message", actor_name(role->who));
    got->by = (uint8_t)role->who;
    got->from = (uint8_t)from;
    got->again = again;
    ledger->count++;
}

void take_rest(struct role *role, size_t before, size_t got)
{
    bool again = false;
    ssize_t n;

    role->actor.taken = before > 0;
    n = actor_recv_rest(&role->actor, NULL, role->bytes + before, got, sizeof role->bytes - before, SHM_DONTWAIT,
                        &again);
    message_note(role, role->bytes, before + (size_t)n, again);
}

/* ---- coming ---- */

/* Files of the dead are told by how their names begin. */
static void bind_elsewhere(const struct role *role)
{
    char name[32];

    snprintf(name, sizeof name, "%02x-elsewhere", actor_letter(role->who));
    CHECK_OK(shm_bind(role->actor.end.socket, name));
}

static int64_t open_end(struct role *role, int is_left)
{
    const struct state *state = role->scenario->state;
    int mark = state->mark ? state->mark : 8;
    struct actor *actor = &role->actor;
    shm_socket_t *socket;

    wrap_first = state->first;
    wrap_fill = state->fast;
    wrap_letter = actor_letter(role->who);
    end_open(&actor->end, &actor->pipe, is_left);
    socket = actor->end.socket;
    set_int(socket, SHM_SNDHWM, mark);
    set_int(socket, SHM_RCVHWM, mark);
    policy_set(&actor->policy, &actor->end);
    CHECK_OK(shm_setsockopt(socket, SHM_SPIN_NS, &(int64_t){0}, sizeof(int64_t)));
    if (actor->end.type == SHM_ROUTER) /* whoever comes instead of another goes by its name */
        set_int(socket, SHM_ROUTER_HANDOVER, 1);
    if (state->elsewhere)
        bind_elsewhere(role);
    return 0;
}

static int64_t attach_end(struct role *role, int count)
{
    end_attach(&role->actor.end, &role->actor.pipe, "it");
    role->attached = true;
    return 0;
}

/* Where somebody else may be about to leave: 0, or what it says. */
static int64_t try_attach(struct role *role, int count)
{
    bool binds = end_binds(&role->actor.end, &role->actor.pipe);

    if (socket_attach(role->actor.end.socket, binds, "it") < 0) {
        CHECK(errno == EBUSY || (binds && errno == EADDRINUSE));
        return errno;
    }
    role->attached = true;
    return 0;
}

static int64_t close_end(struct role *role, int count)
{
    end_close(&role->actor.end);
    return 0;
}

/* ---- sending ---- */

/* Up to part END. A PAIR is told of each of its former peers, once; the part was not taken, and is sent again. */
static bool send_parts(struct role *role, unsigned end, int flags)
{
    ssize_t n = -1;

    for (int again = 0; again < PEERS_GONE; again++) {
        n = actor_send_parts(&role->actor, role->bytes, message_size(role->scenario), end, flags);
        if (n >= 0 || errno != EPIPE || role->actor.end.type != SHM_PAIR)
            break;
    }
    return n >= 0;
}

/* Once the first part has been taken, the others wait until they have. */
bool send_other_parts(struct role *role)
{
    return role->actor.part == 0 || send_parts(role, role->actor.policy.parts, 0);
}

void message_make(struct role *role, uint64_t number)
{
    history_message_make(role->bytes, message_size(role->scenario), role->who, number);
    role->ledger->from[role->who].called = number;
}

static bool send_one(struct role *role)
{
    uint64_t number = role->begun ? role->begun : role->ledger->from[role->who].acked + 1;
    bool sent;

    message_make(role, number);
    sent = (role->begun || send_parts(role, 1, SHM_DONTWAIT)) && send_other_parts(role);
    role->begun = 0;
    if (sent) {
        role->ledger->from[role->who].acked = number;
    } else {
        CHECK(errno == EAGAIN || errno == EHOSTUNREACH || errno == EFSM || errno == EPIPE);
        role->actor.end.envelope_sent = false;
        role->actor.part = 0;
    }
    return sent;
}

/* The first part only. */
static int64_t begin_message(struct role *role, int count)
{
    uint64_t number = role->ledger->from[role->who].acked + 1;

    message_make(role, number);
    if (!send_parts(role, 1, SHM_DONTWAIT))
        return 0;
    role->begun = role->ledger->from[role->who].begun = number;
    return 1;
}

static int64_t complete_message(struct role *role, int count)
{
    return role->begun && send_one(role);
}

static int64_t send_many(struct role *role, int count)
{
    int sent = 0;

    while (sent < count && send_one(role))
        sent++;
    return sent;
}

/* A large block, taken and given back. */
static int64_t grow(struct role *role, int count)
{
    shm_msg_t loan;

    if (shm_msg_loan(&loan, role->actor.end.socket, 150000) < 0)
        return 0;
    memset(shm_msg_data(&loan), 1, 150000);
    CHECK_OK(shm_msg_close(&loan));
    return 1;
}

/* ---- receiving ---- */

static int64_t reply(struct role *role, int count)
{
    if (role->scenario->pair->turns && !role->actor.end.is_left)
        actor_answer(&role->actor, "turn", 4, false);
    return 0;
}

static bool receive_flags(struct role *role, int flags)
{
    struct end *end = &role->actor.end;
    ssize_t n = -1;

    for (int again = 0; again < PEERS_GONE; again++) {
        n = end_recv(end, role->bytes, sizeof role->bytes, flags);
        if (n >= 0 || errno != EPIPE || end->type != SHM_PAIR)
            break;
    }
    if (n < 0) {
        CHECK_INT(errno, EAGAIN);
        return false;
    }
    take_rest(role, 0, (size_t)n);
    reply(role, 0);
    return true;
}

static int64_t receive_half(struct role *role, int count)
{
    ssize_t n = end_recv(&role->actor.end, role->half, sizeof role->half, SHM_DONTWAIT);
    unsigned from;
    uint64_t number;

    if (n < 0)
        return 0;
    role->half_size = (size_t)n;
    CHECK(history_message_head(role->half, role->half_size, &from, &number) && from < ACTORS);
    role->ledger->from[from].half = number;
    return 1;
}

/* Of a message that a part was received of before. */
static void take_half(struct role *role)
{
    memcpy(role->bytes, role->half, role->half_size);
    take_rest(role, 0, role->half_size);
    forget_half(role);
}

void forget_half(struct role *role)
{
    role->half_size = 0;
    for (int from = 0; from < ACTORS; from++)
        role->ledger->from[from].half = 0;
}

static int64_t receive_many(struct role *role, int count)
{
    int type = role->actor.end.type;
    int64_t got = 0;

    if (role->actor.end.is_left && role->scenario->pair->turns)
        return 0;
    actor_drop_wishes(&role->actor);
    if (type == SHM_PUB || type == SHM_XPUB || type == SHM_PUSH)
        return 0;
    if (role->half_size > 0 && got < count) {
        take_half(role);
        reply(role, 0);
        got++;
    }
    while (got < count && receive_flags(role, SHM_DONTWAIT))
        got++;
    return got;
}

/* A left end takes its replies: how many; REQ: -1 told that the other end died, -2 none yet. */
static int64_t take_turns(struct role *role, int count)
{
    int64_t got = 0;
    char turn[8];

    if (!role->scenario->pair->turns || !role->actor.end.is_left)
        return 0;
    for (;; got++) {
        ssize_t n = end_recv(&role->actor.end, turn, sizeof turn, SHM_DONTWAIT);

        if (n < 0 && errno == ECONNRESET)
            return -1;
        if (n < 0) {
            CHECK(errno == EAGAIN || errno == EFSM);
            return errno == EAGAIN && ends_have_turns(role->scenario) ? -2 : got;
        }
        CHECK_MEM(turn, n, "turn", 4);
    }
}

/* The first part stays as a view. */
static int64_t hold(struct role *role, int count)
{
    shm_msg_t *view = actor_place(&role->actor);
    ssize_t n;

    CHECK_OK(shm_msg_init(view));
    n = end_msg_recv(&role->actor.end, view, SHM_DONTWAIT);
    if (n >= 0) {
        memcpy(role->bytes, shm_msg_data(view), (size_t)n);
        take_rest(role, 0, (size_t)n);
    }
    actor_keep(&role->actor, n >= 0);
    if (n < 0)
        return 0;
    reply(role, 0);
    return 1;
}

static int64_t release(struct role *role, int count)
{
    return actor_let_go(&role->actor);
}

/* ---- looking ---- */

static int64_t peers(struct role *role, int count)
{
    shm_event_t event;

    while (shm_event_recv(role->actor.end.socket, &event, SHM_DONTWAIT) == 0)
        if (event.event == SHM_EVENT_BROKEN)
            FAIL("%s was told that its peer wrote nonsense", actor_name(role->who));
    return (int64_t)get_stats(role->actor.end.socket).peers;
}

/* What a sleeper does when its slice has ended; twice, for it is to be idempotent. */
static int64_t check_peers(struct role *role, int count)
{
    for (int i = 0; i < 2; i++)
        inside_check_peers(role->actor.end.socket);
    CHECK_INT(get_stats(role->actor.end.socket).protocol_errors, 0);
    return peers(role, 0);
}

/* Sleep in a receive: 1 with a message, within a slice of its being sent (the director looks). */
static int64_t park(struct role *role, int count)
{
    bool got;

    set_int(role->actor.end.socket, SHM_RCVTIMEO, PARK_MS);
    got = receive_flags(role, 0);
    set_int(role->actor.end.socket, SHM_RCVTIMEO, -1);
    return got;
}

/* Messages that it was told it has missed. */
static int64_t lost(struct role *role, int count)
{
    return (int64_t)get_stats(role->actor.end.socket).lost;
}

static int64_t watch(struct role *role, int count)
{
    struct pollfd item = {get_int(role->actor.end.socket, SHM_FD), POLLIN, 0};

    receive_many(role, ALL);
    get_int(role->actor.end.socket, SHM_EVENTS);
    return poll(&item, 1, 0);
}

static int64_t inspect(struct role *role, int count)
{
    return inside_left_with_the_dead(role->actor.end.socket, role->actor.held[0].is_open);
}

static int64_t slots(struct role *role, int count)
{
    return inside_slots(role->actor.end.socket);
}

/* ---- stepped ---- */

static void mark(void)
{
    __asm__ volatile("int3" ::: "memory");
}

static int64_t prepare(struct role *role, int count)
{
    operation_prepare(role);
    return 0;
}

static int64_t step(struct role *role, int count)
{
    mark();
    operation_do(role);
    mark();
    return operation_finish(role);
}

/* Come, unless it is there, look who lives, send or receive one message, and look again. */
static int64_t second(struct role *role, int count)
{
    mark();
    if (!role->attached)
        attach_end(role, 0);
    check_peers(role, 0);
    if (role->actor.end.is_left) {
        take_turns(role, 0);
        send_one(role);
    } else {
        receive_many(role, 1);
    }
    check_peers(role, 0); /* so that it is also killed after that */
    mark();
    return 0;
}

/* ---- the process ---- */

static int64_t (*const verbs[VERBS])(struct role *role, int count) = {
    [V_OPEN] = open_end,       [V_ATTACH] = attach_end,
    [V_TRY] = try_attach,      [V_LOOK] = peers,
    [V_SEND] = send_many,      [V_RECEIVE] = receive_many,
    [V_BEGIN] = begin_message, [V_COMPLETE] = complete_message,
    [V_HALF] = receive_half,   [V_TURN] = take_turns,
    [V_HOLD] = hold,           [V_RELEASE] = release,
    [V_CHECK] = check_peers,   [V_PARK] = park,
    [V_LOST] = lost,           [V_WATCH] = watch,
    [V_GROW] = grow,           [V_INSPECT] = inspect,
    [V_SLOTS] = slots,         [V_CLOSE] = close_end,
    [V_PREPARE] = prepare,     [V_STEP] = step,
    [V_SECOND] = second,       [V_REPLY] = reply,
};

void actor_play(struct child *line, enum who who, const struct scenario *scenario, struct ledger *ledger, bool is_left,
                bool traced)
{
    size_t first = scenario->state->size;
    const size_t cuts[] = {0, first, first + 100, first + 1200};
    struct role role = {.who = who, .scenario = scenario, .ledger = ledger};
    uint64_t order;

    role.actor = (struct actor){.number = who,
                                .policy = policy_of(scenario),
                                .pipe = {scenario->pair, scenario->right_binds},
                                .cuts = cuts,
                                .is_again = inside_redelivered};
    if (traced)
        CHECK_OK(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
    while (child_listen(line, &order)) {
        enum verb verb = (enum verb)(order >> 32);

        child_say(line, (uint64_t)verbs[verb](&role, verb == V_OPEN ? is_left : (int)(uint32_t)order));
    }
    _exit(0);
}
