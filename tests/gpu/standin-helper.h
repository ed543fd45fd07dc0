/* SPDX-License-Identifier: MIT */
/*
 * For tests of the stand-in itself: a child process with a context and a stream.
 */
#ifndef SHMQ_TESTS_STANDIN_HELPER_H
#define SHMQ_TESTS_STANDIN_HELPER_H

#include <dlfcn.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "child.h"
#include "gpu/driver.h"
#include "standin/standin.h"

static const struct gpu_driver *cu;
static const struct standin *standin;
static drv_stream_t stream;
static char standin_variable[512];

#define LAZY      DRV_CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS
#define MIB       ((size_t)1 << 20)
#define WITH(...) ((const char *const[]){standin_variable, __VA_ARGS__, NULL})
#define PLAIN     ((const char *const[]){standin_variable, NULL})
/* A cmocka test that a body passes in a child; wants cmocka.h where it is used. */
#define PASSES(name, body)                                                                                             \
    static void name(void **state)                                                                                     \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        assert_true(child_ok(PLAIN, body));                                                                            \
    }
#define OK(call) EXPECT((call) == DRV_CUDA_SUCCESS)

static inline void find_standin(void)
{
    const struct standin *(*introspect)(void);
    void *library, *symbol;

    EXPECT(gpu_driver_get(&cu) == 0);
    library = dlopen(getenv("SHMQ_CUDA_DRIVER"), RTLD_NOW | RTLD_NOLOAD);
    EXPECT(library != NULL);
    symbol = dlsym(library, STANDIN_SYMBOL);
    EXPECT(symbol != NULL);
    memcpy(&introspect, &symbol, sizeof(symbol));
    standin = introspect();
    EXPECT(standin->abi == STANDIN_ABI);
}

static inline void attach(void)
{
    drv_context_t context;

    find_standin();
    OK(cu->cuDevicePrimaryCtxRetain(&context, 0));
    OK(cu->cuCtxPushCurrent(context));
    OK(cu->cuStreamCreate(&stream, DRV_CU_STREAM_NON_BLOCKING));
}

static inline unsigned leaked(void)
{
    struct standin_leaks l;

    standin->leaks(&l);
    return standin_leaks_total(&l);
}

static inline void detach(void)
{
    OK(cu->cuStreamDestroy(stream));
    OK(cu->cuCtxPopCurrent(NULL));
    OK(cu->cuDevicePrimaryCtxRelease(0));
    EXPECT(leaked() == 0);
}

static inline unsigned char byte_at(drv_ptr_t ptr)
{
    unsigned char value = 0;

    OK(cu->cuMemcpyDtoH(&value, ptr, 1));
    return value;
}

/* Work behind a closed gate has certainly not begun. */
struct gate {
    int pipe[2];
};

static inline void gate_wait(void *data)
{
    struct gate *g = data;
    struct pollfd p = {g->pipe[0], POLLIN, 0};

    poll(&p, 1, CHILD_SECONDS * 1000);
}

static inline void gate_close(struct gate *g, drv_stream_t in)
{
    EXPECT(pipe(g->pipe) == 0);
    OK(cu->cuLaunchHostFunc(in, gate_wait, g));
}

static inline void gate_open(struct gate *g)
{
    EXPECT(write(g->pipe[1], "!", 1) == 1);
}

static inline int helper_init(void)
{
    const char *path = getenv("SHMQ_TEST_STANDIN");

    if (path == NULL) {
        fprintf(stderr, "SHMQ_TEST_STANDIN must name the stand-in driver\n");
        return -1;
    }
    snprintf(standin_variable, sizeof(standin_variable), "SHMQ_CUDA_DRIVER=%s", path);
    return 0;
}

#endif
