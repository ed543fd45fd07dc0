/* SPDX-License-Identifier: MIT */
/*
 * Finds and starts the CUDA driver, once per process.
 *
 * What it is: dlopen, cuGetProcAddress for every call at its version, cuInit. What it is not: it creates no context and
 * remembers no device; that is the business of whoever attaches one.
 *
 * Invariants
 * - `state` is written by load() alone, under pthread_once, and constant afterwards.
 *   pthread_once orders those writes before every reader that returned from it, and
 *   nobody else reads.
 * - The table is handed out only when it is complete: no member is ever NULL.
 * - After cuInit was called the library stays open, even when cuInit failed: a driver
 *   may have started threads, whose code must not be unmapped. Before it, a library
 *   that turns out to be useless is closed again.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* secure_getenv */
#endif
#include "gpu/driver.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define DEFAULT_LIBRARY "libcuda.so.1"

static const char forked_reason[] = "this process was forked from one that had started the CUDA driver, "
                                    "and CUDA does not survive fork";

static const char unknown_name[] = "an error this library has no name for";

static struct {
    struct gpu_driver table;
    char reason[512];            /* empty: the table is complete and the driver started */
    const unsigned char *canary; /* a page that the kernel wipes in a forked child */
    int started;                 /* cuInit was called */
} state;

static pthread_once_t once = PTHREAD_ONCE_INIT;

__attribute__((format(printf, 1, 2))) static int fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(state.reason, sizeof(state.reason), format, args);
    va_end(args);
    return -1;
}

/* Without a driver. NULL: none. */
static const char *known_name(drv_result_t result)
{
    switch (result) {
#define NAME(code, value)                                                                                              \
    case value:                                                                                                        \
        return #code;
        DRV_RESULTS(NAME)
#undef NAME
    default:
        return NULL;
    }
}

/* One message for a failed start, whichever call it surfaced in. */
static int fail_result(const char *library, const char *call, drv_result_t result)
{
    switch (result) {
    case DRV_CUDA_ERROR_STUB_LIBRARY:
        return fail("%s is the CUDA toolkit's stub, made for linking; "
                    "no driver is behind it",
                    library);
    case DRV_CUDA_ERROR_NO_DEVICE:
        return fail("%s found no CUDA device", library);
    case DRV_CUDA_ERROR_SYSTEM_DRIVER_MISMATCH:
        return fail("%s does not fit the kernel's NVIDIA driver (%s: error %d)", library, call, result);
    default:
        return fail("%s: %s failed: error %d, %s", library, call, result,
                    known_name(result) != NULL ? known_name(result) : unknown_name);
    }
}

static int fail_version(const char *library, int version)
{
    return fail("the driver of %s is too old: it speaks CUDA %d.%d, and %d.%d or newer is "
                "needed",
                library, version / 1000, version % 1000 / 10, GPU_DRIVER_VERSION_MIN / 1000,
                GPU_DRIVER_VERSION_MIN % 1000 / 10);
}

static int open_library(const char *library, void **handle, drv_get_proc_address_t *get)
{
    const char *error;
    void *symbol;

    *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (*handle == NULL) {
        error = dlerror();
        return fail("no CUDA driver: %s", error != NULL ? error : library);
    }
    symbol = dlsym(*handle, DRV_PROC_ADDRESS_SYMBOL);
    if (symbol == NULL)
        return fail("%s has no " DRV_PROC_ADDRESS_SYMBOL ": it is older than CUDA 12.0, "
                    "or no CUDA driver at all",
                    library);
    /* POSIX promises that the bits of a function pointer survive dlsym's void pointer. */
    memcpy(get, &symbol, sizeof(symbol));
    return 0;
}

struct wanted {
    const char *name;
    int version;
    size_t offset; /* of the member in struct gpu_driver */
};

static const struct wanted wanted[] = {
#define WANTED(name, version, symbol, arguments) {#name, version, offsetof(struct gpu_driver, name)},
    DRV_CALLS(WANTED)
#undef WANTED
};

