/* SPDX-License-Identifier: MIT */
/*
 * Runs a target without a fuzzer: over the files of its corpus, and over inputs from a generator.
 *
 *     liar_TARGET [-n INPUTS] [-s SEED] FILE-OR-DIRECTORY...
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "liar.h"

#define INPUT_MAX 4096

static unsigned long files;

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
    free(exact);
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

static void run_random(unsigned long count, uint64_t seed)
{
    uint8_t bytes[INPUT_MAX];
    for (unsigned long n = 0; n < count; n++) {
        uint64_t state = seed + n * UINT64_C(0x9e3779b97f4a7c15), size = 0;
        for (size_t i = 0; i == 0 || i < size; i++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if (i == 0)
                size = state % (n % 16 == 0 ? INPUT_MAX : 256) + 1;
            bytes[i] = (uint8_t)(state >> 24);
        }
        LLVMFuzzerTestOneInput(bytes, (size_t)size);
    }
}

int main(int argc, char **argv)
{
    unsigned long count = 0;
    uint64_t seed = 1;
    int option, failed = 0;

    while ((option = getopt(argc, argv, "n:s:")) != -1) {
        if (option == 'n')
            count = strtoul(optarg, NULL, 0);
        else if (option == 's')
            seed = strtoull(optarg, NULL, 0);
        else
            return 2;
    }
    for (int i = optind; i < argc; i++)
        failed |= run_path(argv[i]);
    run_random(count, seed | 1);
    printf("%lu files, %lu random inputs: no finding\n", files, count);
    return failed;
}
