/* SPDX-License-Identifier: MIT */
/* The runner: a process, a directory and a deadline for every test. See harness.h. */
#include "harness.h"
#include "leaks.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#define EXIT_SKIPPED       77
#define DEADLINE_DEFAULT_S 30

static char the_dir[64];
static bool files_may_stay;

const char *test_dir(void)
{
    return the_dir;
}

void leave_files(void)
{
    files_may_stay = true;
}

_Noreturn void skip_test(const char *reason)
{
    dprintf(STDERR_FILENO, "skipped: %s\n", reason);
    _exit(EXIT_SKIPPED);
}

unsigned count_files_ending(const char *path, const char *ending)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    unsigned count = 0;

    if (!directory)
        return 0;
    while ((entry = readdir(directory))) {
        size_t size = strlen(entry->d_name), end = strlen(ending);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && size >= end &&
            strcmp(entry->d_name + size - end, ending) == 0)
            count++;
    }
    closedir(directory);
    return count;
}

unsigned count_files(const char *path)
{
    return count_files_ending(path, "");
}

static void check_files(void)
{
    DIR *directory = opendir(the_dir);
    struct dirent *entry;
    unsigned left = 0;

    CHECK(directory != NULL);
    while ((entry = readdir(directory)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && left++ < 8 && !files_may_stay)
            dprintf(STDERR_FILENO, "leaked file: %s/%s\n", the_dir, entry->d_name);
    closedir(directory);
    if (left && !files_may_stay)
        FAIL("%u files were left in the runtime directory", left);
}

/* The child's side: the test itself. */
_Noreturn static void run_body(const struct test *test)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS};
    struct leaks *before = malloc(sizeof *before);

    for (size_t i = 0; i < COUNT_OF(faults); i++)
        signal(faults[i], SIG_DFL); /* cmocka's handlers would run its next tests here */
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!before)
        _exit(1);
    leaks_note(before);
    if (test->body_with)
        test->body_with(test->argument);
    else
        test->body();
    leaks_check(before);
    check_files();
    free(before);
    leaks_check_heap();
    _exit(0);
}

struct child child_start(void (*function)(struct child *up, void *argument), void *argument)
{
    struct child child;
    struct leaks before;

    if (child_fork(&child, true) > 0)
        return child;
    leaks_note(&before);
    function(&child, argument);
    leaks_check(&before);
    _exit(0);
}

void child_run(void (*function)(struct child *up, void *argument), void *argument)
{
    struct child child = child_start(function, argument);

    child_wait(&child);
}

struct child child_start_until(uint64_t word, void (*function)(struct child *up, void *argument), void *argument)
{
    struct child child = child_start(function, argument);

    CHECK_INT(child_hear(&child), word);
    return child;
}

static unsigned deadline_ms(const struct test *test)
{
    const char *scale = getenv("SHMQ_TEST_SCALE"), *fixed = getenv("SHMQ_TEST_DEADLINE_S");
    unsigned seconds = test->deadline_s ? test->deadline_s : DEADLINE_DEFAULT_S;
    unsigned factor = scale ? (unsigned)strtoul(scale, NULL, 10) : 1;

    if (fixed)
        return (unsigned)strtoul(fixed, NULL, 10) * 1000;
    if (test_is_slow_build())
        seconds *= 5;
    return seconds * (factor ? factor : 1) * 1000;
}

static void print_file(const char *label, pid_t pid, const char *name)
{
    char path[64], text[256];
    int fd;
    ssize_t n;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n > 0)
        dprintf(STDERR_FILENO, "    %s: %.*s\n", label, (int)n, text);
    if (fd >= 0)
        close(fd);
}

/* Say what each process of the group does, for the one who looks for the hang. */
static void print_group(pid_t group)
{
    DIR *directory = opendir("/proc");
    struct dirent *entry;

    while (directory && (entry = readdir(directory))) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

        if (pid > 1 && getpgid(pid) == group) {
            dprintf(STDERR_FILENO, "  process %d\n", (int)pid);
            print_file("waits in", pid, "wchan");
            print_file("system call", pid, "syscall");
        }
    }
    if (directory)
        closedir(directory);
}

/* Wait until the test has ended, or its deadline has passed; true if it ended. */
static bool await_end(pid_t pid, unsigned limit_ms)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd item = {fd, POLLIN, 0};
    int64_t end = now_ms() + limit_ms;
    bool ended = false;

    while (fd >= 0 && !ended && now_ms() < end)
        ended = poll(&item, 1, (int)(end - now_ms()) + 1) == 1;
    if (fd >= 0)
        close(fd);
    return ended;
}

/* Kill what is left of the group and reap all of it; returns the leader's status. */
static int end_group(pid_t leader)
{
    int status = -1, one;
    pid_t pid;

    if (leader > 1)
        kill(-leader, SIGKILL);
    while ((pid = waitpid(-1, &one, 0)) > 0)
        if (pid == leader)
            status = one;
    return status;
}

static void run_one(void **state)
{
    const struct test *test = *state;
    bool ended;
    int status;
    pid_t pid;

    files_may_stay = false;
    strcpy(the_dir, "/dev/shm/shmq-test-XXXXXX");
    if (!mkdtemp(the_dir))
        fail_msg("no directory %s: %s", the_dir, strerror(errno));
    setenv("SHMQ_DIR", the_dir, 1);
    fflush(NULL);
    pid = fork();
    if (pid == 0)
        run_body(test);
    if (pid < 0)
        fail_msg("no process: %s", strerror(errno));
    setpgid(pid, pid);
    ended = await_end(pid, deadline_ms(test));
    if (!ended) {
        dprintf(STDERR_FILENO, "%s: the deadline has passed\n", test->name);
        print_group(pid);
    }
    status = end_group(pid);
    remove_tree(the_dir);
    if (!ended)
        fail_msg("did not end in time");
    if (WIFSIGNALED(status))
        fail_msg("ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    if (WEXITSTATUS(status) == EXIT_SKIPPED)
        skip();
    if (status != 0)
        fail_msg("ended with status %d", WEXITSTATUS(status));
}

int test_main(const char *group, const struct test *tests, size_t count, int argc, char **argv)
{
    struct CMUnitTest *units = calloc(count, sizeof *units);
    int failed;

    if (!units)
        return 1;
    for (size_t i = 0; i < count; i++)
        units[i] = (struct CMUnitTest){tests[i].name, run_one, NULL, NULL, (void *)(uintptr_t)&tests[i]};
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    signal(SIGPIPE, SIG_IGN);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    failed = _cmocka_run_group_tests(group, units, count, NULL, NULL);
    free(units);
    return failed ? 1 : 0;
}
