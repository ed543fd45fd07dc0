/* SPDX-License-Identifier: MIT */
/*
 * iceoryx, by its C binding: a publisher and a subscriber each way, receivers that spin. Its daemon is
 * started for the lane if none runs, and ended after it.
 *
 * Messages are copied in and out, although it could do without, as with the other peers.
 */
#include "peer.h"

#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <iceoryx_binding_c/enums.h>
#include <iceoryx_binding_c/log.h>
#include <iceoryx_binding_c/publisher.h>
#include <iceoryx_binding_c/runtime.h>
#include <iceoryx_binding_c/subscriber.h>
#include <iceoryx_binding_c/types.h>

#include "bounce.h"

#define DAEMON          "iox-roudi"
#define DAEMON_START_MS 10000
#define DAEMON_END_MS   5000

struct ends {
    iox_pub_storage_t pub_storage;
    iox_sub_storage_t sub_storage;
    iox_pub_t pub;
    iox_sub_t sub;
    unsigned char *buffer;
};

_Noreturn static void become_daemon(int output)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* then it removes its files */
    setpgid(0, 0);                    /* ^C goes to the bench, which then ends the daemon */
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    execlp(DAEMON, DAEMON, (char *)NULL);
    _exit(127);
}

/* Read the daemon's output until it is ready; if it ends instead, another one is running. */
static int await_ready(struct bench *bench, int input)
{
    struct pollfd item = {.fd = input, .events = POLLIN};
    char text[4096];
    size_t length = 0;

    while (length < sizeof text - 1) {
        ssize_t more;

        if (poll(&item, 1, DAEMON_START_MS) <= 0)
            return bench_failed(bench, "%s does not start", DAEMON);
        more = read(input, text + length, sizeof text - 1 - length);
        if (more <= 0)
            break;
        length += (size_t)more;
        text[length] = '\0';
        if (strstr(text, "ready"))
            break;
    }
    return 0;
}

static pid_t daemon_pid, bench_pid;
static int daemon_output = -1;

static void client_name(char *name, size_t size, int side)
{
    snprintf(name, size, "shmq-bench-%d-%d", (int)bench_pid, side);
}

/* The daemon crashes while ending if clients were killed, as by ^C, and leaves all this behind. */
static void remove_leavings(void)
{
    const struct passwd *user = getpwuid(geteuid());
    char path[128], name[64];

    unlink("/dev/shm/iceoryx_mgmt");
    snprintf(path, sizeof path, "/dev/shm/%s", user ? user->pw_name : "");
    unlink(path);
    unlink("/tmp/roudi");
    unlink("/tmp/roudi.lock");
    unlink("/tmp/iox-unique-roudi.lock");
    for (int side = 0; side < 2; side++) {
        client_name(name, sizeof name, side);
        snprintf(path, sizeof path, "/tmp/%s", name);
        unlink(path);
        snprintf(path, sizeof path, "/tmp/%s.lock", name);
        unlink(path);
    }
}

static void end_daemon(pid_t pid)
{
    struct timespec moment = {.tv_nsec = 10000000};
    int status = 0, waited = 0;

    kill(pid, SIGTERM);
    for (int i = 0; i < DAEMON_END_MS / 10 && waited == 0; i++) {
        nanosleep(&moment, NULL);
        waited = waitpid(pid, &status, WNOHANG);
    }
    if (waited == 0) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
    }
    if (WIFSIGNALED(status))
        remove_leavings();
}

static void release(struct bench *bench, struct lane *lane)
{
    if (daemon_pid > 1)
        end_daemon(daemon_pid);
    daemon_pid = 0;
    if (daemon_output >= 0)
        close(daemon_output);
    daemon_output = -1;
}

static int prepare(struct bench *bench, struct lane *lane)
{
    int ends[2];

    if (pipe(ends) != 0)
        return bench_failed(bench, "pipe: %s", strerror(errno));
    bench_pid = getpid();
    daemon_pid = fork();
    if (daemon_pid == 0)
        become_daemon(ends[1]);
    close(ends[1]);
    daemon_output = ends[0];
    if (daemon_pid < 0)
        return bench_failed(bench, "fork: %s", strerror(errno));
    return await_ready(bench, daemon_output);
}

/* Everything sent must be received, so a full queue blocks the publisher. */
static void open_ends(struct lane *lane, int side)
{
    struct ends *ends = pair_new(sizeof *ends);
    iox_pub_options_t pub_options;
    iox_sub_options_t sub_options;
    char name[64];

    ends->buffer = pair_buffer(lane->size);
    pair_unpin();
    client_name(name, sizeof name, side);
    iox_set_loglevel(Iceoryx_LogLevel_Warn);
    iox_runtime_init(name);
    iox_pub_options_init(&pub_options);
    pub_options.subscriberTooSlowPolicy = ConsumerTooSlowPolicy_WAIT_FOR_CONSUMER;
    iox_sub_options_init(&sub_options);
    sub_options.queueCapacity = 256;
    sub_options.queueFullPolicy = QueueFullPolicy_BLOCK_PRODUCER;
    ends->pub = iox_pub_init(&ends->pub_storage, "shmq", "bench", side == 0 ? "there" : "back", &pub_options);
    ends->sub = iox_sub_init(&ends->sub_storage, "shmq", "bench", side == 0 ? "back" : "there", &sub_options);
    pair_pin();
    lane->state = ends;
}

static void meet(struct lane *lane, int side)
{
    struct ends *ends = lane->state;
    struct timespec moment = {.tv_nsec = 1000000};

    while (!iox_pub_has_subscribers(ends->pub) ||
           iox_sub_get_subscription_state(ends->sub) != SubscribeState_SUBSCRIBED)
        nanosleep(&moment, NULL);
    pair_barrier();
}

static void close_ends(struct lane *lane, int side)
{
    struct ends *ends = lane->state;

    iox_sub_deinit(ends->sub);
    iox_pub_deinit(ends->pub);
    free(ends->buffer);
    free(ends);
}

static void send_one(struct lane *lane, uint64_t number)
{
    struct ends *ends = lane->state;
    void *chunk;

    put_number(ends->buffer, number);
    if (iox_pub_loan_chunk(ends->pub, &chunk, (uint32_t)lane->size) != AllocationResult_SUCCESS)
        pair_fail("iox_pub_loan_chunk");
    memcpy(chunk, ends->buffer, lane->size);
    iox_pub_publish_chunk(ends->pub, chunk);
}

static void recv_one(struct lane *lane, uint64_t number)
{
    struct ends *ends = lane->state;
    const void *chunk;

    while (iox_sub_take_chunk(ends->sub, &chunk) != ChunkReceiveResult_SUCCESS)
        ;
    memcpy(ends->buffer, chunk, lane->size);
    iox_sub_release_chunk(ends->sub, chunk);
    check_number(ends->buffer, number);
}

static void run(struct lane *lane, int side, size_t rounds, uint32_t *ticks)
{
    lane_run(lane, side, rounds, ticks, send_one, recv_one);
}

void peer_iceoryx(struct lane *lane)
{
    lane->name = "iceoryx";
    lane->prepare = prepare;
    lane->release = release;
    lane->open = open_ends;
    lane->meet = meet;
    lane->close = close_ends;
    lane->run = run;
}
