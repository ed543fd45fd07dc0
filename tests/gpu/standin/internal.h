/* SPDX-License-Identifier: MIT */
/*
 * The stand-in driver from inside: what its files share.
 *
 * Locks, in the order in which they may be taken:
 *	context_lock    primary contexts and their counts
 *	streams_lock    the list of streams; held while work is submitted, which gives all
 *	                submissions of a process one order, so their waits can't be cyclic
 *	stream.lock     one stream's queue
 *	world           everything that has an address: device work reads under it,
 *	                whoever maps or unmaps writes under it
 *	events_lock     the list of events
 * Nobody waits for device work while holding `world`: that work needs it.
 */
#ifndef SHMQ_TESTS_STANDIN_INTERNAL_H
#define SHMQ_TESTS_STANDIN_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "gpu/driver_abi.h"
#include "standin.h"

#define EXPORT __attribute__((visibility("default")))

/* The definitions are held to the table's prototypes by the compiler. */
#define DECLARE(name, version, symbol, arguments) EXPORT drv_result_t symbol arguments;
DRV_CALLS(DECLARE)
#undef DECLARE

enum call {
#define CALL(name, version, symbol, arguments) CALL_##name,
    DRV_CALLS(CALL)
#undef CALL
        CALL_COUNT
};

#define BLOCK_SIZE  ((size_t)2 << 20) /* the granularity of device memory */
#define META_SIZE   ((size_t)4096)
#define DEVICES_MAX 8

/* ---- config.c: the modes ---- */

enum mode {
    MODE_NOPEER = 1 << 0,      /* devices cannot reach each other */
    MODE_NOMEMOPS = 1 << 1,    /* no cuStreamWriteValue64 and WaitValue64 */
    MODE_WSL = 1 << 2,         /* claims to support IPC, and every such call fails */
    MODE_STUB = 1 << 3,        /* the toolkit's stub library: error 34 */
    MODE_NODEVICE = 1 << 4,    /* a driver without a card: error 100 */
    MODE_OLD = 1 << 5,         /* a driver of CUDA 11.4 */
    MODE_NOLEGACY = 1 << 6,    /* no legacy memory handles (older Tegra) */
    MODE_NOVMM = 1 << 7,       /* no virtual memory management */
    MODE_NOIPCEVENTS = 1 << 8, /* events stay in their process */
    MODE_INTEGRATED = 1 << 9,  /* an integrated GPU */
    MODE_OWNRANGE = 1 << 10,   /* ranges and handles are of the allocation, not its block */
    MODE_SAMEPTR = 1 << 11,    /* registered memory has one address on host and device */
    MODE_REORDERED = 1 << 12,  /* the ordinals of this process run backwards */
};

struct config {
    unsigned modes;
    int device_count;
    int physical[DEVICES_MAX]; /* by ordinal */
    uint64_t seed;
    _Atomic unsigned delay_us;
    size_t memory_size; /* of one device, for this process */
    char missing[64];   /* a call that cuGetProcAddress doesn't know */
    bool report_leaks;
};

struct config *config(void);
static inline bool mode(enum mode m)
{
    return (config()->modes & (unsigned)m) != 0;
}
int driver_version(void);

/* ---- trace.c: counters, injected faults, the common start of every call ---- */

drv_result_t trace_enter(enum call call, bool before_init);
void trace_host_sync(void);
void trace_initialized(void);
int trace_parse_fault(const char *text);
extern _Thread_local bool in_host_function;

