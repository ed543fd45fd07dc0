/* SPDX-License-Identifier: MIT */
/* What a plan says, of a round and of each of its victims. */
#include "round.h"

static const char *const kinds[KINDS] = {"senders", "receivers", "calls", "churn", "truncate", "unlink"};

const char *kind_name(enum kind kind)
{
    return kinds[kind];
}

bool plan_keeps_queue(const struct plan *plan)
{
    const struct pair *pair = plan->pipe.pair;

    return pair->left == SHM_PUSH || (plan->pipe.right_binds && !pair_fans_out(pair));
}

bool plan_keeps_newest(const struct plan *plan)
{
    return plan->policy.lossy || plan->policy.conflate;
}

struct doom plan_doom(const struct plan *plan, unsigned actor)
{
    uint64_t state = plan->seed * UINT64_C(0xda942042e4dd58b5) + plan->round * 1024 + actor;
    unsigned k = (unsigned)(random_next(&state) % (plan->settled ? 92 : 100));
    struct doom doom = {.phase = k < 12   ? AT_START
                                 : k < 30 ? WHEN_MET
                                 : k < 78 ? AFTER_FIRST
                                 : k < 92 ? AFTER_SOME
                                          : NEVER};
    static const uint32_t limits_ns[NEVER + 1] = {1500000, 500000, 300000, 1000000, 1};

    if (plan->kind == CHURN)
        doom.phase = k < 90 ? AT_START : WHEN_MET;
    else if (plan->settled && doom.phase == AT_START)
        doom.phase = WHEN_MET;
    doom.delay_ns = (uint32_t)(random_next(&state) % limits_ns[doom.phase]) + 1;
    doom.some = 1 + (unsigned)(random_next(&state) % plan->messages);
    doom.leaves_heir = plan->heirs && random_next(&state) % 4 == 0;
    return doom;
}

static void policy_print(const struct policy *policy, int fd)
{
    dprintf(fd, "    policies: %u parts%s%s%s%s%s%s%s%s%s%s%s%s\n", policy->parts,
            policy->key == 0   ? ""
            : policy->key == 1 ? ", key"
                               : ", key and seal",
            policy->loans ? ", loans" : "", policy->lossy ? ", not lossless" : "", policy->conflate ? ", conflate" : "",
            policy->history ? ", history" : "", policy->round_robin ? ", round robin" : "",
            policy->resend ? ", resend" : "", policy->two_names ? ", two names" : "", policy->roams ? ", roams" : "",
            policy->detaches ? ", detaches" : "", policy->holds ? ", holds" : "", policy->crossed ? ", crossed" : "");
}

void plan_print(const struct plan *plan, int fd)
{
    static const char *const ways[] = {"yield", "blocking", "SHM_FD", "shm_poll"};

    dprintf(fd,
            "seed %llu round %llu: %s, %s, %s binds; %u victims, %u at a time, %u survivors; "
            "%u messages up to %u bytes, mark %d, spin %lld, wait by %s, pace %u us%s%s%s%s%s%s\n",
            (unsigned long long)plan->seed, (unsigned long long)plan->round, kinds[plan->kind], plan->pipe.pair->name,
            plan->pipe.right_binds ? "right" : "left", plan->victims, plan->slots, plan->survivors, plan->messages,
            plan->size_max, plan->hwm, (long long)plan->spin_ns, ways[plan->waiting], plan->pace_us,
            plan->kind == CALLS ? (plan->left_dies ? ", clients die" : ", servers die") : "",
            plan->eager ? ", eager" : "", plan->policy.views ? ", by view" : "", plan->stops ? ", stops" : "",
            plan->heirs ? ", heirs" : "", plan->full ? ", full" : "");
    policy_print(&plan->policy, fd);
}
