/* SPDX-License-Identifier: MIT */
/* What is stepped: the table, and each operation as the victim does it. */
#include "crash.h"
#include "inside.h"

/* In each pair: which ends it has, and that the left one sends first. As tests/support/pipes.c. */
const struct pair crash_pairs[] = {
    {SHM_PAIR, SHM_PAIR, "PAIR/PAIR", true, false, true},
    {SHM_PUB, SHM_SUB, "PUB/SUB", false, false, false},
    {SHM_XPUB, SHM_XSUB, "XPUB/XSUB", false, false, false},
    {SHM_REQ, SHM_REP, "REQ/REP", true, true, false},
    {SHM_DEALER, SHM_ROUTER, "DEALER/ROUTER", true, false, true},
    {SHM_PUSH, SHM_PULL, "PUSH/PULL", false, false, true},
    {SHM_DEALER, SHM_REP, "DEALER/REP", true, true, true},
    {SHM_REQ, SHM_ROUTER, "REQ/ROUTER", true, true, false},
    {SHM_ROUTER, SHM_ROUTER, "ROUTER/ROUTER", true, false, true},
};
const size_t crash_pair_count = COUNT_OF(crash_pairs);

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
    [OP_TAKEOVER] = {"repair: take over a name", "bind or connect after a death", true, true, true,
                     true},
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

