/* SPDX-License-Identifier: MIT */
/* The course of a round: survivors first, victims one after the other in their slots, the last ones,
 * the end; then the verdict, and a look at what was left in the directory. */
#include "round.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>

enum { CREW_MAX = 64 };

struct member {
    pid_t pid;
    unsigned actor;
    bool is_victim, is_doomed, is_killed; /* killed by us: at the end, or because it may hang */
};

struct course {
    struct lane *lane;
    struct stage *stage;
    const struct plan *plan;
    struct member crew[CREW_MAX];
    unsigned count, started; /* victims */
    struct tally tally;
    struct totals *totals;
    struct faults faults;
    int64_t left_ms, looked_ms; /* until a hang is one */
    char wrong[300];
};

__attribute__((format(printf, 2, 3))) static void complain(struct course *course, const char *format, ...)
{
    va_list arguments;

    if (course->wrong[0])
        return;
    va_start(arguments, format);
    vsnprintf(course->wrong, sizeof course->wrong, format, arguments);
    va_end(arguments);
}

void tally_add(struct tally *sum, const struct tally *more)
{
    uint64_t *to = (uint64_t *)(void *)sum;
    const uint64_t *from = (const uint64_t *)(const void *)more;

    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++)
        to[i] += from[i];
}

/* ---- Processes ---- */

static struct actor self;

static void say_where(void)
{
    dprintf(STDERR_FILENO, "    in actor %u, %s, of ", self.number, self.stage->doing[self.number]);
    plan_print(self.plan, STDERR_FILENO);
}

/* In a round that breaks the contract's own ground, errors are expected. */
static bool expects_errors(const struct plan *plan)
{
    return plan->kind == TRUNCATE || plan->kind == UNLINK;
}

_Noreturn static void live(struct course *course, role_fn *role, unsigned number, bool doomed, bool quiet)
{
    const struct plan *plan = course->plan;

    self = (struct actor){.history = course->stage->history,
                          .stage = course->stage,
                          .plan = plan,
                          .policy = plan->policy,
                          .pipe = plan->pipe,
                          .number = number,
                          .turned_away = plan->full ? &course->stage->turned_away : NULL,
                          .doomed = doomed};
    self.doom = doomed ? plan_doom(plan, number) : (struct doom){.phase = NEVER};
    self.stage->doing[number] = "starting";
    on_fail(say_where);
    if (quiet)
        dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
    role(&self);
    _exit(0);
}

static void start(struct course *course, role_fn *role, bool is_victim, bool is_doomed)
{
    unsigned number = course->stage->actors++;
    struct child child;

    CHECK(course->count < CREW_MAX);
    if (child_fork(&child, false) == 0)
        live(course, role, number, is_doomed, expects_errors(course->plan) && is_victim);
    course->crew[course->count++] = (struct member){child.pid, number, is_victim, is_doomed, false};
    course->started += is_victim;
}

static unsigned count_crew(const struct course *course, bool victims)
{
    unsigned count = 0;

    for (unsigned i = 0; i < course->count; i++)
        count += course->crew[i].is_victim == victims;
    return count;
}

static void judge_end(struct course *course, const struct member *member, int status)
{
    const char *doing = course->stage->doing[member->actor];
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;

    if (killed) {
        history_log(course->stage->history, member->actor, HISTORY_DIED, 0, 0);
        course->tally.kills++;
        course->totals->kind_kills[course->plan->kind]++;
        if (member->is_doomed)
            course->totals->phase_kills[plan_doom(course->plan, member->actor).phase]++;
        else if (!member->is_killed)
            complain(course, "actor %u, which was not doomed, was killed by somebody", member->actor);
    } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS && course->plan->kind == TRUNCATE &&
               member->is_victim) {
        course->tally.buses++;
    } else if (WIFSIGNALED(status)) {
        complain(course, "actor %u was ended by signal %d while %s", member->actor, WTERMSIG(status), doing);
    } else if (WEXITSTATUS(status) != 0 && !(expects_errors(course->plan) && member->is_victim)) {
        complain(course, "actor %u gave up while %s", member->actor, doing);
    } else if (member->is_victim) {
        course->tally.restarts++;
    }
}

/* Reap who has ended; somebody who is not of the crew is an heir. */
static bool reap(struct course *course, int flags)
{
    int status;
    pid_t pid = waitpid(-1, &status, flags);

    if (pid <= 0)
        return false;
    for (unsigned i = 0; i < course->count; i++)
        if (course->crew[i].pid == pid) {
            struct member member = course->crew[i];

            course->crew[i] = course->crew[--course->count];
            if (course->faults.stopped == pid)
                course->faults.stopped = 0;
            judge_end(course, &member, status);
            return true;
        }
    return true;
}

static void kill_member(struct member *member)
{
    member->is_killed = true;
    if (member->pid > 1)
        kill(member->pid, SIGKILL);
}

