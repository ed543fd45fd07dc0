/* SPDX-License-Identifier: MIT */
/*
 * One run: set up, step the victim, then the fault of the mode.
 *
 *   record   to the end, noting each instruction after which the image is another
 *   kill     SIGKILL after `at` steps
 *   freeze   stop there, let the peer do all it can, go on
 *   close    stop there, let the peer leave in order, go on
 *   join     stop there, somebody comes into the place that the victim is leaving, go on
 *   replace  stop there, the peer leaves, somebody comes in its place, go on
 *   count    to the end, only counting
 */
#include "crash.h"

#include <sched.h>
#include <signal.h>

/* How often each place was come to. */
static uint32_t visit(uint64_t place)
{
    static struct {
        uint64_t place;
        uint32_t times;
    } seen[1 << 16];
    uint64_t i = (place * 0x9e3779b97f4a7c15u) >> 48;

    while (seen[i].place != 0 && seen[i].place != place)
        i = (i + 1) % COUNT_OF(seen);
    seen[i].place = place;
    return seen[i].times++;
}

static void note(struct record *record, uint64_t step, uint32_t visits)
{
    CHECK(record->count < COUNT_OF(record->points));
    record->points[record->count++] = (struct point){step, trace_place(), visits};
}

static void note_look(struct record *record, uint32_t visits)
{
    if (trace_at_access() && record->look_count < COUNT_OF(record->looks))
        record->looks[record->look_count++] = (struct point){record->instructions, trace_place(), visits};
}

/* Images that were seen before count once. */
static bool is_new(uint64_t hash)
{
    static uint64_t seen[1 << 16];
    uint64_t i = hash >> 48;

    while (seen[i] != 0 && seen[i] != hash)
        i = (i + 1) % COUNT_OF(seen);
    if (seen[i] == hash)
        return false;
    seen[i] = hash;
    return true;
}

void record_all(struct record *record)
{
    const char *directory = getenv("SHMQ_DIR");
    uint64_t hash;

    image_scan(directory);
    trace_scan(directory);
    hash = image_hash();
    record->images = is_new(hash);
    note(record, 0, visit(trace_place()));
    for (; !trace_at_end();) {
        bool calls = trace_at_syscall();
        uint64_t before = hash, from = trace_place();
        uint32_t visits = UINT32_MAX;

        trace_step();
        if (trace_place() != from) /* else a repeated string instruction, within which no breakpoint leads */
            visits = visit(trace_place());
        record->instructions++;
        if (calls) {
            image_scan(directory);
            trace_scan(directory);
        }
        hash = image_hash();
        if (hash != before || calls)
            note(record, record->instructions, visits);
        else if (visits != UINT32_MAX)
            note_look(record, visits);
        record->images += hash != before && is_new(hash);
    }
}

/* An operation that is stepped twice takes the same way; most runs need not step all of it. */
void step_to(const struct point *point)
{
    if (point->place != 0 && point->visits != UINT32_MAX) {
        trace_go(point->place, point->visits);
        return;
    }
    for (uint64_t i = 0; i < point->step; i++) {
        if (trace_at_end())
            does_not_repeat();
        trace_step();
    }
    if (point->place != 0 && trace_place() != point->place)
        does_not_repeat();
}

static void count_all(struct record *record)
{
    for (record->instructions = 0; !trace_at_end(); record->instructions++)
        trace_step();
}

/* ---- faults ---- */

bool leaves(const struct scenario *s)
{
    enum operation_id op = (enum operation_id)(s->operation - operations);

    return op == OP_CLOSE || op == OP_REAP || op == OP_DETACH;
}

static void forget(struct run *run, enum who who)
{
    if (run->left == who)
        run->left = ACTORS;
    if (run->right == who)
        run->right = ACTORS;
}

/* Nobody had seen its messages, but its peer finds them: in the place of a connector, by the answer
 * of a binder. (A dead one proves nothing to one with a key.) */
static bool is_found(const struct run *run, enum who who)
{
    const struct scenario *s = &run->scenario;

    return who == SECOND && actor_lives(PEER) && s->policy < KEYED && s->policy != CONFLATE && !publishes(s);
}

