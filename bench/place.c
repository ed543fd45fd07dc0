/* SPDX-License-Identifier: MIT */
#include "place.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "table.h"

/* nftw() passes no context to its callback. */
static int files;
static double bytes;

static int remove_file(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    if (type == FTW_DP || type == FTW_D)
        return 0;
    files++;
    unlink(path);
    return 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    remove(path);
    return 0;
}

static int count_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    if (type == FTW_F)
        bytes += 512.0 * (double)status->st_blocks;
    return 0;
}

int place_make(struct bench *bench)
{
    const char *root = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

    snprintf(bench->directory, sizeof bench->directory, "%s/shmq-bench-XXXXXX", root);
    if (!mkdtemp(bench->directory)) {
        bench_failed(bench, "%s: %s", bench->directory, strerror(errno));
        bench->directory[0] = '\0';
        return -1;
    }
    snprintf(bench->shmq_dir, sizeof bench->shmq_dir, "%s/shmq", bench->directory);
    if (mkdir(bench->shmq_dir, 0700) != 0)
        return bench_failed(bench, "%s: %s", bench->shmq_dir, strerror(errno));
    setenv("SHMQ_DIR", bench->shmq_dir, 1);
    return 0;
}

int place_empty(const struct bench *bench)
{
    int left;

    files = 0;
    nftw(bench->shmq_dir, remove_file, 8, FTW_DEPTH | FTW_PHYS);
    left = files;
    nftw(bench->directory, remove_file, 8, FTW_DEPTH | FTW_PHYS);
    return left;
}

void place_remove(const struct bench *bench)
{
    if (bench->directory[0] != '\0')
        nftw(bench->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

double place_bytes(const struct bench *bench)
{
    bytes = 0;
    nftw(bench->shmq_dir, count_entry, 8, FTW_PHYS);
    return bytes;
}

/* What the kernel could allocate without swapping; a huge number if it does not say. */
static double available_memory(void)
{
    FILE *stream = fopen("/proc/meminfo", "re");
    double available = 1e18;
    char line[128];
    long kib;

    while (stream && fgets(line, sizeof line, stream))
        if (sscanf(line, "MemAvailable: %ld kB", &kib) == 1)
            available = 1024.0 * (double)kib;
    if (stream)
        fclose(stream);
    return available;
}

bool place_has_room(const struct bench *bench, size_t size, const char *what)
{
    struct statvfs status;
    double room = 0;
    char words[160];

    if (statvfs(bench->shmq_dir, &status) == 0)
        room = (double)status.f_bavail * (double)status.f_frsize;
    if (room >= (double)size && available_memory() >= 2 * (double)size)
        return true;
    snprintf(words, sizeof words, "skipped: needs %zu MiB in %s and as much besides", size >> 20, bench->directory);
    table_words(what, words);
    return false;
}
