/* SPDX-License-Identifier: MIT */
/*
 * The conformance suite of a CUDA driver: its frame.
 *
 * A case is played by one to four processes, its roles. Each is forked from a runner that never touches CUDA, starts a
 * driver of its own and tells the runner what it found. Role 0 has a socket to each other role; over it go bytes,
 * descriptors and, by its end, the news of a death. Nothing sleeps to synchronize, everything has a deadline, and a
 * missed deadline is a failure.
 *
 * A check that fails is a failure of the case. What no manual promises is a *fact*: printed, not judged, until a real
 * card has shown what is right.
 *
 * The suite needs a C compiler and a driver: no cmocka, no meson, no CUDA toolkit.
 */
#ifndef SHMQ_TESTS_CONFORMANCE_H
#define SHMQ_TESTS_CONFORMANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

#include "gpu/driver.h"

#define ROLES_MAX  4
#define DEADLINE_S 20
#define MIB        ((size_t)1 << 20)

struct standin;

struct role {
    int index, count;
    int link[ROLES_MAX];  /* role 0: to each other; others: link[0] */
    pid_t pid[ROLES_MAX]; /* role 0 alone: of each other */
    int report;
    /* Of a role that is attached to a device, as all are unless their case says otherwise: */
    const struct gpu_driver *cu;
    drv_device_t device;
    drv_stream_t stream;           /* non-blocking */
    const struct standin *standin; /* NULL on a real driver */
    int gate[2];
};

typedef void role_fn(struct role *r);

struct test_case {
    const char *name; /* NULL ends a list of cases */
    role_fn *roles[ROLES_MAX];
    bool probe;     /* part of the quick first look at a machine */
    unsigned dying; /* a bit per role that may end without a word */
    int namespaces; /* CLONE_* for roles other than 0 */
    int device;     /* of role 0; the others have device 0 */
    bool bare;      /* no role is attached to a device */
};

extern const struct test_case legacy_cases[], death_cases[], vmm_cases[], event_cases[], host_cases[], memop_cases[],
    pointer_cases[], namespace_cases[], cost_cases[];

/* ---- reports ---- */

enum report_kind { REPORT_FAIL, REPORT_SKIP, REPORT_FACT, REPORT_COST, REPORT_DONE };

__attribute__((format(printf, 3, 4))) void role_report(struct role *r, enum report_kind kind, const char *format, ...);

#define role_fact(r, ...) role_report(r, REPORT_FACT, __VA_ARGS__)
/* These end the role. */
#define role_fail(r, ...) (role_report(r, REPORT_FAIL, __VA_ARGS__), _exit(1))
#define role_skip(r, ...) (role_report(r, REPORT_SKIP, __VA_ARGS__), _exit(0))
/* In good order, but the driver stays as it is (a stream may be stuck). */
#define role_leave(r) (role_report(r, REPORT_DONE, "left"), _exit(0))

#ifndef __FILE_NAME__
#define __FILE_NAME__ __FILE__
#endif

#define CHECK(r, condition)                                                                                            \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            role_fail(r, "%s:%d: not so: %s", __FILE_NAME__, __LINE__, #condition);                                    \
    } while (0)
/* The call must succeed. A call that this machine does not support skips the case. */
#define CU(r, call, ...) cu_succeeds(r, (r)->cu->call(__VA_ARGS__), #call, __FILE_NAME__, __LINE__)
/* The call must not succeed; gives its error. */
#define CU_FAILS(r, call, ...) cu_refuses(r, (r)->cu->call(__VA_ARGS__), #call, __FILE_NAME__, __LINE__)

void cu_succeeds(struct role *r, drv_result_t result, const char *call, const char *file, int line);
drv_result_t cu_refuses(struct role *r, drv_result_t result, const char *call, const char *file, int line);

/* ---- between roles ---- */

void role_send(struct role *r, int to, const void *data, size_t size);
void role_recv(struct role *r, int from, void *data, size_t size);
/* The same, and a descriptor with it. */
void role_send_fd(struct role *r, int to, const void *data, size_t size, int fd);
int role_recv_fd(struct role *r, int from, void *data, size_t size);
void role_say(struct role *r, int to); /* a barrier in halves */
void role_hear(struct role *r, int from);
void role_await_death(struct role *r, int other);
void role_let_die(struct role *r, int other);            /* one that is in role_die(), or waits to be killed */
void role_kill(struct role *r, int other);               /* role 0 alone */
__attribute__((noreturn)) void role_die(struct role *r); /* SIGKILL to itself, when role 0 says so */
__attribute__((noreturn)) void role_await_the_kill(struct role *r); /* by role 0 */

