/* SPDX-License-Identifier: MIT */
/* What is stepped: the table, and each operation as the victim does it. */
#include "crash.h"
#include "inside.h"

const struct pair *crash_pair(size_t index)
{
    static const char *const names[CRASH_PAIRS] = {"PAIR/PAIR",  "PUB/SUB",       "XPUB/XSUB",
                                                   "REQ/REP",    "DEALER/ROUTER", "PUSH/PULL",
                                                   "DEALER/REP", "REQ/ROUTER",    "ROUTER/ROUTER"};
    return pair_named(names[index]);
}

const struct operation operations[OPERATIONS] = {
    [OP_SEND] = {"send", "shm_send", true, false, false, false},
    [OP_SEND_LOAN] = {"send a loan", "shm_msg_send", true, false, false, false},
    [OP_LOAN] = {"loan", "shm_msg_loan", true, false, false, false},
    [OP_GROW] = {"grow the arena", "shm_msg_loan beyond the extent", true, false, false, false},
    [OP_RECV] = {"receive", "shm_recv", false, true, false, false},
    [OP_VIEW] = {"receive a view", "shm_msg_recv", false, true, false, false},
    [OP_RELEASE] = {"release", "shm_msg_close", false, true, false, false},
    [OP_CONNECT] = {"connect", "shm_connect", true, true, true, false},
    [OP_BIND] = {"bind", "shm_bind", true, true, true, false},
    [OP_MEET] = {"pipe", "the first call with a new peer", true, true, true, false},
    [OP_DETACH] = {"detach", "shm_disconnect, shm_unbind", true, true, false, false},
    [OP_CLOSE] = {"close", "shm_close", true, true, false, false},
    [OP_SUBSCRIBE] = {"subscribe", "SHM_SUBSCRIBE", false, true, false, false},
    [OP_UNSUBSCRIBE] = {"unsubscribe", "SHM_UNSUBSCRIBE", false, true, false, false},
    [OP_NOTICE] = {"repair: notice a death", "a look at the peers", true, true, false, false},
    [OP_ADOPT] = {"repair: adopt a claim", "the look, and shm_recv", false, true, false, false},
    [OP_TAKEOVER] = {"repair: take over a name", "bind or connect after a death", true, true, true, true},
    [OP_REAP] = {"repair: close after a death", "shm_close", true, true, false, false},
};

static bool is_subscriber(int type)
{
    return type == SHM_SUB || type == SHM_XSUB;
}

bool operation_fits(const struct scenario *s)
{
    enum operation_id op = (enum operation_id)(s->operation - operations);
    bool binds = s->victim_is_left != s->right_binds;
    int type = s->victim_is_left ? s->pair->left : s->pair->right;

    if (s->victim_is_left ? !s->operation->left : !s->operation->right)
        return false;
    if (op == OP_CONNECT)
        return !binds;
    if (op == OP_BIND)
        return binds;
    if (op == OP_SUBSCRIBE || op == OP_UNSUBSCRIBE)
        return is_subscriber(type);
    return op != OP_ADOPT || s->pair->right == SHM_PULL;
}

static bool is(const struct scenario *s, enum operation_id a, enum operation_id b)
{
    return s->operation == &operations[a] || s->operation == &operations[b];
}

bool operation_sends(const struct scenario *s)
{
    return is(s, OP_SEND, OP_SEND_LOAN);
}

bool operation_receives(const struct scenario *s)
{
    return is(s, OP_RECV, OP_VIEW) || s->operation == &operations[OP_ADOPT];
}

static enum operation_id id_of(const struct role *role)
{
    return (enum operation_id)(role->scenario->operation - operations);
}

uint64_t next_of(const struct ledger *ledger, enum who from)
{
    uint64_t next = 1;

    for (uint32_t i = 0; i < ledger->count; i++)
        if (ledger->got[i].from == from && ledger->got[i].number >= next)
            next = ledger->got[i].number + 1;
    return next;
}

/* What of each sender would come next is in the victim's hand from now on. */
void expect_next(struct ledger *ledger)
{
    for (int from = 0; from < ACTORS; from++)
        ledger->from[from].in_hand = next_of(ledger, (enum who)from);
}

static void expect_nothing(struct ledger *ledger)
{
    for (int from = 0; from < ACTORS; from++)
        ledger->from[from].in_hand = 0;
}

static void prepare_send(struct role *role)
{
    size_t size = role->scenario->state->size;

    message_make(role, role->ledger->from[role->who].acked + 1);
    role->begun = 0;
    if (id_of(role) != OP_SEND_LOAN || role->was_begun)
        return;
    CHECK_OK(shm_msg_loan(&role->loan, role->actor.end.socket, size));
    memcpy(shm_msg_data(&role->loan), role->bytes, size);
    role->has_loan = true;
}

void operation_prepare(struct role *role)
{
    struct held *held = &role->actor.held[0];

    role->result = -1;
    role->was_begun = role->begun != 0;
    role->was_half = role->half_size > 0 && operation_receives(role->scenario);
    if (id_of(role) == OP_RELEASE && held->is_open) {
        role->view = held->msg; /* a message may be moved */
        role->has_view = true;
        held->is_open = false;
    }
    CHECK_OK(shm_msg_init(role->has_view ? &role->loan : &role->view));
    if (operation_sends(role->scenario))
        prepare_send(role);
    if (operation_receives(role->scenario))
        expect_next(role->ledger);
    if (id_of(role) == OP_UNSUBSCRIBE)
        CHECK_OK(shm_setsockopt(role->actor.end.socket, SHM_SUBSCRIBE, "zz", 2));
}

