/* SPDX-License-Identifier: MIT */
#include "jobs.h"
#include "child.h"
#include "clock.h"
#include "sock.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void job_dispatch(struct board *board, int number)
{
    shm_socket_t *push = sock_open(SHM_PUSH);

    sock_bind(push, "shm://robot/jobs");
    board->dispatcher_ready = true;
    if (!board_wait_go(board))
        return;
    for (uint64_t id = 0; !stopping(board) && id < JOBS_MAX; id++) {
        struct job job;

        job_make(&job, id);
        sleep_until(board->start_ns + id * JOB_PERIOD_NS + POSE_PERIOD_NS / 2);
        job.sent_ns = now_ns();
        if (shm_send(push, &job, sizeof job, 0) < 0)
            die("send");
        bump(&board->jobs_pushed);
    }
    board->dispatcher_finished = true;
    sock_close(push);
}

/*
 * The job stays in the sender's memory while it is worked on: MSG is a view of it. It counts as done when MSG
 * is closed, after the result was sent; if the worker dies before that, another one gets the job.
 */
static void work_on(struct board *board, int number, shm_msg_t *msg, shm_socket_t *results)
{
    struct worker *me = &board->worker[number];
    const struct job *job = shm_msg_data(msg);
    struct result result = {.worker = number};

    if (shm_msg_size(msg) != sizeof *job) {
        errno = EPROTO;
        die("a job of the wrong size");
    }
    if (shm_msg_redelivered(msg)) {
        me->redelivered_ns = now_ns();
        me->redelivered = job->id + 1;
    } else {
        path_add(&board->path[PATH_JOB], now_ns() - job->sent_ns);
    }
    result.id = job->id;
    result.target = job->target;
    memcpy(result.joints, job->guess, sizeof result.joints);
    if (me->stop_in_job) {
        me->holding = job->id + 1;
        for (;;)
            pause(); /* the parent's SIGKILL finds this worker here, with the job in hand */
    }
    result.steps = robot_inverse(&job->target, result.joints);
    result.sent_ns = now_ns();
    if (shm_send(results, &result, sizeof result, 0) < 0)
        die("send");
    bump(&me->done);
    shm_msg_close(msg);
}

void job_work(struct board *board, int number)
{
    struct worker *me = &board->worker[number];
    shm_socket_t *jobs = sock_open(SHM_PULL), *results = sock_open(SHM_PUSH);
    shm_msg_t msg;

    shm_msg_init(&msg);
    sock_connect(jobs, "shm://robot/jobs");
    sock_connect(results, "shm://robot/results");
    sock_set(jobs, SHM_RCVTIMEO, 100);
    me->ready = true;
    while (!board->collector_finished) {
        if (shm_msg_recv(&msg, jobs, 0) >= 0)
            work_on(board, number, &msg, results);
        else if (errno != EAGAIN)
            die("recv");
    }
    sock_close(results);
    sock_close(jobs);
}

static void check_result(struct board *board, const struct result *result)
{
    struct job job;
    struct hand reached;

    if (result->id >= JOBS_MAX) {
        bump(&board->jobs_wrong);
        return;
    }
    job_make(&job, result->id);
    robot_forward(result->joints, &reached);
    if (result->steps < 0 || memcmp(&job.target, &result->target, sizeof job.target) != 0 ||
        robot_distance(&job.target, &reached) > 1e-6)
        bump(&board->jobs_wrong);
    if (board->times_done[result->id]++ == 0)
        bump(&board->jobs_once);
    else
        bump(&board->jobs_again);
}

void job_collect(struct board *board, int number)
{
    shm_socket_t *results = sock_open(SHM_PULL);

    sock_bind(results, "shm://robot/results");
    sock_set(results, SHM_RCVTIMEO, 100);
    board->collector_ready = true;
    for (;;) {
        struct result result;
        ssize_t size = shm_recv(results, &result, sizeof result, 0);

        if (size < 0 && errno != EAGAIN)
            die("recv");
        if (size < 0) {
            /* Only after a quiet period, so that a job that came back twice would be seen. */
            if (board->dispatcher_finished && board->jobs_once == board->jobs_pushed)
                break;
            if (stopping(board) && !board->go)
                break;
            continue;
        }
        path_add(&board->path[PATH_RESULT], now_ns() - result.sent_ns);
        bump(&board->results);
        if (size == sizeof result)
            check_result(board, &result);
        else
            bump(&board->jobs_wrong);
    }
    board->collector_finished = true;
    sock_close(results);
}
