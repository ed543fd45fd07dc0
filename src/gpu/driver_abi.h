/* SPDX-License-Identifier: MIT */
/*
 * The part of the CUDA driver's binary interface that shmq uses, declared by us.
 *
 * shmq builds and runs on machines without CUDA, so cuda.h is never included by the library. What we need is small: a
 * few handles, five structures, some constants and the calls in DRV_CALLS. Where the toolkit is installed, check_abi.c
 * compares every line of this file with cuda.h at build time.
 *
 * Constants keep NVIDIA's name behind a DRV_ prefix, so that both headers can be seen by one translation unit and a
 * name can be looked up in NVIDIA's manual.
 */
#ifndef SHMQ_GPU_DRIVER_ABI_H
#define SHMQ_GPU_DRIVER_ABI_H

#include <stddef.h>
#include <stdint.h>

/* Opaque handles. The tags are NVIDIA's: an incomplete struct has no layout to copy. */
struct CUctx_st;
struct CUstream_st;
struct CUevent_st;

typedef int drv_result_t; /* 0, or one of DRV_CUDA_ERROR_* */
typedef int drv_device_t; /* an ordinal; differs from process to process */
typedef int drv_device_attribute_t;
typedef int drv_pointer_attribute_t;
typedef int drv_handle_type_t;
typedef int drv_granularity_t;
typedef int drv_query_result_t;
typedef unsigned long long drv_ptr_t;        /* a device address: never dereferenced by the CPU */
typedef unsigned long long drv_mem_handle_t; /* one physical allocation of the VMM calls */
typedef uint64_t drv_u64_t;
typedef struct CUctx_st *drv_context_t;
typedef struct CUstream_st *drv_stream_t; /* NULL is the default stream of the context */
typedef struct CUevent_st *drv_event_t;
typedef void (*drv_host_fn_t)(void *data);

typedef struct {
    char bytes[16];
} drv_uuid_t;

typedef struct {
    char reserved[64];
} drv_ipc_mem_t;

typedef struct {
    char reserved[64];
} drv_ipc_event_t;

typedef struct {
    int type;
    int id;
} drv_mem_location_t;

typedef struct {
    int type;
    int requestedHandleTypes;
    drv_mem_location_t location;
    void *win32HandleMetaData;
    struct {
        unsigned char compressionType;
        unsigned char gpuDirectRDMACapable;
        unsigned short usage;
        unsigned char reserved[4];
    } allocFlags;
} drv_mem_prop_t;

typedef struct {
    drv_mem_location_t location;
    int flags;
} drv_mem_access_t;

/* What crosses to the driver by pointer or value must have its size on every build. */
_Static_assert(sizeof(drv_ptr_t) == 8 && sizeof(void *) == 8, "64-bit hosts only, as CUDA");
_Static_assert(sizeof(drv_uuid_t) == 16, "CUuuid");
_Static_assert(sizeof(drv_ipc_mem_t) == 64, "CUipcMemHandle");
_Static_assert(sizeof(drv_ipc_event_t) == 64, "CUipcEventHandle");
_Static_assert(sizeof(drv_mem_prop_t) == 32, "CUmemAllocationProp");
_Static_assert(offsetof(drv_mem_prop_t, win32HandleMetaData) == 16, "CUmemAllocationProp");
_Static_assert(sizeof(drv_mem_access_t) == 12, "CUmemAccessDesc");

/* X(name in cuda.h, value): becomes DRV_<name>. Results first: their names are also asked for at run time. */
#define DRV_RESULTS(X)                                                                                                 \
    X(CUDA_SUCCESS, 0)                                                                                                 \
    X(CUDA_ERROR_INVALID_VALUE, 1)                                                                                     \
    X(CUDA_ERROR_OUT_OF_MEMORY, 2)                                                                                     \
    X(CUDA_ERROR_NOT_INITIALIZED, 3)                                                                                   \
    X(CUDA_ERROR_STUB_LIBRARY, 34)                                                                                     \
    X(CUDA_ERROR_NO_DEVICE, 100)                                                                                       \
    X(CUDA_ERROR_INVALID_DEVICE, 101)                                                                                  \
    X(CUDA_ERROR_INVALID_CONTEXT, 201)                                                                                 \
    X(CUDA_ERROR_MAP_FAILED, 205)                                                                                      \
    X(CUDA_ERROR_PEER_ACCESS_UNSUPPORTED, 217)                                                                         \
    X(CUDA_ERROR_OPERATING_SYSTEM, 304)                                                                                \
    X(CUDA_ERROR_INVALID_HANDLE, 400)                                                                                  \
    X(CUDA_ERROR_NOT_FOUND, 500)                                                                                       \
    X(CUDA_ERROR_NOT_READY, 600)                                                                                       \
    X(CUDA_ERROR_ILLEGAL_ADDRESS, 700)                                                                                 \
    X(CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED, 704)                                                                     \
    X(CUDA_ERROR_CONTEXT_IS_DESTROYED, 709)                                                                            \
    X(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, 712)                                                                  \
    X(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, 713)                                                                      \
    X(CUDA_ERROR_NOT_PERMITTED, 800)                                                                                   \
    X(CUDA_ERROR_NOT_SUPPORTED, 801)                                                                                   \
    X(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, 803)                                                                          \
    X(CUDA_ERROR_UNKNOWN, 999)
