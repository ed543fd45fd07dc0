/* SPDX-License-Identifier: MIT */
/* The histories of a round against the contract, and what there is to count in them. */
#include "round.h"
#include "../history_logs.h"

#include <fcntl.h>

static char text[256];

static bool is_sender(const struct history *h, unsigned actor)
{
    return history_count(h, actor, HISTORY_CALL) > 0;
}

static bool is_dead(const struct history *h, unsigned actor)
{
    return history_count(h, actor, HISTORY_DIED) > 0;
}

/* What RECEIVER got of SENDER is whole, in order, none twice, all beyond BEHIND and, unless there may be gaps, one
 * after the other. *LAST: the last of it, if there was any. */
static const char *walk(const struct history *h, unsigned receiver, unsigned sender, bool gaps, uint64_t behind,
                        uint64_t *last)
{
    unsigned count;
    const struct history_entry *entries = history_entries(h, receiver, &count);
    uint64_t first = 0;

    for (unsigned i = 0; i < count; i++) {
        uint64_t number = entries[i].number;

        if (entries[i].kind == HISTORY_TORN || entries[i].kind == HISTORY_GOT_AGAIN)
            return "a torn message, or one that was redelivered";
        if (entries[i].kind != HISTORY_GOT || entries[i].sender != sender)
            continue;
        if (number <= behind || (first && !gaps && number != behind + 1)) {
            snprintf(text, sizeof text, "%llu of sender %u came to %u behind %llu", (unsigned long long)number, sender,
                     receiver, (unsigned long long)behind);
            return text;
        }
        first = first ? first : number;
        *last = behind = number;
    }
    return NULL;
}

/* ---- Receivers whose queue goes with them: each one's run is without gap or double, and none
 * overlaps that of one before it; the last one's goes to the end. Gaps a DEALER may leave: it takes
 * turns with a dead peer until it knows; and a publisher among what a SUB reads that it has not met. ---- */

static const char *judge_run(const struct stage *stage, unsigned receiver, uint64_t *behind)
{
    bool takes_turns = stage->plan.pipe.pair->left == SHM_DEALER;
    bool gaps = takes_turns || stage->plan.policy.history;
    uint64_t last = 0;
    const char *wrong =
        walk(stage->history, receiver, 0, gaps, pair_fans_out(stage->plan.pipe.pair) ? 0 : *behind, &last);

    *behind = last > *behind ? last : *behind;
    if (!wrong && !is_dead(stage->history, receiver) && receiver + 1 == stage->actors && last != stage->end_number &&
        (!takes_turns || last < stage->mark)) {
        snprintf(text, sizeof text, "the last receiver came to %llu of %llu", (unsigned long long)last,
                 (unsigned long long)stage->end_number);
        return text;
    }
    return wrong;
}

static const char *judge_runs(const struct stage *stage)
{
    const char *wrong = NULL;
    uint64_t behind = 0;

    for (unsigned actor = 1; !wrong && actor < stage->actors; actor++)
        wrong = judge_run(stage, actor, &behind);
    return wrong;
}

/* ---- Senders that died, of whom the newest message was kept: the last of each that returned, or a later one, came.
 * (But for a file system that is full: then a publisher gives up what it has for what it would send.) ---- */

static const char *judge_newest(const struct stage *stage)
{
    bool fans_out = pair_fans_out(stage->plan.pipe.pair);
    const char *wrong = NULL;

    for (unsigned sender = stage->plan.survivors; !wrong && sender < stage->actors; sender++) {
        uint64_t returned = history_count(stage->history, sender, HISTORY_RETURN), newest = 0;

        for (unsigned receiver = 0; !wrong && receiver < stage->plan.survivors; receiver++) {
            uint64_t last = 0;

            wrong = walk(stage->history, receiver, sender, true, 0, &last);
            newest = fans_out || last > newest ? last : newest;
            if (!wrong && newest < returned && !stage->plan.full &&
                (fans_out || receiver + 1 == stage->plan.survivors)) {
                snprintf(text, sizeof text, "the newest of sender %u, %llu, did not come (to %u): %llu did", sender,
                         (unsigned long long)returned, receiver, (unsigned long long)newest);
                wrong = text;
            }
        }
    }
    return wrong;
}

