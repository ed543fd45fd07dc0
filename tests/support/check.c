/* SPDX-License-Identifier: MIT */
/* Checks that end the process, seeds and time. See harness.h. */
#include "harness.h"

#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/random.h>
#include <sys/time.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOW_BUILD 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SLOW_BUILD 1
#endif
#endif

static uint64_t the_seed;
static void (*say_more)(void);

void on_fail(void (*function)(void))
{
    say_more = function;
}

_Noreturn static void die(void)
{
    if (say_more)
        say_more();
    if (the_seed)
        dprintf(STDERR_FILENO, "    seed: SHMQ_TEST_SEED=%llu\n", (unsigned long long)the_seed);
    _exit(1);
}

_Noreturn void check_fail(const char *file, int line, const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    dprintf(STDERR_FILENO, "%s:%d: [%d] %s\n", file, line, (int)getpid(), text);
    die();
}

void check_int(const char *file, int line, const char *what, long long got, long long want)
{
    if (got != want)
        check_fail(file, line, "%s is %lld, not %lld", what, got, want);
}

static const char *name_of(int errnum)
{
    const char *name = strerrorname_np(errnum);

    return name ? name : shm_strerror(errnum);
}

long long check_ok(const char *file, int line, const char *what, long long result)
{
    if (result < 0)
        check_fail(file, line, "%s failed: %s", what, name_of(errno));
    return result;
}

void *check_ptr(const char *file, int line, const char *what, void *result)
{
    if (!result)
        check_fail(file, line, "%s failed: %s", what, name_of(errno));
    return result;
}

void check_err(const char *file, int line, const char *what, long long result, int errnum)
{
    int got = errno;

    if (result != -1)
        check_fail(file, line, "%s returned %lld; wanted -1 and %s", what, result, name_of(errnum));
    if (got != errnum)
        check_fail(file, line, "%s failed with %s (%d); wanted %s (%d)", what, name_of(got), got, name_of(errnum),
                   errnum);
}

void check_mem(const char *file, int line, const char *what, const void *got, size_t got_size, const void *want,
               size_t want_size)
{
    size_t i = 0;

    if (got_size != want_size)
        check_fail(file, line, "%s: %zu bytes, not %zu", what, got_size, want_size);
    while (i < got_size && ((const unsigned char *)got)[i] == ((const unsigned char *)want)[i])
        i++;
    if (i < got_size)
        check_fail(file, line, "%s: byte %zu of %zu is 0x%02x, not 0x%02x", what, i, got_size,
                   ((const unsigned char *)got)[i], ((const unsigned char *)want)[i]);
}

uint64_t test_seed(void)
{
    const char *text = getenv("SHMQ_TEST_SEED");

    if (!the_seed && text)
        the_seed = strtoull(text, NULL, 0);
    while (!the_seed) {
        if (getrandom(&the_seed, sizeof the_seed, 0) != (ssize_t)sizeof the_seed)
            check_fail(__FILE__, __LINE__, "no random numbers");
        the_seed >>= 16;
    }
    return the_seed;
}

uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

bool test_is_slow_build(void)
{
#ifdef SLOW_BUILD
    return true;
#else
    return false;
#endif
}

int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void pass_ms(unsigned ms)
{
    struct timespec rest = {ms / 1000, (long)(ms % 1000) * 1000000};

    while (nanosleep(&rest, &rest) && errno == EINTR)
        ;
}

static void do_nothing(int signal)
{
    (void)signal;
}

void start_ticking(void)
{
    struct sigaction action = {.sa_handler = do_nothing}; /* no SA_RESTART */
    struct itimerval tick = {{0, 5000}, {0, 5000}};

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &tick, NULL);
}

void stop_ticking(void)
{
    struct itimerval none = {{0, 0}, {0, 0}};

    setitimer(ITIMER_REAL, &none, NULL);
}

void check_close(const char *file, int line, shm_socket_t **sockets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check_ok(file, line, "shm_close", shm_close(sockets[i]));
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    return remove(path);
}

int remove_tree(const char *path)
{
    return nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
