/* SPDX-License-Identifier: MIT */
/*
 * The driver seam: every way in which there is no driver, and the one in which there is.
 *
 * SHMQ_CUDA_DRIVER names the stand-in, SHMQ_TEST_HOLLOW a library that is no driver; SHMQ_TEST_CUDA_STUB, where the
 * toolkit is installed, its stub.
 */
#include <dlfcn.h>
#include <pthread.h>

#include "standin-helper.h"

#define THREADS 16

/* ---- there is none ---- */

/* A variable of the environment, and the thing that the reason must say for a person to know what to do. */
struct absence {
    const char *variable, *value, *says;
};

static void be_without(struct child *up, void *argument)
{
    const struct absence *a = argument;
    const struct gpu_driver *driver = (const void *)1;

    (void)up;
    setenv(a->variable, a->value, 1);
    CHECK_ERR(gpu_driver_get(&driver), ENOTSUP);
    CHECK(driver == NULL);
    if (strstr(gpu_driver_reason(), a->says) == NULL)
        FAIL("with %s=%s the reason is \"%s\" and doesn't say \"%s\"", a->variable, a->value, gpu_driver_reason(),
             a->says);
}

/* In a process of its own, which also checks that no descriptor is left open. */
static void check_absent(const char *variable, const char *value, const char *says)
{
    struct absence a = {variable, value, says};
    struct child child = child_start(be_without, &a);

    child_wait(&child);
}

TEST_THAT(a_library_that_is_no_driver_is_told)
{
    check_absent("SHMQ_CUDA_DRIVER", "/nonexistent/libcuda.so.1", "/nonexistent/libcuda.so.1");
    check_absent("SHMQ_CUDA_DRIVER", "/proc/self/cmdline", "no CUDA driver");
    check_absent("SHMQ_CUDA_DRIVER", getenv("SHMQ_TEST_HOLLOW"), "older than CUDA 12.0");
}

TEST_THAT(a_driver_that_cannot_start_is_told)
{
    check_absent("SHMQ_STANDIN_MODE", "old", "speaks CUDA 11.4, and 12.0 or newer");
    check_absent("SHMQ_STANDIN_MODE", "stub", "stub");
    check_absent("SHMQ_STANDIN_MODE", "nodevice", "no CUDA device");
    check_absent("SHMQ_STANDIN_FAIL", "cuInit:1:999", "cuInit failed: error 999");
    check_absent("SHMQ_STANDIN_FAIL", "cuInit:1:803", "kernel's NVIDIA driver");
    check_absent("SHMQ_STANDIN_FAIL", "cuDriverGetVersion:1:999", "cuDriverGetVersion");
    check_absent("SHMQ_STANDIN_FAIL", "cuDeviceGetCount:1:100", "no CUDA device");
}

TEST_THAT(the_toolkit_s_own_stub_is_no_driver)
{
    const char *stub = getenv("SHMQ_TEST_CUDA_STUB");

    if (stub == NULL)
        skip_test("the toolkit is not installed");
    check_absent("SHMQ_CUDA_DRIVER", stub, "stub");
}

TEST_THAT(any_missing_call_is_named)
{
#define NAME(name, version, symbol, arguments) check_absent("SHMQ_STANDIN_MISSING", #name, #name);
    DRV_CALLS(NAME)
#undef NAME
}

/* This machine may have a driver, or not; either way the answer is a whole one. */
TEST_THAT(an_empty_variable_means_the_usual_library)
{
    const struct gpu_driver *driver;

    setenv("SHMQ_CUDA_DRIVER", "", 1);
    if (gpu_driver_get(&driver) < 0)
        CHECK(errno == ENOTSUP && strstr(gpu_driver_reason(), "libcuda.so.1") != NULL);
    else
        CHECK(driver != NULL && gpu_driver_reason()[0] == '\0');
}

TEST_THAT(a_library_that_is_no_driver_is_closed_again)
{
    const struct gpu_driver *driver;

    setenv("SHMQ_CUDA_DRIVER", getenv("SHMQ_TEST_HOLLOW"), 1);
    CHECK_ERR(gpu_driver_get(&driver), ENOTSUP);
    CHECK(dlopen(getenv("SHMQ_CUDA_DRIVER"), RTLD_NOW | RTLD_NOLOAD) == NULL);
}

