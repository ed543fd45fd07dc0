/* SPDX-License-Identifier: MIT */
/*
 * Runs a target without a fuzzer: on the files of its corpus, on random inputs, and on files of the corpus with a
 * few bytes changed.
 *
 *     fuzz_TARGET [-n RANDOM-INPUTS] [-m MUTATED-INPUTS] [-s SEED] FILE-OR-DIRECTORY...
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "liar.h"

#define INPUT_MAX 4096

#define KEPT_MAX  4096

static unsigned long files;
static struct {
    uint8_t *bytes;
    size_t size;
} kept[KEPT_MAX];

/* The input that is running: written to a file should it be the last. */
static uint8_t last_bytes[INPUT_MAX + 64];
static size_t last_size;
static unsigned long done;

static void keep_last(void)
{
    int fd = last_size == 0 ? -1 : open("liar-finding", O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0 && write(fd, last_bytes, last_size) == (ssize_t)last_size)
        fprintf(stderr, "the input is in ./liar-finding, after %lu others\n", done);
}

static void on_signal(int signal)
{
    keep_last();
    _exit(128 + signal);
}

static int run_file(const char *path)
{
    static uint8_t bytes[1 << 16];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);
    if (fd >= 0)
        close(fd);
    if (size < 0) {
        perror(path);
        return 1;
    }
    uint8_t *exact = malloc((size_t)size + 1); /* a sanitizer sees a read past its end */
    if (exact == NULL)
        return 1;
    memcpy(exact, bytes, (size_t)size);
    fprintf(stderr, "%s\r", path);
    LLVMFuzzerTestOneInput(exact, (size_t)size);
    if (files < KEPT_MAX && size > 0 && size <= INPUT_MAX / 2) {
        kept[files].bytes = exact;
        kept[files].size = (size_t)size;
    } else {
        free(exact);
    }
    files++;
    return 0;
}

static int run_path(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    char file[1024];
    int failed = 0;

    if (directory == NULL)
        return errno == ENOTDIR ? run_file(path) : 0; /* no corpus yet */
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        failed |= run_file(file);
    }
    closedir(directory);
    return failed;
}

static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state >> 8;
}

static void run_random(unsigned long count, uint64_t seed)
{
    uint8_t bytes[INPUT_MAX];
    for (unsigned long n = 0; n < count; n++) {
        uint64_t state = seed + n * UINT64_C(0x9e3779b97f4a7c15);
        size_t size = next(&state) % (n % 16 == 0 ? INPUT_MAX : 256) + 1;
        for (size_t i = 0; i < size; i++)
            bytes[i] = (uint8_t)next(&state);
        LLVMFuzzerTestOneInput(bytes, size);
    }
}

/* One change: a byte, a bit, a piece of another file, a piece of this one twice, or an end cut off. */
static size_t mutate(uint8_t *bytes, size_t size, size_t other, uint64_t *state)
{
    uint64_t random = next(state);
    size_t at = size > 0 ? (size_t)(random >> 8) % size : 0, piece = 1 + (size_t)(random >> 40) % 16;
    switch (random % 8) {
    case 0:
    case 1:
    case 2:
        bytes[at] = (uint8_t)next(state);
        return size > 0 ? size : 1;
    case 3:
        bytes[at] ^= (uint8_t)(1 << next(state) % 8);
        return size > 0 ? size : 1;
    case 4:
    case 5:
        for (size_t i = 0; i < piece && i < kept[other].size && at + i < INPUT_MAX; i++) {
            bytes[at + i] = kept[other].bytes[(at + i) % kept[other].size];
            size = at + i >= size ? at + i + 1 : size;
        }
        return size;
    case 6:
        if (size + piece > INPUT_MAX / 2)
            return size;
        memmove(bytes + at + piece, bytes + at, size - at);
        return size + piece;
    default:
        return size > 4 ? size - piece % 4 : size;
    }
}

static void run_mutated(unsigned long count, uint64_t seed)
{
    uint8_t bytes[INPUT_MAX + 64];
    size_t have = files < KEPT_MAX ? files : KEPT_MAX;
    for (unsigned long n = 0; n < count && have > 0; n++) {
        uint64_t state = seed + n * UINT64_C(0x9e3779b97f4a7c15);
        size_t from = (size_t)next(&state) % have, size = kept[from].size;
        if (size == 0)
            continue;
        memcpy(bytes, kept[from].bytes, size);
        for (uint64_t changes = next(&state) % 6 + 1; changes > 0; changes--)
            size = mutate(bytes, size, (size_t)next(&state) % have, &state);
        memcpy(last_bytes, bytes, size);
        last_size = size;
        LLVMFuzzerTestOneInput(last_bytes, size);
        done++;
    }
    last_size = 0;
}

int main(int argc, char **argv)
{
    unsigned long count = 0, mutated = 0;
    uint64_t seed = 1;
    int option, failed = 0;

    while ((option = getopt(argc, argv, "n:m:s:")) != -1) {
        if (option == 'n')
            count = strtoul(optarg, NULL, 0);
        else if (option == 'm')
            mutated = strtoul(optarg, NULL, 0);
        else if (option == 's')
            seed = strtoull(optarg, NULL, 0);
        else
            return 2;
    }
    for (int i = optind; i < argc; i++)
        failed |= run_path(argv[i]);
    run_random(count, seed | 1);
    signal(SIGABRT, on_signal); /* a sanitizer's report ends so, too, with abort_on_error */
    run_mutated(mutated, seed | 1);
    printf("%lu files, %lu random and %lu mutated inputs: no finding\n", files, count, mutated);
    return failed;
}
