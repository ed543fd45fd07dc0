/* SPDX-License-Identifier: MIT */
#include "leaks.h"
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/wait.h>

extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static void note_descriptors(struct leaks *before)
{
    DIR *directory = opendir("/proc/self/fd");
    struct dirent *entry;

    CHECK(directory != NULL);
    memset(before->open, 0, sizeof before->open);
    while ((entry = readdir(directory))) {
        unsigned long fd = strtoul(entry->d_name, NULL, 10);

        if (entry->d_name[0] != '.' && fd < LEAKS_FDS_MAX && (int)fd != dirfd(directory))
            before->open[fd / 64] |= UINT64_C(1) << (fd % 64);
    }
    closedir(directory);
}

static unsigned count_mappings(bool print)
{
    FILE *file = fopen("/proc/self/maps", "re");
    char line[1024];
    unsigned count = 0;

    CHECK(file != NULL);
    while (fgets(line, sizeof line, file))
        if (strstr(line, test_dir()) && count++ < 8 && print)
            dprintf(STDERR_FILENO, "mapping: %s", line);
    fclose(file);
    return count;
}

void leaks_note(struct leaks *before)
{
    note_descriptors(before);
    before->mappings = count_mappings(false);
}

static void check_descriptors(const struct leaks *before)
{
    struct leaks now;
    unsigned leaked = 0;

    note_descriptors(&now);
    for (unsigned fd = 0; fd < LEAKS_FDS_MAX; fd++) {
        char path[64], target[256];
        ssize_t n;

        if (!((now.open[fd / 64] & ~before->open[fd / 64]) >> (fd % 64) & 1))
            continue;
        snprintf(path, sizeof path, "/proc/self/fd/%u", fd);
        n = readlink(path, target, sizeof target - 1);
        target[n > 0 ? n : 0] = '\0';
        if (leaked++ < 8)
            dprintf(STDERR_FILENO, "leaked descriptor %u: %s\n", fd, target);
    }
    if (leaked)
        FAIL("%u descriptors were left open", leaked);
}

static void check_mappings(const struct leaks *before)
{
    unsigned now = count_mappings(false);

    if (now > before->mappings) {
        count_mappings(true);
        FAIL("%u mappings of the runtime directory where there were %u", now, before->mappings);
    }
}

static void check_threads(void)
{
    unsigned threads = count_files("/proc/self/task");

    if (threads != 1 && !test_is_slow_build())
        FAIL("%u threads are running where there was one", threads);
}

static void check_children(void)
{
    int status;
    pid_t pid = waitpid(-1, &status, WNOHANG);

    if (pid != -1 || errno != ECHILD)
        FAIL("a child was left behind (%d)", (int)pid);
}

void leaks_check(const struct leaks *before)
{
    check_children();
    check_threads();
    check_descriptors(before);
    check_mappings(before);
}

void leaks_check_open(const struct leaks *before)
{
    check_descriptors(before);
    check_mappings(before);
}

void leaks_check_heap(void)
{
    if (__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check())
        FAIL("memory was leaked");
}
