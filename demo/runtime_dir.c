/* SPDX-License-Identifier: MIT */
#include "runtime_dir.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[64], library[80];

const char *runtime_dir_new(void)
{
    snprintf(top, sizeof top, "/dev/shm/shmq-demo.XXXXXX");
    if (!mkdtemp(top)) {
        top[0] = '\0';
        return NULL;
    }
    snprintf(library, sizeof library, "%s/shmq", top);
    if (mkdir(library, 0700) < 0 || setenv("SHMQ_DIR", library, 1) < 0) {
        runtime_dir_free();
        return NULL;
    }
    return top;
}

/* Print or remove the entries of PATH; returns how many there were. */
static int sweep(const char *path, int remove_them)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    int entries = 0;

    if (!dir)
        return 0;
    while ((entry = readdir(dir))) {
        char name[512];

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        entries++;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (!remove_them) {
            printf("left behind: %s\n", name);
        } else if (unlink(name) < 0) {
            sweep(name, 1);
            rmdir(name);
        }
    }
    closedir(dir);
    return entries;
}

int runtime_dir_leavings(void)
{
    return sweep(library, 0);
}

void runtime_dir_free(void)
{
    if (top[0] == '\0')
        return;
    sweep(top, 1);
    rmdir(top);
    top[0] = '\0';
}
