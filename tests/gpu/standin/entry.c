/* SPDX-License-Identifier: MIT */
/* The way in: cuGetProcAddress, the version, the names of errors. */
#include "internal.h"

EXPORT drv_result_t cuGetProcAddress_v2(const char *symbol, void **function, int version, drv_u64_t flags,
                                        drv_query_result_t *status);

static const struct {
    const char *name;
    int version;
    void (*function)(void);
} entries[] = {
#define ENTRY(name, version, symbol, arguments) {#name, version, (void (*)(void))symbol},
    DRV_CALLS(ENTRY)
#undef ENTRY
};

/* As the manual has it: an unknown name is a success with a NULL and a status. */
drv_result_t cuGetProcAddress_v2(const char *symbol, void **function, int version, drv_u64_t flags,
                                 drv_query_result_t *status)
{
    drv_query_result_t result = DRV_CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;

    REQUIRE(symbol != NULL && function != NULL && flags <= 2, INVALID_VALUE);
    *function = NULL;
    REQUIRE(version <= driver_version(), INVALID_VALUE);
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        if (strcmp(entries[i].name, symbol) != 0 || strcmp(config()->missing, symbol) == 0)
            continue;
        result = DRV_CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT;
        if (version < entries[i].version)
            break;
        memcpy(function, &entries[i].function, sizeof(*function));
        result = DRV_CU_GET_PROC_ADDRESS_SUCCESS;
    }
    if (status != NULL)
        *status = result;
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuDriverGetVersion(int *version)
{
    ENTER_BEFORE_INIT(cuDriverGetVersion);
    REQUIRE(version != NULL, INVALID_VALUE);
    *version = driver_version();
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuInit(unsigned int flags)
{
    ENTER_BEFORE_INIT(cuInit);
    REQUIRE(flags == 0, INVALID_VALUE);
    REQUIRE(!mode(MODE_NODEVICE), NO_DEVICE);
    trace_initialized();
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuGetErrorName(drv_result_t error, const char **text)
{
    static const struct {
        drv_result_t result;
        const char *name;
    } names[] = {
#define NAME(code, value) {value, #code},
        DRV_RESULTS(NAME)
#undef NAME
    };

    ENTER_BEFORE_INIT(cuGetErrorName);
    REQUIRE(text != NULL, INVALID_VALUE);
    *text = NULL;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].result == error)
            *text = names[i].name;
    return *text != NULL ? DRV_CUDA_SUCCESS : DRV_CUDA_ERROR_INVALID_VALUE;
}