static void kill_crew(struct course *course)
{
    for (unsigned i = 0; i < course->count; i++)
        kill_member(&course->crew[i]);
    while (course->count > 0 && reap(course, 0))
        ;
}

static void end_heirs(struct course *course)
{
    course->stage->over = true;
    while (waitpid(-1, NULL, 0) > 0)
        ;
    course->tally.heirs += course->stage->heirs;
}

/* ---- Time ---- */

static int deadline_ms(const struct plan *plan)
{
    const char *scale = getenv("SHMQ_TEST_SCALE");

    return (DEADLINE_MS + 300 * (int)plan->victims) * (scale ? atoi(scale) : 1) * (test_is_slow_build() ? 4 : 1);
}

/* With STORM_ASK set to a command such as "gdb -batch -ex bt -p", what it says of a process. */
static void ask_about(pid_t pid)
{
    const char *asked = getenv("STORM_ASK");
    char command[256];

    snprintf(command, sizeof command, "%s %d 1>&2", asked ? asked : "true", (int)pid);
    if (system(command) != 0)
        dprintf(STDERR_FILENO, "%s\n", command);
}

static void say_who_hangs(struct course *course)
{
    for (unsigned i = 0; i < course->count; i++) {
        const char *doing = course->stage->doing[course->crew[i].actor];

        dprintf(STDERR_FILENO, "actor %u (pid %d) is %s\n", course->crew[i].actor, (int)course->crew[i].pid,
                doing ? doing : "not begun");
        ask_about(course->crew[i].pid);
    }
    complain(course, "a hang: %u processes did not end in %d s", course->count, deadline_ms(course->plan) / 1000);
}

/* Time in which the whole machine stood still, as virtual ones do, does not count. */
static bool is_overdue(struct course *course)
{
    int64_t now = now_ms(), passed = now - course->looked_ms;

    course->looked_ms = now;
    course->left_ms -= passed < 100 ? passed : 100;
    return course->left_ms < 0;
}

/* Let a little time pass, or until somebody has ended; true while there is no reason to stop. */
static bool pass(struct course *course)
{
    struct timespec limit = {0, 500000};
    pid_t pids[CREW_MAX];
    sigset_t wanted;

    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    for (unsigned i = 0; i < course->count; i++)
        pids[i] = course->crew[i].is_victim || !expects_errors(course->plan) ? course->crew[i].pid : 0;
    faults_step(&course->faults, course->plan, pids, course->count, &course->tally);
    if (!reap(course, WNOHANG))
        sigtimedwait(&wanted, NULL, &limit);
    if (is_overdue(course) && !course->wrong[0])
        say_who_hangs(course);
    return course->wrong[0] == '\0';
}

static void await_ready(struct course *course, unsigned count)
{
    while (course->stage->ready < count && pass(course))
        ;
}

static void await_end(struct course *course, bool victims)
{
    while (count_crew(course, victims) > 0 && pass(course))
        ;
}

static void run_victims(struct course *course, role_fn *role)
{
    while ((course->started < course->plan->victims || count_crew(course, true) > 0) && !course->wrong[0]) {
        while (course->started < course->plan->victims && count_crew(course, true) < course->plan->slots)
            start(course, role, true, true);
        pass(course);
    }
}

/* ---- The kinds ---- */

static void run_senders(struct course *course)
{
    for (unsigned i = 0; i < course->plan->survivors; i++)
        start(course, flow_surviving_receiver, false, false);
    await_ready(course, course->plan->survivors);
    run_victims(course, flow_doomed_sender);
    faults_end(&course->faults);
    course->stage->finished = true;
    await_end(course, false);
}

static void run_receivers(struct course *course)
{
    start(course, flow_surviving_sender, false, false);
    await_ready(course, 1);
    run_victims(course, flow_doomed_receiver);
    faults_end(&course->faults);
    course->stage->finished = true;
    if (course->wrong[0])
        return;
    start(course, flow_last_receiver, true, false);
    await_end(course, true);
    course->tally.restarts -= course->tally.restarts > 0;
    course->stage->others_done = true;
    await_end(course, false);
}

static void run_calls(struct course *course)
{
    bool clients_die = course->plan->left_dies;

    for (unsigned i = 0; i < course->plan->survivors; i++)
        start(course, clients_die ? calls_server : calls_client, false, false);
    await_ready(course, course->plan->survivors);
    run_victims(course, clients_die ? calls_client : calls_server);
    faults_end(&course->faults);
    if (clients_die) {
        course->stage->others_done = true;
        await_end(course, false);
        return;
    }
    if (course->wrong[0])
        return;
    start(course, calls_server, true, false);
    while (!course->stage->last_is_here && pass(course))
        ;
    course->stage->finished = true;
    await_end(course, false);
    course->stage->others_done = true;
    await_end(course, true);
}

static void run_churn(struct course *course)
{
    run_victims(course, churn_come_and_go);
}

