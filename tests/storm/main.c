/* SPDX-License-Identifier: MIT */
/* Arguments, and the lanes: processes that run rounds side by side until time or kills are up. */
#include "storm.h"
#include "../support/cli.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

enum { LANES_MAX = 128 };
#define NO_ROUND UINT64_MAX

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

_Noreturn static void refuse(const char *what, const char *name)
{
    fprintf(stderr, "storm: no %s is called %s\n", what, name);
    exit(2);
}

static int find_kind(const char *name)
{
    for (int i = 0; i < KINDS; i++)
        if (strcmp(name, kind_name((enum kind)i)) == 0)
            return i;
    refuse("kind of round", name);
}

static void parse(struct settings *settings, int argc, char **argv)
{
    const char *kind = NULL, *pattern = NULL;
    const struct cli_option options[] = {
        {"seconds", .number = &settings->seconds}, {"kills", .large = &settings->kills},
        {"seed", .large = &settings->seed},        {"lanes", .number = &settings->lanes},
        {"kind", .text = &kind},                   {"pattern", .text = &pattern},
        {"round", .large = &settings->round},      {"repeat", .number = &settings->repeat},
        {"tool", .text = &settings->tool},         {"keep", .text = &settings->keep},
        {"plain", .flag = &settings->filter.plain},
    };

    cli_parse(options, COUNT_OF(options), argc, argv, usage);
    settings->one_round = settings->round != NO_ROUND;
    settings->round = settings->one_round ? settings->round : 0;
    settings->lanes = settings->one_round ? 1 : settings->lanes < LANES_MAX ? settings->lanes : LANES_MAX;
    if (!settings->one_round && !settings->seconds && !settings->kills)
        settings->seconds = 60;
    settings->filter.kind = kind ? find_kind(kind) : -1;
    settings->filter.pair = pattern ? pair_named(pattern) : NULL;
    if (pattern && !settings->filter.pair)
        refuse("pattern", pattern);
}

int main(int argc, char **argv)
{
    struct settings settings = {.seed = test_seed() % 1000000000, .lanes = 24, .repeat = 1,
                                .round = NO_ROUND, .tool = "shmq", .keep = "."};
    const char *base = getenv("SHMQ_DIR");
    int status;

    parse(&settings, argc, argv);
    snprintf(settings.root, sizeof settings.root, "%s/storm-XXXXXX", base ? base : "/dev/shm");
    if (!mkdtemp(settings.root)) {
        fprintf(stderr, "storm: no directory %s: %s\n", settings.root, strerror(errno));
        return 2;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    status = run(&settings);
    return remove_tree(settings.root) == 0 ? status : 1;
}
