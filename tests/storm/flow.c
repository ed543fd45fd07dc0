/* SPDX-License-Identifier: MIT */
/* Senders and receivers: doomed ones, those who stay, and the last of a row of receivers. */
#include "storm.h"

/* What a message is: its size depends on who sent it and on its number. */
static size_t size_of(const struct plan *plan, unsigned sender, uint64_t number)
{
    uint64_t state = plan->seed + plan->round * 7919 + sender * 104729u + number;
    uint64_t room = plan->size_max - HISTORY_MESSAGE_MIN + 1;

    if (random_next(&state) % 4)
        room = room < 80 ? room : 80;
    return HISTORY_MESSAGE_MIN + (size_t)(random_next(&state) % room);
}

static void drain_wishes(struct actor *actor)
{
    char wish[16];

    while (actor->end.type == SHM_XPUB && shm_recv(actor->end.socket, wish, sizeof wish, SHM_DONTWAIT) >= 0)
        ;
}

/* Let time pass in a call that notices who comes and who dies. */
static void stay(struct actor *actor)
{
    shm_pollitem_t item = {actor->end.socket, -1, SHM_POLLPRI, 0};
    shm_event_t event;

    CHECK(shm_poll(&item, 1, 1) >= 0);
    while (shm_event_recv(actor->end.socket, &event, SHM_DONTWAIT) == 0)
        ;
    drain_wishes(actor);
}

/* Wait until COUNT peers have come. A PULL does not, nor a SUB that reads history: to be asked for SHM_EVENTS
 * may have it take the first message, and while it has one in hand it is not introduced. */
static void meet(struct actor *actor, unsigned count)
{
    shm_event_t event;

    actor_says(actor, "meeting");
    while (count > 0 && actor->end.type != SHM_PULL && (actor->end.is_left || !actor->plan->policy.history)) {
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
static bool try_send(struct actor *actor, const void *bytes, size_t size)
{
    int flags = actor->plan->waiting == BY_BLOCKING ? 0 : SHM_DONTWAIT;

    drain_wishes(actor);
    if (actor_send(actor, bytes, size, flags) == (ssize_t)size)
        return true;
    if (errno == EAGAIN || errno == EHOSTUNREACH || (errno == EPIPE && actor->end.type == SHM_PAIR)) {
        if (flags)
            rest_us(20);
        return false;
    }
    if (!actor_lacks_memory(actor))
        FAIL("send: %s", shm_strerror(errno));
    return false;
}

static bool may_not_send_yet(const struct actor *actor)
{
    return actor->end.type == SHM_PUB || actor->end.type == SHM_XPUB || actor->end.type == SHM_ROUTER ||
           !actor->plan->pipe.right_binds;
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
            FAIL("got the answer to %u.%u when %u.%u was out", (unsigned)answer.sender,
                 (unsigned)answer.number, actor->number, (unsigned)number);
    } while (n < 0 || answer.sender != actor->number || answer.number != number);
}

static void send_all(struct actor *actor)
{
    static unsigned char bytes[MESSAGE_ROOM];
    struct history *history = actor->stage->history;

    for (uint64_t n = 1; n <= actor->plan->messages; n++) {
        size_t size = size_of(actor->plan, actor->number, n);

        actor_says(actor, "sending");
        history_message_make(bytes, size, actor->number, n);
        history_log(history, actor->number, HISTORY_CALL, actor->number, n);
        while (!try_send(actor, bytes, size))
            ;
        history_log(history, actor->number, HISTORY_RETURN, actor->number, n);
        if (n == 1)
            doom_reached(actor, AFTER_FIRST, 1);
        doom_reached(actor, AFTER_SOME, (unsigned)n);
        if (actor->plan->pipe.pair->turns)
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
    static unsigned char bytes[MESSAGE_ROOM];
    struct stage *stage = actor->stage;
    uint64_t n = 0;
    bool out = false;
    unsigned fed = 0;
    size_t size = 0;

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
        if (!out) {
            n++;
            size = size_of(actor->plan, actor->number, n);
            history_message_make(bytes, size, actor->number, n);
            history_log(stage->history, actor->number, HISTORY_CALL, actor->number, n);
        }
        out = !try_send(actor, bytes, size);
        if (out)
            rest_us(20);
        else
            history_log(stage->history, actor->number, HISTORY_RETURN, actor->number, n);
        if (actor->plan->pace_us || stage->mark)
            rest_us(actor->plan->pace_us + (stage->mark ? 50 : 0));
    }
    stage->end_number = n;
    serve_until_others_are_done(actor);
    actor_close(actor);
}

/* ---- Receiving ---- */

static struct accepted last_got;

/* The number of the message that was got; 0: none. */
static uint64_t note(struct actor *actor, const void *bytes, size_t size, bool again)
{
    uint64_t number = 0;
    unsigned sender = 0;

    history_log_message(actor->stage->history, actor->number, bytes, size, again);
    if (!history_message_read(bytes, size, &sender, &number))
        return 1;
    last_got = (struct accepted){number, sender};
    return number;
}

static uint64_t try_receive(struct actor *actor)
{
    static unsigned char bytes[MESSAGE_ROOM];
    int flags = actor->plan->waiting == BY_BLOCKING ? 0 : SHM_DONTWAIT;
    uint64_t number = 0;
    bool again;
    ssize_t n = actor_recv(actor, policy_place(actor), bytes, sizeof bytes, flags, &again);

    if (n >= 0)
        number = note(actor, bytes, (size_t)n, again);
    if (n < 0 && errno != EAGAIN && !(errno == EPIPE && actor->end.type == SHM_PAIR) &&
        !actor_lacks_memory(actor))
        FAIL("receive: %s", shm_strerror(errno));
    policy_keep(actor, n >= 0);
    if (number == 0)
        actor->stage->hungry++;
    return number;
}

/* An answer to somebody who has died meanwhile goes nowhere. */
static void give_answer(struct actor *actor)
{
    while (actor->plan->pipe.pair->turns && end_send(&actor->end, &last_got, sizeof last_got, SHM_DONTWAIT) < 0) {
        if (errno == EHOSTUNREACH || errno == EAGAIN)
            break;
        if (!actor_lacks_memory(actor))
            FAIL("answer: %s", shm_strerror(errno));
    }
    actor->end.envelope_sent = false;
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
    if (!actor->plan->policy.holds) /* of what is mapped by them */
        level_note(actor, &before);
    actor_close(actor);
    policy_let_go(actor);
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
    bool views = actor->plan->by_view && actor->plan->pipe.pair->right == SHM_PULL;
    unsigned tries = 0;
    int64_t end_ms = 0;
    uint64_t last = 0;

    actor_open(actor, false);
    meet(actor, 1);
    stage->last_is_here = true;
    while (!end_ms || now_ms() < end_ms) {
        uint64_t number;

        actor_says(actor, "receiving as the last");
        number = try_receive(actor);
        last = number > last ? number : last;
        if (stage->mark && last >= stage->mark)
            stage->reached = true;
        /* The end may have gone to a dead one whose turn it was (DEALER): then there is quiet. */
        if (number == 0 && stage->end_number &&
            (last >= stage->end_number || (actor->end.peer_type == SHM_DEALER && stage->reached))) {
            if (tries++ > 1 && (!views || missing_of_all(stage) == 0))
                break;
            if (!end_ms)
                end_ms = now_ms() + 2000;
        }
        if (number == 0)
            actor_idle(actor);
    }
    actor_close(actor);
}
