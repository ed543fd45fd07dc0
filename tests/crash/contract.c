/* SPDX-License-Identifier: MIT */
/*
 * What must hold after the fault (docs/FAILURE.md): what was acknowledged arrives, once, in order
 * per sender, whole; what a dead one had in hand at most once more, or not at all; a newcomer takes
 * the dead one's place and three times the ring goes through; nothing stays with the dead; and when
 * all have closed, no file is left but the dead one's, which `shmq gc` removes.
 */
#include "crash.h"

#include <dirent.h>

/* ---- newcomers ---- */

enum who open_newcomer(struct run *run, bool is_left)
{
    enum who who = is_left ? NEXT_LEFT : NEXT_RIGHT;

    actor_start(who, &run->scenario, run->ledger, is_left, false);
    tell(who, V_OPEN, 0);
    return who;
}

static void join_in(struct run *run, bool is_left)
{
    enum who who = open_newcomer(run, is_left);

    tell(who, V_ATTACH, 0);
    if (is_left)
        run->left = who;
    else
        run->right = who;
}

/* A REQ gets its reply, or is told that there will be none, and does not wait for ever. */
static void settle(struct run *run)
{
    int64_t turn = tell(run->left, V_TURN, 0);

    if (turn == -1 && run->scenario.policy == RESEND)
        FAIL("the asker is told that its server died, and not served by the next");
    for (int i = 0; i < 20 && turn == -2; i++) {
        tell(run->left, V_CHECK, 0);
        tell(run->right, V_CHECK, 0);
        tell(run->right, V_RECEIVE, 1 << 20);
        turn = tell(run->left, V_TURN, 0);
    }
    if (turn == -2)
        FAIL("the asker waits for ever");
}

static void join_missing(struct run *run)
{
    if (run->left == ACTORS)
        join_in(run, true);
    if (run->right == ACTORS)
        join_in(run, false);
}

/* After every second kill the newcomer is there before a survivor has noticed the death. */
static bool is_overtaken(const struct run *run)
{
    return mode_kills(run->mode) && !run->records_second && (run->first.step + run->second.step) % 2 == 1;
}

void excuse(struct run *run)
{
    struct ledger *ledger = run->ledger;

    for (int who = 0; who < ACTORS; who++) {
        bool stays = who == (int)run->left;

        if (run->right == ACTORS && (!stays || !keeps_queue(&run->scenario)))
            ledger->from[who].may_lack = ledger->from[who].acked;
        /* A request is not kept, its asker is told. */
        if (ends_have_turns(&run->scenario) && (!stays || run->scenario.policy != RESEND))
            ledger->from[who].may_lack = ledger->from[who].called;
    }
}

static void restore(struct run *run)
{
    bool right_stays = run->right != ACTORS;
    bool same = run->left != ACTORS && right_stays && !run->scenario.operation->comes && !run->came;

    excuse(run);
    if (is_overtaken(run))
        join_missing(run);
    if (run->left != ACTORS)
        tell(run->left, V_CHECK, 0);
    if (right_stays) {
        tell(run->right, V_CHECK, 0);
        tell(run->right, V_RECEIVE, 1 << 20); /* what the gone has left */
    }
    join_missing(run);
    meet(run->left, run->right);
    tell(run->left, V_COMPLETE, 0);
    if (same) /* else the rest went to nobody, perhaps */
        run->ledger->from[run->left].begun = 0;
    tell(run->right, V_RECEIVE, 1 << 20);
    settle(run);
}

/* ---- the ledger ---- */

static bool is_in_hand(const struct ledger *ledger, int from, uint64_t number)
{
    return number == ledger->from[from].in_hand || number == ledger->from[from].second_hand ||
           number == ledger->from[from].half;
}

static bool may_be_missing(const struct ledger *ledger, int from, uint64_t number)
{
    return number > ledger->from[from].acked || number <= ledger->from[from].may_lack ||
           number == ledger->from[from].begun || is_in_hand(ledger, from, number);
}

static bool may_be_again(const struct ledger *ledger, const struct got *got, uint8_t first_by)
{
    if (ledger->never_again)
        return false;
    return got->again || is_in_hand(ledger, got->from, got->number) || (ledger->repeats && got->by != first_by);
}

