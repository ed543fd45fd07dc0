/* SPDX-License-Identifier: MIT */
/* What a round does otherwise than plainly: keys, policies of sockets, messages in parts and in loans,
 * two names, partings. Drawn apart from the rest of a plan, which is the same without them. */
#include "storm.h"

static bool one_in(uint64_t *state, unsigned n)
{
    return random_next(state) % n == 0;
}

static bool has_one_peer(int left, int right)
{
    return left == SHM_PAIR || (left == SHM_ROUTER && right == SHM_ROUTER);
}

/* A newest message is one of one part, for one who was there. */
static void keep_newest(struct plan *plan)
{
    plan->policy.parts = 1;
    plan->eager = false;
}

static void draw_for_senders(struct plan *plan, uint64_t *state)
{
    struct policy *policy = &plan->policy;
    int left = plan->pipe.pair->left, right = plan->pipe.pair->right;

    if (plan_fans_out(plan))
        policy->lossy = one_in(state, 3);
    policy->conflate = !policy->lossy && one_in(state, 6) &&
                       (left == SHM_PUSH || left == SHM_PUB || (left == SHM_DEALER && right == SHM_DEALER));
    policy->round_robin = left == SHM_PUSH && !policy->conflate && one_in(state, 3);
    if (policy->lossy)
        plan->hwm = 4; /* or nobody is ever a lap behind */
    if (policy->conflate)
        keep_newest(plan);
}

/* Connected twice, two keep no order but that of questions and answers, or of one queue; and a publisher's
 * messages come twice. Who sends into a queue of each connection needs somebody at each name. */
static void draw_for_roamers(struct plan *plan, uint64_t *state)
{
    struct policy *policy = &plan->policy;
    int left = plan->pipe.pair->left;
    bool connects = plan->left_dies == plan->pipe.right_binds;
    bool one_peer = has_one_peer(left, plan->pipe.pair->right);
    bool one_queue = left == SHM_PUSH && !policy->round_robin && !policy->conflate;

    policy->roams = left != SHM_PAIR || !connects;
    policy->two_names = (plan->pipe.pair->turns || one_queue) && one_in(state, 3);
    if (!plan->left_dies || one_peer || plan->survivors > 1 || policy->two_names)
        return;
    if (one_queue || plan_fans_out(plan) ? one_in(state, 2) : connects)
        plan->survivors = 2;
}

void policy_draw(struct plan *plan, bool keys)
{
    uint64_t state = plan->seed * UINT64_C(0xa0761d6478bd642f) + plan->round * UINT64_C(0xe7037ed1a0b428db);
    struct policy *policy = &plan->policy;
    int left = plan->pipe.pair->left, right = plan->pipe.pair->right;
    bool keyed = one_in(&state, 5), sealed = one_in(&state, 2);
    bool hurt = plan->kind == TRUNCATE || plan->kind == UNLINK;

    policy->parts = one_in(&state, 3) ? 2 + (unsigned)(random_next(&state) % 2) : 1;
    policy->loans = one_in(&state, 3);
    policy->detaches = one_in(&state, 3);
    policy->two_names = one_in(&state, 4) && !has_one_peer(left, right) &&
                        (plan->kind == SENDERS || (plan->kind == CALLS && plan->left_dies));
    policy->history = (right == SHM_SUB || right == SHM_XSUB) && one_in(&state, 3);
    policy->resend = left == SHM_REQ && plan->kind == CALLS && !plan->left_dies && one_in(&state, 2);
    if (plan->kind == SENDERS)
        draw_for_senders(plan, &state);
    if (keys && keyed && !hurt) {
        policy->key = sealed ? 2 : 1;
        plan->eager = false; /* with a key, what a connector sent unmet may go with it (docs/FAILURE.md) */
    }
    policy->holds = plan->kind == SENDERS && plan->by_view && one_in(&state, 2);
    if (one_in(&state, 3) && plan->kind <= CALLS && !policy->two_names)
        draw_for_roamers(plan, &state);
    else if (policy->two_names && plan->slots == 1 && plan->survivors == 1 && one_in(&state, 2)) {
        policy->crossed = true;
        plan->eager = false;
    }
}

