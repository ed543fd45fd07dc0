/* SPDX-License-Identifier: MIT */
/*
 * The test harness: checks, a runner that gives every test a process and a runtime directory of
 * its own, and children that talk to their parent.
 *
 * A test is a function without arguments. It runs in a process of its own, the leader of its own
 * process group, with SHMQ_DIR set to a fresh empty directory on shared memory. A check that
 * fails, in the test or in any of its children or threads, prints where and why and ends that
 * process with status 1. After the test body the harness checks that
 *   - no descriptor, no mapping of the directory, no thread and no child was left behind,
 *   - the directory is empty (see leave_files()),
 *   - nothing allocated was leaked (with the address sanitizer).
 * The parent, which runs cmocka, never touches the library: a crash or a hang of one test is the
 * failure of that test alone. A test that runs past its deadline is killed with its children,
 * which is a failure, too.
 *
 *     TEST_THAT(a_name_is_bound_once)        (suite.h)
 *     {
 *         CHECK_OK(shm_bind(socket, "it"));
 *         CHECK_ERR(shm_bind(other, "it"), EADDRINUSE);
 *     }
 *
 * Environment: SHMQ_TEST_SEED (a number: the seed of the random tests), SHMQ_TEST_SCALE (factor
 * on deadlines, for slow machines), SHMQ_TEST_DEADLINE_S (for all, while looking for a hang). The
 * first argument filters tests by a pattern with * and ?.
 */
#ifndef SHMQ_TEST_HARNESS_H
#define SHMQ_TEST_HARNESS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <shmq.h>

#include "suite.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- Checks ---------------------------------------------------------------------------------- */

/* True, or the end of this process. */
#define CHECK(condition) ((condition) ? (void)0 : check_fail(__FILE__, __LINE__, "not true: %s", #condition))
/* Two integers that must be equal. */
#define CHECK_INT(got, want) check_int(__FILE__, __LINE__, #got, (long long)(got), (long long)(want))
/* A call that must not return a negative number (or must not return NULL); returns its value. */
#define CHECK_OK(call)  check_ok(__FILE__, __LINE__, #call, (long long)(call))
#define CHECK_PTR(call) check_ptr(__FILE__, __LINE__, #call, (call))
/* A call that must return -1 (or NULL) and set errno to ERRNUM. */
#define CHECK_ERR(call, errnum)  (errno = 0, check_err(__FILE__, __LINE__, #call, (long long)(call), (errnum)))
#define CHECK_NULL(call, errnum) (errno = 0, check_err(__FILE__, __LINE__, #call, (call) ? 0 : -1, (errnum)))
/* Close these sockets, in this order. */
#define CLOSE_ALL(...)                                                                             \
    check_close(__FILE__, __LINE__, (shm_socket_t *[]){__VA_ARGS__}, COUNT_OF(((shm_socket_t *[]){__VA_ARGS__})))