/* ---- stepped ---- */

/* The first part by the call itself: nothing else is to be counted. */
static void send_message(struct role *role)
{
    struct actor *actor = &role->actor;
    bool more = actor->policy.parts > 1;
    int flags = SHM_DONTWAIT | (more ? SHM_SNDMORE : 0);
    ssize_t n = role->was_begun  ? 0
                : role->has_loan ? end_msg_send(&actor->end, &role->loan, flags)
                                 : end_send(&actor->end, role->bytes, role->scenario->state->size, flags);

    if (n >= 0 && more)
        actor->part = 1;
    role->result = n >= 0 && (!more || send_other_parts(role)) ? 0 : -1;
}

/* With a message in hand that was begun, its next part. */
static void receive(struct role *role)
{
    struct end *end = &role->actor.end;

    role->result = role->was_half ? shm_recv(end->socket, role->bytes, sizeof role->bytes, SHM_DONTWAIT)
                                  : end_recv(end, role->bytes, sizeof role->bytes, SHM_DONTWAIT);
}

static void receive_view(struct role *role)
{
    struct end *end = &role->actor.end;

    role->result = role->was_half ? shm_msg_recv(&role->view, end->socket, SHM_DONTWAIT)
                                  : end_msg_recv(end, &role->view, SHM_DONTWAIT);
}

static bool binds(const struct role *role)
{
    return end_binds(&role->actor.end, &role->actor.pipe);
}

void operation_do(struct role *role)
{
    shm_socket_t *socket = role->actor.end.socket;
    shm_event_t event;

    switch (id_of(role)) {
    case OP_SEND:
    case OP_SEND_LOAN:
        send_message(role);
        break;
    case OP_LOAN:
        role->result = shm_msg_loan(&role->loan, socket, 1000);
        break;
    case OP_GROW:
        role->result = shm_msg_loan(&role->loan, socket, 200000);
        break;
    case OP_RECV:
        receive(role);
        break;
    case OP_VIEW:
        receive_view(role);
        break;
    case OP_RELEASE:
        role->result = shm_msg_close(&role->view);
        break;
    case OP_CONNECT:
    case OP_BIND:
    case OP_TAKEOVER:
        role->result = socket_attach(socket, binds(role), "it");
        break;
    case OP_MEET:
        role->result = shm_event_recv(socket, &event, SHM_DONTWAIT);
        break;
    case OP_DETACH:
        role->result = socket_detach(socket, binds(role), "it");
        break;
    case OP_CLOSE:
    case OP_REAP:
        role->result = shm_close(socket);
        break;
    case OP_SUBSCRIBE:
        role->result = shm_setsockopt(socket, SHM_SUBSCRIBE, "zz", 2);
        break;
    case OP_UNSUBSCRIBE:
        role->result = shm_setsockopt(socket, SHM_UNSUBSCRIBE, "zz", 2);
        break;
    case OP_NOTICE:
        inside_check_peers(socket);
        role->result = 0;
        break;
    case OP_ADOPT:
        inside_check_peers(socket);
        receive(role);
        break;
    case OPERATIONS:
        break;
    }
    role->error = errno;
}

/* ---- and after it ---- */

static void finish_send(struct role *role)
{
    struct ledger *ledger = role->ledger;

    if (role->result >= 0)
        ledger->from[role->who].acked = ledger->from[role->who].called;
    else {
        CHECK(role->error == EAGAIN || role->error == EFSM || role->error == EHOSTUNREACH || role->error == EPIPE);
        role->actor.end.envelope_sent = false;
        role->actor.part = 0;
        ledger->from[role->who].called = ledger->from[role->who].acked;
    }
    if (role->has_loan)
        CHECK_OK(shm_msg_close(&role->loan));
    role->has_loan = false;
}

/* What was received follows the first part, if that was received before. */
static void finish_receive(struct role *role)
{
    size_t half = role->was_half ? role->half_size : 0;
    bool by_view = id_of(role) == OP_VIEW;

    expect_nothing(role->ledger);
    if (role->result < 0) {
        CHECK(role->error == EAGAIN || role->error == EPIPE);
        return;
    }
    if (by_view)
        memcpy(role->bytes, shm_msg_data(&role->view), (size_t)role->result);
    memmove(role->bytes + half, role->bytes, (size_t)role->result);
    memcpy(role->bytes, role->half, half);
    take_rest(role, half, (size_t)role->result);
    if (role->was_half)
        forget_half(role);
}

int64_t operation_finish(struct role *role)
{
    bool got = role->result >= 0;

    switch (id_of(role)) {
    case OP_SEND:
    case OP_SEND_LOAN:
        finish_send(role);
        return 0;
    case OP_LOAN:
    case OP_GROW:
        CHECK_INT(role->result, 0);
        CHECK_OK(shm_msg_close(&role->loan));
        return 0;
    case OP_RECV:
    case OP_ADOPT:
    case OP_VIEW:
        finish_receive(role);
        if (id_of(role) == OP_VIEW)
            CHECK_OK(shm_msg_close(&role->view));
        return got;
    case OP_RELEASE:
    case OP_MEET:
    case OP_NOTICE:
    case OPERATIONS:
        return 0;
    default:
        if (!got)
            FAIL("%s: %s", role->scenario->operation->what, shm_strerror(role->error));
        return 0;
    }
}
