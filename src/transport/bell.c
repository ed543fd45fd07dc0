/* SPDX-License-Identifier: MIT */
#include "transport/bell.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "transport/os.h"
#include "transport/shared_file.h"
#include "transport/store.h"

#define BELL_SIZE sizeof(struct bell_page)

static void set_name(struct bell *bell, struct store *store, const char *id_hex)
{
    snprintf(bell->name, sizeof bell->name, "%.32s.bell", id_hex);
    bell->store = store;
}

static void fifo_name(char out[40], const char *bell_name)
{
    snprintf(out, 40, "%.32s.fifo", bell_name);
}

static void init_bell(void *context, int fd, void *memory)
{
    struct bell *bell = context;
    (void)fd;
    bell->page = memory;
    bell->page->magic = BELL_MAGIC;
}

int bell_new(struct bell *bell, struct store *store, const char *id_hex)
{
    const struct shared_file file = {BELL_SIZE, BELL_SIZE, BELL_SIZE, NO_LIFE, OS_WRITE};
    set_name(bell, store, id_hex);
    int error = shared_file_new(store, bell->name, &file, init_bell, bell);
    if (error < 0)
        bell_detach(bell);
    return error;
}

int bell_attach(struct bell *bell, struct store *store, const char *id_hex)
{
    void *memory = NULL;

    set_name(bell, store, id_hex);
    int fd = store_file_open(store, bell->name, OS_WRITE);
    if (fd < 0)
        return fd;
    int error = shared_file_map(fd, BELL_SIZE, &memory);
    bell->page = memory;
    if (error == 0 && peer_u64_once(&bell->page->magic) != BELL_MAGIC)
        error = -EPROTO;
    os_close(fd);
    if (error < 0)
        bell_detach(bell);
    return error;
}

void bell_detach(struct bell *bell)
{
    os_unmap(bell->page, BELL_SIZE);
    bell->page = NULL;
}

void bell_unlink(struct store *store, const char *id_hex)
{
    char name[40];
    snprintf(name, sizeof name, "%.32s.bell", id_hex);
    store_file_unlink(store, name);
    fifo_name(name, id_hex);
    store_file_unlink(store, name);
}

unsigned bell_wake(struct bell *bell)
{
    uint32_t how = peer_u32_exchange(&bell->page->waiting, 0);

    if (how & BELL_WAITING)
        os_futex_wake(&bell->page->waiting);
    if (how & BELL_FD) {
        /* Opened each time: no descriptor per peer is kept for what happens only after a sleep. */
        char fifo[40];
        fifo_name(fifo, bell->name);
        store_fifo_raise(bell->store, fifo);
    }
    return how != 0;
}

int bell_sleep(struct bell *bell, uint32_t how, uint64_t timeout_ns)
{
    int error = os_futex_wait(&bell->page->waiting, how, timeout_ns);
    return error == -EAGAIN ? 0 : error;
}

int bell_fd_open(struct bell *bell)
{
    char fifo[40];
    fifo_name(fifo, bell->name);
    return store_fifo_new(bell->store, fifo);
}

void bell_fd_name(const struct bell *bell, char fifo[40])
{
    fifo_name(fifo, bell->name);
}

void bell_fd_close(struct bell *bell, int fd)
{
    char fifo[40];
    fifo_name(fifo, bell->name);
    store_file_unlink(bell->store, fifo);
    os_close(fd);
}

void bell_fd_drain(int fd)
{
    os_fifo_drain(fd);
}

void bell_fd_raise(int fd)
{
    os_fifo_fill(fd);
}
