/* SPDX-License-Identifier: MIT */
/*
 * Runs a piece of a test in a process of its own: a driver is started once per process, under the environment that it
 * found, and some tests end in a signal.
 */
#ifndef SHMQ_TESTS_CHILD_H
#define SHMQ_TESTS_CHILD_H

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_SECONDS 20

/* In a child: a failed expectation says where, and ends it. */
#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                    \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

/*
 * Forks, sets the environment ("NAME=value" strings, or NULL), calls `body` and waits for the end; gives the wait
 * status. A child that outlives its time is killed by SIGALRM.
 */
static inline int child_run(const char *const *environment, void (*body)(void))
{
    int status = 0;
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child < 0)
        return -1;
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGALRM, SIG_DFL);
        signal(SIGSEGV, SIG_DFL);
        alarm(CHILD_SECONDS);
        for (; environment != NULL && *environment != NULL; environment++)
            putenv((char *)(uintptr_t)*environment);
        body();
        _exit(0);
    }
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

static inline int child_ok(const char *const *environment, void (*body)(void))
{
    int status = child_run(environment, body);

    return status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static inline int open_descriptors(void)
{
    int n = 0;

    for (int fd = 0; fd < 256; fd++) {
        struct pollfd p = {fd, 0, 0};

        n += poll(&p, 1, 0) >= 0 && (p.revents & POLLNVAL) == 0;
    }
    return n;
}

#endif