bool plan_keeps_newest(const struct plan *plan)
{
    return plan->policy.lossy || plan->policy.conflate;
}

void policy_print(const struct policy *policy, int fd)
{
    dprintf(fd, "    policies: %u parts%s%s%s%s%s%s%s%s%s%s%s%s\n", policy->parts,
            policy->key == 0 ? "" : policy->key == 1 ? ", key" : ", key and seal", policy->loans ? ", loans" : "",
            policy->lossy ? ", not lossless" : "", policy->conflate ? ", conflate" : "",
            policy->history ? ", history" : "", policy->round_robin ? ", round robin" : "",
            policy->resend ? ", resend" : "", policy->two_names ? ", two names" : "",
            policy->roams ? ", roams" : "", policy->detaches ? ", detaches" : "",
            policy->holds ? ", holds" : "", policy->crossed ? ", crossed" : "");
}

/* ---- A socket's ---- */

static bool set_key(shm_socket_t *socket, unsigned how)
{
    static const unsigned char key[32] = {7, 7, 7};
    int seal = how == 2;

    return shm_setsockopt(socket, SHM_AUTH_KEY, key, sizeof key) == 0 &&
           shm_setsockopt(socket, SHM_AUTH_SEAL, &seal, sizeof seal) == 0;
}

/* Is there a library to check keys with? */
bool policy_has_keys(void)
{
    shm_socket_t *socket = CHECK_PTR(shm_socket(SHM_PAIR));
    bool has = set_key(socket, 1);

    CHECK_OK(shm_close(socket));
    return has;
}

void policy_set(const struct plan *plan, shm_socket_t *socket, bool left)
{
    const struct policy *policy = &plan->policy;

    if (policy->key)
        CHECK(set_key(socket, policy->key));
    if (left && plan_fans_out(plan) && !plan_keeps_newest(plan))
        set_int(socket, SHM_LOSSLESS, 1);
    if (policy->conflate && (left || plan->pipe.pair->right == SHM_DEALER))
        set_int(socket, SHM_CONFLATE, 1);
    if (left && policy->round_robin)
        set_int(socket, SHM_ROUND_ROBIN, 1);
    if (left && policy->resend)
        set_int(socket, SHM_REQ_RESEND, 1);
    if (!left && policy->history)
        set_int(socket, SHM_HISTORY, 20);
}

/* ---- Names: one, or two, of which who stays has both, or who comes and goes, or all ---- */

static const char *const names[] = {"it", "that"};

static bool has_name(const struct actor *actor, unsigned i)
{
    const struct policy *policy = &actor->plan->policy;
    bool stays = actor->number < actor->plan->survivors;

    if (stays ? policy->two_names : policy->roams)
        return true;
    return policy->two_names || policy->roams ? actor->number % 2 == i : i == 0;
}

static bool binds_at(const struct actor *actor, unsigned i)
{
    bool binds = actor->end.is_left != actor->plan->pipe.right_binds;

    return binds != (actor->plan->policy.crossed && i == 1);
}

void policy_attach(struct actor *actor)
{
    shm_socket_t *socket = actor->end.socket;

    for (unsigned i = 0; i < COUNT_OF(names); i++)
        while (has_name(actor, i) && (binds_at(actor, i) ? shm_bind(socket, names[i]) : shm_connect(socket, names[i])) < 0)
            if (!(actor->plan->stops && errno == EBUSY) && !actor_lacks_memory(actor)) /* one was stopped amid leaving */
                FAIL("%s: %s", binds_at(actor, i) ? "shm_bind" : "shm_connect", shm_strerror(errno));
}

/* Before it closes, or not. */
void policy_part(struct actor *actor)
{
    for (unsigned i = 0; i < COUNT_OF(names); i++)
        if (actor->plan->policy.detaches && has_name(actor, i))
            CHECK_OK(binds_at(actor, i) ? shm_unbind(actor->end.socket, names[i]) : shm_disconnect(actor->end.socket, names[i]));
}