/* All sockets of an array. */
#define CLOSE_EACH(array) check_close(__FILE__, __LINE__, array, COUNT_OF(array))
/* Two pieces of memory that must be equal. */
#define CHECK_MEM(got, got_size, want, want_size)                                                                      \
    check_mem(__FILE__, __LINE__, #got, (got), (size_t)(got_size), (want), (size_t)(want_size))
#define FAIL(...) check_fail(__FILE__, __LINE__, __VA_ARGS__)

_Noreturn void check_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
void check_int(const char *file, int line, const char *what, long long got, long long want);
long long check_ok(const char *file, int line, const char *what, long long result);
void *check_ptr(const char *file, int line, const char *what, void *result);
void check_err(const char *file, int line, const char *what, long long result, int errnum);
void check_close(const char *file, int line, shm_socket_t **sockets, size_t count);
void check_mem(const char *file, int line, const char *what, const void *got, size_t got_size, const void *want,
               size_t want_size);

/* When a check of this process fails, call FUNCTION first, to say more. NULL: no more. */
void on_fail(void (*function)(void));

/* End the test as skipped, with a reason. Only in the test's own process. */
_Noreturn void skip_test(const char *reason);

/* ---- Tests ----------------------------------------------------------------------------------- */

struct test {
    const char *name;
    void (*body)(void);
    void (*body_with)(const void *argument); /* instead of body, if set */
    const void *argument;
    unsigned deadline_s; /* 0: 30 s */
};

#define TEST(function)                                                                                                 \
    {                                                                                                                  \
#function, function, NULL, NULL, 0                                                                             \
    }
#define SLOW_TEST(function, deadline_s_)                                                                               \
    {                                                                                                                  \
#function, function, NULL, NULL, deadline_s_                                                                   \
    }

int test_main(const char *group, const struct test *tests, size_t count, int argc, char **argv);

/* The runtime directory of this test. */
const char *test_dir(void);
/* The number of files in a directory (not counting "." and ".."). */
unsigned count_files(const char *path);
unsigned count_files_ending(const char *path, const char *ending);
/* Remove a directory and all in it. */
int remove_tree(const char *path);
/* This test may leave files behind: it says why in a comment. */
void leave_files(void);
/* The seed of this process; printed when a check fails. Different on every run, unless
 * SHMQ_TEST_SEED is set. */
uint64_t test_seed(void);
/* The next number of a sequence that *STATE carries (splitmix64). */
uint64_t random_next(uint64_t *state);
/* True when built with a sanitizer that makes everything slow. */
bool test_is_slow_build(void);

/* ---- Time ------------------------------------------------------------------------------------ */

int64_t now_ms(void);
/* Let time itself pass. Never a way to synchronize. */
void pass_ms(unsigned ms);
/* Deliver SIGALRM to this process every few milliseconds, to a handler that does nothing. */
void start_ticking(void);
void stop_ticking(void);
/* CALL waits, until that signal ends it. */
#define CHECK_INTERRUPTED(call) (start_ticking(), CHECK_ERR(call, EINTR), stop_ticking())

/* ---- Children -------------------------------------------------------------------------------- */

struct child {
    pid_t pid; /* in the child: its parent's */
    int fd;
};

/* As fork(): a child that dies with us. Each gets its end of a line between them, if HAS_LINE. */
pid_t child_fork(struct child *child, bool has_line);
/* Fork a child that runs FUNCTION and ends with status 0; UP is its end of the line. The child
 * checks for leaked descriptors like the test itself. */
struct child child_start(void (*function)(struct child *up, void *argument), void *argument);
/* The same, and it has said WORD. */
struct child child_start_until(uint64_t word, void (*function)(struct child *up, void *argument), void *argument);
/* The same, and it has ended well. */
void child_run(void (*function)(struct child *up, void *argument), void *argument);
/* Say a number to the other end; hear one (the other end's death is a failure). */
void child_say(const struct child *line, uint64_t value);
uint64_t child_hear(const struct child *line);
/* A child's: say VALUE, then wait to be told something, or to be killed. */
void child_stay(const struct child *up, uint64_t value);
/* As child_hear(); false if the other end has gone. */
bool child_listen(const struct child *line, uint64_t *value);
/* Whether the other end has said something, or has gone; or does so in time. */
bool child_has_spoken(const struct child *line);
bool child_speaks_within(const struct child *line, int limit_ms);
/* Wait until the child has ended with status 0. */
void child_wait(struct child *child);
/* Tell it that nothing more will be said, and wait until it has ended with status 0. */
void child_hang_up(struct child *child);
/* One that waits for a word to end: say 0, and wait. */
void child_end(struct child *child);
/* child_end(), or child_kill(). */
void child_leave(struct child *child, bool by_kill);
/* SIGKILL it, and wait until it is gone. It must not have ended before. */
void child_kill(struct child *child);
/* As child_kill(), but does not wait: the dead child stays a zombie until child_reap(). */
void child_kill_unreaped(const struct child *child);
void child_reap(struct child *child);
void child_stop(const struct child *child);
void child_continue(const struct child *child);
/* Kill, with a guard against pid <= 1. */
void kill_guarded(pid_t pid, int signal);
/* Wait until the thread TID of this machine sleeps in the kernel. */
void await_asleep(pid_t tid);

/* Run `shmq gc`, which lies at TOOL; returns its status, as waitpid(). */
int run_gc(const char *tool);

/* Memory shared with children that are forked later; zeroed. */
void *shared_memory(size_t size);
void shared_memory_free(void *memory, size_t size);

#endif