static void prepare_loan(struct doing *doing, size_t size)
{
    doing->has_loan = shm_msg_loan(&doing->loan, doing->end->socket, size) == 0;
    CHECK(doing->has_loan);
    memcpy(shm_msg_data(&doing->loan), doing->bytes, size);
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

void operation_prepare(struct doing *doing, struct ledger *ledger, enum who who)
{
    const struct state *state = doing->scenario->state;
    enum operation_id op = (enum operation_id)(doing->scenario->operation - operations);

    doing->size = state->size;
    doing->result = -1;
    CHECK_OK(shm_msg_init(doing->has_view ? &doing->loan : &doing->view));
    if (operation_sends(doing->scenario)) {
        uint64_t number = ledger->from[who].acked + 1;
        message_make(doing->bytes, doing->size, who, number);
        ledger->from[who].called = number;
    }
    if (op == OP_SEND_LOAN && !doing->begun)
        prepare_loan(doing, doing->size);
    if (operation_receives(doing->scenario))
        expect_next(ledger);
    if (op == OP_UNSUBSCRIBE)
        CHECK_OK(shm_setsockopt(doing->end->socket, SHM_SUBSCRIBE, "zz", 2));
}

/* ---- stepped ---- */

static void send_parts(struct doing *doing)
{
    const struct state *state = doing->scenario->state;
    int flags = SHM_DONTWAIT | (state->parts > 1 ? SHM_SNDMORE : 0);
    ssize_t n = doing->begun      ? 0
                : doing->has_loan ? end_msg_send(doing->end, &doing->loan, flags)
                                  : end_send(doing->end, doing->bytes, doing->size, flags);

    doing->result = n >= 0 && complete_parts(doing->end, state, doing->bytes, 1) ? 0 : -1;
}

static void membership(struct doing *doing)
{
    const struct scenario *s = doing->scenario;

    doing->result = s->victim_is_left != s->right_binds ? shm_bind(doing->end->socket, "it")
                                                        : shm_connect(doing->end->socket, "it");
}

static void detach(struct doing *doing)
{
    const struct scenario *s = doing->scenario;

    doing->result = s->victim_is_left != s->right_binds ? shm_unbind(doing->end->socket, "it")
                                                        : shm_disconnect(doing->end->socket, "it");
}

/* With a message in hand that was begun, its next part. */
static void receive(struct doing *doing)
{
    doing->result =
        doing->half ? shm_recv(doing->end->socket, doing->bytes, sizeof doing->bytes, SHM_DONTWAIT)
                    : end_recv(doing->end, doing->bytes, sizeof doing->bytes, SHM_DONTWAIT);
}

void operation_do(struct doing *doing)
{
    shm_socket_t *socket = doing->end->socket;
    shm_event_t event;

    switch ((enum operation_id)(doing->scenario->operation - operations)) {
    case OP_SEND:
    case OP_SEND_LOAN:
        send_parts(doing);
        break;
    case OP_LOAN:
        doing->result = shm_msg_loan(&doing->loan, socket, 1000);
        break;
    case OP_GROW:
        doing->result = shm_msg_loan(&doing->loan, socket, 200000);
        break;
    case OP_RECV:
        receive(doing);
        break;
    case OP_VIEW:
        doing->result = doing->half ? shm_msg_recv(&doing->view, socket, SHM_DONTWAIT)
                                    : end_msg_recv(doing->end, &doing->view, SHM_DONTWAIT);
        break;
    case OP_RELEASE:
        doing->result = shm_msg_close(&doing->view);
        break;
    case OP_CONNECT:
    case OP_BIND:
    case OP_TAKEOVER:
        membership(doing);
        break;
    case OP_MEET:
        doing->result = shm_event_recv(socket, &event, SHM_DONTWAIT);
        break;
    case OP_DETACH:
        detach(doing);
        break;
    case OP_CLOSE:
    case OP_REAP:
        doing->result = shm_close(socket);
        break;
    case OP_SUBSCRIBE:
        doing->result = shm_setsockopt(socket, SHM_SUBSCRIBE, "zz", 2);
        break;
    case OP_UNSUBSCRIBE:
        doing->result = shm_setsockopt(socket, SHM_UNSUBSCRIBE, "zz", 2);
        break;
    case OP_NOTICE:
        inside_check_peers(socket);
        doing->result = 0;
        break;
    case OP_ADOPT:
        inside_check_peers(socket);
        receive(doing);
        break;
    case OPERATIONS:
        break;
    }
    doing->error = errno;
}

/* ---- and after it ---- */

static void finish_send(struct doing *doing, struct ledger *ledger, enum who who)
{
    if (doing->result >= 0)
        ledger->from[who].acked = ledger->from[who].called;
    else {
        CHECK(doing->error == EAGAIN || doing->error == EFSM || doing->error == EHOSTUNREACH ||
              doing->error == EPIPE);
        doing->end->envelope_sent = false;
        ledger->from[who].called = ledger->from[who].acked;
    }
    if (doing->has_loan)
        CHECK_OK(shm_msg_close(&doing->loan));
    doing->has_loan = false;
}

static void rest_of_parts(struct doing *doing)
{
    static unsigned char bytes[2048];

    while (get_int(doing->end->socket, SHM_RCVMORE))
        CHECK_OK(shm_recv(doing->end->socket, bytes, sizeof bytes, SHM_DONTWAIT));
}

/* Returns whether something was received, which may be to be answered. */
int64_t operation_finish(struct doing *doing, struct ledger *ledger, enum who who)
{
    bool got = doing->result >= 0;

    switch ((enum operation_id)(doing->scenario->operation - operations)) {
    case OP_SEND:
    case OP_SEND_LOAN:
        finish_send(doing, ledger, who);
        return 0;
    case OP_LOAN:
    case OP_GROW:
        CHECK_INT(doing->result, 0);
        CHECK_OK(shm_msg_close(&doing->loan));
        return 0;
    case OP_RECV:
    case OP_ADOPT:
        expect_nothing(ledger);
        if (!got)
            CHECK(doing->error == EAGAIN || doing->error == EPIPE);
        else {
            if (!doing->half) /* else the actor has what is to be noted */
                message_note(ledger, who, doing->bytes, (size_t)doing->result,
                             inside_redelivered(doing->end->socket));
            rest_of_parts(doing);
        }
        return got;
    case OP_VIEW:
        expect_nothing(ledger);
        if (!got)
            CHECK(doing->error == EAGAIN || doing->error == EPIPE);
        else {
            if (!doing->half)
                message_note(ledger, who, shm_msg_data(&doing->view), shm_msg_size(&doing->view),
                             shm_msg_redelivered(&doing->view));
            rest_of_parts(doing);
        }
        CHECK_OK(shm_msg_close(&doing->view));
        return got;
    case OP_RELEASE:
        return 0;
    case OP_CONNECT:
    case OP_BIND:
    case OP_TAKEOVER:
    case OP_CLOSE:
    case OP_DETACH:
    case OP_REAP:
    case OP_SUBSCRIBE:
    case OP_UNSUBSCRIBE:
        if (!got)
            FAIL("%s: %s", doing->scenario->operation->what, shm_strerror(doing->error));
        return 0;
    case OP_MEET:
    case OP_NOTICE:
    case OPERATIONS:
        break;
    }
    return 0;
}
