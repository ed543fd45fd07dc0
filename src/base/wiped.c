/* SPDX-License-Identifier: MIT */
#include "base/wiped.h"

#include <sys/mman.h>

void *wiped_new(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    if (madvise(memory, size, MADV_WIPEONFORK) != 0) {
        munmap(memory, size);
        return NULL;
    }
    return memory;
}

void wiped_free(void *memory, size_t size)
{
    munmap(memory, size);
}

void wiped_hide(void *memory, size_t size)
{
    madvise(memory, size, MADV_DONTDUMP);
    mlock(memory, size);
}
