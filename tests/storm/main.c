/* SPDX-License-Identifier: MIT */
/* Arguments, and the lanes: processes that run rounds side by side until time or kills are up. */
#include "storm.h"

#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

enum { LANES_MAX = 128 };

struct settings {
    uint64_t seed, kills, round;
    unsigned seconds, lanes, repeat;
    bool one_round;
    struct filter filter;
    const char *tool, *keep;
    char root[64];
};

/* What the lanes share. */
struct board {
    _Atomic uint64_t next_round, kills, violations;
    _Atomic bool stop;
    struct totals totals[LANES_MAX];
};

static const char usage[] =
    "usage: storm [--seconds N] [--kills N] [--seed S] [--lanes N] [--kind NAME] [--pattern L/R] [--plain]\n"
    "             [--round R [--repeat N]] [--tool PATH] [--keep DIRECTORY]\n";

/* ---- A lane ---- */

static bool mount_own(const char *directory)
{
    char options[64];

    snprintf(options, sizeof options, "size=%uk,mode=0700", ROOM_KIB);
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", directory, "tmpfs", 0, options) == 0;
}

static uint64_t resident_kib(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (file && fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return pages * 4;
}

static uint64_t blocks_used(const struct lane *lane, bool has_own_fs)
{
    struct statfs fs;

    return has_own_fs && statfs(lane->directory, &fs) == 0 ? fs.f_blocks - fs.f_bfree : 0;
}

/* Whether it has a file system of its own. */
static bool lane_setup(struct lane *lane, const struct settings *settings, unsigned number)
{
    *lane = (struct lane){.tool = settings->tool, .keep = settings->keep};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    snprintf(lane->directory, sizeof lane->directory, "%s/%u", settings->root, number);
    CHECK_OK(mkdir(lane->directory, 0700));
    setenv("SHMQ_DIR", lane->directory, 1);
    lane->stage = stage_new();
    return mount_own(lane->directory);
}

_Noreturn static void lane_run(const struct settings *settings, struct board *board, unsigned number)
{
    struct totals *totals = &board->totals[number];
    struct filter filter = settings->filter;
    struct lane lane;
    struct plan plan;

    filter.full = lane_setup(&lane, settings, number);
    filter.keys = keys_are_supported();
    totals->controller_fds_first = count_files("/proc/self/fd");
    totals->blocks_first = blocks_used(&lane, filter.full);
    for (unsigned i = 0; !board->stop; i++) {
        uint64_t round = settings->one_round ? settings->round : board->next_round++;
        uint64_t *kills, before;

        if (settings->one_round && i >= settings->repeat)
            break;
        plan_make(&plan, settings->seed, round, &filter);
        kills = &totals->pair[plan.pipe.pair - pair_at(0)].kills;
        before = *kills;
        board->violations += !round_run(&lane, &plan, totals);
        board->kills += *kills - before;
        if (i == 20)
            totals->rss_first_kib = resident_kib();
    }
    totals->rss_last_kib = resident_kib();
    totals->controller_fds_last = count_files("/proc/self/fd");
    totals->blocks_last = blocks_used(&lane, filter.full);
    totals->files_kept = count_files(lane.directory);
    _exit(0);
}

/* ---- All of them ---- */


static void say_progress(const struct board *board, int64_t begin_ms)
{
    double seconds = (double)(now_ms() - begin_ms) / 1000;
    uint64_t kills = board->kills;

    printf("%6.0f s  %llu rounds, %llu kills (%.0f a second), %llu violations\n", seconds,
           (unsigned long long)board->next_round, (unsigned long long)kills, (double)kills / seconds,
           (unsigned long long)board->violations);
    fflush(stdout);
}

static void watch(const struct settings *settings, struct board *board, pid_t *lanes, unsigned *broken)
{
    int64_t begin_ms = now_ms(), said_ms = begin_ms;
    unsigned left = settings->lanes;

    while (left > 0) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);

        for (unsigned i = 0; pid > 0 && i < settings->lanes; i++)
            if (lanes[i] == pid) {
                left--;
                *broken += status != 0;
            }
        if (pid > 0)
            continue;
        if (pid < 0)
            break;
        pass_ms(20);
        if (settings->seconds && now_ms() > begin_ms + (int64_t)settings->seconds * 1000)
            board->stop = true;
        if (settings->kills && board->kills >= settings->kills)
            board->stop = true;
        if (now_ms() > said_ms + 10000) {
            say_progress(board, begin_ms);
            said_ms = now_ms();
        }
    }
}

