/* SPDX-License-Identifier: MIT */
#include "maps.h"

#include <pthread.h>
#include <stdint.h>

#include "liar.h"
#include "shmq.h"
#include "transport/os.h"

enum { MAPS_MAX = 64 }; /* with an owner */

int (*maps_owner)(ino_t file);
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map maps[MAPS_MAX];
static int mapped;

void *__real_os_map(int fd, uint64_t offset, size_t size, int access);
void *__wrap_os_map(int fd, uint64_t offset, size_t size, int access);
void __real_os_unmap(void *address, size_t size);
void __wrap_os_unmap(void *address, size_t size);

void maps_note(const void *address, size_t size, int owner)
{
    bool noted = false;

    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAPS_MAX && !noted; i++)
        if (maps[i].from == NULL) {
            maps[i] = (struct map){address, (const char *)address + size, owner};
            noted = true;
        }
    pthread_mutex_unlock(&lock);
    CHECK(noted);
}

void *__wrap_os_map(int fd, uint64_t offset, size_t size, int access)
{
    struct stat st;
    void *address = __real_os_map(fd, offset, size, access);
    int owner = address != NULL && fstat(fd, &st) == 0 ? maps_owner(st.st_ino) : 0;

    if (owner != 0)
        maps_note(address, size, owner);
    if (address != NULL)
        __atomic_fetch_add(&mapped, 1, __ATOMIC_RELAXED);
    return address;
}

void __wrap_os_unmap(void *address, size_t size)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAPS_MAX && address != NULL; i++)
        if (maps[i].from == address)
            maps[i].from = maps[i].to = NULL;
    pthread_mutex_unlock(&lock);
    if (address != NULL)
        __atomic_fetch_sub(&mapped, 1, __ATOMIC_RELAXED);
    __real_os_unmap(address, size);
}

/* Without the lock, since this is called at each read: P stays mapped while it is read. */
const struct map *maps_at(const volatile void *p)
{
    const char *at = (const char *)(uintptr_t)p;

    for (int i = 0; i < MAPS_MAX; i++)
        if (maps[i].from != NULL && at >= maps[i].from && at < maps[i].to)
            return &maps[i];
    return NULL;
}

bool maps_gone(void)
{
    for (int i = 0; i < MAPS_MAX; i++)
        if (maps[i].from != NULL)
            return false;
    return __atomic_load_n(&mapped, __ATOMIC_RELAXED) == 0;
}

struct shm_socket *liar_socket(int type)
{
    const int none = 0, kind = type & ~SHM_MEMFD;
    shm_socket_t *s = shm_socket(type);

    CHECK(s != NULL);
    shm_setsockopt(s, SHM_LINGER, &none, sizeof none);
    shm_setsockopt(s, SHM_SNDTIMEO, &none, sizeof none);
    shm_setsockopt(s, SHM_RCVTIMEO, &none, sizeof none);
    if (kind == SHM_SUB || kind == SHM_XSUB)
        CHECK(shm_setsockopt(s, SHM_SUBSCRIBE, "", 0) == 0);
    return s;
}
