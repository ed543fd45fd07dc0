/* SPDX-License-Identifier: MIT */
#include "full.h"
#include "../support/harness.h"
#include "../support/limits.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#define ROOM_KIB (UINT64_C(1) << 20)

int __real_fallocate64(int fd, int mode, off_t at, off_t size);
int __real_unlinkat(int dir, const char *name, int flags);
int __real_munmap(void *at, size_t size);
int __real_close(int fd);
int __wrap_fallocate64(int fd, int mode, off_t at, off_t size);
int __wrap_unlinkat(int dir, const char *name, int flags);
int __wrap_munmap(void *at, size_t size);
int __wrap_close(int fd);

static _Atomic int *lock; /* shared with the children: room that one has made is not another's to take away */
static bool active, on_and_on;
static unsigned calls, refused, one_in;
static uint64_t state;

static void enter(void)
{
    int free_ = 0;

    while (!__atomic_compare_exchange_n((int *)(uintptr_t)lock, &free_, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        free_ = 0;
        sched_yield();
    }
}

static void leave(void)
{
    __atomic_store_n((int *)(uintptr_t)lock, 0, __ATOMIC_SEQ_CST);
}

static bool set_room(uint64_t kib)
{
    char options[64];

    snprintf(options, sizeof options, "size=%lluk,mode=0700", (unsigned long long)kib);
    return mount(NULL, test_dir(), NULL, MS_REMOUNT, options) == 0;
}

/* Exactly as large as its content. (Size 0 would mean no limit.) */
static void fill(void)
{
    struct statfs fs;

    for (int i = 0; i < 100; i++) {
        CHECK_OK(statfs(test_dir(), &fs));
        uint64_t used = (uint64_t)(fs.f_blocks - fs.f_bfree) * (uint64_t)fs.f_bsize / 1024;
        if (set_room(used > 0 ? used : 4))
            return;
    }
    FAIL("the file system cannot be made full: %s", strerrorname_np(errno));
}

void full_again(void)
{
    int saved = errno;

    if (!active)
        return;
    enter();
    fill();
    leave();
    errno = saved;
}

void full_begin(void)
{
    enter_own_mounts();
    mount_runtime_directory(ROOM_KIB, "");
    lock = shared_memory(sizeof *lock);
    active = true;
    full_again();
}

void full_end(void)
{
    active = false;
    shared_memory_free((void *)(uintptr_t)lock, sizeof *lock);
    unmount_runtime_directory();
}

unsigned full_refuse(unsigned k, bool and_on)
{
    unsigned made = calls;

    refused = k;
    on_and_on = and_on;
    one_in = 0;
    calls = 0;
    return made;
}

void full_refuse_some(unsigned n, uint64_t seed)
{
    full_refuse(0, false);
    one_in = n;
    state = seed;
}

static bool finds_room(void)
{
    calls++;
    if (one_in != 0)
        return random_next(&state) % one_in != 0;
    return refused == 0 || calls < refused || (calls > refused && !on_and_on);
}

int __wrap_fallocate64(int fd, int mode, off_t at, off_t size)
{
    if (!active)
        return __real_fallocate64(fd, mode, at, size);
    bool room = mode == 0 && finds_room();
    enter();
    if (room)
        CHECK(set_room(ROOM_KIB));
    int result = __real_fallocate64(fd, mode, at, size);
    int error = errno;
    fill();
    leave();
    errno = error;
    return result;
}

int __wrap_unlinkat(int dir, const char *name, int flags)
{
    int result = __real_unlinkat(dir, name, flags);

    full_again();
    return result;
}

int __wrap_munmap(void *at, size_t size)
{
    int result = __real_munmap(at, size);

    full_again();
    return result;
}

int __wrap_close(int fd)
{
    int result = __real_close(fd);

    full_again();
    return result;
}

void full_check_part(const void *data, size_t size)
{
    const unsigned char *at = data;

    for (size_t i = 0; i < size; i++)
        if (at[i] != at[0])
            FAIL("byte %zu of %zu is %u, and the first %u", i, size, at[i], at[0]);
}
