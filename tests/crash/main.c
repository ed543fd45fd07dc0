/* SPDX-License-Identifier: MIT */
/* The stepper's options, its list of cases, and the workers that go through them. See crash.h. */
#include "table.h"
#include "inside.h"

#include <fnmatch.h>
#include <ftw.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { JOBS_MAX = 256, RUN_LIMIT_S = 120, SAID_MAX = 4000 };

static struct {
    const char *operation, *pattern, *policy, *state, *binds, *side, *mode;
    long long at, then;
    unsigned jobs, share, seed, say, minutes, pairs, looks;
    bool every, list, count;
} options = {.at = -1, .then = -1, .jobs = 1, .share = 1, .say = 10, .looks = 30};

static const char *const mode_names[MODES] = {"record",      "kill",    "freeze",    "close",
                                              "join",        "replace", "kill-peer", "kill-next",
                                              "freeze-both", "count"};

static struct shared {
    struct row rows[OPERATIONS];
    struct counts counts;
    _Atomic uint64_t said;
    _Atomic uint64_t turns[OPERATIONS]; /* of each: its place in the list of its cases */
} * shared;

/* Of each worker, and of the run that it makes. */
static struct record *record;
static struct ledger *ledger;
static char base_directory[64];
static pid_t workers[JOBS_MAX];
static int said; /* what a run says goes here, to be shown if it fails */

static void *share(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK(memory != MAP_FAILED);
    return memory;
}

/* ---- one run, in a process of its own ---- */

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static bool has_second(enum mode mode)
{
    return mode >= MODE_KILL_PEER && mode <= MODE_FREEZE_BOTH;
}

static void describe(const struct run *run, const char *why)
{
    const struct scenario *s = &run->scenario;
    char text[SAID_MAX], then[40] = "";
    ssize_t n = pread(said, text, sizeof text, 0);

    if (shared->said++ >= options.say)
        return;
    if (has_second(run->mode) && !run->records_second)
        snprintf(then, sizeof then, " --then %llu", (unsigned long long)run->second.step);
    fflush(stdout);
    dprintf(STDERR_FILENO,
            "\n--operation '%s' --pattern %s --policy '%s' --binds %s --side %s --state '%s' "
            "--mode %s --at %llu%s: %s\n%.*s",
            s->operation->name, s->pair->name, policy_names[s->policy],
            s->right_binds ? "right" : "left", s->victim_is_left ? "left" : "right", s->state->name,
            mode_names[run->mode], (unsigned long long)run->first.step, then, why,
            n > 0 ? (int)n : 0, text);
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
    nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return status;
}

/* True: nothing wrong. */
static bool run_one(const struct scenario *scenario, enum mode mode, const struct point *first,
                    const struct point *second)
{
    struct run run = {.scenario = *scenario,
                      .mode = mode,
                      .first = *first,
                      .records_second = second == NULL,
                      .record = record,
                      .ledger = ledger,
                      .left = ACTORS,
                      .right = ACTORS};
    struct row *row = &shared->rows[scenario->operation - operations];
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

/* ---- one case ---- */

static bool wants_mode(enum mode mode)
{
    return options.mode == NULL || fnmatch(options.mode, mode_names[mode], 0) == 0;
}

/* Newcomers come while somebody leaves; in the peer's place, where there is one that can go. */
static bool mode_fits(const struct scenario *s, enum mode mode)
{
    if (mode == MODE_REPLACE &&
        (s->operation == &operations[OP_REAP] || s->state->alone || s->state->parked))
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
    uint32_t from = (uint32_t)((uint64_t)i * count / wanted),
             to = (uint32_t)((uint64_t)(i + 1) * count / wanted);
    return from + (uint32_t)(random_next(random) % (to - from));
}

/* The first fault at POINT: where may the second be, and there. */
static void run_second(const struct scenario *scenario, enum mode mode, const struct point *point,
                       uint64_t *random)
{
    static struct record second;

    begin_record();
    if (!run_one(scenario, mode, point, NULL))
        return;
    second = *record;
    shared->rows[scenario->operation - operations].seconds++;
    bool stops = mode == MODE_FREEZE_BOTH;
    const struct point *points = stops ? second.looks : second.points;
    uint32_t count = stops ? second.look_count : second.count;
    for (uint32_t i = 0; i < sample_size(options.pairs, count); i++)
        run_one(scenario, mode, point, &points[sample(random, i, options.pairs, count)]);
}

static void run_mode(const struct scenario *scenario, enum mode mode, const struct record *first,
                     uint64_t *random)
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
    struct point first = {.step = (uint64_t)options.at}, second = {.step = (uint64_t)options.then};

    for (enum mode mode = MODE_KILL; mode <= MODE_FREEZE_BOTH; mode++)
        if (wants_mode(mode) && mode_fits(scenario, mode) &&
            (options.mode != NULL || !has_second(mode)))
            run_one(scenario, mode, &first, options.then >= 0 ? &second : NULL);
}