/* ---- Messages, in parts or not, in loans or not ---- */

static ssize_t send_loan(struct end *end, const void *bytes, size_t size, int flags)
{
    shm_msg_t msg;
    ssize_t sent;

    if (end_send_envelope(end, flags & ~SHM_SNDMORE) < 0 || shm_msg_loan(&msg, end->socket, size) < 0)
        return -1;
    memcpy(shm_msg_data(&msg), bytes, size);
    sent = end_msg_send(end, &msg, flags);
    if (sent < 0) {
        int error = errno;

        CHECK_OK(shm_msg_close(&msg));
        errno = error;
    }
    return sent;
}

/* As end_send(); after an error the same message is to be sent again, and goes on where it was. */
ssize_t actor_send(struct actor *actor, const void *bytes, size_t size, int flags)
{
    const struct policy *policy = &actor->plan->policy;

    for (; actor->part < policy->parts; actor->part++) {
        size_t from = size * actor->part / policy->parts, to = size * (actor->part + 1) / policy->parts;
        int more = actor->part + 1 < policy->parts ? flags | SHM_SNDMORE : flags;
        const char *at = (const char *)bytes + from;
        ssize_t sent = policy->loans ? send_loan(&actor->end, at, to - from, more)
                                     : end_send(&actor->end, at, to - from, more);
        if (sent < 0)
            return -1;
    }
    actor->part = 0;
    return (ssize_t)size;
}

/* As end_recv(), by views if the plan has it; all parts, one behind the other. */
ssize_t actor_recv(struct actor *actor, shm_msg_t *msg, void *buffer, size_t room, int flags, bool *again)
{
    bool by_view = actor->plan->by_view;
    struct end *end = &actor->end;
    char *at = buffer;
    ssize_t n;

    CHECK_OK(shm_msg_init(msg));
    *again = false;
    n = by_view ? end_msg_recv(end, msg, flags) : end_recv(end, at, room, flags);
    if (n < 0)
        return -1;
    for (;;) {
        CHECK((size_t)n <= room);
        if (by_view)
            memcpy(at, shm_msg_data(msg), (size_t)n);
        *again = *again || (by_view && shm_msg_redelivered(msg));
        at += n;
        room -= (size_t)n;
        if (!get_int(end->socket, SHM_RCVMORE))
            return at - (char *)buffer;
        n = CHECK_OK(by_view ? shm_msg_recv(msg, end->socket, flags) : shm_recv(end->socket, at, room, flags));
    }
}

/* ---- Views that are held: unchanged until closed, whoever dies and however far the senders run ahead ---- */

static uint64_t sum_of(shm_msg_t *msg)
{
    return history_sum(shm_msg_size(msg), shm_msg_data(msg), shm_msg_size(msg));
}

static void close_held(struct held *held)
{
    if (!held->is_open)
        return;
    if (sum_of(&held->msg) != held->sum)
        FAIL("a view of %zu bytes was not what it had been", shm_msg_size(&held->msg));
    CHECK_OK(shm_msg_close(&held->msg));
    held->is_open = false;
}

shm_msg_t *policy_place(struct actor *actor)
{
    struct held *held = &actor->held[actor->held_next];

    close_held(held);
    return &held->msg;
}

/* Nothing came: perhaps because the views in hand are all that there may be. */
void policy_keep(struct actor *actor, bool came)
{
    struct held *held = &actor->held[actor->held_next];

    if (came && actor->plan->policy.holds) {
        held->is_open = true;
        held->sum = sum_of(&held->msg);
    } else {
        CHECK_OK(shm_msg_close(&held->msg));
    }
    actor->held_next = (actor->held_next + 1) % HELD_MAX;
}

void policy_let_go(struct actor *actor)
{
    for (unsigned i = 0; i < HELD_MAX; i++)
        close_held(&actor->held[i]);
}
