/* SPDX-License-Identifier: MIT */
#include "transport/shared_file.h"

#include <errno.h>

#include "transport/life.h"
#include "transport/store.h"

int shared_file_new(struct store *store, const char *name, const struct shared_file *file,
                    shared_file_init *init, void *context)
{
    int fd = store_file_new(store, file->size);
    if (fd < 0)
        return fd;
    int error = file->life == NO_LIFE ? 0 : life_take(fd, file->life);
    if (error == 0)
        error = os_file_allocate(fd, 0, file->filled);
    if (error == 0) {
        void *memory = os_map(fd, 0, file->mapped, OS_WRITE);
        error = memory == NULL ? -errno : 0;
        if (memory != NULL)
            init(context, fd, memory);
    }
    if (error == 0)
        error = store_file_link(store, fd, name, file->others);
    os_close(fd);
    return error;
}

int shared_file_map(int fd, size_t size, void **memory)
{
    uint64_t there;
    int error = os_file_size(fd, &there);
    if (error < 0)
        return error;
    if (there < size)
        return -EPROTO;
    *memory = os_map(fd, 0, size, OS_WRITE);
    return *memory == NULL ? -errno : 0;
}
