/* SPDX-License-Identifier: MIT */
/* The workers that go through the cases, each run in a process of its own. See crash.h. */
#include "cases.h"
#include "inside.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { RUN_LIMIT_S = 120, SAID_MAX = 4000 };

const char *const mode_names[MODES] = {"record",  "kill",      "freeze",    "close",       "join",
                                       "replace", "kill-peer", "kill-next", "freeze-both", "count"};

struct board *board;
struct record *record;
static struct ledger *ledger;
static char base_directory[64];
static pid_t workers[JOBS_MAX];
static int said; /* what a run says goes here, to be shown if it fails */

/* ---- one run, in a process of its own ---- */

bool has_second(enum mode mode)
{
    return mode >= MODE_KILL_PEER && mode <= MODE_FREEZE_BOTH;
}

static void describe(const struct run *run, const char *why)
{
    const struct scenario *s = &run->scenario;
    char text[SAID_MAX], then[40] = "";
    ssize_t n = pread(said, text, sizeof text, 0);

    if (board->said++ >= options.say)
        return;
    if (has_second(run->mode) && !run->records_second)
        snprintf(then, sizeof then, " --then %llu", (unsigned long long)run->second.step);
    fflush(stdout);
    dprintf(STDERR_FILENO,
            "\n--operation '%s' --pattern %s --policy '%s' --binds %s --side %s --state '%s' "
            "--mode %s --at %llu%s: %s\n%.*s",
            s->operation->name, s->pair->name, policy_names[s->policy], s->right_binds ? "right" : "left",
            s->victim_is_left ? "left" : "right", s->state->name, mode_names[run->mode],
            (unsigned long long)run->first.step, then, why, n > 0 ? (int)n : 0, text);
}

_Noreturn static void be_director(const struct run *wanted, const char *directory)
{
    struct run run = *wanted;

    dup2(said, STDERR_FILENO);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setenv("SHMQ_DIR", directory, 1);
    alarm(RUN_LIMIT_S);
    run_here(&run);
    _exit(0);
}

static int run_once(const struct run *run)
{
    char directory[96];
    int status = -1, one;
    pid_t pid, got;

    snprintf(directory, sizeof directory, "%s/run-XXXXXX", base_directory);
    CHECK(mkdtemp(directory) != NULL);
    memset(ledger, 0, offsetof(struct ledger, got));
    CHECK_OK(ftruncate(said, 0));
    lseek(said, 0, SEEK_SET);
    pid = (pid_t)CHECK_OK(fork());
    if (pid == 0)
        be_director(run, directory);
    while ((got = waitpid(-1, &one, __WALL)) > 0) /* actors die with it, and come to us */
        if (got == pid)
            status = one;
    remove_tree(directory);
    return status;
}

bool run_one(const struct scenario *scenario, enum mode mode, const struct point *first, const struct point *second)
{
    struct run run = {.scenario = *scenario,
                      .mode = mode,
                      .first = *first,
                      .records_second = second == NULL,
                      .record = record,
                      .ledger = ledger,
                      .left = ACTORS,
                      .right = ACTORS};
    struct row *row = &board->rows[scenario->operation - operations];
    bool repeats = false;
    char why[64];
    int status = -1;

    if (second != NULL)
        run.second = *second;
    for (int i = 0; i < 3 && !repeats; i++) { /* a clock may lead it another way */
        status = run_once(&run);
        repeats = !WIFEXITED(status) || WEXITSTATUS(status) != EXIT_UNREPEATABLE;
    }
    row->runs[mode]++;
    if (status == 0)
        return true;
    if (!repeats) {
        row->unrepeatable++;
        return false;
    }
    snprintf(why, sizeof why, WIFSIGNALED(status) ? "ended by signal %d" : "status %d",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    describe(&run, why);
    row->violations++;
    return false;
}

/* ---- the workers ---- */

static void pin(unsigned worker)
{
    cpu_set_t all, one;
    unsigned seen = 0;

    CHECK_OK(sched_getaffinity(0, sizeof all, &all));
    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all) && seen++ == worker % (unsigned)CPU_COUNT(&all))
            CPU_SET(cpu, &one);
    CHECK_OK(sched_setaffinity(0, sizeof one, &one));
}

