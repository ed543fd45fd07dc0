/* SPDX-License-Identifier: MIT */
/*
 * A second fault. The victim meets the first at one of its kill points; then another is stepped
 * through what it does about it (V_SECOND: come, unless it is there; look who lives; send or
 * receive one message), and has kill points of its own, found by recording it with the victim in
 * that state.
 *
 *   kill-peer    the victim killed, then its peer, who was about to repair: both ends are new
 *   kill-next    the victim killed, then who comes in its place and takes over what it left; before
 * every second one of them the peer has looked, and found the death first freeze-both  the victim
 * stopped, its peer stopped at its work; the victim goes on, then the peer
 */
#include "crash.h"

bool second_fits(const struct scenario *s, enum mode mode)
{
    bool pulls = s->pair->left == SHM_PUSH && s->policy != TURNS && s->policy != CONFLATE;

    if (s->state->parked || s->state->alone || s->state->ghost)
        return false;
    if (s->operation == &operations[OP_NOTICE] || s->operation == &operations[OP_REAP])
        return false; /* without a peer */
    /* FORMER's death is the first fault already, and the victim's the second. */
    return mode == MODE_FREEZE_BOTH || s->operation != &operations[OP_ADOPT] || pulls;
}

/* Step it to its kill point, or through all of them. */
static void go(struct run *run, enum who who)
{
    tell_only(who, V_SECOND, 0);
    trace_begin(actor_pid(who));
    if (run->records_second)
        record_all(run->record);
    else
        step_to(&run->second);
}

/* It may have received the next one that nobody noted, or the one after, which the victim had left.
 */
static void expect_second(struct ledger *ledger)
{
    for (int from = 0; from < ACTORS; from++) {
        uint64_t hand = ledger->from[from].in_hand;

        ledger->from[from].second_hand = hand ? hand + 1 : next_of(ledger, (enum who)from);
    }
}

static enum who start_next(struct run *run)
{
    bool is_left = run->scenario.victim_is_left;

    if (run->first.step % 2 == 1 && actor_lives(PEER))
        tell(PEER, V_CHECK, 0);
    actor_start(SECOND, &run->scenario, run->ledger, is_left, true);
    tell(SECOND, V_OPEN, 0);
    if (is_left)
        run->left = SECOND;
    else
        run->right = SECOND;
    return SECOND;
}

void second_kill(struct run *run)
{
    enum who who = run->mode == MODE_KILL_PEER ? PEER : start_next(run);

    if (run->right == who)
        expect_second(run->ledger);
    run->met = who == PEER && run->met;
    go(run, who);
    if (run->records_second) {
        trace_finish();
        hear(who);
        if (run->left == who && !keeps_queue(&run->scenario)) /* it has met nobody yet */
            run->ledger->from[who].may_lack = run->ledger->from[who].acked;
    } else {
        kill_one(run, who);
    }
}

/* Both stand; they go on in second_go_on(), once the victim has finished. */
void second_freeze(struct run *run)
{
    go(run, PEER);
    trace_turn_to(actor_pid(VICTIM));
}

void second_go_on(struct run *run)
{
    if (run->mode != MODE_FREEZE_BOTH)
        return;
    trace_turn_to(actor_pid(PEER));
    trace_finish();
    hear(PEER);
    if (run->left == PEER && !run->met && !keeps_queue(&run->scenario))
        run->ledger->from[PEER].may_lack = run->ledger->from[PEER].acked;
}
