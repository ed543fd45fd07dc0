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
 *
 * Memory of the host that it needs for itself it has, or it aborts: only a device's memory has an end.
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

/* ---- what every call is made of ---- */

/* Returns the error of `call`, if it has one. */
#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        drv_result_t try_result = (call);                                                                              \
        if (try_result != DRV_CUDA_SUCCESS)                                                                            \
            return try_result;                                                                                         \
    } while (0)
/* Returns `error` unless `condition` holds. */
#define REQUIRE(condition, error) TRY((condition) ? DRV_CUDA_SUCCESS : DRV_CUDA_ERROR_##error)

#define ENTER(name)             TRY(trace_enter(CALL_##name, false))
#define ENTER_BEFORE_INIT(name) TRY(trace_enter(CALL_##name, true))
/* `variable` is the calling thread's context. */
#define ENTER_CONTEXT(name, variable)                                                                                  \
    struct context *variable = NULL;                                                                                   \
    ENTER(name);                                                                                                       \
    TRY(context_current(&variable))

/* Zeroed memory. */
static inline void *make(size_t size)
{
    void *p = calloc(1, size);

    if (p == NULL)
        abort();
    return p;
}

static inline pthread_mutex_t *mutex_lock(pthread_mutex_t *mutex)
{
    pthread_mutex_lock(mutex);
    return mutex;
}

static inline void mutex_unlock(pthread_mutex_t **mutex)
{
    pthread_mutex_unlock(*mutex);
}

extern pthread_rwlock_t world;

static inline void world_unlock(int *failed)
{
    if (*failed == 0)
        pthread_rwlock_unlock(&world);
}

/* Held until the end of the block. */
#define UNTIL_END(function) __attribute__((cleanup(function), unused))
#define HOLD(mutex)         UNTIL_END(mutex_unlock) pthread_mutex_t *held = mutex_lock(mutex)
#define READ_WORLD()        UNTIL_END(world_unlock) int held_world = pthread_rwlock_rdlock(&world)
#define WRITE_WORLD()       UNTIL_END(world_unlock) int held_world = pthread_rwlock_wrlock(&world)

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
    unsigned delay_us;
    size_t memory_size; /* of one device, for this process */
    char missing[64];   /* a call that cuGetProcAddress doesn't know */
};

const struct config *config(void);
/* Any of `modes`. */
static inline bool mode(unsigned modes)
{
    return (config()->modes & modes) != 0;
}
int driver_version(void);

/* ---- trace.c: counters, injected faults, the common start of every call ---- */

drv_result_t trace_enter(enum call call, bool before_init);
void trace_host_sync(void);
void trace_initialized(void);
int trace_parse_fault(const char *text);
extern _Thread_local bool in_host_function;

/* ---- context.c ---- */

struct context {
    int physical;
    unsigned references;
    _Atomic drv_result_t sticky; /* a fault of the device: every later call repeats it */
    struct stream *null_stream;  /* made on first use; under streams_lock */
};

bool device_ok(drv_device_t device);
drv_result_t context_current(struct context **context);
unsigned context_leaks(void);

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
    unsigned char *data;
    struct meta *meta;
};

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

uintptr_t address_reserve(size_t size, size_t alignment);
void address_release(uintptr_t base, size_t size);
/* These want `world` held, for writing where they change something. */
/* A copy of `like` in the table, at addresses of its own unless it has some; NULL: there are none. */
struct region *region_new(struct region like);
void region_end(struct region *r); /* also unmaps what stands behind it */
struct region *region_find(uintptr_t address);
struct region *region_at(unsigned index); /* NULL behind the last */
/* Takes `world` itself. */
bool range_known(drv_ptr_t address, size_t size);
void regions_drop(struct context *c);
void region_leaks(struct standin_leaks *leaks);

/* One end of a copy: device memory, or plain host memory. */
struct place {
    uintptr_t address;
    bool device;
};
/* Done by device work; DRV_CUDA_ERROR_ILLEGAL_ADDRESS is the device's fault. */
drv_result_t memory_copy(int physical, struct place to, struct place from, size_t size);
drv_result_t memory_fill(int physical, uintptr_t to, unsigned char value, size_t size);
drv_result_t memory_load(int physical, uintptr_t address, uint64_t *value);
drv_result_t memory_store(int physical, uintptr_t address, uint64_t value);

/* ---- alloc.c, vmm.c, host.c, event.c ---- */

void allocation_range(const struct region *r, uintptr_t address, uintptr_t *base, size_t *size);
bool host_is_pinned(const void *host, size_t size);
int vmm_allowed_types(const struct vmm *v);
void vmm_mapping_gone(struct vmm *v); /* `world` held for writing */
void vmm_leaks(struct standin_leaks *leaks);
unsigned event_leaks(void);

/* ---- stream.c: device work ---- */

struct stream;
struct event;

struct wait_for {
    struct stream *stream;
    uint64_t number;
};

struct job {
    struct job *next;
    drv_result_t (*run)(struct context *c, struct job *j);
    void (*accepted)(struct job *j); /* called once it is certain that it will run */
    struct wait_for *waits;          /* of the legacy default stream: done before `run` */
    unsigned wait_count;
    struct place to, from;
    size_t size;
    void *staged; /* a copy of pageable memory, freed with the job */
    uint64_t value;
    unsigned flags;
    struct event *event; /* a reference */
    uint32_t number;
    drv_host_fn_t fn;
    void *data;
};

/* A copy of `like`. With `wait`, also waits for it and gives the context's state. */
drv_result_t stream_submit(struct context *c, drv_stream_t handle, struct job like, bool wait);
drv_result_t stream_drain(struct context *c); /* all streams of the context */
void streams_drop(struct context *c);
void stream_leaks(struct standin_leaks *leaks);
void device_pause(unsigned *round); /* between two looks at a word */

void event_unref(struct event *e);

#endif