static void do_case(const struct scenario *s)
{
    if (!options.list) {
        case_run(s);
        return;
    }
    printf("%s, %s, %s, %s binds, victim is %s, %s\n", s->operation->name, s->pair->name, policy_names[s->policy],
           s->right_binds ? "right" : "left", s->victim_is_left ? "left" : "right", s->state->name);
}

static void work(unsigned worker)
{
    int64_t end = options.minutes ? now_ms() + options.minutes * INT64_C(60000) : INT64_MAX;
    int64_t spent_ms[OPERATIONS] = {0};
    struct scenario scenario;
    int i;

    pin(worker);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    record = shared_memory(sizeof *record);
    ledger = shared_memory(sizeof *ledger);
    said = (int)CHECK_OK(memfd_create("said", MFD_CLOEXEC));
    while (now_ms() < end && (i = case_least_served(spent_ms)) != OPERATIONS) {
        int64_t start = now_ms();

        if (case_next(i, &scenario))
            do_case(&scenario);
        spent_ms[i] += now_ms() - start;
    }
}

/* The same addresses in every run: what is stepped repeats. */
static void be_repeatable(char **argv)
{
    int now = personality(0xffffffff);

    if (getenv("CRASH_AGAIN") != NULL)
        return;
    setenv("CRASH_AGAIN", "1", 1);
    setenv("LD_BIND_NOW", "1", 1);
    setenv("GLIBC_TUNABLES",
           "glibc.cpu.x86_rep_movsb_threshold=1000000000:glibc.cpu.x86_rep_stosb_threshold=1000000000", 1);
    if (now >= 0 && personality((unsigned)now | ADDR_NO_RANDOMIZE) >= 0)
        execv("/proc/self/exe", argv);
}

static volatile sig_atomic_t is_told_to_stop;

static void stop(int signal)
{
    is_told_to_stop = signal;
}

/* Until they are through, or somebody has had enough: what was done until then is told all the
 * same. */
static int run_workers(void)
{
    struct sigaction action = {.sa_handler = stop};
    int status, failed = 0;
    pid_t pid;

    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (unsigned i = 0; i < options.jobs; i++)
        if ((workers[i] = (pid_t)CHECK_OK(fork())) == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            work(i);
            fflush(stdout);
            _exit(0);
        }
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    while ((pid = wait(&status)) > 0 || errno == EINTR) {
        for (unsigned i = 0; is_told_to_stop && i < options.jobs; i++)
            if (workers[i] > 1 && workers[i] != pid)
                kill(workers[i], SIGKILL);
        for (unsigned i = 0; pid > 0 && i < options.jobs; i++)
            workers[i] = workers[i] == pid ? 0 : workers[i];
        failed |= pid > 0 && !is_told_to_stop ? status : 0;
    }
    return failed;
}

int main(int argc, char **argv)
{
    int failed;
    bool sound;

    be_repeatable(argv);
    options_parse(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    setlinebuf(stdout);
    inside_warm_up();
    board = shared_memory(sizeof *board);
    snprintf(base_directory, sizeof base_directory, "/dev/shm/shmq-crash-XXXXXX");
    CHECK(mkdtemp(base_directory) != NULL);
    setenv("SHMQ_DIR", base_directory, 1);
    cases_begin();
    failed = run_workers();
    remove_tree(base_directory);
    if (options.list)
        return 0;
    if (options.count)
        counts_print(&board->counts);
    sound = options.pairs > 0 ? seconds_print(board->rows) == 0 : options.count || table_print(board->rows) == 0;
    return sound && !failed ? 0 : 1;
}
