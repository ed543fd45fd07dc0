/* SPDX-License-Identifier: MIT */
#include "transport/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct directory {
    struct directory *next;
    unsigned refs;
    int fd;
    bool is_default;
    char path[PATH_MAX];
};

static struct directory *all;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int directory_path(char *path, unsigned size)
{
    const char *asked = getenv("SHMQ_DIR");
    int n = asked != NULL && asked[0] != '\0' ? snprintf(path, size, "%s", asked)
                                              : snprintf(path, size, "/dev/shm/shmq-%u", (unsigned)geteuid());
    return n < 0 || (unsigned)n >= size ? -ENAMETOOLONG : 0;
}

static int open_checked(const char *path)
{
    struct stat st;

    /* Retried, because another process may remove an empty directory between the two calls. */
    for (int attempt = 0;; attempt++) {
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return -errno;
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) {
            if (errno == ENOENT && attempt < 100)
                continue;
            return errno == ELOOP || errno == ENOTDIR ? -EPERM : -errno;
        }
        if (fstat(fd, &st) != 0 || st.st_uid != geteuid() || (st.st_mode & 0077) != 0) {
            close(fd);
            return -EPERM;
        }
        return fd;
    }
}

static bool still_there(const struct directory *d)
{
    struct stat here, there;
    return fstat(d->fd, &here) == 0 && stat(d->path, &there) == 0 && here.st_ino == there.st_ino &&
           here.st_dev == there.st_dev;
}

static int open_locked(const char *path, bool is_default, struct directory **out)
{
    for (struct directory *d = all; d != NULL; d = d->next)
        if (strcmp(d->path, path) == 0 && still_there(d)) {
            d->refs++;
            *out = d;
            return 0;
        }
    struct directory *d = calloc(1, sizeof *d);
    if (d == NULL)
        return -ENOMEM;
    d->fd = open_checked(path);
    if (d->fd < 0) {
        int error = d->fd;
        free(d);
        return error;
    }
    snprintf(d->path, sizeof d->path, "%s", path);
    d->is_default = is_default;
    d->refs = 1;
    d->next = all;
    all = d;
    *out = d;
    return 0;
}

int directory_open(struct directory **directory)
{
    char path[PATH_MAX];
    int error = directory_path(path, sizeof path);
    if (error < 0)
        return error;
    const char *asked = getenv("SHMQ_DIR");
    pthread_mutex_lock(&lock);
    error = open_locked(path, asked == NULL || asked[0] == '\0', directory);
    pthread_mutex_unlock(&lock);
    return error;
}

struct directory *directory_ref(struct directory *d)
{
    pthread_mutex_lock(&lock);
    d->refs++;
    pthread_mutex_unlock(&lock);
    return d;
}

void directory_close(struct directory *d)
{
    if (d == NULL)
        return;
    pthread_mutex_lock(&lock);
    if (--d->refs == 0) {
        struct directory **at = &all;
        while (*at != d)
            at = &(*at)->next;
        *at = d->next;
        close(d->fd);
        if (d->is_default)
            rmdir(d->path); /* only succeeds when it is empty */
        free(d);
    }
    pthread_mutex_unlock(&lock);
}

int directory_fd(const struct directory *d)
{
    return d->fd;
}