static int run(struct settings *settings)
{
    struct board *board = shared_memory(sizeof *board);
    int64_t begin_ms = now_ms();
    pid_t lanes[LANES_MAX];
    unsigned broken = 0;
    struct totals sum = {0};

    board->next_round = settings->round;
    printf("storm: seed %llu, %u lanes\n", (unsigned long long)settings->seed, settings->lanes);
    fflush(stdout);
    for (unsigned i = 0; i < settings->lanes; i++) {
        lanes[i] = (pid_t)CHECK_OK(fork());
        if (lanes[i] == 0)
            lane_run(settings, board, i);
    }
    watch(settings, board, lanes, &broken);
    for (unsigned i = 0; i < settings->lanes; i++)
        totals_add(&sum, &board->totals[i]);
    report_print(&sum, settings->seed, (double)(now_ms() - begin_ms + 1) / 1000);
    if (broken)
        printf("%u lanes broke\n", broken);
    return broken || board->violations ? 1 : 0;
}

/* ---- Arguments ---- */

static int find_kind(const char *name)
{
    for (int i = 0; i < KINDS; i++)
        if (strcmp(name, kind_name((enum kind)i)) == 0)
            return i;
    fprintf(stderr, "storm: no kind of round is called %s\n", name);
    exit(2);
}

static const struct pair *find_pair(const char *name)
{
    const struct pair *pair = pair_named(name);

    if (!pair) {
        fprintf(stderr, "storm: no pattern is called %s\n", name);
        exit(2);
    }
    return pair;
}

static void parse(struct settings *settings, int argc, char **argv)
{
    static const struct option options[] = {
        {"seconds", 1, 0, 's'}, {"kills", 1, 0, 'k'},   {"seed", 1, 0, 'S'},   {"lanes", 1, 0, 'l'},
        {"kind", 1, 0, 'K'},    {"pattern", 1, 0, 'p'}, {"round", 1, 0, 'r'},  {"repeat", 1, 0, 'n'},
        {"tool", 1, 0, 't'},    {"keep", 1, 0, 'd'},    {"plain", 0, 0, 'P'},  {0, 0, 0, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        unsigned long long number = optarg ? strtoull(optarg, NULL, 0) : 0;

        switch (option) {
        case 's': settings->seconds = (unsigned)number; break;
        case 'k': settings->kills = number; break;
        case 'S': settings->seed = number; break;
        case 'l': settings->lanes = number < LANES_MAX ? (unsigned)number : LANES_MAX; break;
        case 'K': settings->filter.kind = find_kind(optarg); break;
        case 'p': settings->filter.pair = find_pair(optarg); break;
        case 'r': settings->round = number, settings->one_round = true; break;
        case 'n': settings->repeat = (unsigned)number; break;
        case 't': settings->tool = optarg; break;
        case 'd': settings->keep = optarg; break;
        case 'P': settings->filter.plain = true; break;
        default: fputs(usage, stderr); exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    struct settings settings = {.seed = test_seed() % 1000000000, .lanes = 24, .repeat = 1,
                                .filter = {.kind = -1}, .tool = "shmq", .keep = "."};
    const char *base = getenv("SHMQ_DIR");
    char command[128];
    int status;

    parse(&settings, argc, argv);
    if (!settings.one_round && !settings.seconds && !settings.kills)
        settings.seconds = 60;
    if (settings.one_round)
        settings.lanes = 1;
    snprintf(settings.root, sizeof settings.root, "%s/storm-XXXXXX", base ? base : "/dev/shm");
    if (!mkdtemp(settings.root)) {
        fprintf(stderr, "storm: no directory %s: %s\n", settings.root, strerror(errno));
        return 2;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    status = run(&settings);
    snprintf(command, sizeof command, "rm -rf %s", settings.root);
    if (system(command) != 0)
        status = 1;
    return status;
}
