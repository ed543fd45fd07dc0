/* SPDX-License-Identifier: MIT */
#include "transport/store.h"

#include <limits.h>

#include "base/process.h"

struct store *store_ref(struct store *store)
{
    process_lock(PROCESS_LOCK_STORES);
    store->refs++;
    process_unlock(PROCESS_LOCK_STORES);
    return store;
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    process_lock(PROCESS_LOCK_STORES);
    bool last = --store->refs == 0;
    if (last && store->ops->leave != NULL)
        store->ops->leave(store);
    process_unlock(PROCESS_LOCK_STORES);
    if (last)
        store->ops->free(store);
}

void store_forget(struct store *store)
{
    store->ops->forget(store);
}

bool store_has_names(const struct store *store)
{
    return store->ops->has_names;
}

uint64_t store_ceiling(const struct store *store)
{
    return store->ops->ceiling;
}

int store_file_new(struct store *store, size_t size)
{
    return store->ops->file_new(store, size);
}

int store_file_link(struct store *store, int fd, const char *name, int others)
{
    return store->ops->file_link(store, fd, name, others);
}

void store_file_unlink(struct store *store, const char *name)
{
    store->ops->file_unlink(store, name);
}

int store_file_open(struct store *store, const char *name, int access)
{
    return store->ops->file_open(store, name, access);
}

int store_file_same(struct store *store, const char *name, int fd)
{
    return store->ops->file_same(store, name, fd);
}

int store_file_find(struct store *store, const char *suffix, store_is_it *is_it, const void *context)
{
    return store->ops->file_find(store, suffix, is_it, context);
}

bool store_watch(struct store *store, const char *name, int watch, enum os_watch what)
{
    char path[PATH_MAX];
    /* By the descriptor of what it lies in, which may have moved; in a container without /proc, by its plain name. */
    return (store->ops->path(store, name, false, path, sizeof path) && os_watch_add(watch, path, what)) ||
           (store->ops->path(store, name, true, path, sizeof path) && os_watch_add(watch, path, what));
}

int store_fifo_new(struct store *store, const char *name)
{
    return store->ops->fifo_new(store, name);
}

void store_fifo_raise(struct store *store, const char *name)
{
    store->ops->fifo_raise(store, name);
}

int store_lend(struct store *store, const char *name, int kind)
{
    return store->ops->lend(store, name, kind);
}

int store_take(struct store *store, const char *name, int fd, int kind)
{
    return store->ops->take(store, name, fd, kind);
}
