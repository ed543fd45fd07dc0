/* SPDX-License-Identifier: MIT */
/* The list of cases, and the runs of each. See crash.h. */
#include "cases.h"

#include <fnmatch.h>

/* ---- one case ---- */

static bool wants_mode(enum mode mode)
{
    return options.mode == NULL || fnmatch(options.mode, mode_names[mode], 0) == 0;
}

/* Newcomers come while somebody leaves; in the peer's place, where there is one that can go. */
static bool mode_fits(const struct scenario *s, enum mode mode)
{
    if (mode == MODE_REPLACE && (s->operation == &operations[OP_REAP] || s->state->alone || s->state->parked))
        return false;
    return (mode != MODE_JOIN && mode != MODE_REPLACE) || leaves(s);
}

static const struct point nowhere;

static void run_point(const struct scenario *scenario, const struct point *point)
{
    for (enum mode mode = MODE_KILL; mode <= MODE_REPLACE; mode++)
        if (wants_mode(mode) && mode_fits(scenario, mode))
            run_one(scenario, mode, point, &nowhere);
}

static void begin_record(void)
{
    memset(record, 0, offsetof(struct record, points));
}

/* Numbers below COUNT, each time the same: all, or so many of them. */
static uint32_t sample_size(uint32_t wanted, uint32_t count)
{
    return wanted < count ? wanted : count;
}

static uint32_t sample(uint64_t *random, uint32_t i, uint32_t wanted, uint32_t count)
{
    if (wanted >= count)
        return i;
    uint32_t from = (uint32_t)((uint64_t)i * count / wanted), to = (uint32_t)((uint64_t)(i + 1) * count / wanted);
    return from + (uint32_t)(random_next(random) % (to - from));
}

/* The first fault at POINT: where may the second be, and there. */
static void run_second(const struct scenario *scenario, enum mode mode, const struct point *point, uint64_t *random)
{
    static struct record second;

    begin_record();
    if (!run_one(scenario, mode, point, NULL))
        return;
    second = *record;
    board->rows[scenario->operation - operations].seconds++;
    bool stops = mode == MODE_FREEZE_BOTH;
    const struct point *points = stops ? second.looks : second.points;
    uint32_t count = stops ? second.look_count : second.count;
    for (uint32_t i = 0; i < sample_size(options.pairs, count); i++)
        run_one(scenario, mode, point, &points[sample(random, i, options.pairs, count)]);
}

static void run_mode(const struct scenario *scenario, enum mode mode, const struct record *first, uint64_t *random)
{
    bool stops = mode == MODE_FREEZE_BOTH;
    const struct point *points = stops ? first->looks : first->points;
    uint32_t count = stops ? first->look_count : first->count;

    for (uint32_t i = 0; i < sample_size(options.pairs, count); i++)
        run_second(scenario, mode, &points[sample(random, i, options.pairs, count)], random);
}

static void run_seconds(const struct scenario *scenario, const struct record *first)
{
    uint64_t random = options.seed + first->instructions;

    for (enum mode mode = MODE_KILL_PEER; mode <= MODE_FREEZE_BOTH; mode++)
        if (wants_mode(mode) && second_fits(scenario, mode))
            run_mode(scenario, mode, first, &random);
}

/* Stopped where it is about to look or to change, too: those are many, and so a sample. */
static void run_looks(const struct scenario *scenario, const struct record *first)
{
    uint64_t random = options.seed + first->instructions;
    uint32_t count = sample_size(options.looks, first->look_count);

    for (uint32_t i = 0; i < count; i++) {
        uint32_t chosen = sample(&random, i, options.looks, first->look_count);
        for (enum mode mode = MODE_FREEZE; mode <= MODE_REPLACE; mode++)
            if (wants_mode(mode) && mode_fits(scenario, mode))
                run_one(scenario, mode, &first->looks[chosen], &nowhere);
    }
}

/* A violation again. */
static void run_chosen(const struct scenario *scenario)
{
    struct point first = {.step = options.at}, second = {.step = options.then};

    for (enum mode mode = MODE_KILL; mode <= MODE_FREEZE_BOTH; mode++)
        if (wants_mode(mode) && mode_fits(scenario, mode) && (options.mode != NULL || !has_second(mode)))
            run_one(scenario, mode, &first, options.then != NOWHERE ? &second : NULL);
}

void case_run(const struct scenario *scenario)
{
    static struct record first;

    if (options.at != NOWHERE) {
        run_chosen(scenario);
        return;
    }
    begin_record();
    if (!run_one(scenario, options.count ? MODE_COUNT : MODE_RECORD, &nowhere, &nowhere) || record->skipped)
        return;
    first = *record;
    table_note(&board->rows[scenario->operation - operations], &first);
    if (options.count)
        counts_note(&board->counts, scenario, first.instructions);
    else if (options.pairs > 0)
        run_seconds(scenario, &first);
    else if (options.every)
        for (struct point at = {0}; at.step <= first.instructions; at.step++)
            run_point(scenario, &at);
    else {
        for (uint32_t i = 0; i < first.count; i++)
            run_point(scenario, &first.points[i]);
        run_looks(scenario, &first);
    }
}

/* ---- all cases ---- */

static bool matches(const char *wanted, const char *name)
{
    return wanted == NULL || fnmatch(wanted, name, 0) == 0;
}

static bool has_keys; /* the library was built with libsodium */

void cases_begin(void)
{
    has_keys = keys_are_supported();
}

static bool is_wanted(const struct scenario *s)
{
    return matches(options.operation, s->operation->name) && matches(options.pattern, s->pair->name) &&
           matches(options.state, s->state->name) && matches(options.binds, s->right_binds ? "right" : "left") &&
           matches(options.side, s->victim_is_left ? "left" : "right") &&
           matches(options.policy, policy_names[s->policy]) && operation_fits(s) && state_fits(s) && policy_fits(s) &&
           (s->policy < KEYED || has_keys);
}

/* Of SHARE cases one, each time the same. */
static bool is_chosen(uint64_t index)
{
    uint64_t state = index * 31 + options.seed;

    return options.share <= 1 || random_next(&state) % options.share == 0;
}

static uint64_t cases_of_each(void)
{
    return (uint64_t)4 * state_count * CRASH_PAIRS * POLICIES;
}

/* The cases of an operation are gone through criss-cross: when time runs out, some of each kind
 * were. */
static void choose_scenario(struct scenario *s, int operation, uint64_t turn)
{
    uint64_t index = turn * 7919 % cases_of_each(); /* a prime, near the golden section */

    *s = (struct scenario){.victim_is_left = index % 2, .right_binds = index / 2 % 2};
    index /= 4;
    s->policy = (enum policy_id)(index % POLICIES);
    index /= POLICIES;
    s->state = &states[index % state_count];
    s->pair = crash_pair(index / state_count);
    s->operation = &operations[operation];
}

bool case_next(int operation, struct scenario *scenario)
{
    uint64_t turn;

    while ((turn = board->turns[operation]++) < cases_of_each()) {
        choose_scenario(scenario, operation, turn);
        if (is_wanted(scenario) && is_chosen(turn * OPERATIONS + (uint64_t)operation))
            return true;
    }
    return false;
}

int case_least_served(const int64_t spent_ms[OPERATIONS])
{
    int least = OPERATIONS;

    for (int i = 0; i < OPERATIONS; i++)
        if (board->turns[i] < cases_of_each() && (least == OPERATIONS || spent_ms[i] < spent_ms[least]))
            least = i;
    return least;
}
