/* SPDX-License-Identifier: MIT */
/*
 * What the sockets were asked for beyond what they do by themselves, and what is promised then.
 *
 *   conflate       only the newest of each sender need arrive
 *   lossless       subscribers miss nothing
 *   history        newcomers get again what others got before them
 *   resend         a request is not lost with its server, but may be served twice
 *   no redelivery  what a dead puller had in hand never comes again
 *   turns          each puller has a queue of its own: it goes with it, as that of a PAIR
 *   keyed, sealed  as ever; nobody is called untrustworthy
 */
#include "crash.h"

const char *const policy_names[POLICIES] = {"plain",         "conflate", "lossless", "history", "resend",
                                            "no redelivery", "turns",    "keyed",    "sealed"};

bool publishes(const struct scenario *s)
{
    return pair_fans_out(s->pair);
}

/* Only between DEALER and ROUTER a message has one part. */
static bool may_conflate(const struct scenario *s)
{
    return s->state->parts <= 1 && !s->state->lapped &&
           (s->pair->left == SHM_PUB || s->pair->left == SHM_PUSH ||
            (s->pair->left == SHM_DEALER && s->pair->right == SHM_ROUTER));
}

bool policy_fits(const struct scenario *s)
{
    bool adopts = s->operation == &operations[OP_ADOPT];

    switch (s->policy) {
    case CONFLATE:
        return may_conflate(s) && !adopts;
    case LOSSLESS:
        return publishes(s) && !s->state->lapped;
    case HISTORY:
        return publishes(s);
    case RESEND:
        return s->pair->left == SHM_REQ;
    case NO_REDELIVERY:
        return s->pair->left == SHM_PUSH;
    case TURNS:
        return s->pair->left == SHM_PUSH && !adopts;
    default:
        return true;
    }
}

struct policy policy_of(const struct scenario *s)
{
    static const struct policy policies[POLICIES] = {
        [PLAIN] = {.lossy = true},
        [CONFLATE] = {.conflate = CONFLATE_BOTH},
        [LOSSLESS] = {.lossy = false},
        [HISTORY] = {.lossy = true, .history = 4},
        [RESEND] = {.resend = true},
        [NO_REDELIVERY] = {.once = true},
        [TURNS] = {.round_robin = true},
        [KEYED] = {.lossy = true, .key = KEY_AUTHENTICATED},
        [SEALED] = {.lossy = true, .key = KEY_SEALED},
    };
    struct policy policy = policies[s->policy];

    policy.parts = s->state->parts ? s->state->parts : 1;
    policy.holds = true;
    return policy;
}

size_t message_size(const struct scenario *s)
{
    return s->state->size + (s->state->parts > 1 ? 1200 : 0);
}

/* Does another receiver get what this one leaves? */
bool keeps_queue(const struct scenario *s)
{
    if (publishes(s) || s->policy == CONFLATE)
        return false;
    return (s->pair->left == SHM_PUSH && s->policy != TURNS) || s->right_binds || s->policy == RESEND;
}

/* How many can be sent before one is received. */
int batch_of(const struct scenario *s)
{
    if (ends_have_turns(s) || s->policy == CONFLATE)
        return 1;
    return publishes(s) ? 4 : 8;
}

void policy_expect(const struct scenario *s, struct ledger *ledger)
{
    ledger->lapses = publishes(s) && s->policy != LOSSLESS;
    ledger->conflates = s->policy == CONFLATE;
    ledger->repeats = s->policy == HISTORY || s->policy == RESEND;
    ledger->never_again = s->policy == NO_REDELIVERY;
}
