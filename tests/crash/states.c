/* SPDX-License-Identifier: MIT */
/* Where a run starts: the table, and the setup that brings the actors there. */
#include "crash.h"

const struct state states[] = {
    {.name = "fresh", .size = 40},
    {.name = "one queued", .size = 40, .passed = 1, .queued = 1},
    {.name = "half full", .size = 112, .passed = 2, .queued = 4},
    {.name = "one before full", .size = 40, .passed = 3, .queued = 7},
    {.name = "full", .size = 40, .passed = 3, .queued = FULL},
    {.name = "at the lap", .size = 40, .passed = 7},
    {.name = "just round", .size = 40, .laps = 1},
    {.name = "wrapped", .size = 64, .laps = 1, .passed = 2, .queued = 3},
    {.name = "wrapped, full", .size = 40, .laps = 3, .passed = 3, .queued = FULL},
    {.name = "fast", .size = 40, .laps = 1, .passed = 5, .queued = 1, .fast = true},
    {.name = "fast, full", .size = 40, .laps = 1, .passed = 5, .queued = FULL, .fast = true},
    {.name = "fast, empty", .size = 100, .passed = 5, .fast = true},
    {.name = "ticket 2^31", .size = 40, .first = (UINT64_C(1) << 31) - 4, .passed = 2, .queued = 1},
    {.name = "ticket 2^32", .size = 40, .first = (UINT64_C(1) << 32) - 4, .passed = 2, .queued = 1},
    {.name = "ticket 2^46", .size = 40, .first = (UINT64_C(1) << 46) - 4, .passed = 2, .queued = 1},
    {.name = "ticket 2^46, full",
     .size = 40,
     .first = (UINT64_C(1) << 46) - 5,
     .passed = 1,
     .queued = FULL,
     .fast = true},
    {.name = "ticket 2^62", .size = 40, .first = (UINT64_C(1) << 62) - 4, .passed = 2, .queued = 1},
    {.name = "blocks", .size = 300, .passed = 1, .queued = 2},
    {.name = "blocks, wrapped", .size = 300, .laps = 1, .passed = 3, .queued = 2},
    {.name = "blocks, full", .size = 300, .passed = 9, .queued = FULL},
    {.name = "protected", .size = 300, .passed = 2, .queued = 2, .protected = true},
    {.name = "protected, full", .size = 300, .passed = 2, .queued = FULL, .protected = true},
    {.name = "grown arena", .size = 300, .passed = 2, .queued = 1, .grown = true},
    {.name = "three parts", .size = 40, .parts = 3, .passed = 1, .queued = 1},
    {.name = "memory's edge", .size = 40, .mark = 100, .passed = 30, .queued = 0},
    {.name = "parked peer", .size = 40, .passed = 2, .parked = true},
    {.name = "watching peer", .size = 40, .passed = 2, .watched = true},
    {.name = "lapped", .size = 40, .passed = 2, .queued = 25, .lapped = true},
    {.name = "lapped, blocks", .size = 300, .passed = 2, .queued = 25, .lapped = true},
    {.name = "begun", .size = 40, .parts = 3, .passed = 2, .begun = true},
    {.name = "begun, blocks", .size = 300, .parts = 3, .passed = 9, .begun = true},
    {.name = "half read", .size = 40, .parts = 3, .passed = 1, .queued = 2, .half = true},
    {.name = "half read, blocks", .size = 1200, .parts = 3, .passed = 9, .queued = 2, .half = true},
    {.name = "nobody there", .size = 40, .queued = 3, .alone = true},
    {.name = "beside a dead one", .size = 40, .passed = 2, .queued = 2, .ghost = true},
    {.name = "at two names", .size = 40, .passed = 2, .queued = 2, .elsewhere = true},
};
const size_t state_count = COUNT_OF(states);

