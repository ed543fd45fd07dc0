/* SPDX-License-Identifier: MIT */
/*
 * The way in: cuGetProcAddress, the version, the names of errors.
 */
#include "internal.h"

#include <string.h>

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

    if (symbol == NULL || function == NULL || flags > 2)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    *function = NULL;
    if (version > driver_version())
        return DRV_CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        if (strcmp(entries[i].name, symbol) != 0 || strcmp(config()->missing, symbol) == 0)
            continue;
        if (version < entries[i].version) {
            result = DRV_CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT;
            break;
        }
        memcpy(function, &entries[i].function, sizeof(*function));
        result = DRV_CU_GET_PROC_ADDRESS_SUCCESS;
        break;
    }
    if (status != NULL)
        *status = result;
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuDriverGetVersion(int *version)
{
    ENTER_BEFORE_INIT(cuDriverGetVersion);
    if (version == NULL)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    *version = driver_version();
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuInit(unsigned int flags)
{
    ENTER_BEFORE_INIT(cuInit);
    if (flags != 0)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    if (mode(MODE_NODEVICE))
        return DRV_CUDA_ERROR_NO_DEVICE;
    trace_initialized();
    return DRV_CUDA_SUCCESS;
}

static const char *error_name(drv_result_t error)
{
    switch (error) {
#define NAME(code)                                                                                                     \
    case DRV_##code:                                                                                                   \
        return #code
        NAME(CUDA_SUCCESS);
        NAME(CUDA_ERROR_INVALID_VALUE);
        NAME(CUDA_ERROR_OUT_OF_MEMORY);
        NAME(CUDA_ERROR_NOT_INITIALIZED);
        NAME(CUDA_ERROR_STUB_LIBRARY);
        NAME(CUDA_ERROR_NO_DEVICE);
        NAME(CUDA_ERROR_INVALID_DEVICE);
        NAME(CUDA_ERROR_INVALID_CONTEXT);
        NAME(CUDA_ERROR_MAP_FAILED);
        NAME(CUDA_ERROR_PEER_ACCESS_UNSUPPORTED);
        NAME(CUDA_ERROR_OPERATING_SYSTEM);
        NAME(CUDA_ERROR_INVALID_HANDLE);
        NAME(CUDA_ERROR_NOT_FOUND);
        NAME(CUDA_ERROR_NOT_READY);
        NAME(CUDA_ERROR_ILLEGAL_ADDRESS);
        NAME(CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED);
        NAME(CUDA_ERROR_CONTEXT_IS_DESTROYED);
        NAME(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
        NAME(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
        NAME(CUDA_ERROR_NOT_PERMITTED);
        NAME(CUDA_ERROR_NOT_SUPPORTED);
        NAME(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH);
        NAME(CUDA_ERROR_UNKNOWN);
#undef NAME
    default:
        return NULL;
    }
}

drv_result_t cuGetErrorName(drv_result_t error, const char **text)
{
    ENTER_BEFORE_INIT(cuGetErrorName);
    if (text == NULL)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    *text = error_name(error);
    return *text != NULL ? DRV_CUDA_SUCCESS : DRV_CUDA_ERROR_INVALID_VALUE;
}

drv_result_t cuGetErrorString(drv_result_t error, const char **text)
{
    ENTER_BEFORE_INIT(cuGetErrorString);
    if (text == NULL)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    *text = error_name(error);
    return *text != NULL ? DRV_CUDA_SUCCESS : DRV_CUDA_ERROR_INVALID_VALUE;
}