/* Who leaves takes with it what it has not read, but what the next at its place will read. */
static void lose_what_goes(struct run *run, enum who who)
{
    struct ledger *ledger = run->ledger;

    if (run->right == who && run->left != ACTORS && !keeps_queue(&run->scenario))
        ledger->from[run->left].may_lack = ledger->from[run->left].acked;
    if (run->left == who && (!run->met || run->right == ACTORS) && !is_found(run, who))
        ledger->from[who].may_lack = ledger->from[who].called;
}

void kill_one(struct run *run, enum who who)
{
    actor_kill(who);
    await_parked(run);
    lose_what_goes(run, who);
    forget(run, who);
}

/* A sleeper has had its chance: a slice, at the end of which it must have looked. */
void await_parked(struct run *run)
{
    int64_t start = now_ms();

    if (!run->scenario.state->parked)
        return;
    if (hear(PEER) == 1 && now_ms() - start > 250)
        does_not_repeat(); /* late three times in a row, and it is counted */
}

/* A further puller takes whole laps of the ring while the victim has, or had, one of its messages.
 */
static void pull_laps(struct run *run)
{
    const struct scenario *s = &run->scenario;

    if (s->pair->left != SHM_PUSH || s->right_binds || s->victim_is_left || s->state->ghost)
        return;
    if (s->policy == TURNS || s->policy == CONFLATE) /* a queue for each */
        return;
    run->ledger->shares = true;
    actor_start(GHOST, s, run->ledger, false, false);
    tell(GHOST, V_OPEN, 0);
    tell(GHOST, V_ATTACH, 0);
    for (int i = 0; i < 4; i++) {
        tell(PEER, V_LOOK, 0);
        tell(GHOST, V_LOOK, 0);
    }
    tell(GHOST, V_RECEIVE, 1 << 20);
    pass(PEER, GHOST, run->slots + 8, 4); /* a held message costs the ring a slot */
    tell(GHOST, V_CLOSE, 0);
    actor_end(GHOST);
    tell(PEER, V_LOOK, 0);
}

/* All that the peer can do while the victim is frozen, without waiting for it. */
static void peer_works(struct run *run)
{
    enum who peer = PEER;

    if (!actor_lives(peer) || run->scenario.state->parked)
        return;
    tell(peer, V_LOOK, 0);
    if (run->left == peer) {
        tell(peer, V_TURN, 0);
        pull_laps(run);
        tell(peer, V_SEND, run->ledger->lapses ? run->slots + 3 : 4); /* round a subscriber */
        if (!run->met && !keeps_queue(&run->scenario))
            run->ledger->from[peer].may_lack = run->ledger->from[peer].acked;
    } else {
        tell(peer, V_RECEIVE, 1 << 20);
    }
    tell(peer, V_LOOK, 0);
}

static void peer_leaves(struct run *run)
{
    if (!actor_lives(PEER) || run->scenario.state->parked)
        return;
    tell(PEER, V_RELEASE, 0);
    tell(PEER, V_CLOSE, 0);
    actor_end(PEER);
    lose_what_goes(run, PEER);
    forget(run, PEER);
}

/* Both look, and one message or a few go where they can; nobody waits. */
static void newcomer_works(struct run *run, enum who who, enum who other)
{
    bool is_left = who == NEXT_LEFT;
    enum who left = is_left ? who : other, right = is_left ? other : who;

    for (int i = 0; i < 4; i++) {
        tell(who, V_LOOK, 0);
        if (actor_lives(other) && other != VICTIM)
            tell(other, V_LOOK, 0);
    }
    if (actor_lives(left) && left != VICTIM) {
        tell(left, V_TURN, 0);
        tell(left, V_SEND, 3);
        if (publishes(&run->scenario)) /* to whom it has met */
            run->ledger->from[left].may_lack = run->ledger->from[left].acked;
    }
    if (actor_lives(right) && right != VICTIM)
        tell(right, V_RECEIVE, 1 << 20);
    tell(who, V_LOOK, 0);
}

