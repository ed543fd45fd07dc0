/* SPDX-License-Identifier: MIT */
/* The harness itself: a test that leaks, hangs, crashes or fails must be reported as failed. Each
 * bad test runs under the harness in a process of its own, whose verdict is looked at. */
#include "support/harness.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

static void good(void)
{
    CHECK(count_files(test_dir()) == 0);
}

static void leaks_a_descriptor(void)
{
    CHECK_OK(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

static void leaks_a_file(void)
{
    char path[128];

    snprintf(path, sizeof path, "%s/left", test_dir());
    close((int)CHECK_OK(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)));
}

static void leaks_a_file_and_says_so(void)
{
    leave_files();
    leaks_a_file();
}

static void sleeps(struct child *up, void *argument)
{
    (void)argument;
    child_hear(up);
}

static void leaks_a_child(void)
{
    child_start(sleeps, NULL);
}

static void fails(struct child *up, void *argument)
{
    (void)up;
    (void)argument;
    FAIL("as it should");
}

static void has_a_child_that_fails(void)
{
    struct child child = child_start(fails, NULL);

    child_wait(&child);
}

static void leaks_descriptor_in_child(struct child *up, void *argument)
{
    (void)up;
    (void)argument;
    leaks_a_descriptor();
}

static void has_a_child_that_leaks(void)
{
    struct child child = child_start(leaks_descriptor_in_child, NULL);

    child_wait(&child);
}

static void hangs(void)
{
    for (;;)
        pause();
}

static void crashes(void)
{
    raise(SIGSEGV);
}

static void has_a_wrong_number(void)
{
    CHECK_INT(1 + 1, 3);
}

static void has_a_wrong_errno(void)
{
    CHECK_ERR(open("/nonexistent/file", O_RDONLY | O_CLOEXEC), EACCES);
}

static void has_wrong_bytes(void)
{
    CHECK_MEM("abc", 3, "abd", 3);
}

/* What the harness says of TEST: 0 passed, 1 failed. */
static int verdict_of(struct test test)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        exit(test_main("inner", &test, 1, 1, NULL));
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

int main(void)
{
    static const struct {
        struct test test;
        int verdict;
    } cases[] = {
        {TEST(good), 0},
        {TEST(leaks_a_descriptor), 1},
        {TEST(leaks_a_file), 1},
        {TEST(leaks_a_file_and_says_so), 0},
        {TEST(leaks_a_child), 1},
        {TEST(has_a_child_that_fails), 1},
        {TEST(has_a_child_that_leaks), 1},
        {SLOW_TEST(hangs, 1), 1},
        {TEST(crashes), 1},
        {TEST(has_a_wrong_number), 1},
        {TEST(has_a_wrong_errno), 1},
        {TEST(has_wrong_bytes), 1},
    };
    int failed = 0;

    unsetenv("SHMQ_TEST_DEADLINE_S"); /* one of them has a deadline of its own */
    unsetenv("SHMQ_TEST_SCALE");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int verdict = verdict_of(cases[i].test);

        printf("%s: %s\n", cases[i].test.name, verdict == cases[i].verdict ? "ok" : "FAILED");
        failed |= verdict != cases[i].verdict;
    }
    return failed;
}
