/* SPDX-License-Identifier: MIT */
/* Two processes and each pattern, small, large and growing messages, a death: without the harness, so that
 * it can be built for another processor and run under an emulator. (The layouts' static asserts have
 * been checked by then: they are in the library's own headers.) */
#include <shmq.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, shm_strerror(errno)); \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

struct pattern {
    const char *name;
    int left, right; /* left sends */
};

static const struct pattern patterns[] = {
    {"PAIR/PAIR", SHM_PAIR, SHM_PAIR},       {"PUB/SUB", SHM_PUB, SHM_SUB},
    {"XPUB/XSUB", SHM_XPUB, SHM_XSUB},       {"REQ/REP", SHM_REQ, SHM_REP},
    {"DEALER/DEALER", SHM_DEALER, SHM_DEALER}, {"DEALER/ROUTER", SHM_DEALER, SHM_ROUTER},
    {"PUSH/PULL", SHM_PUSH, SHM_PULL},
};

static const size_t sizes[] = {0, 1, 112, 113, 1000, 5000, 70000, 300000};
enum { SIZES = sizeof sizes / sizeof sizes[0], ROUNDS = 40 };
static unsigned char bytes[300000], got[300000];

static void fill(unsigned seed, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(seed + i * 7);
}

static shm_socket_t *open_end(int type)
{
    shm_socket_t *socket = shm_socket(type);
    int ms = 20000, one = 1;

    CHECK(socket != NULL);
    CHECK(shm_setsockopt(socket, SHM_RCVTIMEO, &ms, sizeof ms) == 0);
    CHECK(shm_setsockopt(socket, SHM_SNDTIMEO, &ms, sizeof ms) == 0);
    if (type == SHM_SUB || type == SHM_XSUB)
        CHECK(shm_setsockopt(socket, SHM_SUBSCRIBE, "", 0) == 0);
    if (type == SHM_PUB || type == SHM_XPUB)
        CHECK(shm_setsockopt(socket, SHM_LOSSLESS, &one, sizeof one) == 0);
    return socket;
}

static void receive_all(const struct pattern *pattern, shm_socket_t *socket)
{
    char id[256];

    for (unsigned i = 0; i < ROUNDS; i++) {
        size_t size = sizes[i % SIZES];
        ssize_t id_size = pattern->right == SHM_ROUTER ? shm_recv(socket, id, sizeof id, 0) : 0;

        CHECK(id_size >= 0);
        CHECK(shm_recv(socket, got, sizeof got, 0) == (ssize_t)size);
        fill(i, size);
        CHECK(memcmp(got, bytes, size) == 0);
        if (pattern->right == SHM_REP)
            CHECK(shm_send(socket, "answer", 6, 0) == 6);
    }
}

/* Sends all, and is killed as soon as the last send has returned. */
_Noreturn static void send_all_and_die(const struct pattern *pattern)
{
    shm_socket_t *socket = open_end(pattern->left);
    shm_event_t event;

    CHECK(shm_connect(socket, "it") == 0);
    do
        CHECK(shm_event_recv(socket, &event, 0) == 0);
    while (event.event != SHM_EVENT_CONNECTED);
    for (unsigned i = 0; i < ROUNDS; i++) {
        size_t size = sizes[i % SIZES];

        fill(i, size);
        CHECK(shm_send(socket, bytes, size, 0) == (ssize_t)size);
        if (pattern->left == SHM_REQ)
            CHECK(shm_recv(socket, got, sizeof got, 0) == 6);
    }
    if (getpid() > 1)
        kill(getpid(), SIGKILL);
    _exit(1);
}

static void run(const struct pattern *pattern)
{
    shm_socket_t *socket = open_end(pattern->right);
    shm_event_t event;
    int status;
    pid_t pid;

    CHECK(shm_bind(socket, "it") == 0);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        send_all_and_die(pattern);
    receive_all(pattern, socket);
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    do /* the life lock of the dead is seen to be gone */
        CHECK(shm_event_recv(socket, &event, 0) == 0);
    while (event.event != SHM_EVENT_DIED);
    CHECK(shm_close(socket) == 0);
    printf("%-14s %u messages of up to %zu bytes, and a death: passed\n", pattern->name, ROUNDS, sizes[SIZES - 1]);
    fflush(stdout);
}

int main(void)
{
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
        run(&patterns[i]);
    return 0;
}
