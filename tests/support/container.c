/* SPDX-License-Identifier: MIT */
/* A process between us and the container makes the name spaces, forks into them, and hands its end on to us. */
#include "container.h"
#include "leaks.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

#define SPACES     (CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWTIME)
#define INNER_USER 1000
#define ELSEWHERE  "/tmp"

struct job {
    struct container_kind kind;
    void (*function)(struct child *up, void *argument);
    void *argument;
    _Atomic pid_t *pid;
};

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return written;
}

/* Who is not root makes one in any case: it is what permits the others. */
static bool enter_users(unsigned flags)
{
    unsigned uid = geteuid(), gid = getegid(), inner = flags & CONTAINER_OWN_USERS ? INNER_USER : uid;
    char map[64];

    if (uid == 0 && !(flags & CONTAINER_OWN_USERS))
        return true;
    if (unshare(CLONE_NEWUSER) != 0)
        return false;
    write_text("/proc/self/setgroups", "deny");
    snprintf(map, sizeof map, "%u %u 1", inner, uid);
    if (!write_text("/proc/self/uid_map", map))
        return false;
    snprintf(map, sizeof map, "%u %u 1", inner, gid);
    return write_text("/proc/self/gid_map", map);
}

static bool enter(const struct container_kind *kind)
{
    char offsets[96];

    if (!enter_users(kind->flags) || unshare(SPACES) != 0)
        return false;
    snprintf(offsets, sizeof offsets, "monotonic %ld 0\nboottime %ld 0\n", kind->clock_offset_s, kind->clock_offset_s);
    return write_text("/proc/self/timens_offsets", offsets);
}

/* From inside, as process 1. */
static bool furnish(unsigned flags)
{
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return false;
    if (flags & CONTAINER_ELSEWHERE) {
        char path[64];

        snprintf(path, sizeof path, "%s/shared", ELSEWHERE);
        if (mount("tmpfs", ELSEWHERE, "tmpfs", 0, NULL) != 0 || mkdir(path, 0700) != 0 ||
            mount(test_dir(), path, NULL, MS_BIND, NULL) != 0 || mount("tmpfs", "/dev/shm", "tmpfs", 0, NULL) != 0)
            return false;
        setenv("SHMQ_DIR", path, 1);
    }
    if ((flags & CONTAINER_OWN_PROC) && mount("proc", "/proc", "proc", 0, NULL) != 0)
        return false;
    return !(flags & CONTAINER_NO_PROC) || mount("tmpfs", "/proc", "tmpfs", 0, NULL) == 0;
}

_Noreturn static void live(struct child *up, const struct job *job)
{
    struct leaks before;
    bool has_proc = !(job->kind.flags & CONTAINER_NO_PROC);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    CHECK_INT(getpid(), 1);
    if (!furnish(job->kind.flags))
        FAIL("a container could not be furnished: %s", strerror(errno));
    if (has_proc)
        leaks_note(&before);
    job->function(up, job->argument);
    if (has_proc)
        leaks_check(&before);
    _exit(0);
}

static void stand_between(struct child *up, void *argument)
{
    const struct job *job = argument;
    int status;
    pid_t pid;

    if (!enter(&job->kind))
        FAIL("a container could not be made: %s", strerror(errno));
    pid = (pid_t)CHECK_OK(fork());
    if (pid == 0)
        live(up, job);
    *job->pid = pid;
    close(up->fd); /* so that its end is seen at the other one */
    CHECK_INT(waitpid(pid, &status, 0), pid);
    if (status != 0 && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
        FAIL("the container ended with status 0x%x", status);
}

struct container container_start(const struct container_kind *kind, void (*function)(struct child *up, void *argument),
                                 void *argument)
{
    struct container container = {.pid = shared_memory(sizeof *container.pid)};
    struct job job = {*kind, function, argument, container.pid};

    container.line = child_start(stand_between, &job);
    while (*container.pid == 0)
        sched_yield();
    return container;
}

void container_wait(struct container *container)
{
    child_wait(&container->line);
    shared_memory_free((void *)(uintptr_t)container->pid, sizeof *container->pid);
}

void container_kill(struct container *container)
{
    kill_guarded(*container->pid, SIGKILL);
    container_wait(container);
}

void need_containers(void)
{
    static const struct container_kind kind = {CONTAINER_ELSEWHERE | CONTAINER_OWN_USERS, 1000};
    int status;
    pid_t pid = (pid_t)CHECK_OK(fork());

    if (pid == 0) {
        if (!enter(&kind))
            _exit(1);
        pid = fork();
        if (pid == 0)
            _exit(furnish(kind.flags) ? 0 : 1);
        _exit(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 1);
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    if (status != 0)
        skip_test("containers cannot be made here");
}
