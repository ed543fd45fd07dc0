/* SPDX-License-Identifier: MIT */
/*
 * The driver seam: every way in which there is no driver, and the one in which there is.
 *
 * SHMQ_TEST_STANDIN and SHMQ_TEST_HOLLOW name the libraries; SHMQ_TEST_CUDA_STUB, where the toolkit is installed, its
 * stub.
 */
#include "gpu/driver.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>

#include "child.h"
#include "standin/standin.h"

#define THREADS 16

static char standin_variable[512], hollow_variable[512], stub_variable[512];
static int answer_pipe[2];

struct answer {
    int result, error, descriptors;
    char reason[512];
};

static void ask(void)
{
    int before = open_descriptors();
    const struct gpu_driver *driver = (const void *)1;
    struct answer a;

    memset(&a, 0, sizeof(a));
    errno = 0;
    a.result = gpu_driver_get(&driver);
    a.error = errno;
    a.descriptors = open_descriptors() - before;
    snprintf(a.reason, sizeof(a.reason), "%s", gpu_driver_reason());
    EXPECT((driver != NULL) == (a.result == 0));
    EXPECT(write(answer_pipe[1], &a, sizeof(a)) == (ssize_t)sizeof(a));
}

static struct answer answer_in(const char *const *environment)
{
    struct answer a;

    assert_true(child_ok(environment, ask));
    assert_int_equal(read(answer_pipe[0], &a, sizeof(a)), sizeof(a));
    return a;
}

/* The reason must say the thing that a person has to know. */
static void assert_absent(const char *const *environment, const char *says)
{
    struct answer a = answer_in(environment);

    assert_int_equal(a.result, -1);
    assert_int_equal(a.error, ENOTSUP);
    if (strstr(a.reason, says) == NULL)
        fail_msg("the reason is \"%s\" and doesn't say \"%s\"", a.reason, says);
    assert_int_equal(a.descriptors, 0);
}

#define STANDIN(...) ((const char *const[]){standin_variable, __VA_ARGS__, NULL})

static void no_library_is_no_driver(void **state)
{
    const char *const environment[] = {"SHMQ_CUDA_DRIVER=/nonexistent/libcuda.so.1", NULL};

    (void)state;
    assert_absent(environment, "/nonexistent/libcuda.so.1");
}

static void a_file_that_is_no_library_is_no_driver(void **state)
{
    const char *const environment[] = {"SHMQ_CUDA_DRIVER=/proc/self/cmdline", NULL};

    (void)state;
    assert_absent(environment, "no CUDA driver");
}

static void an_empty_variable_means_the_usual_library(void **state)
{
    const char *const environment[] = {"SHMQ_CUDA_DRIVER=", NULL};
    struct answer a = answer_in(environment);

    (void)state;
    /* This machine may have a driver, or not; either way the answer is a whole one. */
    if (a.result < 0)
        assert_non_null(strstr(a.reason, "libcuda.so.1"));
    else
        assert_string_equal(a.reason, "");
}

static void a_driver_before_12_is_too_old(void **state)
{
    const char *const hollow[] = {hollow_variable, NULL};

    (void)state;
    assert_absent(hollow, "older than CUDA 12.0");
    assert_absent(STANDIN("SHMQ_STANDIN_MODE=old"), "speaks CUDA 11.4, and 12.0 or newer");
}

static void close_useless(void)
{
    const struct gpu_driver *driver;

    EXPECT(gpu_driver_get(&driver) == -1);
    EXPECT(dlopen(getenv("SHMQ_CUDA_DRIVER"), RTLD_NOW | RTLD_NOLOAD) == NULL);
}

static void a_library_that_is_no_driver_is_closed_again(void **state)
{
    const char *const hollow[] = {hollow_variable, NULL};

    (void)state;
    assert_true(child_ok(hollow, close_useless));
}

static void the_stub_is_no_driver(void **state)
{
    (void)state;
    assert_absent(STANDIN("SHMQ_STANDIN_MODE=stub"), "stub");
}

