/* SPDX-License-Identifier: MIT */
/*
 * Namespaces, as containers have them. Role 1 lives in the new ones and exports.
 *
 * Descriptors must work everywhere. Of legacy handles people report both answers, so theirs is a fact.
 */
#include "conformance.h"

#include <sched.h>

#define OTHER_BOTH (CLONE_NEWPID | CLONE_NEWNS)

static void import_legacy(struct role *r)
{
    drv_ptr_t ptr;
    drv_result_t result = r->cu->cuIpcOpenMemHandle(&ptr, legacy_handle(r, 1), LAZY);

    fact_result(r, "opening", result);
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

    vmm_send(r, 0, 0, &b, 0xa5);
    role_hear(r, 0);
    vmm_free(r, &b);
}

static void import_vmm(struct role *r)
{
    struct vmm_block b;

    vmm_import(r, &b, vmm_receive(r, 1, &b));
    check_bytes(r, b.ptr, 0xa5, b.size);
    vmm_free(r, &b);
    role_say(r, 1);
}

static void export_event(struct role *r)
{
    drv_event_t event = event_export(r);

    role_hear(r, 0);
    CU(r, cuEventDestroy, event);
}

static void import_event(struct role *r)
{
    event_try(r, event_handle(r));
    check_context(r);
    role_say(r, 1);
}

#define LEGACY     .roles = {import_legacy, legacy_lend}
#define DESCRIPTOR .roles = {import_vmm, export_vmm}
#define EVENT      .roles = {import_event, export_event}

const struct test_case namespace_cases[] = {
    {.name = "namespace: legacy handle out of a PID namespace", LEGACY, .namespaces = CLONE_NEWPID},
    {.name = "namespace: descriptor out of a PID namespace", DESCRIPTOR, .namespaces = CLONE_NEWPID},
    {.name = "namespace: event out of a PID namespace", EVENT, .namespaces = CLONE_NEWPID},
    {.name = "namespace: legacy handle out of a mount namespace", LEGACY, .namespaces = CLONE_NEWNS},
    {.name = "namespace: descriptor out of a mount namespace", DESCRIPTOR, .namespaces = CLONE_NEWNS},
    {.name = "namespace: legacy handle out of both", LEGACY, .namespaces = OTHER_BOTH},
    {.name = "namespace: descriptor out of both", DESCRIPTOR, .namespaces = OTHER_BOTH},
    {.name = NULL},
};
