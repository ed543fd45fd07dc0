/* SPDX-License-Identifier: MIT */
/* What a round is: drawn from the seed and the round's number, and from nothing else. */
#include "storm.h"

static const char *const kinds[KINDS] = {"senders", "receivers", "calls", "churn", "truncate", "unlink"};

const char *kind_name(enum kind kind)
{
    return kinds[kind];
}

bool plan_fans_out(const struct plan *plan)
{
    int left = plan->pipe.pair->left;

    return left == SHM_PUB || left == SHM_XPUB;
}

bool plan_keeps_queue(const struct plan *plan)
{
    return plan->pipe.pair->left == SHM_PUSH || (plan->pipe.right_binds && !plan_fans_out(plan));
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
    bool shares = pair->left == SHM_PUSH || plan_fans_out(plan) || plan->kind == CALLS;

    plan->slots = plan->survivors = 1;
    if (has_one_peer(pair))
        return;
    if (victims_bind)
        plan->survivors = shares ? some : 1; /* a sender takes turns among its readers otherwise */
    else if (plan->kind != RECEIVERS || shares)
        plan->slots = some;
}

void plan_make(struct plan *plan, uint64_t seed, uint64_t round, const struct filter *filter)
{
    uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) + round * UINT64_C(0xd1342543de82ef95);
    static const int64_t spins[] = {-2, -2, 0, 3000};
    unsigned count;

    random_next(&state);
    *plan = (struct plan){.seed = seed, .round = round};
    pair_at(0, &count);
    plan->pair = filter->pair >= 0 ? (unsigned)filter->pair : draw(&state, count);
    plan->pipe = (struct pipe){pair_at(plan->pair, &count), draw(&state, 2)};
    plan->kind = draw_kind(&state, plan->pipe.pair);
    if (filter->kind >= 0)
        plan->kind = (enum kind)filter->kind;
    if (plan->kind == CALLS && !plan->pipe.pair->turns)
        plan->kind = SENDERS;
    if (plan->kind == RECEIVERS && plan->pipe.pair->turns)
        plan->kind = CALLS;
    plan->left_dies = plan->kind == SENDERS ||
                      (plan->kind == CALLS && (plan->pipe.pair->left == SHM_DEALER || draw(&state, 2)));
    draw_crew(plan, &state);
    plan->victims = draw(&state, 64) == 0 ? 150 : 4 + draw(&state, 20);
    plan->messages = draw(&state, 2) ? 1 + draw(&state, 4) : 1 + draw(&state, 60);
    plan->size_max = draw(&state, 16) == 0 ? 60000 : draw(&state, 4) == 0 ? 3000 : draw(&state, 2) ? 400 : 90;
    plan->hwm = draw(&state, 3) == 0 ? 0 : draw(&state, 2) ? 32 : 4;
    plan->spin_ns = spins[draw(&state, 4)];
    plan->waiting = (enum waiting)draw(&state, 4);
    plan->pace_us = draw(&state, 2) ? 0 : 20;
    plan->eager = draw(&state, 2);
    plan->by_view = draw(&state, 2);
    plan->stops = draw(&state, 4) == 0;
    plan->heirs = draw(&state, 4) == 0;
    plan->full = draw(&state, 12) == 0 && filter->full && plan->kind <= RECEIVERS;
    if (plan->kind == RECEIVERS)
        plan->survivors = 1;
    if (plan->kind == TRUNCATE || plan->kind == UNLINK)
        plan->slots = plan->survivors = 1, plan->victims = 4, plan->by_view = draw(&state, 2);
    if (plan->kind == CHURN)
        plan->slots = 2 + draw(&state, 3);
    plan->policy.parts = 1;
    if (!filter->plain)
        policy_draw(plan, filter->keys);
}

struct doom plan_doom(const struct plan *plan, unsigned actor)
{
    uint64_t state = plan->seed * UINT64_C(0xda942042e4dd58b5) + plan->round * 1024 + actor;
    unsigned k = (unsigned)(random_next(&state) % 100);
    struct doom doom = {.phase = k < 12 ? AT_START : k < 30 ? WHEN_MET : k < 78 ? AFTER_FIRST
                                 : k < 92 ? AFTER_SOME : NEVER};
    static const uint32_t limits_ns[NEVER + 1] = {1500000, 500000, 300000, 1000000, 1};

    if (plan->kind == CHURN)
        doom.phase = k < 90 ? AT_START : WHEN_MET;
    doom.delay_ns = (uint32_t)(random_next(&state) % limits_ns[doom.phase]) + 1;
    doom.some = 1 + draw(&state, plan->messages);
    doom.leaves_heir = plan->heirs && draw(&state, 4) == 0;
    return doom;
}

void plan_print(const struct plan *plan, int fd)
{
    static const char *const ways[] = {"yield", "blocking", "SHM_FD", "shm_poll"};

    dprintf(fd, "seed %llu round %llu: %s, %s, %s binds; %u victims, %u at a time, %u survivors; "
                "%u messages up to %u bytes, mark %d, spin %lld, wait by %s, pace %u us%s%s%s%s%s%s\n",
            (unsigned long long)plan->seed, (unsigned long long)plan->round, kinds[plan->kind],
            plan->pipe.pair->name, plan->pipe.right_binds ? "right" : "left", plan->victims,
            plan->slots, plan->survivors, plan->messages, plan->size_max, plan->hwm,
            (long long)plan->spin_ns, ways[plan->waiting], plan->pace_us,
            plan->kind == CALLS ? (plan->left_dies ? ", clients die" : ", servers die") : "",
            plan->eager ? ", eager" : "", plan->by_view ? ", by view" : "",
            plan->stops ? ", stops" : "", plan->heirs ? ", heirs" : "", plan->full ? ", full" : "");
    policy_print(&plan->policy, fd);
}
