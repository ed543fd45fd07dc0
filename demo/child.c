/* SPDX-License-Identifier: MIT */
#include "child.h"
#include "clock.h"

#include <errno.h>
#include <shmq.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN_MAX 64

static struct child {
    pid_t pid;   /* 0: ended */
    bool killed; /* by us */
    char name[24];
} children[CHILDREN_MAX];

static int started, failures;
static const char *my_name = "parent";

static _Noreturn void child_run(struct board *board, int number, child_role_t *role, pid_t parent,
                                unsigned deadline_s)
{
    /* ^C goes to the whole foreground group, but only the parent acts on it. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    signal(SIGALRM, SIG_DFL);
    alarm(deadline_s);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* the parent ended before the line above */
        _exit(1);
    role(board, number);
    _exit(0);
}

pid_t child_start(struct board *board, const char *name, int number, child_role_t *role,
                  unsigned deadline_s)
{
    pid_t parent = getpid();
    struct child *child = &children[started];

    if (started == CHILDREN_MAX) {
        errno = EAGAIN;
        return -1;
    }
    snprintf(child->name, sizeof child->name, "%s", name);
    child->pid = fork();
    if (child->pid == 0) {
        my_name = child->name;
        child_run(board, number, role, parent, deadline_s);
    }
    if (child->pid < 0) {
        child->pid = 0;
        return -1;
    }
    return children[started++].pid;
}

static void child_ended(struct child *child, int status)
{
    child->pid = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    if (child->killed)
        return;
    failures++;
    if (WIFSIGNALED(status))
        fprintf(stderr, "\nshmq-demo: %s: %s\n", child->name,
                WTERMSIG(status) == SIGALRM ? "not done by its deadline"
                                            : strsignal(WTERMSIG(status)));
}

int child_reap(void)
{
    int running = 0;

    for (int i = 0; i < started; i++) {
        int status;

        if (children[i].pid == 0)
            continue;
        if (waitpid(children[i].pid, &status, WNOHANG) == children[i].pid)
            child_ended(&children[i], status);
        else
            running++;
    }
    return running;
}

void child_kill(pid_t pid)
{
    for (int i = 0; i < started; i++) {
        if (children[i].pid != pid || pid <= 1)
            continue;
        children[i].killed = true;
        kill(pid, SIGKILL);
    }
}

void child_kill_all(void)
{
    for (int i = 0; i < started; i++)
        child_kill(children[i].pid); /* pid is 0 if it has ended: no effect */
}

static void give_up_on_all(void)
{
    for (int i = 0; i < started; i++) {
        if (children[i].pid == 0 || children[i].killed)
            continue;
        failures++;
        fprintf(stderr, "\nshmq-demo: %s: still running: killed\n", children[i].name);
        child_kill(children[i].pid);
    }
}

void child_wait_all(uint64_t deadline_ns)
{
    while (child_reap() > 0) {
        if (now_ns() >= deadline_ns)
            give_up_on_all();
        sleep_until(now_ns() + 2000000);
    }
    started = 0;
}

int child_failures(void)
{
    return failures;
}

void die(const char *what)
{
    fprintf(stderr, "\nshmq-demo: %s: %s: %s\n", my_name, what, shm_strerror(errno));
    _exit(1);
}
