/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "liar.h"

#if defined(__SANITIZE_ADDRESS__)
#define HAVE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif
#ifdef HAVE_ASAN
#include <sanitizer/asan_interface.h>
#define tombstone(memory, size)   ((size) < LARGE ? __asan_poison_memory_region(memory, size) : (void)0)
#define unpoison(memory, size) ((size) < LARGE ? __asan_unpoison_memory_region(memory, size) : (void)0)
#else
#define tombstone(memory, size)   ((void)0)
#define unpoison(memory, size) ((void)0)
#endif

#define FILES     24
#define MAPPINGS  20
#define FIRST_FD  (1 << 20) /* never a real one: closing it does nothing */
#define LARGE     (UINT64_C(1) << 20)
#define LARGEST   (UINT64_C(17) << 20)

struct mapping {
    uint64_t offset;
    size_t size;
    void *address;
    unsigned users;
    bool dirty;
};

struct file {
    char name[64];
    uint64_t size;
    uint64_t told; /* how long it was said to be: what is mapped must lie within */
    bool is_liars;
    struct mapping mappings[MAPPINGS];
    unsigned mapping_count;
};

static struct file files[FILES];
static unsigned file_count;
static void *large; /* an endpoint's mapping is too large to allocate each time */
static bool large_used;

/* ---- memory ---- */

/* Kept for the next input, zeroed if it may have been written; poisoned while nobody maps it. */
struct spare {
    struct spare *next;
    size_t size;
    void *memory;
};
static struct spare *spares;