/* By SHM_ROUTER_HANDOVER. */
static bool takes_name(const struct scenario *s)
{
    return s->pair->left == SHM_ROUTER && s->victim_is_left;
}

static void newcomer_joins(struct run *run)
{
    enum who who = open_newcomer(run, run->scenario.victim_is_left);

    run->came = true;
    run->waits = tell(who, V_TRY, 0) != 0;
    if (!run->scenario.state->parked)
        newcomer_works(run, who, PEER);
    if (takes_name(&run->scenario)) /* the former owner is not heard any more */
        run->ledger->from[VICTIM].may_lack = run->ledger->from[VICTIM].acked;
}

static void peer_is_replaced(struct run *run)
{
    enum who who;

    if (!actor_lives(PEER) || run->scenario.state->parked)
        return;
    peer_leaves(run);
    who = open_newcomer(run, !run->scenario.victim_is_left);
    run->came = true;
    run->met = false;
    run->waits = tell(who, V_TRY, 0) != 0;
    *(who == NEXT_LEFT ? &run->left : &run->right) = who;
    newcomer_works(run, who, VICTIM);
}

/* Once the victim has gone, nothing is in a newcomer's way. */
static void newcomer_stays(struct run *run)
{
    enum who who = actor_lives(NEXT_LEFT) ? NEXT_LEFT : NEXT_RIGHT;

    if (!run->came)
        return;
    if (run->waits)
        tell(who, V_ATTACH, 0);
    if (who == NEXT_RIGHT && run->right == ACTORS)
        excuse(run);
    *(who == NEXT_LEFT ? &run->left : &run->right) = who;
}

/* The victim has done what it was to do; then it is as any other. */
static void finish(struct run *run)
{
    trace_finish();
    int64_t to_answer = hear(VICTIM);

    second_go_on(run);
    await_parked(run);
    if (to_answer && run->right == VICTIM)
        tell(VICTIM, V_REPLY, 0);
    if (!leaves(&run->scenario))
        return;
    lose_what_goes(run, VICTIM);
    forget(run, VICTIM);
    if (run->scenario.operation == &operations[OP_DETACH]) {
        if (actor_lives(PEER)) { /* it reads what it was sent before the files may go */
            tell(PEER, V_CHECK, 0);
            if (run->right == PEER)
                tell(PEER, V_RECEIVE, 1 << 20);
        }
        tell(VICTIM, V_CLOSE, 0);
    }
    tell(VICTIM, V_RELEASE, 0); /* a view outlives its socket */
    actor_end(VICTIM);
    newcomer_stays(run);
}

static bool somebody_was_killed(const struct scenario *s)
{
    enum operation_id op = (enum operation_id)(s->operation - operations);

    return s->operation->former_dies || op == OP_NOTICE || op == OP_REAP || op == OP_ADOPT || s->state->ghost;
}

static void fault(struct run *run)
{
    switch (run->mode) {
    case MODE_FREEZE:
        peer_works(run);
        break;
    case MODE_CLOSE:
        peer_leaves(run);
        break;
    case MODE_JOIN:
        newcomer_joins(run);
        break;
    case MODE_REPLACE:
        peer_is_replaced(run);
        break;
    case MODE_FREEZE_BOTH:
        second_freeze(run);
        break;
    default:
        kill_one(run, VICTIM);
        if (run->mode != MODE_KILL)
            second_kill(run);
    }
}

bool mode_kills(enum mode mode)
{
    return mode == MODE_KILL || mode == MODE_KILL_PEER || mode == MODE_KILL_NEXT;
}

void run_here(struct run *run)
{
    setup(run);
    if (run->record->skipped)
        return;
    run->strict = !mode_kills(run->mode) && !somebody_was_killed(&run->scenario);
    tell(VICTIM, V_PREPARE, 0);
    tell_only(VICTIM, V_STEP, 0);
    trace_begin(actor_pid(VICTIM));
    switch (run->mode) {
    case MODE_RECORD:
        record_all(run->record);
        break;
    case MODE_COUNT:
        count_all(run->record);
        break;
    default:
        step_to(&run->first);
        fault(run);
    }
    if (actor_lives(VICTIM))
        finish(run);
    contract(run);
}
