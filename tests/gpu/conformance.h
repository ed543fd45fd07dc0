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
};

typedef void role_fn(struct role *r);

struct test_case {
    const char *name;
    role_fn *roles[ROLES_MAX];
    bool probe;     /* part of the quick first look at a machine */
    unsigned dying; /* a bit per role that may end without a word */
    int namespaces; /* CLONE_* for roles other than 0 */
    int device;     /* of role 0; the others have device 0 */
    bool bare;      /* no role is attached to a device */
};

#define CASE(title, ...)                                                                                               \
    {                                                                                                                  \
        .name = title, .roles = { __VA_ARGS__ }                                                                        \
    }
#define CASE_PROBE(title, ...)                                                                                         \
    {                                                                                                                  \
        .name = title, .roles = {__VA_ARGS__}, .probe = true                                                           \
    }
#define CASE_DYING(bits, title, ...)                                                                                   \
    {                                                                                                                  \
        .name = title, .roles = {__VA_ARGS__}, .dying = bits                                                           \
    }
#define CASE_INSIDE(flags, title, ...)                                                                                 \
    {                                                                                                                  \
        .name = title, .roles = {__VA_ARGS__}, .namespaces = flags                                                     \
    }
#define CASE_ON(ordinal, title, ...)                                                                                   \
    {                                                                                                                  \
        .name = title, .roles = {__VA_ARGS__}, .device = ordinal                                                       \
    }
#define CASES(list)                                                                                                    \
    {                                                                                                                  \
        list, sizeof(list) / sizeof((list)[0])                                                                         \
    }

struct test_group {
    const struct test_case *cases;
    size_t count;
};

extern const struct test_group legacy_cases, death_cases, vmm_cases, event_cases, host_cases, memop_cases,
    pointer_cases, namespace_cases, cost_cases;

/* ---- reports; those that end the role don't return ---- */

__attribute__((format(printf, 2, 3), noreturn)) void role_fail(struct role *r, const char *f, ...);
__attribute__((format(printf, 2, 3), noreturn)) void role_skip(struct role *r, const char *f, ...);
__attribute__((format(printf, 2, 3))) void role_fact(struct role *r, const char *f, ...);
__attribute__((format(printf, 2, 3))) void role_cost(struct role *r, const char *f, ...);
/* Ends the role in good order, but leaves the driver as it is (a stream may be stuck). */
__attribute__((noreturn)) void role_leave(struct role *r);

#define CHECK(r, condition)                                                                                            \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            role_fail(r, "%s:%d: not so: %s", __FILE_NAME__, __LINE__, #condition);                                    \
    } while (0)
/* The call must succeed. A call that this machine does not support skips the case. */
#define CU(r, call, ...) cu_succeeds(r, (r)->cu->call(__VA_ARGS__), #call, __FILE_NAME__, __LINE__)
/* The call must not succeed; gives its error. */
#define CU_FAILS(r, call, ...) cu_refuses(r, (r)->cu->call(__VA_ARGS__), #call, __FILE_NAME__, __LINE__)

#ifndef __FILE_NAME__
#define __FILE_NAME__ __FILE__
#endif

void cu_succeeds(struct role *r, drv_result_t result, const char *call, const char *file, int line);
drv_result_t cu_refuses(struct role *r, drv_result_t result, const char *call, const char *file, int line);
const char *result_name(drv_result_t result);

/* ---- between roles ---- */

void role_send(struct role *r, int to, const void *data, size_t size);
void role_recv(struct role *r, int from, void *data, size_t size);
void role_send_fd(struct role *r, int to, int fd);
int role_recv_fd(struct role *r, int from);
void role_say(struct role *r, int to); /* a barrier in halves */
void role_hear(struct role *r, int from);
void role_await_death(struct role *r, int other);
void role_kill(struct role *r, int other);               /* role 0 alone */
__attribute__((noreturn)) void role_die(struct role *r); /* SIGKILL to itself */

/* ---- the device, gpu.c of this suite ---- */

/* What the frame does before and after each role. */
void role_attach(struct role *r, int ordinal);
void role_detach(struct role *r);
int device_attribute(struct role *r, int attribute);
void need_memops(struct role *r);
void need_vmm(struct role *r);
void fill(struct role *r, drv_ptr_t ptr, unsigned char value, size_t size);
/* Fails unless all bytes are `value`. */
void check_bytes(struct role *r, drv_ptr_t ptr, unsigned char value, size_t size);
drv_result_t first_byte(struct role *r, drv_ptr_t ptr, unsigned char *value);
/* The context still works: for after something bad has happened. */
void check_context(struct role *r);
/* A fact: how the driver puts it that something is not to be had. */
void fact_result(struct role *r, drv_result_t result);
uint64_t now_ns(void);
/* Polls with a deadline; false when it has passed. */
bool wait_word(const void *word, uint64_t value, int seconds);
bool stream_ends(struct role *r, drv_stream_t stream, int ms, drv_result_t *result);

/* A closed gate in a stream: work behind it waits until gate_open(). */
struct gate {
    int pipe[2];
};
void gate_close(struct role *r, drv_stream_t stream, struct gate *g);
void gate_open(struct role *r, struct gate *g);

/* Blocks of one size, behind legacy handles. */
#define SIZE (4 * MIB)
#define LAZY DRV_CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS
/* Allocate one, filled with `value`, and send its handle. */
drv_ptr_t legacy_export(struct role *r, int to, unsigned char value);
drv_ipc_mem_t legacy_handle(struct role *r, int from);
drv_ptr_t legacy_import(struct role *r, int from);

/* Memory of the VMM calls, mapped and accessible. */
struct vmm_block {
    drv_mem_handle_t handle;
    drv_ptr_t ptr;
    size_t size;
};
void vmm_prop(struct role *r, drv_mem_prop_t *prop, int handle_type);
void vmm_create(struct role *r, struct vmm_block *b, size_t size);
void vmm_map(struct role *r, struct vmm_block *b); /* b->handle, b->size are set */
void vmm_allow(struct role *r, const struct vmm_block *b);
int vmm_export(struct role *r, const struct vmm_block *b);
void vmm_import(struct role *r, struct vmm_block *b, int fd, size_t size);
void vmm_free(struct role *r, struct vmm_block *b);
/* Create one of SIZE, filled with `value`, and send its size and descriptor; or receive them. */
void vmm_send(struct role *r, int to, struct vmm_block *b, unsigned char value);
int vmm_descriptor(struct role *r, int from, size_t *size);
void vmm_receive(struct role *r, int from, struct vmm_block *b);

/* POSIX shared memory, whose name is gone again when this returns. */
int shared_fd(struct role *r, size_t size);
void *shared_map(struct role *r, int fd, size_t size);
drv_ptr_t host_register(struct role *r, void *host, size_t size);
/* All three; the descriptor is sent to role 0, unless that makes the area. */
void *area_make(struct role *r, size_t size, drv_ptr_t *ptr);
void *area_open(struct role *r, size_t size, drv_ptr_t *ptr); /* role 1's */
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
