/* SPDX-License-Identifier: MIT */
/* What a round is: drawn from the seed and the round's number, and from nothing else. Policies are drawn apart from
 * the rest of a plan, which is the same without them. */
#include "storm.h"

static bool one_in(uint64_t *state, unsigned n)
{
    return random_next(state) % n == 0;
}

static unsigned draw(uint64_t *state, unsigned below)
{
    return (unsigned)(random_next(state) % below);
}

static bool has_one_peer(const struct pair *pair)
{
    return pair->left == SHM_PAIR || (pair->left == SHM_ROUTER && pair->right == SHM_ROUTER);
}

/* In 128: mostly what has a history to be judged. */
static enum kind draw_kind(uint64_t *state, const struct pair *pair)
{
    unsigned k = draw(state, 128);

    if (k < 2)
        return TRUNCATE;
    if (k < 4)
        return UNLINK;
    if (k < 24)
        return CHURN;
    if (pair->turns)
        return k < 64 ? SENDERS : CALLS;
    return k < 84 ? SENDERS : RECEIVERS;
}

/* The side that binds has one process at a time; the other may have several. */
static void draw_crew(struct plan *plan, uint64_t *state)
{
    const struct pair *pair = plan->pipe.pair;
    bool victims_bind = plan->left_dies != plan->pipe.right_binds;
    unsigned some = 1 + draw(state, 3);
    bool shares = pair->left == SHM_PUSH || pair_fans_out(plan->pipe.pair) || plan->kind == CALLS;

    plan->slots = plan->survivors = 1;
    if (has_one_peer(pair))
        return;
    if (victims_bind)
        plan->survivors = shares ? some : 1; /* a sender takes turns among its readers otherwise */
    else if (plan->kind != RECEIVERS || shares)
        plan->slots = some;
}

/* ---- Policies ---- */

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

    if (pair_fans_out(plan->pipe.pair))
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
    bool one_peer = has_one_peer(plan->pipe.pair);
    bool one_queue = left == SHM_PUSH && !policy->round_robin && !policy->conflate;

    policy->roams = left != SHM_PAIR || !connects;
    policy->two_names = (plan->pipe.pair->turns || one_queue) && one_in(state, 3);
    if (!plan->left_dies || one_peer || plan->survivors > 1 || policy->two_names)
        return;
    if (one_queue || pair_fans_out(plan->pipe.pair) ? one_in(state, 2) : connects)
        plan->survivors = 2;
}

static void policy_draw(struct plan *plan, bool keys)
{
    uint64_t state = plan->seed * UINT64_C(0xa0761d6478bd642f) + plan->round * UINT64_C(0xe7037ed1a0b428db);
    struct policy *policy = &plan->policy;
    int left = plan->pipe.pair->left, right = plan->pipe.pair->right;
    bool keyed = one_in(&state, 5), sealed = one_in(&state, 2);
    bool hurt = plan->kind == TRUNCATE || plan->kind == UNLINK;

    policy->parts = one_in(&state, 3) ? 2 + (unsigned)(random_next(&state) % 2) : 1;
    policy->loans = one_in(&state, 3);
    policy->detaches = one_in(&state, 3);
    policy->two_names = one_in(&state, 4) && !has_one_peer(plan->pipe.pair) &&
                        (plan->kind == SENDERS || (plan->kind == CALLS && plan->left_dies));
    policy->history = (right == SHM_SUB || right == SHM_XSUB) && one_in(&state, 3) ? 20 : 0;
    policy->resend = left == SHM_REQ && plan->kind == CALLS && !plan->left_dies && one_in(&state, 2);
    if (plan->kind == SENDERS)
        draw_for_senders(plan, &state);
    if (keys && keyed && !hurt) {
        policy->key = sealed ? 2 : 1;
        plan->eager = false; /* with a key, what a connector sent unmet may go with it (docs/FAILURE.md) */
    }
    policy->holds = plan->kind == SENDERS && plan->policy.views && one_in(&state, 2);
    if (one_in(&state, 3) && plan->kind <= CALLS && !policy->two_names)
        draw_for_roamers(plan, &state);
    else if (policy->two_names && plan->slots == 1 && plan->survivors == 1 && one_in(&state, 2)) {
        policy->crossed = true;
        plan->eager = false;
    }
}

/* ---- All ---- */

void plan_make(struct plan *plan, uint64_t seed, uint64_t round, const struct filter *filter)
{
    uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) + round * UINT64_C(0xd1342543de82ef95);
    static const int64_t spins[] = {-2, -2, 0, 3000};
    const struct pair *pair;

    random_next(&state);
    *plan = (struct plan){.seed = seed, .round = round};
    pair = filter->pair ? filter->pair : pair_at(draw(&state, pair_count()));
    plan->pipe = (struct pipe){pair, draw(&state, 2)};
    plan->kind = draw_kind(&state, pair);
    if (filter->kind >= 0)
        plan->kind = (enum kind)filter->kind;
    if (plan->kind == CALLS && !pair->turns)
        plan->kind = SENDERS;
    if (plan->kind == RECEIVERS && pair->turns)
        plan->kind = CALLS;
    plan->left_dies = plan->kind == SENDERS || (plan->kind == CALLS && (pair->left == SHM_DEALER || draw(&state, 2)));
    draw_crew(plan, &state);
    plan->victims = draw(&state, 64) == 0 ? 150 : 4 + draw(&state, 20);
    plan->messages = draw(&state, 2) ? 1 + draw(&state, 4) : 1 + draw(&state, 60);
    plan->size_max = draw(&state, 16) == 0 ? 60000 : draw(&state, 4) == 0 ? 3000 : draw(&state, 2) ? 400 : 90;
    plan->hwm = draw(&state, 3) == 0 ? 0 : draw(&state, 2) ? 32 : 4;
    plan->spin_ns = spins[draw(&state, 4)];
    plan->waiting = (enum waiting)draw(&state, 4);
    plan->pace_us = draw(&state, 2) ? 0 : 20;
    plan->eager = draw(&state, 2);
    plan->policy.views = draw(&state, 2);
    plan->stops = draw(&state, 4) == 0;
    plan->heirs = draw(&state, 4) == 0;
    plan->full = draw(&state, 12) == 0 && filter->full && plan->kind <= RECEIVERS;
    if (plan->kind == RECEIVERS)
        plan->survivors = 1;
    if (plan->kind == TRUNCATE || plan->kind == UNLINK)
        plan->slots = plan->survivors = 1, plan->victims = 4, plan->policy.views = draw(&state, 2);
    if (plan->kind == CHURN)
        plan->slots = 2 + draw(&state, 3);
    plan->policy.parts = 1;
    plan->policy.once = !plan->policy.views; /* what comes again is told by views only */
    if (!filter->plain)
        policy_draw(plan, filter->keys);
}
