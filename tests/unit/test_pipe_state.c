/* SPDX-License-Identifier: MIT */
/* A pipe's states by themselves: pipe_next() against the drawing and the table above it. */
#include "core/pipe_state.h"
#include "support/harness.h"

struct transition {
    enum pipe_state from;
    enum pipe_event event;
    enum pipe_state to;
};

/* As the table has them, line by line. What is not here leads nowhere. */
static const struct transition table[] = {
    {PIPE_QUEUED, PIPE_EVENT_PRE_READ, PIPE_PRE_ACCEPT},
    {PIPE_QUEUED, PIPE_EVENT_MEET, PIPE_MET},
    {PIPE_PRE_ACCEPT, PIPE_EVENT_REQUEUE, PIPE_QUEUED},
    {PIPE_MET, PIPE_EVENT_PROVE, PIPE_UP},
    {PIPE_MET, PIPE_EVENT_FAIL, PIPE_QUEUED},
    {PIPE_MET, PIPE_EVENT_REQUEUE, PIPE_QUEUED},
    {PIPE_UP, PIPE_EVENT_REQUEUE, PIPE_QUEUED},
    {PIPE_MET, PIPE_EVENT_DRAIN, PIPE_DRAINING},
    {PIPE_UP, PIPE_EVENT_DRAIN, PIPE_DRAINING},
    {PIPE_QUEUED, PIPE_EVENT_LEAVE, PIPE_LEAVING},
    {PIPE_PRE_ACCEPT, PIPE_EVENT_LEAVE, PIPE_LEAVING},
    {PIPE_MET, PIPE_EVENT_LEAVE, PIPE_LEAVING},
    {PIPE_UP, PIPE_EVENT_LEAVE, PIPE_LEAVING},
};

static const char *const state_names[] = {"QUEUED", "PRE_ACCEPT", "MET", "UP", "DRAINING", "LEAVING"};
static const char *const event_names[] = {"pre-read", "meet", "prove", "fail", "requeue", "drain", "leave"};
_Static_assert(COUNT_OF(state_names) == PIPE_STATES && COUNT_OF(event_names) == PIPE_EVENTS, "all have names");

static enum pipe_state wanted(enum pipe_state from, enum pipe_event event)
{
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (table[i].from == from && table[i].event == event)
            return table[i].to;
    return from;
}

/* For every state and every event. */
static void for_each_step(void (*check)(enum pipe_state from, enum pipe_event event, enum pipe_state to))
{
    for (enum pipe_state from = 0; from < PIPE_STATES; from++)
        for (enum pipe_event event = 0; event < PIPE_EVENTS; event++)
            check(from, event, pipe_next(from, event));
}

#define TEST_STEPS(sentence)                                                                                           \
    TEST_RUN_BY(for_each_step, sentence, enum pipe_state from, enum pipe_event event, enum pipe_state to)

TEST_STEPS(an_ending_pipe_is_brought_back_by_nothing)
{
    if ((from == PIPE_DRAINING || from == PIPE_LEAVING) && to != from)
        FAIL("%s is left by %s", state_names[from], event_names[event]);
}

TEST_STEPS(no_message_passes_before_the_peer_was_met_and_has_proven_itself)
{
    if (to == PIPE_UP && from != PIPE_UP && (from != PIPE_MET || event != PIPE_EVENT_PROVE))
        FAIL("%s, %s: messages pass without a proof", state_names[from], event_names[event]);
}

TEST_STEPS(every_event_leads_from_every_state_to_where_the_table_says)
{
    enum pipe_state want = wanted(from, event);
    if (to != want)
        FAIL("%s, %s: leads to %s, the table says %s", state_names[from], event_names[event], state_names[to],
             state_names[want]);
}

TEST_THAT(every_state_is_reached_and_can_be_left_for_good)
{
    for (enum pipe_state start = 0; start < PIPE_STATES; start++) {
        bool reached[PIPE_STATES] = {false};
        reached[start] = true;
        for (int step = 0; step < PIPE_STATES; step++)
            for (enum pipe_state from = 0; from < PIPE_STATES; from++)
                for (enum pipe_event event = 0; reached[from] && event < PIPE_EVENTS; event++)
                    reached[pipe_next(from, event)] = true;
        CHECK(reached[PIPE_DRAINING] || reached[PIPE_LEAVING]);
        for (enum pipe_state to = 0; start == PIPE_QUEUED && to < PIPE_STATES; to++)
            if (!reached[to])
                FAIL("a new pipe never gets to %s", state_names[to]);
    }
}

/* ---- ways through the drawing ---- */

static enum pipe_state walk(const enum pipe_event *events, size_t count)
{
    enum pipe_state state = PIPE_QUEUED;
    for (size_t i = 0; i < count; i++)
        state = pipe_next(state, events[i]);
    return state;
}

#define WALK(...) walk((const enum pipe_event[]){__VA_ARGS__}, COUNT_OF(((const enum pipe_event[]){__VA_ARGS__})))

TEST_THAT(a_connector_outlives_its_binder_and_meets_the_next_one)
{
    CHECK_INT(WALK(PIPE_EVENT_MEET, PIPE_EVENT_PROVE), PIPE_UP);
    CHECK_INT(WALK(PIPE_EVENT_MEET, PIPE_EVENT_PROVE, PIPE_EVENT_REQUEUE), PIPE_QUEUED);
    CHECK_INT(WALK(PIPE_EVENT_MEET, PIPE_EVENT_PROVE, PIPE_EVENT_REQUEUE, PIPE_EVENT_MEET, PIPE_EVENT_PROVE), PIPE_UP);
}

TEST_THAT(one_that_reads_before_it_is_accepted_queues_again_before_it_meets_its_binder)
{
    CHECK_INT(WALK(PIPE_EVENT_PRE_READ, PIPE_EVENT_MEET), PIPE_PRE_ACCEPT);
    CHECK_INT(WALK(PIPE_EVENT_PRE_READ, PIPE_EVENT_REQUEUE, PIPE_EVENT_MEET), PIPE_MET);
}

TEST_THAT(a_failed_proof_lets_go_of_the_peer_and_another_may_come)
{
    CHECK_INT(WALK(PIPE_EVENT_MEET, PIPE_EVENT_FAIL), PIPE_QUEUED);
    CHECK_INT(WALK(PIPE_EVENT_MEET, PIPE_EVENT_FAIL, PIPE_EVENT_PROVE), PIPE_QUEUED);
    CHECK_INT(WALK(PIPE_EVENT_MEET, PIPE_EVENT_FAIL, PIPE_EVENT_MEET, PIPE_EVENT_PROVE), PIPE_UP);
}

TEST_THAT(a_pipe_is_queued_or_has_met_its_peer_or_ends)
{
    static const char kinds[PIPE_STATES] = {'q', 'q', 'm', 'm', 'e', 'e'};
    for (enum pipe_state state = 0; state < PIPE_STATES; state++) {
        struct pipe pipe = {.state = state};
        CHECK_INT(pipe_is_queued(&pipe), kinds[state] == 'q');
        CHECK_INT(pipe_has_met(&pipe), kinds[state] == 'm');
        CHECK_INT(pipe_is_ending(&pipe), kinds[state] == 'e');
    }
}