/* ---- the device, conformance-gpu.c ---- */

/* What the frame does before and after each role. */
void role_attach(struct role *r, int ordinal);
void role_detach(struct role *r);
int device_attribute(struct role *r, int attribute);
void need_memops(struct role *r);
void need_vmm(struct role *r);
drv_ptr_t allocate(struct role *r, size_t size);
void fill(struct role *r, drv_ptr_t ptr, unsigned char value, size_t size);
/* Fails unless all bytes are `value`; the second, of memory that the CPU can see. */
void check_bytes(struct role *r, drv_ptr_t ptr, unsigned char value, size_t size);
void check_memory(struct role *r, const unsigned char *bytes, unsigned char value, size_t size);
/* The context still works: for after something bad has happened. */
void check_context(struct role *r);
/* A fact: how the driver puts it that something is not to be had. */
void fact_result(struct role *r, const char *what, drv_result_t result);
uint64_t now_ns(void);
/* Polls with a deadline; false when it has passed. */
bool wait_word(const void *word, uint64_t value, int seconds);
bool stream_ends(struct role *r, drv_stream_t stream, int ms, drv_result_t *result);

/* A closed gate in the role's stream: work behind it waits until gate_open(). */
void gate_close(struct role *r);
void gate_open(struct role *r);

/* Blocks of one size, behind legacy handles. */
#define SIZE (4 * MIB)
#define LAZY DRV_CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS
/* Allocate one, filled with `value`, and send its handle. */
drv_ptr_t legacy_export(struct role *r, int to, unsigned char value);
drv_ipc_mem_t legacy_handle(struct role *r, int from);
drv_ptr_t legacy_import(struct role *r, int from);
/* A role: exports one of 0xa5 to role 0 and frees it when told. */
void legacy_lend(struct role *r);

#define SHARED (DRV_CU_EVENT_INTERPROCESS | DRV_CU_EVENT_DISABLE_TIMING)
/* Make a shared event, and send its handle to role 0. */
drv_event_t event_export(struct role *r);
drv_ipc_event_t event_handle(struct role *r);
/* A fact: what becomes of opening this handle. */
void event_try(struct role *r, drv_ipc_event_t handle);

/* Memory of the VMM calls, mapped and accessible. */
struct vmm_block {
    drv_mem_handle_t handle;
    drv_ptr_t ptr;
    size_t size;
};
#define FD_TYPE DRV_CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
drv_mem_prop_t vmm_prop(struct role *r, int handle_type);
void vmm_create(struct role *r, struct vmm_block *b, size_t size);
void vmm_map(struct role *r, struct vmm_block *b); /* b->handle, b->size are set */
int vmm_export(struct role *r, drv_mem_handle_t handle);
void vmm_import(struct role *r, struct vmm_block *b, int fd); /* b->size is set; takes fd */
void vmm_free(struct role *r, struct vmm_block *b);
/* Create one of SIZE, filled with `value`, and send its size and descriptor to the roles from `first` to `last`. */
void vmm_send(struct role *r, int first, int last, struct vmm_block *b, unsigned char value);
/* Only the size; returns the descriptor. */
int vmm_receive(struct role *r, int from, struct vmm_block *b);

/* Registered shared memory. Role 1 makes it and sends it to role 0; or role 0 makes it for itself. */
void *shared_new(struct role *r, size_t size, int *fd); /* not registered */
drv_ptr_t host_register(struct role *r, void *host, size_t size);
void *area_make(struct role *r, size_t size, drv_ptr_t *ptr);
void *area_open(struct role *r, size_t size, drv_ptr_t *ptr);
void area_close(struct role *r, void *area, size_t size);

/* ---- the runner ---- */

enum verdict { PASSED, FAILED, SKIPPED };
/* Plays a case to its end; `why` is a reason, or empty. */
enum verdict judge_case(const struct test_case *t, char *why, size_t size);
/* The same, and prints the line of the table. */
enum verdict run_case(const struct test_case *t);
/* Whether the runner judges rightly: 0, or 1 and it has said where not. */
int self_test(void);

#endif
