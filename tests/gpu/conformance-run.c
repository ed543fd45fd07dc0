/* SPDX-License-Identifier: MIT */
/*
 * Plays one case: forks its roles, hears their reports, judges, leaves no process.
 *
 * A role in other namespaces is forked twice, since unshare(CLONE_NEWPID) only takes effect for children; the process
 * between waits, and takes the inner one with it.
 */
#include "conformance.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

struct report {
    enum report_kind kind;
    int role;
    char text[240];
};
_Static_assert(sizeof(struct report) <= 512, "a report is written to the pipe in one piece");

/* ---- in a role ---- */

void role_report(struct role *r, enum report_kind kind, const char *format, ...)
{
    struct report message;
    int saved = errno;
    va_list args;

    memset(&message, 0, sizeof(message));
    message.kind = kind;
    message.role = r->index;
    va_start(args, format);
    vsnprintf(message.text, sizeof(message.text), format, args);
    va_end(args);
    if (write(r->report, &message, sizeof(message)) != (ssize_t)sizeof(message))
        _exit(3);
    errno = saved;
}

void role_die(struct role *r)
{
    role_hear(r, 0);
    raise(SIGKILL);
    _exit(3);
}

void role_await_the_kill(struct role *r)
{
    role_hear(r, 0);
    role_fail(r, "was not killed");
}

void role_let_die(struct role *r, int other)
{
    role_say(r, other);
    role_await_death(r, other);
}

void role_kill(struct role *r, int other)
{
    if (r->pid[other] <= 1)
        role_fail(r, "role %d has no pid to kill", other);
    kill(r->pid[other], SIGKILL);
}

/* ---- between roles ---- */

static void await(struct role *r, int fd)
{
    struct pollfd p = {fd, POLLIN, 0};
    int n;

    do
        n = poll(&p, 1, DEADLINE_S * 1000);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        role_fail(r, "no word from the other role within %d s", DEADLINE_S);
}

void role_send(struct role *r, int to, const void *data, size_t size)
{
    role_send_fd(r, to, data, size, -1);
}

void role_recv(struct role *r, int from, void *data, size_t size)
{
    ssize_t n;

    await(r, r->link[from]);
    n = recv(r->link[from], data, size, 0);
    if (n != (ssize_t)size)
        role_fail(r, "role %d sent %zd bytes instead of %zu%s", from, n, size, n == 0 ? ": it is gone" : "");
}

void role_say(struct role *r, int to)
{
    role_send(r, to, "!", 1);
}

void role_hear(struct role *r, int from)
{
    char c;

    role_recv(r, from, &c, 1);
}

void role_await_death(struct role *r, int other)
{
    char c;

    await(r, r->link[other]);
    if (recv(r->link[other], &c, 1, 0) > 0)
        role_fail(r, "role %d speaks, but should have died", other);
}

void role_send_fd(struct role *r, int to, const void *data, size_t size, int fd)
{
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov = {(void *)(uintptr_t)data, size};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    struct cmsghdr *c;

    if (fd >= 0) {
        m.msg_control = control;
        m.msg_controllen = sizeof(control);
        c = CMSG_FIRSTHDR(&m);
        *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    if (sendmsg(r->link[to], &m, MSG_NOSIGNAL) != (ssize_t)size)
        role_fail(r, "role %d is gone: %s", to, strerror(errno));
}

int role_recv_fd(struct role *r, int from, void *data, size_t size)
{
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov = {data, size};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct cmsghdr *c;
    int fd = -1;

    await(r, r->link[from]);
    if (recvmsg(r->link[from], &m, MSG_CMSG_CLOEXEC) != (ssize_t)size)
        role_fail(r, "role %d is gone", from);
    c = CMSG_FIRSTHDR(&m);
    if (c == NULL || c->cmsg_type != SCM_RIGHTS)
        role_fail(r, "role %d sent no descriptor", from);
    memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    return fd;
}

/* ---- the runner ---- */

struct play {
    const struct test_case *t;
    int count;
    int link[ROLES_MAX][2]; /* [i][0] is role 0's end, [i][1] role i's */
    int report[2];
    pid_t pid[ROLES_MAX];
    unsigned done; /* a bit per role */
    bool judged;
    enum verdict verdict;
    char why[240];
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return -1;
    n = write(fd, text, strlen(text));
    close(fd);
    return n < 0 ? -1 : 0;
}

/* Without privilege a user namespace gives it; users keep their number there. */
static int unshare_all(int flags)
{
    char map[64];
    uid_t uid = geteuid();
    gid_t gid = getegid();

    if (unshare(flags) == 0)
        return 0;
    if (unshare(flags | CLONE_NEWUSER) < 0)
        return -1;
    snprintf(map, sizeof(map), "%u %u 1", uid, uid);
    write_file("/proc/self/setgroups", "deny");
    if (write_file("/proc/self/uid_map", map) < 0)
        return -1;
    snprintf(map, sizeof(map), "%u %u 1", gid, gid);
    return write_file("/proc/self/gid_map", map);
}

/* Returns in the inner process alone. */
static void enter_namespaces(struct role *r, int flags)
{
    int status;
    pid_t inner;

    if (unshare_all(flags) < 0)
        role_skip(r, "namespaces are not permitted here: %s", strerror(errno));
    inner = fork();
    if (inner < 0)
        role_skip(r, "cannot fork into the new namespaces: %s", strerror(errno));
    if (inner > 0) {
        /* Nothing may stay open here: others wait for the end of these. */
        close_fd(&r->link[0]);
        close_fd(&r->report);
        while (waitpid(inner, &status, 0) < 0 && errno == EINTR)
            ;
        _exit(0);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* /proc belongs to the namespaces; where it can't be had, the old one stays. */
    if ((flags & CLONE_NEWNS) != 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        (flags & CLONE_NEWPID) != 0)
        mount("proc", "/proc", "proc", 0, NULL);
}

__attribute__((noreturn)) static void play_role(struct play *p, int index)
{
    struct role r = {.index = index, .count = p->count, .report = p->report[1]};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(p->report[0]);
    for (int i = 0; i < ROLES_MAX; i++) {
        r.link[i] = -1;
        if (i == 0 || i >= p->count)
            continue;
        /* A role keeps no end of others: the end of a socket is the news of a death. */
        if (index == 0) {
            r.link[i] = p->link[i][0];
            r.pid[i] = p->pid[i];
            close_fd(&p->link[i][1]);
        } else {
            close_fd(&p->link[i][0]);
            if (i == index)
                r.link[0] = p->link[i][1];
            else
                close_fd(&p->link[i][1]);
        }
    }
    if (index != 0 && p->t->namespaces != 0)
        enter_namespaces(&r, p->t->namespaces);
    if (!p->t->bare)
        role_attach(&r, index == 0 ? p->t->device : 0);
    p->t->roles[index](&r);
    role_detach(&r);
    role_report(&r, REPORT_DONE, "done");
    _exit(0);
}

static int prepare(struct play *p)
{
    for (int i = 0; i < ROLES_MAX; i++)
        p->link[i][0] = p->link[i][1] = -1;
    while (p->count < ROLES_MAX && p->t->roles[p->count] != NULL)
        p->count++;
    if (pipe2(p->report, O_CLOEXEC) < 0)
        return -1;
    for (int i = 1; i < p->count; i++)
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p->link[i]) < 0)
            return -1;
    return 0;
}

