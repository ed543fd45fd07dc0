/* SPDX-License-Identifier: MIT */
/* Written as users of libzmq would. It only measures: nobody is killed, nobody joins late, and losses are not
 * checked. The load on the machine is the same. */
#include "zmq_loop.h"
#include "arm.h"
#include "child.h"
#include "clock.h"
#include "jobs.h"
#include "pose.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

static char folder[128];

static void *context;

static void *open_socket(int type, int timeout_ms)
{
    void *socket;
    int no_linger = 0;

    if (!context)
        context = zmq_ctx_new();
    socket = context ? zmq_socket(context, type) : NULL;
    if (!socket)
        die("zmq_socket");
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    zmq_setsockopt(socket, ZMQ_LINGER, &no_linger, sizeof no_linger);
    return socket;
}

static void attach(void *socket, const char *name, int (*how)(void *socket, const char *endpoint))
{
    char endpoint[160];

    snprintf(endpoint, sizeof endpoint, "ipc://%s/zmq-%s", folder, name);
    if (how(socket, endpoint) < 0)
        die(endpoint);
}

static void close_all(void *one, void *other)
{
    zmq_close(one);
    if (other)
        zmq_close(other);
    zmq_ctx_term(context);
}

/* Receive exactly SIZE bytes; false: nothing came in time. */
static bool receive(void *socket, void *buffer, size_t size)
{
    int got = zmq_recv(socket, buffer, size, 0);

    if (got < 0 && errno == EAGAIN)
        return false;
    if (got < 0 || (size_t)got != size)
        die("zmq_recv");
    return true;
}

static void pose_pub(struct board *board, int number)
{
    void *pub = open_socket(ZMQ_PUB, -1);
    int ring = POSE_RING;

    zmq_setsockopt(pub, ZMQ_SNDHWM, &ring, sizeof ring);
    attach(pub, "pose", zmq_bind);
    board->pose_ready = true;
    if (!board_wait_go(board))
        return;
    for (uint64_t sequence = 0; !stopping(board); sequence++) {
        struct pose pose;

        sleep_until(board->start_ns + sequence * POSE_PERIOD_NS);
        pose_make(&pose, sequence);
        pose.sent_ns = now_ns();
        if (zmq_send(pub, &pose, sizeof pose, 0) < 0)
            die("zmq_send");
    }
    close_all(pub, NULL);
}

static void pose_sub(struct board *board, int number)
{
    void *sub = open_socket(ZMQ_SUB, 100);
    struct pose pose;

    zmq_setsockopt(sub, ZMQ_SUBSCRIBE, "", 0);
    attach(sub, "pose", zmq_connect);
    board->subscriber[number].ready = true;
    while (!stopping(board)) {
        if (!receive(sub, &pose, sizeof pose))
            continue;
        if (number == CONTROLLER)
            path_add(&board->path[PATH_POSE], now_ns() - pose.sent_ns);
        if (number == LOGGER)
            path_add(&board->path[PATH_POSE_OTHER], now_ns() - pose.sent_ns);
        if (!pose_is_right(&pose))
            bump(&board->subscriber[number].wrong);
        if (number == SLOW)
            sleep_until(now_ns() + SLOW_DELAY_MS * 1000000u);
    }
    close_all(sub, NULL);
}

static void arm_rep(struct board *board, int number)
{
    void *rep = open_socket(ZMQ_REP, 100);
    struct arm arm = {.moving = false};

    attach(rep, "arm", zmq_bind);
    board->arm_ready = true;
    while (!board->client_finished) {
        char request[160], reply[160];
        int size = zmq_recv(rep, request, sizeof request - 1, 0);

        if (size < 0)
            continue;
        request[size < 159 ? size : 159] = '\0';
        arm_execute(&arm, request, reply, sizeof reply);
        zmq_send(rep, reply, strlen(reply), 0);
    }
    close_all(rep, NULL);
}