/* 0 and the member is set; a positive driver error; or -1: no such symbol. */
static int resolve(drv_get_proc_address_t get, const struct wanted *want)
{
    drv_query_result_t status = DRV_CU_GET_PROC_ADDRESS_SUCCESS;
    void *function = NULL;
    drv_result_t result;

    result = get(want->name, &function, want->version, DRV_CU_GET_PROC_ADDRESS_LEGACY_STREAM, &status);
    /* INVALID_VALUE: the version is newer than the driver; NOT_FOUND: drivers differ. */
    if (result != DRV_CUDA_SUCCESS && result != DRV_CUDA_ERROR_NOT_FOUND && result != DRV_CUDA_ERROR_INVALID_VALUE)
        return result;
    if (result != DRV_CUDA_SUCCESS || function == NULL || status != DRV_CU_GET_PROC_ADDRESS_SUCCESS)
        return -1;
    memcpy((char *)&state.table + want->offset, &function, sizeof(function));
    return 0;
}

static int resolve_all(const char *library, drv_get_proc_address_t get)
{
    int found;

    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        found = resolve(get, &wanted[i]);
        if (found > 0)
            return fail_result(library, DRV_PROC_ADDRESS_SYMBOL, found);
        if (found < 0)
            return fail("the driver of %s lacks %s in the version of CUDA %d.%d", library, wanted[i].name,
                        wanted[i].version / 1000, wanted[i].version % 1000 / 10);
    }
    return 0;
}

/* The version comes before the symbols: "too old" tells a person more than "lacks X". */
static int check_version(const char *library, drv_get_proc_address_t get)
{
    static const struct wanted version_call = {"cuDriverGetVersion", 2020,
                                               offsetof(struct gpu_driver, cuDriverGetVersion)};
    drv_result_t result;
    int found;

    found = resolve(get, &version_call);
    if (found > 0)
        return fail_result(library, DRV_PROC_ADDRESS_SYMBOL, found);
    if (found < 0)
        return fail("the driver of %s lacks cuDriverGetVersion", library);
    result = state.table.cuDriverGetVersion(&state.table.version);
    if (result != DRV_CUDA_SUCCESS)
        return fail_result(library, "cuDriverGetVersion", result);
    if (state.table.version < GPU_DRIVER_VERSION_MIN)
        return fail_version(library, state.table.version);
    return 0;
}

static int start(const char *library)
{
    drv_result_t result;

    state.started = 1;
    result = state.table.cuInit(0);
    if (result != DRV_CUDA_SUCCESS)
        return fail_result(library, "cuInit", result);
    result = state.table.cuDeviceGetCount(&state.table.device_count);
    if (result != DRV_CUDA_SUCCESS)
        return fail_result(library, "cuDeviceGetCount", result);
    if (state.table.device_count < 1)
        return fail_result(library, "cuDeviceGetCount", DRV_CUDA_ERROR_NO_DEVICE);
    return 0;
}

/*
 * Notices fork without a system call per use. A pid would not do: in a new PID namespace parent and child can have the
 * same one.
 */
static int plant_canary(void)
{
    const size_t size = 1; /* the kernel rounds up to a page */
    unsigned char *page;

    page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return fail("no memory to start the CUDA driver");
    if (madvise(page, size, MADV_WIPEONFORK) < 0) {
        munmap(page, size);
        return fail("the kernel has no MADV_WIPEONFORK, by which a fork is noticed");
    }
    *page = 1;
    state.canary = page;
    return 0;
}

static void load(void)
{
    const char *library = secure_getenv("SHMQ_CUDA_DRIVER");
    drv_get_proc_address_t get = NULL;
    void *handle = NULL;
    int failed;

    if (library == NULL || library[0] == '\0')
        library = DEFAULT_LIBRARY;
    failed = open_library(library, &handle, &get) < 0 || check_version(library, get) < 0 ||
             resolve_all(library, get) < 0 || plant_canary() < 0 || start(library) < 0;
    if (failed && handle != NULL && !state.started)
        dlclose(handle);
}

int gpu_driver_get(const struct gpu_driver **driver)
{
    *driver = NULL;
    if (gpu_driver_reason()[0] != '\0') {
        errno = ENOTSUP;
        return -1;
    }
    *driver = &state.table;
    return 0;
}

const char *gpu_driver_reason(void)
{
    int saved = errno;

    pthread_once(&once, load);
    errno = saved;
    if (state.reason[0] == '\0' && *state.canary == 0)
        return forked_reason;
    return state.reason;
}

const char *gpu_driver_result_name(drv_result_t result)
{
    const char *name = known_name(result);

    if (name != NULL)
        return name;
    if (gpu_driver_reason()[0] == '\0' && state.table.cuGetErrorName(result, &name) == DRV_CUDA_SUCCESS && name != NULL)
        return name;
    return unknown_name;
}
