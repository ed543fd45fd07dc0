/* SPDX-License-Identifier: MIT */
/*
 * Namespaces, as containers have them. Role 1 lives in the new ones and exports.
 *
 * Descriptors must work everywhere. Of legacy handles people report both answers, so theirs is a fact.
 */
#include "conformance.h"

#include <sched.h>
#include <unistd.h>

#define OTHER_PID   CLONE_NEWPID
#define OTHER_MOUNT CLONE_NEWNS
#define OTHER_BOTH  (CLONE_NEWPID | CLONE_NEWNS)

static void export_legacy(struct role *r)
{
    drv_ptr_t ptr = legacy_export(r, 0, 0xa5);

    role_hear(r, 0);
    CU(r, cuMemFree, ptr);
}

static void import_legacy(struct role *r)
{
    drv_ipc_mem_t handle = legacy_handle(r, 1);
    drv_result_t result;
    drv_ptr_t ptr;

    result = r->cu->cuIpcOpenMemHandle(&ptr, handle, LAZY);
    fact_result(r, result);
    if (result == DRV_CUDA_SUCCESS) {
        check_bytes(r, ptr, 0xa5, SIZE);
        CU(r, cuIpcCloseMemHandle, ptr);
    }
    check_context(r);
    role_say(r, 1);
}

static void export_vmm(struct role *r)
{
    struct vmm_block b;

    vmm_send(r, 0, &b, 0xa5);
    role_hear(r, 0);
    vmm_free(r, &b);
}

static void import_vmm(struct role *r)
{
    struct vmm_block b;

    vmm_receive(r, 1, &b);
    check_bytes(r, b.ptr, 0xa5, b.size);
    vmm_free(r, &b);
    role_say(r, 1);
}

static void export_event(struct role *r)
{
    drv_ipc_event_t handle;
    drv_event_t event;

    CU(r, cuEventCreate, &event, DRV_CU_EVENT_INTERPROCESS | DRV_CU_EVENT_DISABLE_TIMING);
    CU(r, cuIpcGetEventHandle, &handle, event);
    role_send(r, 0, &handle, sizeof(handle));
    role_hear(r, 0);
    CU(r, cuEventDestroy, event);
}

static void import_event(struct role *r)
{
    drv_ipc_event_t handle;
    drv_event_t event;
    drv_result_t result;

    role_recv(r, 1, &handle, sizeof(handle));
    result = r->cu->cuIpcOpenEventHandle(&event, handle);
    fact_result(r, result);
    if (result == DRV_CUDA_SUCCESS)
        CU(r, cuEventDestroy, event);
    check_context(r);
    role_say(r, 1);
}

static const struct test_case cases[] = {
    CASE_INSIDE(OTHER_PID, "namespace: legacy handle out of a PID namespace", import_legacy, export_legacy),
    CASE_INSIDE(OTHER_PID, "namespace: descriptor out of a PID namespace", import_vmm, export_vmm),
    CASE_INSIDE(OTHER_PID, "namespace: event out of a PID namespace", import_event, export_event),
    CASE_INSIDE(OTHER_MOUNT, "namespace: legacy handle out of a mount namespace", import_legacy, export_legacy),
    CASE_INSIDE(OTHER_MOUNT, "namespace: descriptor out of a mount namespace", import_vmm, export_vmm),
    CASE_INSIDE(OTHER_BOTH, "namespace: legacy handle out of both", import_legacy, export_legacy),
    CASE_INSIDE(OTHER_BOTH, "namespace: descriptor out of both", import_vmm, export_vmm),
};
const struct test_group namespace_cases = CASES(cases);