bool state_fits(const struct scenario *s)
{
    const struct state *state = s->state;
    enum operation_id op = (enum operation_id)(s->operation - operations);

    if (state->lapped && !publishes(s))
        return false;
    if (state->half && op == OP_RELEASE) /* what is held before is another */
        return false;
    if (state->parked) /* the peer sleeps until it receives: nothing else can be asked of it */
        return op == OP_SEND || op == OP_SEND_LOAN || (op == OP_CLOSE && s->victim_is_left);
    if (state->alone) /* nobody is bound, so the left end queues */
        return s->victim_is_left && s->right_binds && !publishes(s) && s->pair->left != SHM_ROUTER &&
               (op == OP_SEND || op == OP_SEND_LOAN || op == OP_LOAN || op == OP_CLOSE || op == OP_DETACH);
    if (state->ghost) /* a second peer of a PAIR is turned away, a second receiver takes its share */
        return s->right_binds ? publishes(s) || s->pair->left == SHM_PUSH : publishes(s);
    return true;
}

/* Make the two look, in turn, until each counts the other. */
void meet(enum who a, enum who b)
{
    for (int i = 0; i < 200; i++) {
        int64_t of_a = tell(a, V_LOOK, 0), of_b = tell(b, V_LOOK, 0);
        if (of_a > 0 && of_b > 0)
            return;
    }
    FAIL("%s and %s do not meet", actor_name(a), actor_name(b));
}

/* One message at a time, or a few, through both ends. */
void pass(enum who left, enum who right, int count, int batch)
{
    while (count > 0) {
        int n = count < batch ? count : batch;
        CHECK_INT(tell(left, V_SEND, n), n);
        CHECK_INT(tell(right, V_RECEIVE, n), n);
        tell(left, V_TURN, 0);
        count -= n;
    }
}

static void traffic(struct run *run, enum who left, enum who right)
{
    const struct state *state = run->scenario.state;
    int mark = state->mark ? state->mark : 8;
    int queued = state->queued;

    run->slots = (int)tell(left, V_SLOTS, 0);
    pass(left, right, state->laps * run->slots + state->passed, batch_of(&run->scenario));
    if (state->grown) {
        CHECK_INT(tell(left, V_GROW, 0), 1);
        if (run->scenario.pair->two_way)
            CHECK_INT(tell(right, V_GROW, 0), 1);
    }
    if (state->protected) {
        CHECK_INT(tell(left, V_SEND, 1), 1);
        CHECK_INT(tell(right, V_HOLD, 0), 1);
        tell(left, V_TURN, 0);
    }
    if (queued == FULL)
        queued = run->ledger->lapses ? mark : 4 * mark;
    if (queued > 0)
        tell(left, V_SEND, queued);
    if (state->half)
        tell(right, V_HALF, 0);
    if (state->begun)
        tell(left, V_BEGIN, 0);
}

static void start(struct run *run, enum who who, bool is_left)
{
    actor_start(who, &run->scenario, run->ledger, is_left,
                who == VICTIM || (who == PEER && (run->mode == MODE_KILL_PEER || run->mode == MODE_FREEZE_BOTH)));
    tell(who, V_OPEN, 0);
}

/* Both open, the binder binds, the connector connects, they meet. */
static void start_both(struct run *run, enum who left, enum who right)
{
    enum who binder = run->scenario.right_binds ? right : left;
    enum who connector = run->scenario.right_binds ? left : right;

    if (!actor_lives(left))
        start(run, left, true);
    if (!actor_lives(right))
        start(run, right, false);
    tell(binder, V_ATTACH, 0);
    tell(connector, V_ATTACH, 0);
    meet(left, right);
}

/* Somebody connected at this name and died. */
static void leave_ghost(struct run *run)
{
    bool is_left = run->scenario.right_binds;
    enum who bound = is_left ? run->right : run->left;

    start(run, GHOST, is_left);
    tell(GHOST, V_ATTACH, 0);
    tell(bound, V_LOOK, 0);
    tell(GHOST, V_LOOK, 0);
    actor_kill(GHOST);
}

/* FORMER has been here, in the victim's place, and goes: in order or not. */
static void former_leaves(struct run *run, enum who former)
{
    struct ledger *ledger = run->ledger;
    bool was_left = run->left == former;

    if (run->scenario.operation->former_dies) {
        actor_kill(former);
    } else {
        tell(former, V_RELEASE, 0);
        tell(former, V_CLOSE, 0);
        actor_end(former);
    }
    if (!was_left && !keeps_queue(&run->scenario))
        ledger->from[run->left].may_lack = ledger->from[run->left].acked;
}

