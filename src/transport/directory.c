/* SPDX-License-Identifier: MIT */
#include "transport/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/process.h"
#include "transport/memfd_store.h"

struct directory {
    struct directory *next;
    unsigned refs;
    int fd;
    bool is_default, is_memfd;
    char path[PATH_MAX];
};

static struct directory *all;

static const char *asked_for(const char *variable)
{
    const char *value = getenv(variable);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* $SHMQ_GROUP, a name or a number: 1 and *GROUP; 0 it is not set. */
static int asked_group(gid_t *group)
{
    const char *asked = asked_for("SHMQ_GROUP");
    char text[4096], *end;
    struct group entry, *found;

    if (asked == NULL)
        return 0;
    unsigned long number = strtoul(asked, &end, 10);
    if (*end == '\0' && asked[0] != '-' && number < UINT32_MAX) {
        *group = (gid_t)number;
        return 1;
    }
    if (getgrnam_r(asked, &entry, text, sizeof text, &found) != 0 || found == NULL)
        return -EINVAL;
    *group = entry.gr_gid;
    return 1;
}

int directory_path(char *path, unsigned size)
{
    const char *asked = asked_for("SHMQ_DIR");
    gid_t group;
    int shared = asked_group(&group);
    int n = asked != NULL ? snprintf(path, size, "%s", asked)
            : shared == 1 ? snprintf(path, size, "/dev/shm/shmq-group-%u", (unsigned)group)
                          : snprintf(path, size, "/dev/shm/shmq-%u", (unsigned)geteuid());
    return shared < 0 ? shared : n < 0 || (unsigned)n >= size ? -ENAMETOOLONG : 0;
}

/* Ours alone; or, if that was asked for, one group's, in which new files get the group. */
static int check(int fd)
{
    struct stat st;
    gid_t group;
    int shared = asked_group(&group);

    if (shared < 0)
        return shared;
    if (fstat(fd, &st) != 0)
        return -errno;
    bool fits = shared ? st.st_gid == group && (st.st_mode & 07777) == 02770
                       : st.st_uid == geteuid() && (st.st_mode & 0077) == 0;
    return fits ? 0 : -EPERM;
}

int directory_look(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ELOOP || errno == ENOTDIR ? -EPERM : -errno;
    int error = check(fd);
    if (error < 0) {
        close(fd);
        return error;
    }
    return fd;
}

/* Nobody meets it half made: it gets its name when it is the group's. */
static int make_group_directory(const char *path, gid_t group)
{
    char new[PATH_MAX];
    int error = 0;

    if (snprintf(new, sizeof new, "%s.XXXXXX", path) >= (int)sizeof new)
        return -ENAMETOOLONG;
    if (mkdtemp(new) == NULL)
        return -errno;
    if (chown(new, (uid_t)-1, group) != 0 || chmod(new, 02770) != 0 ||
        renameat2(AT_FDCWD, new, AT_FDCWD, path, RENAME_NOREPLACE) != 0)
        error = -errno;
    if (error < 0)
        rmdir(new);
    return error;
}

static int make(const char *path)
{
    gid_t group;
    int shared = asked_group(&group);
    if (shared < 0)
        return shared;
    int error = shared == 1 ? make_group_directory(path, group) : mkdir(path, 0700) != 0 ? -errno : 0;
    return error == -EEXIST ? 0 : error;
}

static int open_checked(const char *path)
{
    int fd = -ENOENT;

    /* Retried, because another process may remove an empty directory between the two calls. */
    for (int attempt = 0; fd == -ENOENT && attempt < 100; attempt++) {
        fd = directory_look(path);
        int error = fd == -ENOENT ? make(path) : 0;
        if (error < 0)
            return error;
    }
    return fd;
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
    if (!process_lock(PROCESS_LOCK_DIRECTORIES))
        return -ENOMEM;
    error = open_locked(path, asked_for("SHMQ_DIR") == NULL, directory);
    process_unlock(PROCESS_LOCK_DIRECTORIES);
    return error;
}

int directory_memfd(struct directory **directory)
{
    struct directory *d = calloc(1, sizeof *d);
    int pocket = d == NULL ? -ENOMEM : memfd_store_new();
    if (pocket < 0) {
        free(d);
        return pocket;
    }
    d->fd = pocket;
    d->is_memfd = true;
    d->refs = 1;
    *directory = d;
    return 0;
}

bool directory_is_memfd(const struct directory *d)
{
    return d->is_memfd;
}

void directory_forget(struct directory *d)
{
    if (!d->is_memfd)
        return;
    memfd_store_free(d->fd);
    free(d);
}

struct directory *directory_ref(struct directory *d)
{
    process_lock(PROCESS_LOCK_DIRECTORIES);
    d->refs++;
    process_unlock(PROCESS_LOCK_DIRECTORIES);
    return d;
}

void directory_close(struct directory *d)
{
    if (d == NULL)
        return;
    process_lock(PROCESS_LOCK_DIRECTORIES);
    bool last = --d->refs == 0;
    if (last && !d->is_memfd) {
        struct directory **at = &all;
        while (*at != d)
            at = &(*at)->next;
        *at = d->next;
        close(d->fd);
        if (d->is_default)
            rmdir(d->path); /* only succeeds when it is empty */
    }
    process_unlock(PROCESS_LOCK_DIRECTORIES);
    if (last && d->is_memfd)
        memfd_store_free(d->fd);
    if (last)
        free(d);
}

int directory_fd(const struct directory *d)
{
    return d->fd;
}

const char *directory_name(const struct directory *d)
{
    return d->path;
}
