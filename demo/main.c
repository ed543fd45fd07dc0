/* SPDX-License-Identifier: MIT */
/*
 * shmq-demo: a robot's control loop over shmq, in separate processes, on real data.
 *
 *     publisher --pose, 1 kHz--> controller, logger, slow (too slow), late (joins later)
 *     client <--request/reply--> arm service
 *     dispatcher --jobs--> worker 1..3 (one is killed with a job in hand) --results--> collector
 *
 * It counts every message at both ends and exits with 0 only if all of them are accounted for. The floors
 * (what bare shared memory and bare futexes take, see floor.h) run beside it, and the same loop over
 * libzmq's ipc after it.
 */
#include "arm.h"
#include "child.h"
#include "clock.h"
#include "floor.h"
#include "jobs.h"
#include "pose.h"
#include "report.h"
#include "runtime_dir.h"
#include "zmq_loop.h"

#include <errno.h>
#include <shmq.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#define NS_PER_S        1000000000u
#define SETUP_S         5   /* until every process is ready */
#define WIND_UP_S       8   /* until every process has ended, after stop */
#define LATE_AFTER      0.3 /* part of the run */
#define KILL_AFTER      0.5
#define VICTIM          1   /* which worker is killed */
#define ZMQ_SHARE       0.5 /* libzmq's loop lasts this part of ours */
#define DEFAULT_SECONDS 10

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    interrupted = number;
}

/* On a terminal one line that is refreshed, otherwise a line each second. */
static void show(const struct board *board, double seconds, bool last)
{
    static int printed_s;
    char text[400];
    struct winsize window;

    if (!isatty(STDOUT_FILENO)) {
        if ((int)seconds > printed_s || last) {
            report_progress(board, seconds, text, sizeof text);
            printf("%s\n", text);
            fflush(stdout);
            printed_s = (int)seconds;
        }
        return;
    }
    report_progress(board, seconds, text, sizeof text);
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 1 &&
        strlen(text) >= window.ws_col)
        text[window.ws_col - 1] = '\0'; /* a line that wraps could not be refreshed */
    printf("\r%s\033[K%s", text, last ? "\n" : "");
    fflush(stdout);
}

static bool start(struct board *board, const char *name, int number, child_role_t *role,
                  unsigned deadline_s)
{
    if (child_start(board, name, number, role, deadline_s) < 0) {
        fprintf(stderr, "shmq-demo: %s: %s\n", name, shm_strerror(errno));
        return false;
    }
    return true;
}

static bool start_workers(struct board *board, unsigned deadline_s)
{
    static const char *const names[WORKERS] = {"worker 1", "worker 2", "worker 3"};

    for (int i = 0; i < WORKERS; i++) {
        board->worker[i].pid = child_start(board, names[i], i, job_work, deadline_s);
        if (board->worker[i].pid < 0) {
            fprintf(stderr, "shmq-demo: %s: %s\n", names[i], shm_strerror(errno));
            return false;
        }
    }
    return true;
}

static bool loop_start(struct board *board, unsigned deadline_s)
{
    return start(board, "publisher", 0, pose_publish, deadline_s) &&
           start(board, "controller", CONTROLLER, pose_subscribe, deadline_s) &&
           start(board, "logger", LOGGER, pose_subscribe, deadline_s) &&
           start(board, "slow", SLOW, pose_subscribe, deadline_s) &&
           start(board, "arm", 0, arm_serve, deadline_s) &&
           start(board, "client", 0, arm_call, deadline_s) &&
           start(board, "dispatcher", 0, job_dispatch, deadline_s) &&
           start(board, "collector", 0, job_collect, deadline_s) &&
           start_workers(board, deadline_s);
}

static bool loop_ready(struct board *board)
{
    bool ready = board->pose_ready && board->arm_ready && board->client_ready &&
                 board->dispatcher_ready && board->collector_ready;

    for (int i = 0; i < LATE; i++)
        ready = ready && board->subscriber[i].ready;
    for (int i = 0; i < WORKERS; i++)
        ready = ready && board->worker[i].ready;
    return ready;
}

static bool start_floor(struct board *board, unsigned deadline_s)
{
    return floor_init() && start(board, "floor", 0, floor_wake, deadline_s) &&
           start(board, "floor", 0, floor_woken, deadline_s);
}

/* Wait until READY, then say go. */
static bool go(struct board *board, bool (*ready)(struct board *board))
{
    uint64_t deadline = now_ns() + SETUP_S * (uint64_t)NS_PER_S;

    while (!ready(board)) {
        child_reap();
        if (interrupted || child_failures() > 0 || now_ns() > deadline)
            return false;
        sleep_until(now_ns() + 2000000);
    }
    board->start_ns = now_ns() + 20000000;
    atomic_store_explicit(&board->go, true, memory_order_release);
    return true;
}

static void stop(struct board *board)
{
    board->stop = true;
    if (interrupted)
        child_kill_all();
    child_wait_all(now_ns() + WIND_UP_S * (uint64_t)NS_PER_S);
}