static void setup_alone(struct run *run)
{
    start(run, VICTIM, true);
    run->left = VICTIM;
    run->right = ACTORS;
    tell(VICTIM, V_ATTACH, 0);
    tell(VICTIM, V_SEND, run->scenario.state->queued);
    run->slots = (int)tell(VICTIM, V_SLOTS, 0);
}

/* The victim comes where FORMER was, or is about to. */
static void setup_comer(struct run *run)
{
    const struct scenario *s = &run->scenario;
    enum who *place = s->victim_is_left ? &run->left : &run->right;
    bool binds = s->victim_is_left != s->right_binds;

    *place = FORMER;
    start_both(run, run->left, run->right);
    traffic(run, run->left, run->right);
    former_leaves(run, FORMER);
    if (s->operation != &operations[OP_TAKEOVER]) /* there it finds all that the dead one left */
        tell(PEER, V_LOOK, 0);
    if (!s->victim_is_left && s->state->queued > 0)
        tell(PEER, V_SEND, 2);
    if (!s->victim_is_left && !keeps_queue(s))
        run->ledger->from[PEER].may_lack = run->ledger->from[PEER].acked;
    start(run, VICTIM, s->victim_is_left);
    *place = VICTIM;
    if (s->operation != &operations[OP_MEET])
        return;
    tell(VICTIM, V_ATTACH, 0);
    if (!binds)
        tell(PEER, V_LOOK, 0);
}

/* The victim's peer dies, and it is the victim who finds what that one left. */
static void setup_witness(struct run *run)
{
    const struct scenario *s = &run->scenario;

    run->left = s->victim_is_left ? VICTIM : FORMER;
    run->right = s->victim_is_left ? FORMER : VICTIM;
    start_both(run, run->left, run->right);
    traffic(run, run->left, run->right);
    actor_kill(FORMER);
    if (s->victim_is_left) {
        if (!keeps_queue(s))
            run->ledger->from[VICTIM].may_lack = run->ledger->from[VICTIM].acked;
        run->right = ACTORS;
    } else {
        run->left = ACTORS;
    }
    run->met = false;
}

/* PULLs share: FORMER dies with messages in hand, the victim has come and takes them over. */
static void setup_adopter(struct run *run)
{
    run->right = FORMER;
    start_both(run, PEER, FORMER);
    traffic(run, PEER, FORMER);
    CHECK_INT(tell(PEER, V_SEND, 2) >= 0, 1);
    if (!run->scenario.state->half)
        CHECK_INT(tell(FORMER, V_HOLD, 0), 1);
    start(run, VICTIM, false);
    run->right = VICTIM;
    if (!run->scenario.right_binds) {
        tell(VICTIM, V_ATTACH, 0);
        meet(PEER, VICTIM);
        actor_kill(FORMER);
    } else { /* one name has one binder */
        actor_kill(FORMER);
        tell(PEER, V_CHECK, 0);
        tell(VICTIM, V_ATTACH, 0);
        meet(PEER, VICTIM);
    }
}

void setup(struct run *run)
{
    const struct scenario *s = &run->scenario;

    policy_expect(s, run->ledger);
    run->left = s->victim_is_left ? VICTIM : PEER;
    run->right = s->victim_is_left ? PEER : VICTIM;
    run->met = true;
    if (s->state->alone)
        return setup_alone(run);
    if (s->operation == &operations[OP_ADOPT])
        return setup_adopter(run);
    if (s->operation == &operations[OP_NOTICE] || s->operation == &operations[OP_REAP])
        return setup_witness(run);
    if (s->operation->comes) {
        run->met = false;
        return setup_comer(run);
    }
    start_both(run, run->left, run->right);
    if (s->state->ghost)
        leave_ghost(run);
    traffic(run, run->left, run->right);
    if (s->operation == &operations[OP_RELEASE] && !s->state->protected)
        run->record->skipped = tell(VICTIM, V_HOLD, 0) == 0;
    if (s->state->watched)
        tell(PEER, V_WATCH, 0);
    if (s->state->parked) {
        tell_only(PEER, V_PARK, 0);
        actor_await_asleep(PEER);
    }
}