static void run_case(const struct scenario *scenario)
{
    static struct record first;

    if (options.at >= 0) {
        run_chosen(scenario);
        return;
    }
    begin_record();
    if (!run_one(scenario, options.count ? MODE_COUNT : MODE_RECORD, &nowhere, &nowhere) ||
        record->skipped)
        return;
    first = *record;
    table_note(&shared->rows[scenario->operation - operations], &first);
    if (options.count)
        counts_note(&shared->counts, scenario, first.instructions);
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

static bool is_wanted(const struct scenario *s)
{
    return matches(options.operation, s->operation->name) &&
           matches(options.pattern, s->pair->name) && matches(options.state, s->state->name) &&
           matches(options.binds, s->right_binds ? "right" : "left") &&
           matches(options.side, s->victim_is_left ? "left" : "right") &&
           matches(options.policy, policy_names[s->policy]) && operation_fits(s) && state_fits(s) &&
           policy_fits(s) && (has_keys || s->policy < KEYED);
}

/* Of SHARE cases one, each time the same. */
static bool is_chosen(uint64_t index)
{
    uint64_t state = index * 31 + options.seed;

    return options.share <= 1 || random_next(&state) % options.share == 0;
}

static uint64_t cases_of_each(void)
{
    return (uint64_t)4 * state_count * crash_pair_count * POLICIES;
}

/* The cases of an operation are gone through criss-cross: when time runs out, some of each kind
 * were. */
static void choose_scenario(struct scenario *s, int operation, uint64_t turn)
{
    uint64_t index = turn * 7919 % cases_of_each(); /* a prime, near the golden section */

    *s = (struct scenario){.victim_is_left = index % 2, .right_binds = index / 2 % 2};
    index /= 4;
    s->policy = (enum policy)(index % POLICIES);
    index /= POLICIES;
    s->state = &states[index % state_count];
    s->pair = &crash_pairs[index / state_count];
    s->operation = &operations[operation];
}

/* The next case of the operation that no worker has had; false: there is none. */
static bool next_case(int operation, struct scenario *scenario)
{
    uint64_t turn;

    while ((turn = shared->turns[operation]++) < cases_of_each()) {
        choose_scenario(scenario, operation, turn);
        if (is_wanted(scenario) && is_chosen(turn * OPERATIONS + (uint64_t)operation))
            return true;
    }
    return false;
}

/* The operation that has had the least time of this worker and is not through; OPERATIONS: all are. */
static int least_served(const int64_t spent_ms[OPERATIONS])
{
    int least = OPERATIONS;

    for (int i = 0; i < OPERATIONS; i++)
        if (shared->turns[i] < cases_of_each() && (least == OPERATIONS || spent_ms[i] < spent_ms[least]))
            least = i;
    return least;
}

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
        run_case(s);
        return;
    }
    printf("%s, %s, %s, %s binds, victim is %s, %s\n", s->operation->name, s->pair->name,
           policy_names[s->policy], s->right_binds ? "right" : "left",
           s->victim_is_left ? "left" : "right", s->state->name);
}

static void work(unsigned worker)
{
    int64_t end = options.minutes ? now_ms() + options.minutes * INT64_C(60000) : INT64_MAX;
    int64_t spent_ms[OPERATIONS] = {0};
    struct scenario scenario;
    int i;

    pin(worker);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    record = share(sizeof *record);
    ledger = share(sizeof *ledger);
    said = (int)CHECK_OK(memfd_create("said", MFD_CLOEXEC));
    while (now_ms() < end && (i = least_served(spent_ms)) != OPERATIONS) {
        int64_t start = now_ms();

        if (next_case(i, &scenario))
            do_case(&scenario);
        spent_ms[i] += now_ms() - start;
    }
}

/* ---- the command line ---- */

