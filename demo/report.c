/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REDELIVERY_MAX_MS 500 /* longer than a busy machine takes to notice a death */

typedef unsigned long long ull; /* for printf */

static const char *const subscriber_name[SUBSCRIBERS] = {"controller", "logger", "slow", "late"};

static int made, failed;

void check(bool holds, const char *format, ...)
{
    va_list arguments;

    made++;
    if (holds)
        return;
    failed++;
    va_start(arguments, format);
    printf("FAILED: ");
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
}

int checks_made(void)
{
    return made;
}

int checks_failed(void)
{
    return failed;
}

void report_progress(const struct board *loop, double seconds, char *text, size_t room)
{
    const struct subscriber *s = loop->subscriber;
    char died[64] = "";
    ull redelivered = 0;

    for (int i = 0; i < WORKERS; i++)
        if (loop->worker[i].redelivered)
            redelivered = loop->worker[i].redelivered;
    if (loop->killed >= 0)
        snprintf(died, sizeof died, ", worker %d killed%s", loop->killed + 1,
                 redelivered ? ", its job redelivered" : "");
    snprintf(text, room,
             "%5.1f s | pose %llu: controller %llu, logger %llu, slow %llu (lost %llu), late %llu"
             " | arm %llu | jobs %llu, done %llu%s",
             seconds, (ull)loop->poses_sent, (ull)s[CONTROLLER].received, (ull)s[LOGGER].received,
             (ull)s[SLOW].received, (ull)s[SLOW].lost, (ull)s[LATE].received, (ull)loop->answers,
             (ull)loop->jobs_pushed, (ull)loop->jobs_once, died);
}

static void count_poses(const struct board *loop)
{
    ull sent = loop->poses_sent;

    printf("robot/pose   PUB/SUB, 1 kHz, ring of %d: %llu sent\n", POSE_RING, sent);
    printf("    %-14s %12s %10s %10s\n", "subscriber", "since it came", "received", "lost");
    for (int i = 0; i < SUBSCRIBERS; i++) {
        const struct subscriber *s = &loop->subscriber[i];
        ull due = sent - s->joined_at, received = s->received, lost = s->lost;

        printf("    %-14s %13llu %10llu %10llu%s\n", subscriber_name[i], due, received, lost,
               i == SLOW   ? "   (10 ms of work per pose)"
               : i == LATE ? "   (joined later)"
                           : "");
        check(s->finished, "%s: got the publisher's last message", subscriber_name[i]);
        check(received + lost == due, "%s: %llu received + %llu lost = %llu sent",
              subscriber_name[i], received, lost, due);
        check(s->gaps == lost, "%s: SHM_LOST says %llu, the sequence numbers %llu",
              subscriber_name[i], lost, (ull)s->gaps);
        check(s->wrong == 0, "%s: %llu poses out of order or not as sent", subscriber_name[i],
              (ull)s->wrong);
        check(i == LATE || s->joined_at == 0, "%s: was there from the start", subscriber_name[i]);
    }
    check(sent > 0, "poses were sent");
    check(loop->subscriber[SLOW].lost > 0, "the slow subscriber lost messages");
    check(loop->subscriber[LATE].joined_at >= loop->late_forked_at,
          "the late subscriber saw only what was sent after it came");
}

static void count_calls(const struct board *loop)
{
    ull calls = loop->calls, answers = loop->answers, refusals = loop->refusals;

    printf("robot/arm    REQ/REP, 200 calls a second: %llu sent, %llu answered (%llu of them"
           " refused: unknown command)\n",
           calls, answers, refusals);
    check(calls > 0 && calls == answers, "arm: %llu calls, %llu answers", calls, answers);
    check(answers == loop->arm_served, "arm: %llu answers received, %llu sent", answers,
          (ull)loop->arm_served);
    check(refusals == loop->arm_refused && refusals == calls / 5,
          "arm: %llu unknown commands refused", refusals);
    check(loop->wrong_answers == 0, "arm: %llu wrong answers", (ull)loop->wrong_answers);
}