#define ENTER(name)                                                                                                    \
    do {                                                                                                               \
        drv_result_t enter_result = trace_enter(CALL_##name, false);                                                   \
        if (enter_result != DRV_CUDA_SUCCESS)                                                                          \
            return enter_result;                                                                                       \
    } while (0)
#define ENTER_BEFORE_INIT(name)                                                                                        \
    do {                                                                                                               \
        drv_result_t enter_result = trace_enter(CALL_##name, true);                                                    \
        if (enter_result != DRV_CUDA_SUCCESS)                                                                          \
            return enter_result;                                                                                       \
    } while (0)

/* ---- context.c ---- */

struct context {
    int ordinal;
    int physical;
    unsigned references;
    _Atomic drv_result_t sticky; /* a fault of the device: every later call repeats it */
    struct stream *null_stream;  /* made on first use; under streams_lock */
};

/* The calling thread's context, or NULL and the error to return. */
struct context *context_current(drv_result_t *error);
unsigned context_leaks(void);

#define ENTER_CONTEXT(name, variable)                                                                                  \
    ENTER(name);                                                                                                       \
    drv_result_t variable##_error;                                                                                     \
    struct context *variable = context_current(&variable##_error);                                                     \
    if (variable == NULL)                                                                                              \
    return variable##_error

/* ---- backing.c: memory that other processes can open ---- */

enum backing_kind { BACKING_MEMORY = 1, BACKING_EVENT, BACKING_VMM };

/* The last page of each memfd: what a driver would know about the object. */
struct meta {
    uint64_t magic;
    uint64_t process_cookie; /* who made it: random, so that reused pids don't matter */
    uint64_t object_cookie;
    uint64_t size; /* bytes before this page */
    uint32_t kind;
    int32_t physical;
    _Atomic uint32_t alive;    /* 0: freed by its maker */
    _Atomic uint32_t recorded; /* events: how often recorded, and the latest that is done */
    _Atomic uint32_t completed;
};

struct backing {
    int fd;
    size_t size;
    unsigned char *data; /* NULL when size is 0 */
    struct meta *meta;
};

/* What lies in the 64 opaque bytes of an IPC handle. */
struct ticket {
    uint64_t magic;
    uint64_t process_cookie;
    uint64_t object_cookie;
    uint64_t offset;
    int32_t pid;
    int32_t fd;
    uint32_t kind;
};
_Static_assert(sizeof(struct ticket) <= DRV_CU_IPC_HANDLE_SIZE, "a ticket fits a handle");

int backing_create(struct backing *b, enum backing_kind kind, size_t size, int physical);
int backing_adopt(struct backing *b, enum backing_kind kind, int fd); /* takes fd, always */
void backing_close(struct backing *b);
void backing_retire(struct backing *b); /* the maker frees it: no handle opens it any more */
void backing_ticket(const struct backing *b, uint64_t offset, char *handle);
drv_result_t backing_open(struct backing *b, enum backing_kind kind, const char *handle, uint64_t *offset);
bool backing_is_own(const struct backing *b);

/* ---- memory.c: addresses ---- */

enum region_kind { REGION_BLOCK, REGION_IMPORT, REGION_MAPPED, REGION_HOST };

struct span {
    size_t offset, size; /* one cuMemAlloc inside its block */
};

/* A range of device addresses with memory behind it. */
struct region {
    uintptr_t base; /* PROT_NONE: what the device calls this memory */
    size_t size;
    unsigned char *shadow; /* the same memory where the stand-in can touch it */
    enum region_kind kind;
    int physical;
    struct context *context; /* NULL for REGION_MAPPED */
    struct backing backing;  /* BLOCK and IMPORT */
    struct span *spans;      /* BLOCK: ordered by offset */
    unsigned span_count;
    unsigned opens;               /* IMPORT */
    struct vmm *vmm;              /* MAPPED */
    uint32_t can_read, can_write; /* MAPPED: a bit per physical device */
    void *host;                   /* HOST */
    bool read_only;               /* HOST */
};

extern pthread_rwlock_t world;

uintptr_t address_reserve(size_t size, size_t alignment);
void address_release(uintptr_t base, size_t size);
/* These want `world` held, for writing where they change something. */
int region_add(struct region *r);
void region_remove(struct region *r);
struct region *region_find(uintptr_t address);
struct region *region_at(unsigned index);
unsigned region_count(void);
void region_free(struct region *r);
/* Takes `world` itself. */
bool range_known(drv_ptr_t address, size_t size);
void regions_drop(struct context *c);
unsigned regions_dropped(void);

/* One end of a copy: device memory, or plain host memory. */
struct place {
    uintptr_t address;
    bool device;
};
/* Done by device work; DRV_CUDA_ERROR_ILLEGAL_ADDRESS is the device's fault. */
drv_result_t memory_copy(int physical, struct place to, struct place from, size_t size);
drv_result_t memory_fill(int physical, uintptr_t to, uint32_t pattern, size_t width, size_t count);
drv_result_t memory_load(int physical, uintptr_t address, uint64_t *value);
drv_result_t memory_store(int physical, uintptr_t address, uint64_t value);

/* ---- alloc.c, ipc.c, vmm.c, host.c ---- */

unsigned alloc_leaks(void);
unsigned import_leaks(void);
unsigned host_leaks(void);
unsigned event_leaks(void);
unsigned stream_leaks(void);
void vmm_leaks(struct standin_leaks *leaks);
void allocation_range(const struct region *r, uintptr_t address, uintptr_t *base, size_t *size);
bool host_is_pinned(const void *host, size_t size);
struct region *host_region(const void *host); /* `world` held */
int vmm_allowed_types(const struct vmm *v);
void vmm_mapping_gone(struct vmm *v); /* `world` held for writing */

/* ---- stream.c: device work ---- */

struct stream;
struct event;

struct wait_for {
    struct stream *stream;
    uint64_t number;
};

struct job {
    struct job *next;
    drv_result_t (*run)(struct stream *s, struct job *j);
    void (*accepted)(struct job *j); /* called once it is certain that it will run */
    struct wait_for *waits;          /* of the legacy default stream: done before `run` */
    unsigned wait_count;
    struct place to, from;
    size_t size;
    void *staged; /* a copy of pageable memory, freed with the job */
    uint64_t value;
    uint32_t width;
    unsigned flags;
    struct event *event; /* a reference */
    uint32_t number;
    drv_host_fn_t fn;
    void *data;
};

/* Takes `job`. With `wait`, also waits for it and gives the context's state. */
drv_result_t stream_submit(struct context *c, drv_stream_t handle, struct job *job, bool wait);
struct job *job_new(drv_result_t (*run)(struct stream *s, struct job *j));
drv_result_t stream_drain(struct context *c); /* all streams of the context */
void streams_drop(struct context *c);
unsigned streams_dropped(void);
struct context *stream_context(const struct stream *s);
void device_pause(unsigned *round); /* between two looks at a word */

/* ---- event.c ---- */

void event_unref(struct event *e);

#endif