TEST_THAT(the_answer_never_changes)
{
    const char *standin_path = getenv("SHMQ_CUDA_DRIVER");
    const struct gpu_driver *driver;

    setenv("SHMQ_CUDA_DRIVER", "/nonexistent/libcuda.so.1", 1);
    CHECK_ERR(gpu_driver_get(&driver), ENOTSUP);
    setenv("SHMQ_CUDA_DRIVER", standin_path, 1);
    CHECK_ERR(gpu_driver_get(&driver), ENOTSUP);
}

/* ---- there is one ---- */

TEST_THAT(a_driver_gives_a_whole_table)
{
    const struct gpu_driver *again;
    int version = 0;

    start("SHMQ_STANDIN_DEVICES=3");
    CHECK(gpu_driver_get(&again) == 0 && again == cu);
    CHECK(gpu_driver_reason()[0] == '\0');
#define COMPLETE(name, number, symbol, arguments) CHECK(cu->name != NULL);
    DRV_CALLS(COMPLETE)
#undef COMPLETE
    CHECK(cu->version == 13000 && cu->device_count == 3);
    OK(cuDriverGetVersion(&version));
    CHECK_INT(version, cu->version);
    CHECK(strcmp(gpu_driver_result_name(719), "an error this library has no name for") == 0);
}

TEST_THAT(results_have_names)
{
    CHECK(strcmp(gpu_driver_result_name(0), "CUDA_SUCCESS") == 0);
    CHECK(strcmp(gpu_driver_result_name(201), "CUDA_ERROR_INVALID_CONTEXT") == 0);
    CHECK(gpu_driver_result_name(-12345) != NULL);
}

/* ---- threads ---- */

static pthread_barrier_t start_line;
static const struct gpu_driver *table_of[THREADS];
static const char *reason_of[THREADS];

static void *race(void *argument)
{
    int i = (int)(intptr_t)argument;

    pthread_barrier_wait(&start_line);
    if (gpu_driver_get(&table_of[i]) < 0)
        CHECK_INT(errno, ENOTSUP);
    reason_of[i] = gpu_driver_reason();
    return NULL;
}

/* `argument` is a mode of the stand-in: with none of them there is a driver. */
static void race_all(struct child *up, void *argument)
{
    const char *mode = argument;
    pthread_t thread[THREADS];

    (void)up;
    setenv("SHMQ_STANDIN_MODE", mode, 1);
    CHECK_INT(pthread_barrier_init(&start_line, NULL, THREADS), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&thread[i], NULL, race, (void *)(intptr_t)i), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_INT(pthread_join(thread[i], NULL), 0);
    pthread_barrier_destroy(&start_line);
    for (int i = 0; i < THREADS; i++)
        if (mode[0] == '\0')
            CHECK(table_of[i] != NULL && table_of[i] == table_of[0] && reason_of[i][0] == '\0');
        else
            CHECK(table_of[i] == NULL && strstr(reason_of[i], "no CUDA device") != NULL);
    if (mode[0] == '\0')
        CHECK_INT(standin_find()->calls("cuInit"), 1);
}

TEST_THAT(sixteen_threads_start_one_driver)
{
    for (int i = 0; i < 10; i++) {
        struct child one = child_start(race_all, (char[]){""}), none = child_start(race_all, (char[]){"nodevice"});

        child_wait(&one);
        child_wait(&none);
    }
}

/* ---- fork ---- */

static void be_refused(struct child *up, void *argument)
{
    const struct gpu_driver *driver;

    (void)up;
    (void)argument;
    CHECK_ERR(gpu_driver_get(&driver), ENOTSUP);
    CHECK(driver == NULL);
    CHECK(strstr(gpu_driver_reason(), "fork") != NULL);
}

TEST_THAT(a_started_driver_does_not_survive_fork)
{
    struct child child;

    start(NULL);
    child = child_start(be_refused, NULL);
    child_wait(&child);
    start(NULL);
}

static void be_granted(struct child *up, void *argument)
{
    (void)up;
    (void)argument;
    start(NULL);
}

TEST_THAT(a_child_forked_before_has_its_own)
{
    struct child child = child_start(be_granted, NULL);

    child_wait(&child);
    start(NULL);
}
