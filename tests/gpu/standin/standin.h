/* SPDX-License-Identifier: MIT */
/*
 * What tests may ask the stand-in driver beside the CUDA calls themselves.
 *
 * The library exports one function more than a CUDA driver does. A test that has opened the driver through the seam
 * finds it with
 *
 *	dlsym(dlopen(getenv("SHMQ_CUDA_DRIVER"), RTLD_NOW | RTLD_NOLOAD), STANDIN_SYMBOL)
 *
 * and must do without it on a real driver, where the symbol is missing. The modes, given by environment variables, are
 * listed in docs/GPU.md.
 */
#ifndef SHMQ_TESTS_STANDIN_H
#define SHMQ_TESTS_STANDIN_H

#include <stddef.h>
#include <stdint.h>

#define STANDIN_SYMBOL "standin_introspect"
#define STANDIN_ABI    1

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
    int abi;
    /* How often a call was entered, by its name without _v2; whatever it answered. */
    uint64_t (*calls)(const char *name);
    /* How often the calling thread was made to wait for the device, or might have been. */
    uint64_t (*host_syncs)(void);
    void (*reset_counters)(void);
    /* Makes the nth call from now (1: the next) answer `result`; `nth` 0 clears all. */
    int (*inject)(const char *name, unsigned nth, int result);
    void (*leaks)(struct standin_leaks *leaks);
    /* Sets the longest random delay before each piece of device work. */
    void (*delay)(unsigned max_us);
};

const struct standin *standin_introspect(void);

static inline unsigned standin_leaks_total(const struct standin_leaks *l)
{
    return l->contexts + l->allocations + l->imports + l->vmm_handles + l->reservations + l->mappings +
           l->registrations + l->streams + l->events + l->dropped;
}

#endif
