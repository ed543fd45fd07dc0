/* SPDX-License-Identifier: MIT */
/*
 * What tests may ask the stand-in driver beside the CUDA calls themselves.
 *
 * The library exports one function more than a CUDA driver does. A test that has opened the driver through the seam
 * finds it with standin_find(), and must do without it on a real driver. The modes, given by environment variables, are
 * listed in docs/GPU.md.
 */
#ifndef SHMQ_TESTS_STANDIN_H
#define SHMQ_TESTS_STANDIN_H

#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define STANDIN_SYMBOL "standin_introspect"

/* What this process holds and has not given back. All zero in a tidy process. */
struct standin_leaks {
    unsigned contexts;      /* references to primary contexts */
    unsigned allocations;   /* cuMemAlloc without cuMemFree */
    unsigned imports;       /* opens of legacy handles without close */
    unsigned vmm_handles;   /* references by cuMemCreate, Import, Retain */
    unsigned reservations;  /* cuMemAddressReserve without Free */
    unsigned mappings;      /* cuMemMap without Unmap */
    unsigned registrations; /* cuMemHostRegister without Unregister */
    unsigned streams;
    unsigned events;
    unsigned dropped; /* of the above: taken away by the end of their context */
};

struct standin {
    /* How often a call was entered, by its name without _v2; whatever it answered. */
    uint64_t (*calls)(const char *name);
    /* How often the calling thread was made to wait for the device, or might have been. */
    uint64_t (*host_syncs)(void);
    void (*reset_counters)(void);
    /* Makes the nth call from now (1: the next) answer `result`; `nth` 0 clears all. */
    int (*inject)(const char *name, unsigned nth, int result);
    void (*leaks)(struct standin_leaks *leaks);
};

const struct standin *standin_introspect(void);

static inline unsigned standin_leaks_total(const struct standin_leaks *l)
{
    return l->contexts + l->allocations + l->imports + l->vmm_handles + l->reservations + l->mappings +
           l->registrations + l->streams + l->events + l->dropped;
}

/* NULL: the driver that was opened is a real one. */
static inline const struct standin *standin_find(void)
{
    const char *path = getenv("SHMQ_CUDA_DRIVER");
    void *library = path != NULL && path[0] != '\0' ? dlopen(path, RTLD_NOW | RTLD_NOLOAD) : NULL;
    void *symbol = library != NULL ? dlsym(library, STANDIN_SYMBOL) : NULL;
    const struct standin *(*introspect)(void);

    if (symbol == NULL)
        return NULL;
    memcpy(&introspect, &symbol, sizeof(symbol));
    return introspect();
}

#endif