#define DRV_CONSTANTS(X)                                                                                               \
    DRV_RESULTS(X)                                                                                                     \
    X(CU_IPC_HANDLE_SIZE, 64)                                                                                          \
    X(CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS, 1)                                                                           \
    X(CU_STREAM_DEFAULT, 0)                                                                                            \
    X(CU_STREAM_NON_BLOCKING, 1)                                                                                       \
    X(CU_STREAM_WAIT_VALUE_GEQ, 0)                                                                                     \
    X(CU_STREAM_WAIT_VALUE_EQ, 1)                                                                                      \
    X(CU_STREAM_WAIT_VALUE_AND, 2)                                                                                     \
    X(CU_STREAM_WAIT_VALUE_NOR, 3)                                                                                     \
    X(CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER, 1)                                                                      \
    X(CU_EVENT_DISABLE_TIMING, 2)                                                                                      \
    X(CU_EVENT_INTERPROCESS, 4)                                                                                        \
    X(CU_EVENT_WAIT_DEFAULT, 0)                                                                                        \
    X(CU_MEMHOSTREGISTER_PORTABLE, 1)                                                                                  \
    X(CU_MEMHOSTREGISTER_DEVICEMAP, 2)                                                                                 \
    X(CU_MEMHOSTREGISTER_READ_ONLY, 8)                                                                                 \
    X(CU_MEMORYTYPE_HOST, 1)                                                                                           \
    X(CU_MEMORYTYPE_DEVICE, 2)                                                                                         \
    X(CU_MEM_HANDLE_TYPE_NONE, 0)                                                                                      \
    X(CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 1)                                                                     \
    X(CU_MEM_ACCESS_FLAGS_PROT_NONE, 0)                                                                                \
    X(CU_MEM_ACCESS_FLAGS_PROT_READWRITE, 3)                                                                           \
    X(CU_MEM_LOCATION_TYPE_DEVICE, 1)                                                                                  \
    X(CU_MEM_ALLOCATION_TYPE_PINNED, 1)                                                                                \
    X(CU_MEM_ALLOC_GRANULARITY_MINIMUM, 0)                                                                             \
    X(CU_MEM_ALLOC_GRANULARITY_RECOMMENDED, 1)                                                                         \
    X(CU_POINTER_ATTRIBUTE_CONTEXT, 1)                                                                                 \
    X(CU_POINTER_ATTRIBUTE_MEMORY_TYPE, 2)                                                                             \
    X(CU_POINTER_ATTRIBUTE_DEVICE_POINTER, 3)                                                                          \
    X(CU_POINTER_ATTRIBUTE_HOST_POINTER, 4)                                                                            \
    X(CU_POINTER_ATTRIBUTE_BUFFER_ID, 7)                                                                               \
    X(CU_POINTER_ATTRIBUTE_IS_MANAGED, 8)                                                                              \
    X(CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, 9)                                                                          \
    X(CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE, 10)                                                             \
    X(CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, 11)                                                                       \
    X(CU_POINTER_ATTRIBUTE_RANGE_SIZE, 12)                                                                             \
    X(CU_POINTER_ATTRIBUTE_MAPPED, 13)                                                                                 \
    X(CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES, 14)                                                                   \
    X(CU_DEVICE_ATTRIBUTE_INTEGRATED, 18)                                                                              \
    X(CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY, 19)                                                                     \
    X(CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING, 41)                                                                      \
    X(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 75)                                                                \
    X(CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS, 88)                                                                  \
    X(CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM, 91)                                                 \
    X(CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED, 99)                                                                 \
    X(CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 102)                                                    \
    X(CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED, 103)                                            \
    X(CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS, 122)                                                          \
    X(CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_WAIT_VALUE_NOR, 123)                                                          \
    X(CU_DEVICE_ATTRIBUTE_IPC_EVENT_SUPPORTED, 125)                                                                    \
    X(CU_GET_PROC_ADDRESS_LEGACY_STREAM, 1)                                                                            \
    X(CU_GET_PROC_ADDRESS_SUCCESS, 0)                                                                                  \
    X(CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND, 1)                                                                         \
    X(CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT, 2)

