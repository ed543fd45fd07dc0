/* SPDX-License-Identifier: MIT */
/* Children of a test, and what they share with it. See harness.h. */
#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define CHILDREN_MAX 256

/* The parent's ends of its lines: a further child closes them, so that the death of a child is
 * seen at the other end of its line. */
static int lines[CHILDREN_MAX];
static unsigned line_count;

static void forget_line(int fd)
{
    for (unsigned i = 0; i < line_count; i++)
        if (lines[i] == fd)
            lines[i] = lines[--line_count];
    close(fd);
}

pid_t child_fork(struct child *child, bool has_line)
{
    int ends[2] = {-1, -1};
    pid_t parent = getpid();

    if (has_line)
        CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    fflush(NULL);
    *child = (struct child){(pid_t)CHECK_OK(fork()), ends[0]};
    if (child->pid > 0) {
        if (has_line) {
            close(ends[1]);
            CHECK(line_count < CHILDREN_MAX);
            lines[line_count++] = child->fd;
        }
        return child->pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    close(ends[0]);
    for (unsigned i = 0; i < line_count; i++)
        close(lines[i]);
    line_count = 0;
    *child = (struct child){parent, ends[1]};
    return 0;
}

void child_say(const struct child *line, uint64_t value)
{
    ssize_t n;

    do
        n = send(line->fd, &value, sizeof value, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof value)
        FAIL("process %d does not listen any more", (int)line->pid);
}

bool child_listen(const struct child *line, uint64_t *value)
{
    ssize_t n;

    do
        n = recv(line->fd, value, sizeof *value, MSG_WAITALL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof *value;
}

uint64_t child_hear(const struct child *line)
{
    uint64_t value;

    if (!child_listen(line, &value))
        FAIL("process %d ended while it should have said something", (int)line->pid);
    return value;
}

void child_stay(const struct child *up, uint64_t value)
{
    child_say(up, value);
    child_hear(up);
}

bool child_speaks_within(const struct child *line, int limit_ms)
{
    struct pollfd item = {line->fd, POLLIN, 0};

    return poll(&item, 1, limit_ms) == 1;
}

bool child_has_spoken(const struct child *line)
{
    return child_speaks_within(line, 0);
}

static int end_of(struct child *child)
{
    int status;
    pid_t pid;

    CHECK(child->pid > 1);
    do
        pid = waitpid(child->pid, &status, 0);
    while (pid < 0 && errno == EINTR);
    CHECK_INT(pid, child->pid);
    forget_line(child->fd);
    child->pid = -1;
    child->fd = -1;
    return status;
}

void child_wait(struct child *child)
{
    pid_t pid = child->pid;
    int status = end_of(child);

    if (WIFSIGNALED(status))
        FAIL("child %d was ended by signal %d", (int)pid, WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        FAIL("child %d ended with status %d", (int)pid, WEXITSTATUS(status));
}

void kill_guarded(pid_t pid, int signal)
{
    if (pid <= 1)
        FAIL("will not send signal %d to pid %d", signal, (int)pid);
    CHECK_OK(kill(pid, signal));
}

void child_hang_up(struct child *child)
{
    CHECK_OK(shutdown(child->fd, SHUT_WR));
    child_wait(child);
}

void child_kill_unreaped(const struct child *child)
{
    siginfo_t info = {0};

    kill_guarded(child->pid, SIGKILL);
    while (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOWAIT) < 0)
        CHECK_INT(errno, EINTR);
}

void child_reap(struct child *child)
{
    pid_t pid = child->pid;
    int status = end_of(child);

    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        FAIL("child %d ended by itself (status 0x%x) before it was killed", (int)pid, status);
}

void child_end(struct child *child)
{
    child_say(child, 0);
    child_wait(child);
}

void child_kill(struct child *child)
{
    kill_guarded(child->pid, SIGKILL);
    child_reap(child);
}

void child_leave(struct child *child, bool by_kill)
{
    (by_kill ? child_kill : child_end)(child);
}

void child_stop(const struct child *child)
{
    siginfo_t info = {0};

    kill_guarded(child->pid, SIGSTOP);
    while (waitid(P_PID, (id_t)child->pid, &info, WSTOPPED) < 0)
        CHECK_INT(errno, EINTR);
}

void child_continue(const struct child *child)
{
    kill_guarded(child->pid, SIGCONT);
}

int run_gc(const char *tool)
{
    char *arguments[] = {(char *)(uintptr_t)tool, (char[]){"gc"}, NULL};
    posix_spawn_file_actions_t actions;
    int status = -1;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (posix_spawn(&pid, tool, &actions, NULL, arguments, environ) == 0)
        waitpid(pid, &status, 0);
    posix_spawn_file_actions_destroy(&actions);
    return status;
}

void await_asleep(pid_t tid)
{
    char path[64], text[512];

    snprintf(path, sizeof path, "/proc/%d/stat", (int)tid);
    for (;;) {
        int fd = (int)CHECK_OK(open(path, O_RDONLY | O_CLOEXEC));
        ssize_t n = CHECK_OK(read(fd, text, sizeof text - 1));
        char *end;

        close(fd);
        text[n] = '\0';
        end = strrchr(text, ')');
        if (end && end[2] == 'S')
            return;
        if (end && (end[2] == 'Z' || end[2] == 'X'))
            FAIL("process %d ended where it should have slept", (int)tid);
        sched_yield();
    }
}

void *shared_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    CHECK(memory != MAP_FAILED);
    return memory;
}

void shared_memory_free(void *memory, size_t size)
{
    CHECK_OK(munmap(memory, size));
}
