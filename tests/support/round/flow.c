/* SPDX-License-Identifier: MIT */
/* Senders and receivers: doomed ones, those who stay, and the last of a row of receivers. */
#include "round.h"

/* What a message is: its size depends on who sent it and on its number. */
static size_t size_of(const struct plan *plan, unsigned sender, uint64_t number)
{
    uint64_t state = plan->seed + plan->round * 7919 + sender * 104729u + number;
    uint64_t room = plan->size_max - HISTORY_MESSAGE_MIN + 1;

    if (random_next(&state) % 4)
        room = room < 80 ? room : 80;
    return HISTORY_MESSAGE_MIN + (size_t)(random_next(&state) % room);
}

/* Let time pass in a call that notices who comes and who dies. */
static void stay(struct actor *actor)
{
    shm_pollitem_t item = {actor->end.socket, -1, SHM_POLLPRI, 0};

    CHECK(shm_poll(&item, 1, 1) >= 0);
    actor_drop_events(actor);
    actor_drop_wishes(actor);
}

/* Wait until COUNT peers have come. A PULL does not, nor a SUB that reads history: to be asked for SHM_EVENTS
 * may have it take the first message, and while it has one in hand it is not introduced. */
static void meet(struct actor *actor, unsigned count)
{
    shm_event_t event;

    actor_says(actor, "meeting");
    while (count > 0 && actor->end.type != SHM_PULL && (actor->end.is_left || !actor->policy.history)) {
        if (shm_event_recv(actor->end.socket, &event, SHM_DONTWAIT) == 0)
            count -= event.event == SHM_EVENT_CONNECTED;
        else if (errno != EAGAIN)
            FAIL("shm_event_recv: %s", shm_strerror(errno));
        else {
            if (actor->plan->waiting == BY_BLOCKING)
                rest_us(30);
            actor_wait(actor);
        }
    }
    actor_says(actor, "met");
}

/* ---- Sending ---- */

/* One attempt; true when it was acknowledged. */
static bool try_send(struct actor *actor, uint64_t number)
{
    bool blocks = actor->plan->waiting == BY_BLOCKING;

    actor_drop_wishes(actor);
    if (actor_send_logged(actor, number, size_of(actor->plan, actor->number, number), blocks ? 0 : SHM_DONTWAIT))
        return true;
    if (!blocks)
        rest_us(20);
    return false;
}

static bool may_not_send_yet(const struct actor *actor)
{
    return actor->end.type == SHM_PUB || actor->end.type == SHM_XPUB || actor->end.type == SHM_ROUTER ||
           !actor->pipe.right_binds;
}

/* To which question? Nobody gets the answers to those of one before it. */
struct accepted {
    uint64_t number;
    uint64_t sender;
};

static void take_answer(struct actor *actor, uint64_t number)
{
    struct accepted answer = {0, 0};
    ssize_t n;

    actor_says(actor, "awaiting an answer");
    do {
        n = end_recv(&actor->end, &answer, sizeof answer, 0);
        if (n < 0 && errno != EAGAIN && !actor_lacks_memory(actor))
            FAIL("the answer of a living peer: %s", shm_strerror(errno));
        if (n >= 0 && (actor->end.type == SHM_REQ || actor->end.peer_type == SHM_REP) &&
            (n != sizeof answer || answer.sender != actor->number || answer.number != number))
            FAIL("got the answer to %u.%u when %u.%u was out", (unsigned)answer.sender, (unsigned)answer.number,
                 actor->number, (unsigned)number);
    } while (n < 0 || answer.sender != actor->number || answer.number != number);
}

static void send_all(struct actor *actor)
{
    for (uint64_t n = 1; n <= actor->plan->messages; n++) {
        actor_says(actor, "sending");
        while (!try_send(actor, n))
            ;
        if (n == 1)
            doom_reached(actor, AFTER_FIRST, 1);
        doom_reached(actor, AFTER_SOME, (unsigned)n);
        if (actor->pipe.pair->turns)
            take_answer(actor, n);
    }
}

void flow_doomed_sender(struct actor *actor)
{
    doom_reached(actor, AT_START, 0);
    actor_open(actor, true);
    if (!actor->plan->eager || may_not_send_yet(actor))
        meet(actor, actor->plan->survivors);
    doom_reached(actor, WHEN_MET, 0);
    send_all(actor);
    actor_says(actor, "awaiting death");
    if (actor->doomed && actor->doom.phase != NEVER)
        doom_await(actor);
    actor_close(actor);
}

/* From here on MARK is what the last receiver must come to. */
static bool is_over(struct actor *actor, uint64_t number)
{
    struct stage *stage = actor->stage;

    if (stage->finished && stage->last_is_here && stage->mark == 0)
        stage->mark = number;
    return stage->mark != 0 && stage->reached;
}