static void count_redelivery(const struct board *loop)
{
    const struct worker *dead = &loop->worker[loop->killed], *heir = NULL;
    int times = 0;
    double ms;

    for (int i = 0; i < WORKERS; i++)
        if (loop->worker[i].redelivered) {
            heir = &loop->worker[i];
            times++;
        }
    check(dead->holding > 0, "jobs: the killed worker had one in hand");
    check(times == 1, "jobs: redelivered to %d workers", times);
    if (!heir || dead->holding == 0)
        return;
    check(heir->redelivered == dead->holding, "jobs: %llu was in hand, %llu was redelivered",
          (ull)dead->holding - 1, (ull)heir->redelivered - 1);
    ms = ((double)heir->redelivered_ns - (double)loop->kill_ns) / 1e6;
    printf("    job %llu was in its hand: redelivered to worker %d, %.1f ms after the kill\n",
           (ull)heir->redelivered - 1, (int)(heir - loop->worker) + 1, ms);
    check(ms < REDELIVERY_MAX_MS, "jobs: redelivered soon, not after %.1f ms", ms);
}

static void count_jobs(const struct board *loop)
{
    ull pushed = loop->jobs_pushed, once = loop->jobs_once, again = loop->jobs_again, done = 0;

    printf("robot/jobs   PUSH/PULL, 500 jobs a second: %llu sent, %llu done exactly once, %llu"
           " lost, %llu done twice\n",
           pushed, once - again, pushed - once, again);
    for (int i = 0; i < WORKERS; i++) {
        done += loop->worker[i].done;
        printf("    worker %d %14llu jobs%s\n", i + 1, (ull)loop->worker[i].done,
               i == loop->killed ? "   killed by SIGKILL in the middle of one" : "");
    }
    check(pushed > 0 && once == pushed, "jobs: %llu of %llu done", once, pushed);
    check(again == 0, "jobs: %llu done twice", again);
    check(loop->results == pushed && done == pushed, "jobs: %llu results sent, %llu received", done,
          (ull)loop->results);
    check(loop->jobs_wrong == 0, "jobs: %llu wrong results", (ull)loop->jobs_wrong);
    check(loop->killed >= 0, "jobs: a worker was killed");
    if (loop->killed >= 0)
        count_redelivery(loop);
}

void report_counts(const struct board *loop, double seconds)
{
    printf("\nin %.1f s:\n", seconds);
    count_poses(loop);
    count_calls(loop);
    count_jobs(loop);
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Print one line of the table. The percentiles are exact, not from a histogram. */
static void print_path(const char *label, const struct path *path)
{
    static uint32_t sorted[PATH_SAMPLES];
    size_t n = path->count < PATH_SAMPLES ? path->count : PATH_SAMPLES;

    if (n == 0) {
        printf("    %-34s not measured\n", label);
        return;
    }
    memcpy(sorted, path->ns, n * sizeof sorted[0]);
    qsort(sorted, n, sizeof sorted[0], by_size);
    printf("    %-34s %9.2f %9.2f %9.2f %9.2f\n", label, sorted[n / 2] / 1e3,
           sorted[n - 1 - n / 100] / 1e3, sorted[n - 1 - n / 1000] / 1e3, sorted[n - 1] / 1e3);
}

static void print_rows(const char *title, const struct board *loop, int path, int floor_path,
                       const struct board *zmq)
{
    printf("%s\n", title);
    print_path("shmq", &loop->path[path]);
    print_path("floor: bare futex wake", &loop->path[floor_path]);
    if (zmq)
        print_path("libzmq ipc", &zmq->path[path]);
    else
        printf("    %-34s not installed\n", "libzmq ipc");
}

void report_times(const struct board *loop, const struct board *zmq, const char *zmq_version)
{
    const struct board *other = zmq_version ? zmq : NULL;

    printf("\n%-38s %9s %9s %9s %9s\n", "latency in us, receivers asleep", "p50", "p99", "p99.9",
           "max");
    print_rows("pose, publisher to controller", loop, PATH_POSE, PATH_WAKE, other);
    print_rows("pose, publisher to logger", loop, PATH_POSE_OTHER, PATH_WAKE, other);
    print_rows("arm, request to reply", loop, PATH_ARM, PATH_WAKE_TRIP, other);
    print_rows("job, dispatcher to worker", loop, PATH_JOB, PATH_WAKE, other);
    print_rows("result, worker to collector", loop, PATH_RESULT, PATH_WAKE, other);
    printf("64 bytes, one way, both sides spinning\n");
    print_path("shmq", &loop->path[PATH_SPIN]);
    print_path("floor: bare cache line", &loop->path[PATH_LINE]);
    if (other)
        printf("libzmq %s ran the same loop after shmq; the bare futex wake during that run,\n"
               "to show how equal the conditions were:\n",
               zmq_version);
    if (other)
        print_path("floor: bare futex wake", &zmq->path[PATH_WAKE]);
}