#define DRV_DEFINE_CONSTANT(name, value) DRV_##name = (value),
enum { DRV_CONSTANTS(DRV_DEFINE_CONSTANT) };
#undef DRV_DEFINE_CONSTANT

/*
 * X(base name, CUDA version asked for, symbol that the version means, arguments).
 *
 * The version is the one in which this prototype appeared, never "the newest": cuGetProcAddress may hand out a later,
 * incompatible prototype for a later version (cuCtxSynchronize changed its own in CUDA 13).
 */
#define DRV_CALLS(X)                                                                                                   \
    X(cuInit, 2000, cuInit, (unsigned int flags))                                                                      \
    X(cuDriverGetVersion, 2020, cuDriverGetVersion, (int *version))                                                    \
    X(cuGetErrorName, 6000, cuGetErrorName, (drv_result_t error, const char **text))                                   \
    X(cuDeviceGet, 2000, cuDeviceGet, (drv_device_t * device, int ordinal))                                            \
    X(cuDeviceGetCount, 2000, cuDeviceGetCount, (int *count))                                                          \
    X(cuDeviceGetName, 2000, cuDeviceGetName, (char *name, int size, drv_device_t device))                             \
    X(cuDeviceGetAttribute, 2000, cuDeviceGetAttribute,                                                                \
      (int *value, drv_device_attribute_t attribute, drv_device_t device))                                             \
    X(cuDeviceGetUuid, 11040, cuDeviceGetUuid_v2, (drv_uuid_t * uuid, drv_device_t device))                            \
    X(cuDeviceCanAccessPeer, 4000, cuDeviceCanAccessPeer, (int *can, drv_device_t device, drv_device_t peer))          \
    X(cuDevicePrimaryCtxRetain, 7000, cuDevicePrimaryCtxRetain, (drv_context_t * context, drv_device_t device))        \
    X(cuDevicePrimaryCtxRelease, 11000, cuDevicePrimaryCtxRelease_v2, (drv_device_t device))                           \
    X(cuCtxPushCurrent, 4000, cuCtxPushCurrent_v2, (drv_context_t context))                                            \
    X(cuCtxPopCurrent, 4000, cuCtxPopCurrent_v2, (drv_context_t * context))                                            \
    X(cuCtxSynchronize, 2000, cuCtxSynchronize, (void))                                                                \
    X(cuMemAlloc, 3020, cuMemAlloc_v2, (drv_ptr_t * ptr, size_t size))                                                 \
    X(cuMemFree, 3020, cuMemFree_v2, (drv_ptr_t ptr))                                                                  \
    X(cuMemGetAddressRange, 3020, cuMemGetAddressRange_v2, (drv_ptr_t * base, size_t * size, drv_ptr_t ptr))           \
    X(cuMemHostRegister, 6050, cuMemHostRegister_v2, (void *host, size_t size, unsigned int flags))                    \
    X(cuMemHostUnregister, 4000, cuMemHostUnregister, (void *host))                                                    \
    X(cuMemHostGetDevicePointer, 3020, cuMemHostGetDevicePointer_v2,                                                   \
      (drv_ptr_t * ptr, void *host, unsigned int flags))                                                               \
    X(cuMemcpyHtoDAsync, 3020, cuMemcpyHtoDAsync_v2,                                                                   \
      (drv_ptr_t to, const void *from, size_t size, drv_stream_t stream))                                              \
    X(cuMemcpyDtoHAsync, 3020, cuMemcpyDtoHAsync_v2, (void *to, drv_ptr_t from, size_t size, drv_stream_t stream))     \
    X(cuMemcpyDtoDAsync, 3020, cuMemcpyDtoDAsync_v2, (drv_ptr_t to, drv_ptr_t from, size_t size, drv_stream_t stream)) \
    X(cuMemsetD8Async, 3020, cuMemsetD8Async, (drv_ptr_t to, unsigned char value, size_t count, drv_stream_t stream))  \
    X(cuPointerGetAttributes, 7000, cuPointerGetAttributes,                                                            \
      (unsigned int count, drv_pointer_attribute_t *attributes, void **values, drv_ptr_t ptr))                         \
    X(cuStreamCreate, 2000, cuStreamCreate, (drv_stream_t * stream, unsigned int flags))                               \
    X(cuStreamDestroy, 4000, cuStreamDestroy_v2, (drv_stream_t stream))                                                \
    X(cuStreamQuery, 2000, cuStreamQuery, (drv_stream_t stream))                                                       \
    X(cuStreamSynchronize, 2000, cuStreamSynchronize, (drv_stream_t stream))                                           \
    X(cuStreamWaitEvent, 3020, cuStreamWaitEvent, (drv_stream_t stream, drv_event_t event, unsigned int flags))        \
    X(cuStreamWriteValue64, 11070, cuStreamWriteValue64_v2,                                                            \
      (drv_stream_t stream, drv_ptr_t ptr, drv_u64_t value, unsigned int flags))                                       \
    X(cuStreamWaitValue64, 11070, cuStreamWaitValue64_v2,                                                              \
      (drv_stream_t stream, drv_ptr_t ptr, drv_u64_t value, unsigned int flags))                                       \
    X(cuLaunchHostFunc, 10000, cuLaunchHostFunc, (drv_stream_t stream, drv_host_fn_t fn, void *data))                  \
    X(cuEventCreate, 2000, cuEventCreate, (drv_event_t * event, unsigned int flags))                                   \
    X(cuEventDestroy, 4000, cuEventDestroy_v2, (drv_event_t event))                                                    \
    X(cuEventRecord, 2000, cuEventRecord, (drv_event_t event, drv_stream_t stream))                                    \
    X(cuEventQuery, 2000, cuEventQuery, (drv_event_t event))                                                           \
    X(cuEventSynchronize, 2000, cuEventSynchronize, (drv_event_t event))                                               \
    X(cuIpcGetMemHandle, 4010, cuIpcGetMemHandle, (drv_ipc_mem_t * handle, drv_ptr_t ptr))                             \
    X(cuIpcOpenMemHandle, 11000, cuIpcOpenMemHandle_v2, (drv_ptr_t * ptr, drv_ipc_mem_t handle, unsigned int flags))   \
    X(cuIpcCloseMemHandle, 4010, cuIpcCloseMemHandle, (drv_ptr_t ptr))                                                 \
    X(cuIpcGetEventHandle, 4010, cuIpcGetEventHandle, (drv_ipc_event_t * handle, drv_event_t event))                   \
    X(cuIpcOpenEventHandle, 4010, cuIpcOpenEventHandle, (drv_event_t * event, drv_ipc_event_t handle))                 \
    X(cuMemCreate, 10020, cuMemCreate,                                                                                 \
      (drv_mem_handle_t * handle, size_t size, const drv_mem_prop_t *prop, unsigned long long flags))                  \
    X(cuMemRelease, 10020, cuMemRelease, (drv_mem_handle_t handle))                                                    \
    X(cuMemAddressReserve, 10020, cuMemAddressReserve,                                                                 \
      (drv_ptr_t * ptr, size_t size, size_t alignment, drv_ptr_t wish, unsigned long long flags))                      \
    X(cuMemAddressFree, 10020, cuMemAddressFree, (drv_ptr_t ptr, size_t size))                                         \
    X(cuMemMap, 10020, cuMemMap,                                                                                       \
      (drv_ptr_t ptr, size_t size, size_t offset, drv_mem_handle_t handle, unsigned long long flags))                  \
    X(cuMemUnmap, 10020, cuMemUnmap, (drv_ptr_t ptr, size_t size))                                                     \
    X(cuMemSetAccess, 10020, cuMemSetAccess,                                                                           \
      (drv_ptr_t ptr, size_t size, const drv_mem_access_t *access, size_t count))                                      \
    X(cuMemGetAllocationGranularity, 10020, cuMemGetAllocationGranularity,                                             \
      (size_t * granularity, const drv_mem_prop_t *prop, drv_granularity_t option))                                    \
    X(cuMemExportToShareableHandle, 10020, cuMemExportToShareableHandle,                                               \
      (void *shareable, drv_mem_handle_t handle, drv_handle_type_t type, unsigned long long flags))                    \
    X(cuMemImportFromShareableHandle, 10020, cuMemImportFromShareableHandle,                                           \
      (drv_mem_handle_t * handle, void *shareable, drv_handle_type_t type))                                            \
    X(cuMemRetainAllocationHandle, 11000, cuMemRetainAllocationHandle, (drv_mem_handle_t * handle, void *address))

/* The one symbol taken from the library by name: CUDA 12.0's cuGetProcAddress. */
#define DRV_PROC_ADDRESS_SYMBOL "cuGetProcAddress_v2"
typedef drv_result_t (*drv_get_proc_address_t)(const char *symbol, void **function, int version, drv_u64_t flags,
                                               drv_query_result_t *status);

#endif