static void the_toolkit_s_own_stub_is_no_driver(void **state)
{
    const char *const environment[] = {stub_variable, NULL};

    (void)state;
    if (getenv("SHMQ_TEST_CUDA_STUB") == NULL)
        skip();
    assert_absent(environment, "stub");
}

static void no_device_is_no_driver(void **state)
{
    (void)state;
    assert_absent(STANDIN("SHMQ_STANDIN_MODE=nodevice"), "no CUDA device");
}

static void any_missing_call_is_named(void **state)
{
    static const char *const names[] = {
#define NAME(name, version, symbol, arguments) #name,
        DRV_CALLS(NAME)
#undef NAME
    };
    char variable[128];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(variable, sizeof(variable), "SHMQ_STANDIN_MISSING=%s", names[i]);
        assert_absent(STANDIN(variable), names[i]);
    }
}

static void a_failing_start_is_told(void **state)
{
    (void)state;
    assert_absent(STANDIN("SHMQ_STANDIN_FAIL=cuInit:1:999"), "cuInit failed: error 999");
    assert_absent(STANDIN("SHMQ_STANDIN_FAIL=cuInit:1:803"), "kernel's NVIDIA driver");
    assert_absent(STANDIN("SHMQ_STANDIN_FAIL=cuDriverGetVersion:1:999"), "cuDriverGetVersion");
    assert_absent(STANDIN("SHMQ_STANDIN_FAIL=cuDeviceGetCount:1:100"), "no CUDA device");
}

/* ---- there is one ---- */

static void look_at_table(void)
{
    const struct gpu_driver *driver, *again;
    int version = 0;

    EXPECT(gpu_driver_get(&driver) == 0);
    EXPECT(gpu_driver_get(&again) == 0 && again == driver);
    EXPECT(gpu_driver_reason()[0] == '\0');
#define COMPLETE(name, number, symbol, arguments) EXPECT(driver->name != NULL);
    DRV_CALLS(COMPLETE)
#undef COMPLETE
    EXPECT(driver->version == 13000 && driver->device_count == 3);
    EXPECT(driver->cuDriverGetVersion(&version) == 0 && version == driver->version);
    EXPECT(strcmp(gpu_driver_result_name(719), "an error this library has no name for") == 0);
}

static void a_driver_gives_a_whole_table(void **state)
{
    (void)state;
    assert_true(child_ok(STANDIN("SHMQ_STANDIN_DEVICES=3"), look_at_table));
}

static void change_mind(void)
{
    const struct gpu_driver *driver;

    EXPECT(gpu_driver_get(&driver) == -1);
    putenv(standin_variable);
    EXPECT(gpu_driver_get(&driver) == -1);
}

static void the_answer_never_changes(void **state)
{
    const char *const environment[] = {"SHMQ_CUDA_DRIVER=/nonexistent/libcuda.so.1", NULL};

    (void)state;
    assert_true(child_ok(environment, change_mind));
}

/* In a child: an unknown one starts the driver. */
static void name_results(void)
{
    EXPECT(strcmp(gpu_driver_result_name(0), "CUDA_SUCCESS") == 0);
    EXPECT(strcmp(gpu_driver_result_name(201), "CUDA_ERROR_INVALID_CONTEXT") == 0);
    EXPECT(gpu_driver_result_name(-12345) != NULL);
}

static void results_have_names(void **state)
{
    (void)state;
    assert_true(child_ok(NULL, name_results));
}

/* ---- threads ---- */

static pthread_barrier_t start_line;
static const struct gpu_driver *table_of[THREADS];
static const char *reason_of[THREADS];

static void *race(void *argument)
{
    int i = (int)(intptr_t)argument;

    pthread_barrier_wait(&start_line);
    if (gpu_driver_get(&table_of[i]) < 0 && errno != ENOTSUP)
        table_of[i] = NULL;
    reason_of[i] = gpu_driver_reason();
    return NULL;
}

static void race_all(void)
{
    pthread_t thread[THREADS];

    EXPECT(pthread_barrier_init(&start_line, NULL, THREADS) == 0);
    for (int i = 0; i < THREADS; i++)
        EXPECT(pthread_create(&thread[i], NULL, race, (void *)(intptr_t)i) == 0);
    for (int i = 0; i < THREADS; i++)
        EXPECT(pthread_join(thread[i], NULL) == 0);
    pthread_barrier_destroy(&start_line);
}