static void *memory_new(size_t size)
{
    void *memory;
    if (size >= LARGE) {
        if (large == NULL)
            large = mmap(NULL, LARGEST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (large_used || size > LARGEST || large == MAP_FAILED)
            return NULL;
        large_used = true;
        return large;
    }
    for (struct spare **at = &spares; *at != NULL; at = &(*at)->next)
        if ((*at)->size == size) {
            struct spare *spare = *at;
            *at = spare->next;
            memory = spare->memory;
            free(spare);
            return memory;
        }
    if (posix_memalign(&memory, 4096, size) != 0)
        return NULL;
    memset(memory, 0, size);
    tombstone(memory, size);
    return memory;
}

static void memory_free(void *memory, size_t size, bool dirty)
{
    if (memory == large && large_used) {
        madvise(large, LARGEST, MADV_DONTNEED);
        large_used = false;
        return;
    }
    struct spare *spare = malloc(sizeof *spare);
    CHECK(spare != NULL);
    unpoison(memory, size);
    if (dirty)
        memset(memory, 0, size);
    tombstone(memory, size);
    *spare = (struct spare){spares, size, memory};
    spares = spare;
}

void world_reset(void)
{
    for (unsigned i = 0; i < file_count; i++)
        for (unsigned m = 0; m < files[i].mapping_count; m++) {
            CHECK(files[i].mappings[m].users == 0);
            memory_free(files[i].mappings[m].address, files[i].mappings[m].size, files[i].mappings[m].dirty);
        }
    memset(files, 0, file_count * sizeof files[0]);
    file_count = 0;
}

static struct mapping *mapping_at(struct file *file, uint64_t offset, size_t size)
{
    for (unsigned m = 0; m < file->mapping_count; m++)
        if (file->mappings[m].offset == offset && file->mappings[m].size == size)
            return &file->mappings[m];
    if (file->mapping_count == MAPPINGS)
        return NULL;
    void *address = memory_new(size);
    if (address == NULL)
        return NULL;
    struct mapping *mapping = &file->mappings[file->mapping_count++];
    *mapping = (struct mapping){offset, size, address, 0, false};
    return mapping;
}

int world_file(const char *name, uint64_t size)
{
    CHECK(file_count < FILES);
    struct file *file = &files[file_count];
    snprintf(file->name, sizeof file->name, "%s", name);
    file->size = size;
    file->is_liars = true;
    return FIRST_FD + (int)file_count++;
}

void *world_bytes(int fd, uint64_t offset, size_t count)
{
    struct mapping *mapping = mapping_at(&files[fd - FIRST_FD], offset, count);
    CHECK(mapping != NULL);
    unpoison(mapping->address, count);
    mapping->dirty = true;
    return mapping->address;
}

void world_seal(void)
{
    for (unsigned i = 0; i < file_count; i++)
        for (unsigned m = 0; m < files[i].mapping_count; m++)
            if (files[i].mappings[m].users == 0)
                tombstone(files[i].mappings[m].address, files[i].mappings[m].size);
}

static struct file *file_of(int fd)
{
    CHECK(fd >= FIRST_FD && fd < FIRST_FD + (int)file_count);
    return &files[fd - FIRST_FD];
}

/* ---- files ---- */

static int file_new(struct store *store, size_t size)
{
    if (file_count == FILES)
        return -EMFILE;
    int fd = world_file("", size);
    file_of(fd)->is_liars = false;
    return fd;
}

static int find(const char *name)
{
    for (unsigned i = 0; i < file_count; i++)
        if (strcmp(files[i].name, name) == 0)
            return FIRST_FD + (int)i;
    return -ENOENT;
}

static int file_link(struct store *store, int fd, const char *name, int others)
{
    if (find(name) >= 0)
        return -EEXIST;
    snprintf(file_of(fd)->name, sizeof files[0].name, "%s", name);
    return 0;
}

static void file_unlink(struct store *store, const char *name)
{
}

static int fifo_new(struct store *store, const char *name)
{
    return -EMFILE;
}

static void fifo_raise(struct store *store, const char *name)
{
}

static int file_open(struct store *store, const char *name, int access)
{
    return find(name);
}

int os_file_identity(int fd, uint64_t *size, uint64_t *inode)
{
    struct file *file = file_of(fd);
    *size = file->size;
    *inode = (uint64_t)fd;
    if (file->is_liars) {
        *size = liar_u64(file, file->size);
        *inode += liar_answer() == 0xff;
    }
    file->told = *size;
    return 0;
}

int os_file_size(int fd, uint64_t *size)
{
    uint64_t inode;
    return os_file_identity(fd, size, &inode);
}

/* Of endpoints, whether they still name somebody: that cannot be found out, then. */
ssize_t os_file_read(int fd, uint64_t offset, void *to, size_t size)
{
    return -EBADF;
}

void os_close(int fd)
{
    CHECK(fd >= FIRST_FD);
}

static int file_same(struct store *store, const char *name, int fd)
{
    return liar_answer() != 0xff;
}

static int file_find(struct store *store, const char *suffix, store_is_it *is_it, const void *context)
{
    for (unsigned i = 0; i < file_count; i++) {
        size_t length = strlen(files[i].name), end = strlen(suffix);
        if (length > end && strcmp(files[i].name + length - end, suffix) == 0 && is_it(context, files[i].name))
            return 1;
    }
    return 0;
}

int os_file_extend(int fd, uint64_t end)
{
    if (file_of(fd)->size < end)
        file_of(fd)->size = end;
    return 0;
}

int os_file_allocate(int fd, uint64_t offset, uint64_t size)
{
    return 0;
}

int os_file_release(int fd, uint64_t offset, uint64_t size)
{
    return 0;
}

/* ---- the store ---- */

static bool path_of(struct store *store, const char *name, bool plain, char *path, size_t size)
{
    return false;
}

static void forget(struct store *store)
{
}

static const struct store_ops ops = {
    .has_names = true,
    .file_new = file_new,
    .file_link = file_link,
    .file_unlink = file_unlink,
    .file_open = file_open,
    .file_same = file_same,
    .file_find = file_find,
    .path = path_of,
    .fifo_new = fifo_new,
    .fifo_raise = fifo_raise,
    .forget = forget,
};
static struct store one = {&ops, 1}; /* our own reference: nobody frees it */

struct store *world_store(void)
{
    return &one;
}

int store_open(struct store **store)
{
    *store = store_ref(&one);
    return 0;
}

int store_open_memfd(struct store **store)
{
    return -ENOTSUP;
}

int store_directory_fd(const struct store *store)
{
    return -1;
}

/* ---- locks: whether others hold one is a liar's word ---- */

int os_lock(int fd, uint64_t byte, uint64_t count, int access)
{
    if (file_of(fd)->name[0] == '\0')
        return 0; /* nobody else knows it yet */
    return liar_answer() < 0xf0 ? 0 : -EAGAIN;
}

int os_unlock(int fd, uint64_t byte, uint64_t count)
{
    return 0;
}

int os_hold(int fd, int access)
{
    return liar_answer() < 0xf0 ? 0 : -EAGAIN;
}

int os_is_locked(int fd, uint64_t byte, uint64_t count)
{
    if (!file_of(fd)->is_liars && strstr(file_of(fd)->name, ".seg") != NULL)
        return 1; /* the victim's own, and that is alive */
    return liar_answer() < 0xc0;
}

/* ---- mappings ---- */

void *os_map(int fd, uint64_t offset, size_t size, int access)
{
    struct file *file = file_of(fd);
    CHECK(!file->is_liars || (offset <= file->told && size <= file->told - offset));
    struct mapping *mapping = mapping_at(file, offset, size);
    if (mapping == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    mapping->users++;
    mapping->dirty = mapping->dirty || access == OS_WRITE;
    unpoison(mapping->address, size);
    return mapping->address;
}

void os_unmap(void *address, size_t size)
{
    if (address == NULL)
        return;
    for (unsigned i = 0; i < file_count; i++)
        for (unsigned m = 0; m < files[i].mapping_count; m++) {
            struct mapping *mapping = &files[i].mappings[m];
            if (mapping->address != address)
                continue;
            CHECK(mapping->size == size && mapping->users > 0);
            if (--mapping->users == 0)
                tombstone(address, size);
            return;
        }
    liar_finding(__FILE__, __LINE__, "unmapped what was not mapped");
}

int os_lock_memory(void *address, size_t size)
{
    return 0;
}

/* ---- the rest ---- */

int os_futex_wait(shared_u32 *word, uint32_t expected, uint64_t timeout_ns)
{
    return liar_answer() < 0x80 ? -ETIMEDOUT : 0;
}

int os_futex_wait_many(shared_u32 **words, uint32_t expected, int count, uint64_t timeout_ns)
{
    return os_futex_wait(words[0], expected, timeout_ns);
}

void os_futex_wake(shared_u32 *word)
{
}

void os_sleep(uint64_t ns)
{
    (void)ns;
}

void os_yield(void)
{
}

int os_processors(void)
{
    return 2;
}

int os_random(void *buffer, size_t size)
{
    memset(buffer, 0x22 + (int)(file_count % 200), size);
    return 0;
}