static void check_order(const struct ledger *ledger, uint8_t first_by[ACTORS][GOTS_MAX])
{
    uint64_t last_of[ACTORS][ACTORS] = {{0}};

    for (uint32_t i = 0; i < ledger->count; i++) {
        const struct got *got = &ledger->got[i];
        unsigned long long number = got->number;
        uint64_t *last = last_of[ledger->shares ? got->by : 0];
        uint8_t *first = &first_by[got->from][number];

        if (number == 0 || number > ledger->from[got->from].called)
            FAIL("%s got message %llu of %s, which was never sent", actor_name(got->by), number, actor_name(got->from));
        if (*first != 0 && !may_be_again(ledger, got, (uint8_t)(*first - 1)))
            FAIL("%s got message %llu of %s a second time", actor_name(got->by), number, actor_name(got->from));
        if (*first == 0 && number < last[got->from] && !may_be_again(ledger, got, 0))
            FAIL("%s got message %llu of %s after %llu", actor_name(got->by), number, actor_name(got->from),
                 (unsigned long long)last[got->from]);
        if (*first == 0)
            *first = (uint8_t)(got->by + 1);
        if (number > last[got->from])
            last[got->from] = number;
    }
}

static uint64_t newest(const struct ledger *ledger, int from)
{
    return next_of(ledger, (enum who)from) - 1;
}

static void check_ledger(const struct ledger *ledger, uint64_t lost)
{
    static uint8_t first_by[ACTORS][GOTS_MAX];
    uint64_t missing = 0;

    check_order(ledger, first_by);
    for (int from = 0; from < ACTORS; from++)
        for (uint64_t n = 1, last = newest(ledger, from); n <= ledger->from[from].acked; n++) {
            if (first_by[from][n] != 0 || may_be_missing(ledger, from, n) || (ledger->conflates && n < last))
                continue;
            missing++;
            if (!ledger->lapses)
                FAIL("message %llu of %s did not arrive (of %llu)", (unsigned long long)n, actor_name((enum who)from),
                     (unsigned long long)ledger->from[from].acked);
        }
    if (missing > lost)
        FAIL("%llu messages are missing, %llu were said to be lost", (unsigned long long)missing,
             (unsigned long long)lost);
}

/* ---- files ---- */

/* A dead one's file, or one that a dead one was still to read. Ids begin with the letter of their
 * maker. */
static bool is_of_dead(const char *name)
{
    char letter[3];

    for (enum who who = VICTIM; who < ACTORS; who++) {
        bool met_dead = actor_was_killed(PEER) && who != NEXT_LEFT && who != NEXT_RIGHT;

        snprintf(letter, sizeof letter, "%02x", actor_letter(who));
        if ((actor_was_killed(who) || met_dead) && strncmp(name, letter, 2) == 0)
            return true;
    }
    return false;
}

static int left_in_directory(bool say, bool ours)
{
    DIR *directory = opendir(getenv("SHMQ_DIR"));
    struct dirent *entry;
    int count = 0;

    CHECK(directory != NULL);
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] == '.' || (ours && is_of_dead(entry->d_name)))
            continue;
        if (say)
            fprintf(stderr, "left: %s\n", entry->d_name);
        count++;
    }
    closedir(directory);
    return count;
}

static void collect_garbage(void)
{
    const char *tool = getenv("CRASH_TOOL");

    if (tool == NULL)
        return;
    CHECK_INT(run_gc(tool), 0);
    if (left_in_directory(true, false) != 0)
        FAIL("files that `shmq gc` does not remove");
}

static void check_files(struct run *run)
{
    int left = left_in_directory(false, false);

    if (run->strict && left > 0) {
        left_in_directory(true, false);
        FAIL("%d files are left, and nobody was killed", left);
    }
    if (left_in_directory(true, true) > 0)
        FAIL("files are left that are no dead one's");
    if (left > 0)
        collect_garbage();
}

/* ---- all ---- */

static void close_one(enum who who)
{
    tell(who, V_CLOSE, 0);
    actor_end(who);
}

void contract(struct run *run)
{
    const struct scenario *s = &run->scenario;
    int batch = batch_of(s);

    restore(run);
    tell(run->left, V_RELEASE, 0);
    tell(run->right, V_RELEASE, 0);
    pass(run->left, run->right, 3 * run->slots, batch);
    if (s->pair->two_way && !s->pair->turns)
        pass(run->right, run->left, 3 * run->slots, batch);
    check_ledger(run->ledger, (uint64_t)tell(run->right, V_LOST, 0));
    tell(run->left, V_RECEIVE, 0); /* an XPUB: what the dead had asked for */
    tell(run->left, V_LOOK, 0);
    CHECK_INT(tell(run->left, V_INSPECT, 0), 0);
    CHECK_INT(tell(run->right, V_INSPECT, 0), 0);
    close_one(run->left);
    close_one(run->right);
    check_files(run);
}
