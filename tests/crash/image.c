/* SPDX-License-Identifier: MIT */
/*
 * What lies in shared memory, as one number: a hash over all files of the runtime directory, as far
 * as they have memory. Which files there are, how long, and where they have memory changes only by
 * system calls, so that is looked up after those only (image_scan).
 */
#include "crash.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { FILES_MAX = 64, RANGES_MAX = 256 };

static struct {
    void *base;
    size_t size;
} files[FILES_MAX];
static struct {
    const uint64_t *from;
    size_t words;
} ranges[RANGES_MAX];
static unsigned file_count, range_count;
static uint64_t names_hash;

static void scan_file(int fd, uint64_t size)
{
    void *base = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

    CHECK(base != MAP_FAILED && file_count < FILES_MAX);
    files[file_count].base = base;
    files[file_count++].size = size;
    for (off_t from = 0, to; (from = lseek(fd, from, SEEK_DATA)) >= 0; from = to) {
        to = lseek(fd, from, SEEK_HOLE);
        CHECK(to > from && range_count < RANGES_MAX);
        ranges[range_count].from = (const uint64_t *)(const void *)((char *)base + from);
        ranges[range_count++].words = (size_t)(to - from) / sizeof(uint64_t);
    }
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_file(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

void image_scan(const char *directory)
{
    struct dirent **entries;
    int count = scandir(directory, &entries, is_file, by_name);

    CHECK(count >= 0);
    for (unsigned i = 0; i < file_count; i++)
        munmap(files[i].base, files[i].size);
    file_count = range_count = 0;
    names_hash = 14695981039346656037u;
    for (int i = 0; i < count; i++) {
        char path[512];
        struct stat st;
        int fd;

        for (const char *c = entries[i]->d_name; *c != '\0'; c++)
            names_hash = (names_hash ^ (unsigned char)*c) * 1099511628211u;
        snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
        free(entries[i]);
        fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
            continue;
        if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
            names_hash = (names_hash ^ (uint64_t)st.st_size) * 1099511628211u;
            scan_file(fd, (uint64_t)st.st_size);
        }
        close(fd);
    }
    free(entries);
}

uint64_t image_hash(void)
{
    uint64_t a = names_hash, b = 1, c = 2, d = 3;

    for (unsigned i = 0; i < range_count; i++) {
        const volatile uint64_t *w = ranges[i].from;
        for (size_t n = ranges[i].words; n >= 4; n -= 4, w += 4) {
            a = (a ^ w[0]) * 0x9e3779b97f4a7c15u;
            b = (b ^ w[1]) * 0xbf58476d1ce4e5b9u;
            c = (c ^ w[2]) * 0x94d049bb133111ebu;
            d = (d ^ w[3]) * 0xd6e8feb86659fd93u;
        }
        a ^= a >> 29;
        b ^= b >> 31;
        c ^= c >> 30;
        d ^= d >> 28;
    }
    return a ^ (b << 16 | b >> 48) ^ (c << 32 | c >> 32) ^ (d << 48 | d >> 16);
}