static void serve_until_others_are_done(struct actor *actor)
{
    actor_says(actor, "waiting for the last receiver");
    while (!actor->stage->others_done)
        stay(actor);
}

void flow_surviving_sender(struct actor *actor)
{
    struct stage *stage = actor->stage;
    uint64_t n = 0;
    bool out = false;
    unsigned fed = 0;

    actor_open(actor, true);
    stage->ready++;
    while (out || !is_over(actor, n + 1)) {
        actor_says(actor, out ? "sending again" : "sending");
        if (!out && n >= MESSAGES_MAX && !stage->mark) {
            stay(actor);
            if (stage->hungry == fed)
                continue;
            fed = stage->hungry;
        }
        n += !out;
        out = !try_send(actor, n);
        if (out)
            rest_us(20);
        if (actor->plan->pace_us || stage->mark)
            rest_us(actor->plan->pace_us + (stage->mark ? 50 : 0));
    }
    stage->end_number = n;
    serve_until_others_are_done(actor);
    actor_close(actor);
}

/* ---- Receiving ---- */

static bool try_receive(struct actor *actor)
{
    bool came = actor_recv_logged(actor, actor->plan->waiting == BY_BLOCKING ? 0 : SHM_DONTWAIT);

    if (!came)
        actor->stage->hungry++;
    return came;
}

static void give_answer(struct actor *actor)
{
    struct accepted accepted = {actor->got_number, actor->got_sender};

    if (actor->pipe.pair->turns)
        actor_answer(actor, &accepted, sizeof accepted, false);
}

static unsigned missing_of_all(const struct stage *stage)
{
    unsigned missing = 0;

    for (unsigned sender = 0; sender < stage->actors; sender++)
        if (history_count(stage->history, sender, HISTORY_CALL))
            missing += stage_missing(stage, sender);
    return missing;
}

/* Receive until all that the dead had sent is there; twice nothing at the end: no more, and no doubles. */
void flow_surviving_receiver(struct actor *actor)
{
    struct stage *stage = actor->stage;
    struct level before;
    int64_t end_ms = 0;
    unsigned nothing = 0;

    actor_open(actor, false);
    before = level_now();
    stage->ready++;
    while (nothing < 2) {
        actor_says(actor, "receiving");
        if (try_receive(actor)) {
            give_answer(actor);
            nothing = 0;
            continue;
        }
        if (!stage->finished) {
            actor_idle(actor);
            continue;
        }
        end_ms = end_ms ? end_ms : now_ms() + 3000;
        if (missing_of_all(stage) == 0 || now_ms() > end_ms)
            nothing++;
        else
            actor_idle(actor);
    }
    if (!actor->policy.holds) /* of what is mapped by them */
        level_note(actor, &before);
    actor_close(actor);
    actor_let_go(actor);
}

void flow_doomed_receiver(struct actor *actor)
{
    unsigned got = 0;

    doom_reached(actor, AT_START, 0);
    actor_open(actor, false);
    meet(actor, 1);
    doom_reached(actor, WHEN_MET, 0);
    while (actor->doom.phase != NEVER || (got < actor->doom.some && !actor->stage->last_is_here)) {
        actor_says(actor, "receiving");
        if (!try_receive(actor)) {
            actor_idle(actor);
            continue;
        }
        got++;
        if (got == 1)
            doom_reached(actor, AFTER_FIRST, 1);
        doom_reached(actor, AFTER_SOME, got);
    }
    actor_close(actor);
}

void flow_last_receiver(struct actor *actor)
{
    struct stage *stage = actor->stage;
    bool views = actor->policy.views && actor->pipe.pair->right == SHM_PULL;
    unsigned tries = 0;
    int64_t end_ms = 0;
    uint64_t last = 0;

    actor_open(actor, false);
    meet(actor, 1);
    stage->last_is_here = true;
    while (!end_ms || now_ms() < end_ms) {
        bool came;

        actor_says(actor, "receiving as the last");
        came = try_receive(actor);
        last = actor->got_number > last ? actor->got_number : last;
        if (came && pair_fans_out(actor->pipe.pair) && !plan_keeps_newest(actor->plan) && !actor->policy.history)
            CHECK_INT(get_stats(actor->end.socket).lost, 0);
        if (stage->mark && last >= stage->mark)
            stage->reached = true;
        /* The end may have gone to a dead one whose turn it was (DEALER): then there is quiet. */
        if (!came && stage->end_number &&
            (last >= stage->end_number || (actor->end.peer_type == SHM_DEALER && stage->reached))) {
            if (tries++ > 1 && (!views || missing_of_all(stage) == 0))
                break;
            if (!end_ms)
                end_ms = now_ms() + 2000;
        }
        if (!came)
            actor_idle(actor);
    }
    actor_close(actor);
}