/* ---- Senders that died ---- */

static const char *judge_senders(const struct stage *stage)
{
    const char *wrong = NULL;

    if (plan_keeps_newest(&stage->plan))
        return judge_newest(stage);
    if (stage->plan.pipe.pair->left == SHM_PUSH || (stage->plan.survivors > 1 && !pair_fans_out(stage->plan.pipe.pair)))
        return history_check_shared(stage->history, false);
    for (unsigned sender = stage->plan.survivors; !wrong && sender < stage->actors; sender++)
        for (unsigned receiver = 0; !wrong && receiver < stage->plan.survivors; receiver++) {
            wrong = history_check_fifo(stage->history, sender, receiver);
            if (wrong) {
                snprintf(text, sizeof text, "sender %u, receiver %u: %s", sender, receiver, wrong);
                wrong = text;
            }
        }
    return wrong;
}

/* ---- Counting ---- */

static void count_one(const struct stage *stage, unsigned sender, struct tally *tally)
{
    unsigned missing = stage_missing(stage, sender);
    uint64_t acked = history_count(stage->history, sender, HISTORY_RETURN);
    bool loses = (stage->plan.kind == RECEIVERS && !plan_keeps_queue(&stage->plan)) || plan_keeps_newest(&stage->plan);

    tally->acked += acked;
    tally->delivered += acked - missing;
    if (loses || stage->plan.kind == CALLS)
        tally->lost += missing;
    else
        tally->in_hand += missing;
}

static void count_all(const struct stage *stage, struct tally *tally)
{
    for (unsigned actor = 0; actor < stage->actors; actor++) {
        if (is_sender(stage->history, actor))
            count_one(stage, actor, tally);
        tally->again += history_count(stage->history, actor, HISTORY_GOT_AGAIN);
    }
}

const char *judge(const struct stage *stage, struct tally *tally)
{
    const struct plan *plan = &stage->plan;
    bool views = plan->policy.views && plan->pipe.pair->right == SHM_PULL;
    const char *wrong = NULL;

    if (plan->kind == SENDERS)
        wrong = judge_senders(stage);
    else if (plan->kind == CALLS)
        wrong = history_check_calls(stage->history, plan->policy.resend);
    else if (plan->kind == RECEIVERS)
        wrong = plan_keeps_queue(plan) ? history_check_shared(stage->history, !views) : judge_runs(stage);
    if (plan->kind <= CALLS)
        count_all(stage, tally);
    return wrong;
}

/* ---- Keeping what was wrong ---- */

static void keep_log(const struct stage *stage, unsigned actor, int fd)
{
    static const char *const kinds[] = {"",          "call", "return", "cancel", "got",
                                        "got again", "torn", "lost",   "joined", "died"};
    unsigned count;
    const struct history_entry *entries = history_entries(stage->history, actor, &count);
    struct doom doom = plan_doom(&stage->plan, actor);
    const char *doing = stage->doing[actor];

    dprintf(fd, "actor %u (doom: phase %d, %u ns, after %u), last seen %s\n", actor, (int)doom.phase, doom.delay_ns,
            doom.some, doing ? doing : "starting");
    for (unsigned i = 0; i < count; i++)
        dprintf(fd, "  %s %u.%llu\n", kinds[entries[i].kind], entries[i].sender, (unsigned long long)entries[i].number);
}

void judge_keep(const struct stage *stage, const char *directory, const char *wrong)
{
    char path[512];
    int fd;

    snprintf(path, sizeof path, "%s/seed-%llu-round-%llu.txt", directory, (unsigned long long)stage->plan.seed,
             (unsigned long long)stage->plan.round);
    fd = open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0)
        return;
    dprintf(fd, "%s\n", wrong);
    plan_print(&stage->plan, fd);
    for (unsigned actor = 0; actor < stage->actors; actor++)
        keep_log(stage, actor, fd);
    close(fd);
    dprintf(STDERR_FILENO, "storm: the histories are in %s\n", path);
}