/* Traffic whose files are hurt, beside a pair that must not notice; then everybody is killed. */
static void run_hurt(struct course *course)
{
    bool turns = course->plan->pipe.pair->turns;
    int64_t end_ns;

    start(course, churn_stand_by, false, false);
    await_ready(course, 1);
    faults_spare(&course->faults);
    start(course, turns ? calls_client : flow_surviving_sender, true, false);
    start(course, turns ? calls_server : flow_surviving_receiver, true, false);
    end_ns = now_ns() + 3000000 + (int64_t)(random_next(&course->faults.state) % 20000000);
    while (now_ns() < end_ns && pass(course))
        ;
    course->tally.faults += course->faults.done;
    faults_end(&course->faults);
    for (unsigned i = 0; i < course->count; i++)
        if (course->crew[i].is_victim)
            kill_member(&course->crew[i]);
    await_end(course, true);
    course->stage->finished = true;
    await_end(course, false);
}

/* ---- Afterwards ---- */

/* What the dead have left, `shmq gc` finds; and the name is usable again. */
static void look_behind(struct course *course)
{
    unsigned files = count_files(course->lane->directory);
    uint64_t kills = course->tally.kills;

    course->tally.leavings += files;
    /* Four of an open socket; and two of each that was closed with messages for somebody who died first. */
    if (course->lane->tool && files > 8 * (kills + 1) && !expects_errors(course->plan))
        complain(course, "%u files were left by %llu dead", files, (unsigned long long)kills);
    if (course->plan->kind >= CHURN && !course->wrong[0]) {
        if (expects_errors(course->plan) && course->lane->tool)
            run_gc(course->lane->tool); /* a cut file stays in the way until then */
        start(course, churn_probe, false, false);
        await_end(course, false);
    }
    if (!course->lane->tool)
        return;
    if (count_files(course->lane->directory) > 0)
        run_gc(course->lane->tool);
    files = count_files(course->lane->directory);
    if (files > 0)
        complain(course, "%u files were left that `shmq gc` does not remove", files);
}

static void note_result(struct course *course, struct totals *totals)
{
    struct stage *stage = course->stage;

    course->tally.turned_away = stage->turned_away;
    course->tally.rounds = 1;
    totals->kind_rounds[course->plan->kind]++;
    if (stage->fd_growth > totals->fd_growth_max)
        totals->fd_growth_max = stage->fd_growth;
    if (stage->map_growth > totals->map_growth_max)
        totals->map_growth_max = stage->map_growth;
    if (stage->fd_growth > 2 || stage->map_growth > 12)
        complain(course, "a survivor of %u deaths has %u descriptors and %u mappings more", course->plan->victims,
                 stage->fd_growth, stage->map_growth);
}

static void say_wrong(struct course *course)
{
    struct lane *lane = course->lane;
    char command[256];

    course->tally.violations++;
    dprintf(STDERR_FILENO, "VIOLATION: %s\n    ", course->wrong);
    plan_print(course->plan, STDERR_FILENO);
    if (lane->keep)
        judge_keep(course->stage, lane->keep, course->wrong);
    snprintf(command, sizeof command, "rm -rf %s/*", lane->directory);
    if (system(command) != 0)
        dprintf(STDERR_FILENO, "cannot clear %s\n", lane->directory);
}

bool round_run(struct lane *lane, const struct plan *plan, struct totals *totals)
{
    static void (*const runs[KINDS])(struct course *) = {run_senders, run_receivers, run_calls,
                                                         run_churn,   run_hurt,      run_hurt};
    struct course course = {
        .lane = lane, .stage = lane->stage, .totals = totals, .left_ms = deadline_ms(plan), .looked_ms = now_ms()};
    const char *verdict;
    sigset_t wanted;

    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    stage_reset(lane->stage, plan);
    course.plan = &lane->stage->plan;
    faults_begin(&course.faults, plan, lane->directory);
    runs[plan->kind](&course);
    faults_end(&course.faults);
    kill_crew(&course);
    end_heirs(&course);
    verdict = course.wrong[0] ? NULL : judge(course.stage, &course.tally);
    if (verdict)
        complain(&course, "%s", verdict);
    look_behind(&course);
    note_result(&course, totals);
    if (course.wrong[0])
        say_wrong(&course);
    tally_add(&totals->pair[plan->pipe.pair - pair_at(0)], &course.tally);
    stage_clear(lane->stage);
    return !course.wrong[0];
}

void round_must_hold(const struct plan *plan, struct tally *tally)
{
    static struct totals totals;
    struct lane lane = {.stage = stage_new()};

    snprintf(lane.directory, sizeof lane.directory, "%s", test_dir());
    CHECK(round_run(&lane, plan, &totals));
    *tally = totals.pair[plan->pipe.pair - pair_at(0)];
    stage_free(lane.stage);
}