static void arm_req(struct board *board, int number)
{
    void *req = open_socket(ZMQ_REQ, 3000);

    attach(req, "arm", zmq_connect);
    /* libzmq retries a connection after 100 ms: one call beforehand keeps that out of the figures */
    if (zmq_send(req, "stop", 4, 0) < 0 || zmq_recv(req, NULL, 0, 0) < 0)
        die("zmq_recv");
    board->client_ready = true;
    for (uint64_t n = 0; board_wait_go(board) && !stopping(board); n++) {
        char request[160], reply[160];
        uint64_t sent;
        int size;

        arm_request(n, request, sizeof request);
        sleep_until(board->start_ns + n * ARM_PERIOD_NS + POSE_PERIOD_NS / 4);
        sent = now_ns();
        zmq_send(req, request, strlen(request), 0);
        size = zmq_recv(req, reply, sizeof reply - 1, 0);
        if (size < 0)
            die("zmq_recv");
        path_add(&board->path[PATH_ARM], now_ns() - sent);
        reply[size < 159 ? size : 159] = '\0';
        if (!arm_reply_is_right(n, reply))
            bump(&board->wrong_answers);
    }
    board->client_finished = true;
    close_all(req, NULL);
}

static void jobs_push(struct board *board, int number)
{
    void *push = open_socket(ZMQ_PUSH, -1);

    attach(push, "jobs", zmq_bind);
    board->dispatcher_ready = true;
    for (uint64_t id = 0; board_wait_go(board) && !stopping(board); id++) {
        struct job job;

        job_make(&job, id);
        sleep_until(board->start_ns + id * JOB_PERIOD_NS + POSE_PERIOD_NS / 2);
        job.sent_ns = now_ns();
        if (zmq_send(push, &job, sizeof job, ZMQ_DONTWAIT) < 0 && errno != EAGAIN)
            die("zmq_send");
    }
    close_all(push, NULL);
}

static void jobs_work(struct board *board, int number)
{
    void *jobs = open_socket(ZMQ_PULL, 100), *results = open_socket(ZMQ_PUSH, -1);
    struct job job;

    attach(jobs, "jobs", zmq_connect);
    attach(results, "results", zmq_connect);
    board->worker[number].ready = true;
    while (!stopping(board)) {
        struct result result = {.worker = number};

        if (!receive(jobs, &job, sizeof job))
            continue;
        path_add(&board->path[PATH_JOB], now_ns() - job.sent_ns);
        result.id = job.id;
        result.target = job.target;
        memcpy(result.joints, job.guess, sizeof result.joints);
        result.steps = robot_inverse(&job.target, result.joints);
        result.sent_ns = now_ns();
        if (zmq_send(results, &result, sizeof result, ZMQ_DONTWAIT) < 0 && errno != EAGAIN)
            die("zmq_send");
    }
    close_all(jobs, results);
}

static void jobs_pull(struct board *board, int number)
{
    void *results = open_socket(ZMQ_PULL, 100);
    struct result result;

    attach(results, "results", zmq_bind);
    board->collector_ready = true;
    while (!stopping(board))
        if (receive(results, &result, sizeof result))
            path_add(&board->path[PATH_RESULT], now_ns() - result.sent_ns);
    close_all(results, NULL);
}

const char *zmq_loop_version(void)
{
    static char version[24];
    int major, minor, patch;

    zmq_version(&major, &minor, &patch);
    snprintf(version, sizeof version, "%d.%d.%d", major, minor, patch);
    return version;
}

int zmq_loop_start(struct board *board, const char *directory, unsigned deadline_s)
{
    static const struct {
        const char *name;
        int number;
        child_role_t *role;
    } roles[] = {
        {"zmq publisher", 0, pose_pub},   {"zmq controller", CONTROLLER, pose_sub},
        {"zmq logger", LOGGER, pose_sub}, {"zmq slow", SLOW, pose_sub},
        {"zmq late", LATE, pose_sub},     {"zmq arm", 0, arm_rep},
        {"zmq client", 0, arm_req},       {"zmq dispatcher", 0, jobs_push},
        {"zmq collector", 0, jobs_pull},  {"zmq worker 1", 0, jobs_work},
        {"zmq worker 2", 1, jobs_work},   {"zmq worker 3", 2, jobs_work},
    };

    snprintf(folder, sizeof folder, "%s", directory);
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (child_start(board, roles[i].name, roles[i].number, roles[i].role, deadline_s) < 0)
            return -1;
    return 0;
}

bool zmq_loop_ready(struct board *board)
{
    bool ready = board->pose_ready && board->arm_ready && board->client_ready &&
                 board->dispatcher_ready && board->collector_ready;

    for (int i = 0; i < SUBSCRIBERS; i++)
        ready = ready && board->subscriber[i].ready;
    for (int i = 0; i < WORKERS; i++)
        ready = ready && board->worker[i].ready;
    return ready;
}
