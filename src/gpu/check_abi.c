/* SPDX-License-Identifier: MIT */
/*
 * Compares driver_abi.h with NVIDIA's cuda.h. Compiled only where the toolkit is installed, never linked into anything:
 * if it compiles, our declarations are right.
 *
 * Structures are compared first, as our own types. Then our type names are redefined as NVIDIA's, so that DRV_CALLS
 * spells NVIDIA's prototypes and each can be compared with the typedef of exactly the version that driver.c asks for.
 */
#include <cuda.h>
#include <cudaTypedefs.h>

#include "gpu/driver_abi.h"

#define SAME_CONSTANT(name, value)                                                                                     \
    _Static_assert((long long)(name) == (long long)DRV_##name, #name " differs from cuda.h");
DRV_CONSTANTS(SAME_CONSTANT)

#define SAME_SIZE(ours, theirs)                                                                                        \
    _Static_assert(sizeof(ours) == sizeof(theirs), #ours ": size differs from " #theirs);                              \
    _Static_assert(_Alignof(ours) == _Alignof(theirs), #ours ": alignment differs")
#define SAME_FIELD(ours, theirs, field)                                                                                \
    _Static_assert(offsetof(ours, field) == offsetof(theirs, field), #field ": offset");                               \
    _Static_assert(sizeof(((ours *)0)->field) == sizeof(((theirs *)0)->field), #field ": size")

/* Scalars: an enumeration of theirs is an int of ours, passed the same way. */
SAME_SIZE(drv_result_t, CUresult);
SAME_SIZE(drv_device_t, CUdevice);
SAME_SIZE(drv_device_attribute_t, CUdevice_attribute);
SAME_SIZE(drv_pointer_attribute_t, CUpointer_attribute);
SAME_SIZE(drv_handle_type_t, CUmemAllocationHandleType);
SAME_SIZE(drv_granularity_t, CUmemAllocationGranularity_flags);
SAME_SIZE(drv_query_result_t, CUdriverProcAddressQueryResult);
SAME_SIZE(drv_ptr_t, CUdeviceptr);
SAME_SIZE(drv_mem_handle_t, CUmemGenericAllocationHandle);
SAME_SIZE(drv_u64_t, cuuint64_t);
_Static_assert(__builtin_types_compatible_p(drv_ptr_t, CUdeviceptr), "device pointer");
_Static_assert(__builtin_types_compatible_p(drv_mem_handle_t, CUmemGenericAllocationHandle), "allocation handle");
_Static_assert(__builtin_types_compatible_p(drv_context_t, CUcontext), "context");
_Static_assert(__builtin_types_compatible_p(drv_stream_t, CUstream), "stream");
_Static_assert(__builtin_types_compatible_p(drv_event_t, CUevent), "event");
_Static_assert(__builtin_types_compatible_p(drv_host_fn_t, CUhostFn), "host function");

SAME_SIZE(drv_uuid_t, CUuuid);
SAME_FIELD(drv_uuid_t, CUuuid, bytes);
SAME_SIZE(drv_ipc_mem_t, CUipcMemHandle);
SAME_FIELD(drv_ipc_mem_t, CUipcMemHandle, reserved);
SAME_SIZE(drv_ipc_event_t, CUipcEventHandle);
SAME_FIELD(drv_ipc_event_t, CUipcEventHandle, reserved);
SAME_SIZE(drv_mem_location_t, CUmemLocation);
SAME_FIELD(drv_mem_location_t, CUmemLocation, type);
SAME_FIELD(drv_mem_location_t, CUmemLocation, id);
SAME_SIZE(drv_mem_prop_t, CUmemAllocationProp);
SAME_FIELD(drv_mem_prop_t, CUmemAllocationProp, type);
SAME_FIELD(drv_mem_prop_t, CUmemAllocationProp, requestedHandleTypes);
SAME_FIELD(drv_mem_prop_t, CUmemAllocationProp, location);
SAME_FIELD(drv_mem_prop_t, CUmemAllocationProp, win32HandleMetaData);
SAME_FIELD(drv_mem_prop_t, CUmemAllocationProp, allocFlags.compressionType);
SAME_FIELD(drv_mem_prop_t, CUmemAllocationProp, allocFlags.gpuDirectRDMACapable);
SAME_FIELD(drv_mem_prop_t, CUmemAllocationProp, allocFlags.usage);
SAME_FIELD(drv_mem_prop_t, CUmemAllocationProp, allocFlags.reserved);
SAME_SIZE(drv_mem_access_t, CUmemAccessDesc);
SAME_FIELD(drv_mem_access_t, CUmemAccessDesc, location);
SAME_FIELD(drv_mem_access_t, CUmemAccessDesc, flags);

#define drv_result_t            CUresult
#define drv_device_t            CUdevice_v1
#define drv_device_attribute_t  CUdevice_attribute
#define drv_pointer_attribute_t CUpointer_attribute
#define drv_handle_type_t       CUmemAllocationHandleType
#define drv_granularity_t       CUmemAllocationGranularity_flags
#define drv_query_result_t      CUdriverProcAddressQueryResult
#define drv_ptr_t               CUdeviceptr_v2
#define drv_u64_t               cuuint64_t
#define drv_mem_handle_t        CUmemGenericAllocationHandle_v1
#define drv_uuid_t              CUuuid
#define drv_ipc_mem_t           CUipcMemHandle_v1
#define drv_ipc_event_t         CUipcEventHandle_v1
#define drv_mem_prop_t          CUmemAllocationProp_v1
#define drv_mem_access_t        CUmemAccessDesc_v1

#define SAME_PROTOTYPE(name, version, symbol, arguments)                                                               \
    _Static_assert(__builtin_types_compatible_p(CUresult(*) arguments, PFN_##name##_v##version),                       \
                   #name ": not the prototype of version " #version);
DRV_CALLS(SAME_PROTOTYPE)

_Static_assert(__builtin_types_compatible_p(drv_result_t (*)(const char *, void **, int, drv_u64_t,
                                                             drv_query_result_t *),
                                            PFN_cuGetProcAddress_v12000),
               "cuGetProcAddress: not the prototype of version 12000");

/* ISO C wants a declaration at the end of an otherwise empty unit. */
extern int gpu_abi_is_checked;
int gpu_abi_is_checked = 1;