/* What happens to the loop while it runs: a subscriber joins late, a worker is killed. */
static bool loop_events(struct board *board, double part, unsigned deadline_s)
{
    struct worker *victim = &board->worker[VICTIM];

    if (part >= LATE_AFTER && board->late_forked_at == 0) {
        board->late_forked_at = board->poses_sent;
        if (!start(board, "late", LATE, pose_subscribe, deadline_s))
            return false;
    }
    if (part >= KILL_AFTER)
        victim->stop_in_job = true;
    if (victim->holding && board->killed < 0) {
        board->killed = VICTIM;
        board->kill_ns = now_ns();
        child_kill(victim->pid);
    }
    return true;
}

static bool run_loop(struct board *board, int seconds)
{
    unsigned deadline_s = (unsigned)seconds + SETUP_S + WIND_UP_S;
    bool ok =
        loop_start(board, deadline_s) && start_floor(board, deadline_s) && go(board, loop_ready);
    double elapsed = 0;

    while (ok && !interrupted && child_failures() == 0) {
        uint64_t now = now_ns();

        elapsed = now < board->start_ns ? 0 : (double)(now - board->start_ns) / NS_PER_S;
        if (elapsed >= seconds)
            break;
        ok = loop_events(board, elapsed / seconds, deadline_s);
        show(board, elapsed, false);
        child_reap();
        sleep_until(now + 50000000);
    }
    stop(board);
    show(board, elapsed, true);
    return ok && !interrupted;
}

static bool run_zmq(struct board *board, const char *directory, int seconds)
{
    unsigned deadline_s = (unsigned)seconds + SETUP_S + WIND_UP_S;
    bool ok;

    printf("the same loop over libzmq's ipc, %d s ...\n", seconds);
    fflush(stdout);
    ok = zmq_loop_start(board, directory, deadline_s) == 0 && start_floor(board, deadline_s) &&
         go(board, zmq_loop_ready);
    while (ok && !interrupted && child_failures() == 0 &&
           now_ns() < board->start_ns + (uint64_t)seconds * NS_PER_S)
        sleep_until(now_ns() + 20000000);
    stop(board);
    return ok && !interrupted;
}

/* Two processes on two processors, spinning: first on a bare cache line, then on shmq. */
static bool run_spin(struct board *board)
{
    bool ok = floor_init() && start(board, "line", 0, floor_line_pong, SETUP_S) &&
              start(board, "line", 0, floor_line_ping, SETUP_S);

    child_wait_all(now_ns() + SETUP_S * (uint64_t)NS_PER_S);
    ok = ok && start(board, "spin", 0, spin_pong, SETUP_S) &&
         start(board, "spin", 0, spin_ping, SETUP_S);
    child_wait_all(now_ns() + SETUP_S * (uint64_t)NS_PER_S);
    return ok && !interrupted;
}

static void run(struct board *loop, struct board *zmq, const char *directory, int seconds)
{
    const char *zmq_version = zmq_loop_version();
    int zmq_seconds = seconds * ZMQ_SHARE < 1 ? 1 : (int)(seconds * ZMQ_SHARE);
    bool ok = run_spin(loop) && run_loop(loop, seconds);

    if (ok && zmq_version)
        ok = run_zmq(zmq, directory, zmq_seconds);
    if (!ok || interrupted)
        return;
    report_counts(loop, seconds);
    report_times(loop, zmq, zmq_version);
    printf("\n");
    check(zmq->wrong_answers == 0, "libzmq: right answers");
    check(runtime_dir_leavings() == 0, "nothing is left in shared memory");
}

static void print_machine(int seconds)
{
    struct utsname system;
    int major, minor, patch;

    shm_version(&major, &minor, &patch);
    uname(&system);
    printf("shmq %d.%d.%d, %s %s %s, %ld processors: a robot's control loop for %d s\n", major,
           minor, patch, system.sysname, system.release, system.machine,
           sysconf(_SC_NPROCESSORS_ONLN), seconds);
    fflush(stdout);
}

/* 0 if all checks held. */
static int verdict(void)
{
    if (interrupted) {
        printf("shmq-demo: interrupted\n");
        return 128 + interrupted;
    }
    check(child_failures() == 0, "%d processes ended in failure", child_failures());
    if (checks_made() < 2)
        check(false, "the run was completed");
    if (checks_failed() > 0) {
        printf("shmq-demo: %d of %d checks failed\n", checks_failed(), checks_made());
        return 1;
    }
    printf("shmq-demo: all %d checks hold\n", checks_made());
    return 0;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

int main(int argc, char **argv)
{
    int seconds = argc == 2 ? atoi(argv[1]) : DEFAULT_SECONDS;
    struct board *loop, *zmq;
    const char *directory;
    int result;

    if (argc > 2 || seconds < 1 || seconds > SECONDS_MAX) {
        fprintf(stderr, "usage: shmq-demo [SECONDS]    (1 to %d, by default %d)\n", SECONDS_MAX,
                DEFAULT_SECONDS);
        return 2;
    }
    catch_signals();
    loop = board_new();
    zmq = board_new();
    directory = runtime_dir_new();
    if (!loop || !zmq || !directory) {
        fprintf(stderr, "shmq-demo: %s\n", strerror(errno));
        runtime_dir_free();
        return 1;
    }
    print_machine(seconds);
    run(loop, zmq, directory, seconds);
    runtime_dir_free();
    result = verdict();
    board_free(loop);
    board_free(zmq);
    return result;
}
