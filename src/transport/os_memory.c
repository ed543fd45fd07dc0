/* SPDX-License-Identifier: MIT */
#include "transport/os.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/random.h>

void *os_map(int fd, uint64_t offset, size_t size, int access)
{
    int protection = access == OS_WRITE ? PROT_READ | PROT_WRITE : PROT_READ;
    void *address = mmap(NULL, size, protection, MAP_SHARED | MAP_NORESERVE, fd, (off_t)offset);
    if (address == MAP_FAILED)
        return NULL;
    madvise(address, size, MADV_DONTFORK);
    madvise(address, size, MADV_DONTDUMP);
    return address;
}

void os_unmap(void *address, size_t size)
{
    if (address != NULL)
        munmap(address, size);
}

int os_lock_memory(void *address, size_t size)
{
    /* EPERM, EAGAIN: each is about the limit, and would mean something else to our callers. */
    return mlock(address, size) == 0 ? 0 : -ENOMEM;
}

int os_random(void *buffer, size_t size)
{
    return getrandom(buffer, size, 0) == (ssize_t)size ? 0 : -EIO;
}
