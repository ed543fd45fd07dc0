/* SPDX-License-Identifier: MIT */
/*
 * The driver seam: the CUDA driver as a table of functions, found at run time.
 *
 * Everything of src/gpu that wants something from CUDA calls it through this table; nothing is linked against CUDA and
 * no CUDA header is needed. The library is opened by name on the first call (libcuda.so.1, or what SHMQ_CUDA_DRIVER
 * names), never before: a program that doesn't use GPU blocks doesn't pay for a driver.
 *
 *	const struct gpu_driver *cuda;
 *	if (gpu_driver_get(&cuda) < 0)
 *		return -1;              (errno is ENOTSUP, gpu_driver_reason() says why)
 *	cuda->cuStreamSynchronize(stream);
 *
 * "No GPU here" is an ordinary state, not a failure: no library, the toolkit's stub, no device, a driver that is too
 * old or lacks a call all end in ENOTSUP, and the answer is the same for the life of the process.
 *
 * CUDA does not survive fork(): in a child of a process that has started the driver, gpu_driver_get() gives ENOTSUP. A
 * child forked earlier starts a driver of its own.
 */
#ifndef SHMQ_GPU_DRIVER_H
#define SHMQ_GPU_DRIVER_H

#include "gpu/driver_abi.h"

/* CUDA 12.0: the first driver with cuGetProcAddress_v2. */
#define GPU_DRIVER_VERSION_MIN 12000

struct gpu_driver {
#define GPU_DRIVER_MEMBER(name, version, symbol, arguments) drv_result_t(*name) arguments;
    DRV_CALLS(GPU_DRIVER_MEMBER)
#undef GPU_DRIVER_MEMBER
    int version;      /* of the driver: 1000 * major + 10 * minor */
    int device_count; /* at least 1 */
};

/*
 * Gives the table, starting the driver on the first call.
 *
 * @driver: set to a table that lives as long as the process (borrowed); NULL on failure
 *
 * Returns 0, or -1 with errno ENOTSUP. Safe from several threads at once: one starts the driver, the others wait for
 * it. The first call may take a second on a real machine; later ones make no system call. Not async-signal-safe.
 */
int gpu_driver_get(const struct gpu_driver **driver) __attribute__((warn_unused_result, nonnull));

/*
 * Says in English why gpu_driver_get() fails, or "" when it doesn't. Starts the driver if nothing has yet. The string
 * is borrowed and never changes.
 */
const char *gpu_driver_reason(void);

/*
 * Names a result ("CUDA_ERROR_INVALID_VALUE"), for messages. Never NULL; knows the codes of driver_abi.h without a
 * driver, and for others asks it, which starts it if nothing has yet.
 */
const char *gpu_driver_result_name(drv_result_t result);

#endif