static void usage(void)
{
    printf(
        "usage: crash [OPTION...]\n\n"
        "Steps operations of the library through all instructions, kills and freezes them "
        "wherever the shared\n"
        "memory or the kernel's part may have changed, and checks the contract of "
        "docs/FAILURE.md.\n\n"
        "  --operation, --pattern, --policy, --state NAME   only those (with * and ?); --list "
        "names all cases\n"
        "  --binds, --side left|right             only with that end bound, only with that end "
        "as the victim\n"
        "  --mode kill|freeze|close|join|replace  only that fault\n"
        "  --pairs N                              two faults (--mode kill-peer|kill-next|"
        "freeze-both): at N kill\n"
        "                                         points of the victim, and at each at N of the "
        "other; by seed\n"
        "  --at STEPS [--then STEPS]              only there\n"
        "  --looks N                              stopped also before N of its accesses to shared "
        "memory (30)\n"
        "  --count                                only count instructions\n"
        "  --every                                at every instruction, also where nothing has "
        "changed\n"
        "  --share N, --seed N                    of N cases one; which ones\n"
        "  --minutes N                            until then, and no further\n"
        "  --jobs N                               processes at work\n"
        "  --say N                                violations that are shown, by default 10\n");
}

static void parse(int argc, char **argv)
{
    static const struct option known[] = {
        {"operation", 1, NULL, 'o'}, {"pattern", 1, NULL, 'p'}, {"state", 1, NULL, 't'},
        {"binds", 1, NULL, 'b'},     {"side", 1, NULL, 'd'},    {"mode", 1, NULL, 'm'},
        {"at", 1, NULL, 'k'},        {"every", 0, NULL, 'e'},   {"share", 1, NULL, 'n'},
        {"seed", 1, NULL, 's'},      {"jobs", 1, NULL, 'j'},    {"list", 0, NULL, 'l'},
        {"say", 1, NULL, 'y'},       {"minutes", 1, NULL, 'i'}, {"help", 0, NULL, 'h'},
        {"policy", 1, NULL, 'c'},    {"pairs", 1, NULL, 'r'},   {"then", 1, NULL, 'x'},
        {"count", 0, NULL, 'u'},     {"looks", 1, NULL, 'w'},   {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "h", known, NULL)) != -1) {
        const char **text = option == 'o'   ? &options.operation
                            : option == 'p' ? &options.pattern
                            : option == 't' ? &options.state
                            : option == 'c' ? &options.policy
                            : option == 'b' ? &options.binds
                            : option == 'd' ? &options.side
                            : option == 'm' ? &options.mode
                                            : NULL;
        unsigned *number = option == 'n'   ? &options.share
                           : option == 's' ? &options.seed
                           : option == 'j' ? &options.jobs
                           : option == 'y' ? &options.say
                           : option == 'i' ? &options.minutes
                           : option == 'r' ? &options.pairs
                           : option == 'w' ? &options.looks
                                           : NULL;
        if (text != NULL)
            *text = optarg;
        else if (number != NULL)
            *number = (unsigned)strtoul(optarg, NULL, 0);
        else if (option == 'k')
            options.at = strtoll(optarg, NULL, 0);
        else if (option == 'x')
            options.then = strtoll(optarg, NULL, 0);
        else if (option == 'u')
            options.count = true;
        else if (option == 'e')
            options.every = true;
        else if (option == 'l')
            options.list = true;
        else {
            usage();
            exit(option == 'h' ? 0 : 2);
        }
    }
    options.jobs = options.jobs > 0 ? options.jobs : 1;
    options.jobs = options.jobs < JOBS_MAX ? options.jobs : JOBS_MAX;
}

/* The same addresses in every run: what is stepped repeats. */
static void be_repeatable(char **argv)
{
    int now = personality(0xffffffff);

    if (getenv("CRASH_AGAIN") != NULL)
        return;
    setenv("CRASH_AGAIN", "1", 1);
    setenv("LD_BIND_NOW", "1", 1);
    setenv(
        "GLIBC_TUNABLES",
        "glibc.cpu.x86_rep_movsb_threshold=1000000000:glibc.cpu.x86_rep_stosb_threshold=1000000000",
        1);
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

    be_repeatable(argv);
    parse(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    setlinebuf(stdout);
    inside_warm_up();
    shared = share(sizeof *shared);
    snprintf(base_directory, sizeof base_directory, "/dev/shm/shmq-crash-XXXXXX");
    CHECK(mkdtemp(base_directory) != NULL);
    setenv("SHMQ_DIR", base_directory, 1);
    has_keys = policies_have_keys();
    failed = run_workers();
    nftw(base_directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    if (options.list)
        return 0;
    if (options.count)
        counts_print(&shared->counts);
    bool sound = options.pairs > 0 ? seconds_print(shared->rows) == 0
                                   : options.count || table_print(shared->rows) == 0;
    return sound && !failed ? 0 : 1;
}