/* Role 0 last: it knows the others' pids. */
static int start(struct play *p)
{
    fflush(NULL);
    for (int i = p->count - 1; i >= 0; i--) {
        p->pid[i] = fork();
        if (p->pid[i] < 0)
            return -1;
        if (p->pid[i] == 0)
            play_role(p, i);
    }
    return 0;
}

static void judge(struct play *p, enum verdict verdict, const char *why)
{
    if (p->judged)
        return;
    p->judged = true;
    p->verdict = verdict;
    snprintf(p->why, sizeof(p->why), "%s", why);
}

static void take(struct play *p, const struct report *m)
{
    if (m->kind == REPORT_FAIL)
        judge(p, FAILED, m->text);
    else if (m->kind == REPORT_SKIP)
        judge(p, SKIPPED, m->text);
    else if (m->kind == REPORT_FACT)
        printf("fact  %-52s %s\n", p->t->name, m->text);
    else if (m->kind == REPORT_COST)
        printf("cost  %s\n", m->text);
    else
        p->done |= 1u << m->role;
}

/* Until every role has closed its end of the pipe. */
static void listen_to_roles(struct play *p)
{
    uint64_t deadline = now_ns() + (uint64_t)(2 * DEADLINE_S) * 1000000000u;
    struct pollfd item = {p->report[0], POLLIN, 0};
    struct report m;

    for (;;) {
        uint64_t now = now_ns();
        int n = now < deadline ? poll(&item, 1, (int)((deadline - now) / 1000000) + 1) : 0;

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            judge(p, FAILED, "the roles did not come to an end");
            return;
        }
        if (read(p->report[0], &m, sizeof(m)) != (ssize_t)sizeof(m))
            return;
        take(p, &m);
    }
}

static void end_role(struct play *p, int i, bool kill_it)
{
    char why[120];
    int status = 0;

    if (p->pid[i] <= 1)
        return;
    if (kill_it)
        kill(p->pid[i], SIGKILL);
    while (waitpid(p->pid[i], &status, 0) < 0 && errno == EINTR)
        ;
    if ((p->done & (1u << i)) != 0 || (p->t->dying & (1u << i)) != 0)
        return;
    if (WIFSIGNALED(status))
        snprintf(why, sizeof(why), "role %d died of signal %d", i, WTERMSIG(status));
    else
        snprintf(why, sizeof(why), "role %d ended without a word", i);
    judge(p, FAILED, why);
}

enum verdict judge_case(const struct test_case *t, char *why, size_t size)
{
    struct play p = {.t = t, .verdict = PASSED, .report = {-1, -1}};
    bool started = prepare(&p) == 0 && start(&p) == 0;

    if (!started)
        judge(&p, FAILED, strerror(errno));
    close_fd(&p.report[1]);
    for (int i = 0; i < ROLES_MAX; i++) {
        close_fd(&p.link[i][0]);
        close_fd(&p.link[i][1]);
    }
    if (started)
        listen_to_roles(&p);
    for (int i = 0; i < p.count; i++)
        end_role(&p, i, !started || (p.judged && p.verdict == FAILED));
    close_fd(&p.report[0]);
    snprintf(why, size, "%s", p.why);
    return p.verdict;
}

enum verdict run_case(const struct test_case *t)
{
    static const char *const words[] = {"ok", "FAIL", "skip"};
    char why[256];
    enum verdict verdict = judge_case(t, why, sizeof(why));

    printf("%-5s %-52s %s\n", words[verdict], t->name, why);
    fflush(stdout);
    return verdict;
}
