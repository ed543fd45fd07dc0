/* SPDX-License-Identifier: MIT */
/*
 * The scoreboard: what the demo's processes tell their parent.
 *
 * It is plain anonymous memory, mapped before fork(), and deliberately not shmq: a demo that counted its
 * messages with the library under test would prove nothing. Every counter has one writer (the process named
 * beside it), so relaxed loads and stores are enough; the parent reads the final values after waitpid(),
 * which orders them.
 */
#ifndef DEMO_BOARD_H
#define DEMO_BOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define JOINTS         6
#define WORKERS        3
#define POSE_PERIOD_NS 1000000 /* 1 kHz */
#define ARM_PERIOD_NS  5000000 /* 200 calls a second */
#define JOB_PERIOD_NS  2000000 /* 500 jobs a second */
#define POSE_RING      256     /* the publisher's SHM_SNDHWM: a quarter of a second */
#define SLOW_DELAY_MS  10      /* the slow subscriber's own work per message */
#define SECONDS_MAX    60
#define JOBS_MAX       (SECONDS_MAX * 1000)
#define PATH_SAMPLES   (SECONDS_MAX * 1000 + 1000)

/* Who listens to the poses. The last one joins after the others have been running for a while. */
enum { CONTROLLER, LOGGER, SLOW, LATE, SUBSCRIBERS };

/* What is timed. */
enum {
    PATH_POSE,       /* from send to the return of receive, at the controller */
    PATH_POSE_OTHER, /* the same, at the logger */
    PATH_ARM,        /* request to reply, at the client */
    PATH_JOB,        /* push to pull, at the workers */
    PATH_RESULT,     /* push to pull, at the collector */
    PATH_WAKE,       /* bare futex, one way: the floor, measured during the above */
    PATH_WAKE_TRIP,  /* bare futex, there and back */
    PATH_SPIN,       /* shmq, both sides spinning: half a round trip */
    PATH_LINE,       /* bare cache line, the same */
    PATHS
};

struct path {
    _Atomic uint32_t count; /* the workers share one path: claimed by fetch_add */
    uint32_t ns[PATH_SAMPLES];
};

/* Written by the subscriber. */
struct subscriber {
    _Atomic bool ready;
    _Atomic uint64_t joined_at; /* sequence number of the first pose sent while it was there */
    _Atomic uint64_t received;
    _Atomic uint64_t lost;  /* according to the library: SHM_LOST */
    _Atomic uint64_t gaps;  /* according to the sequence numbers */
    _Atomic uint64_t wrong; /* out of order, of a wrong size, or not the pose that was sent */
    _Atomic bool finished;  /* the publisher's last message arrived */
};

/* Written by the worker, except pid and killed (the parent). */
struct worker {
    _Atomic bool ready;
    _Atomic uint64_t done;
    _Atomic uint64_t holding;     /* id + 1 of the job in which it was told to stop */
    _Atomic uint64_t redelivered; /* id + 1 of a job that it took over */
    _Atomic uint64_t redelivered_ns;
    _Atomic bool stop_in_job; /* parent: take the next job, then wait to be killed */
    pid_t pid;
};

struct board {
    /* parent */
    uint64_t start_ns; /* valid once go is set */
    _Atomic bool go, stop;
    uint64_t late_forked_at; /* poses sent before the late subscriber was started */
    uint64_t kill_ns;
    int killed; /* the worker, or -1 */

    /* publisher */
    _Atomic bool pose_ready;
    _Atomic uint64_t poses_sent;
    struct subscriber subscriber[SUBSCRIBERS];

    /* arm service */
    _Atomic bool arm_ready;
    _Atomic uint64_t arm_served, arm_refused;
    /* arm client */
    _Atomic bool client_ready, client_finished;
    _Atomic uint64_t calls, answers, refusals, wrong_answers;

    /* dispatcher */
    _Atomic bool dispatcher_ready, dispatcher_finished;
    _Atomic uint64_t jobs_pushed;
    struct worker worker[WORKERS];
    /* collector */
    _Atomic bool collector_ready, collector_finished;
    _Atomic uint64_t results, jobs_once, jobs_again, jobs_wrong;
    uint8_t times_done[JOBS_MAX];

    struct path path[PATHS];
};

/* One board per run, shmq's or libzmq's. NULL: see errno. */
struct board *board_new(void);
void board_free(struct board *board);

/* Wait until the parent says go; false if it said stop. Naps in between: only used while setting up. */
bool board_wait_go(struct board *board);

/* Add one measured duration. Samples beyond the room are counted but not kept. */
void path_add(struct path *path, uint64_t ns);

static inline bool stopping(struct board *board)
{
    return atomic_load_explicit(&board->stop, memory_order_relaxed);
}

/* For a counter with one writer. */
static inline void bump(_Atomic uint64_t *counter)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + 1, memory_order_relaxed);
}

#endif