static void race_to_start(void)
{
    const struct standin *(*introspect)(void);
    void *library, *symbol;

    race_all();
    for (int i = 0; i < THREADS; i++)
        EXPECT(table_of[i] != NULL && table_of[i] == table_of[0] && !reason_of[i][0]);
    library = dlopen(getenv("SHMQ_CUDA_DRIVER"), RTLD_NOW | RTLD_NOLOAD);
    EXPECT(library != NULL);
    symbol = dlsym(library, STANDIN_SYMBOL);
    EXPECT(symbol != NULL);
    memcpy(&introspect, &symbol, sizeof(symbol));
    EXPECT(introspect()->calls("cuInit") == 1);
}

static void race_to_fail(void)
{
    race_all();
    for (int i = 0; i < THREADS; i++)
        EXPECT(table_of[i] == NULL && strstr(reason_of[i], "no CUDA device") != NULL);
}

static void sixteen_threads_start_one_driver(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        assert_true(child_ok(STANDIN("SHMQ_STANDIN_DEVICES=1"), race_to_start));
        assert_true(child_ok(STANDIN("SHMQ_STANDIN_MODE=nodevice"), race_to_fail));
    }
}

/* ---- fork ---- */

static void refused_in_child(void)
{
    const struct gpu_driver *driver;

    EXPECT(gpu_driver_get(&driver) == -1 && errno == ENOTSUP && driver == NULL);
    EXPECT(strstr(gpu_driver_reason(), "fork") != NULL);
}

static void fork_after_start(void)
{
    const struct gpu_driver *driver;

    EXPECT(gpu_driver_get(&driver) == 0);
    EXPECT(child_ok(NULL, refused_in_child));
    EXPECT(gpu_driver_get(&driver) == 0);
}

static void granted_in_child(void)
{
    const struct gpu_driver *driver;

    EXPECT(gpu_driver_get(&driver) == 0);
}

static void fork_before_start(void)
{
    EXPECT(child_ok(NULL, granted_in_child));
    granted_in_child();
}

static void a_started_driver_does_not_survive_fork(void **state)
{
    (void)state;
    assert_true(child_ok(STANDIN("SHMQ_STANDIN_DEVICES=1"), fork_after_start));
    assert_true(child_ok(STANDIN("SHMQ_STANDIN_DEVICES=1"), fork_before_start));
}

static int set_variable(char *variable, const char *from)
{
    const char *path = getenv(from);

    if (path == NULL)
        return -1;
    snprintf(variable, 512, "SHMQ_CUDA_DRIVER=%s", path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_library_is_no_driver),
        cmocka_unit_test(a_file_that_is_no_library_is_no_driver),
        cmocka_unit_test(an_empty_variable_means_the_usual_library),
        cmocka_unit_test(a_driver_before_12_is_too_old),
        cmocka_unit_test(a_library_that_is_no_driver_is_closed_again),
        cmocka_unit_test(the_stub_is_no_driver),
        cmocka_unit_test(the_toolkit_s_own_stub_is_no_driver),
        cmocka_unit_test(no_device_is_no_driver),
        cmocka_unit_test(any_missing_call_is_named),
        cmocka_unit_test(a_failing_start_is_told),
        cmocka_unit_test(a_driver_gives_a_whole_table),
        cmocka_unit_test(the_answer_never_changes),
        cmocka_unit_test(results_have_names),
        cmocka_unit_test(sixteen_threads_start_one_driver),
        cmocka_unit_test(a_started_driver_does_not_survive_fork),
    };

    set_variable(stub_variable, "SHMQ_TEST_CUDA_STUB");
    if (set_variable(standin_variable, "SHMQ_TEST_STANDIN") < 0 ||
        set_variable(hollow_variable, "SHMQ_TEST_HOLLOW") < 0 || pipe(answer_pipe) < 0) {
        fprintf(stderr, "SHMQ_TEST_STANDIN and SHMQ_TEST_HOLLOW must name libraries\n");
        return 2;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
