/* SPDX-License-Identifier: MIT */
#include "transport/os_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

int os_directory_path(char *path, unsigned size)
{
    const char *asked = asked_for("SHMQ_DIR");
    gid_t group;
    int shared = asked_group(&group);
    int n = asked != NULL ? snprintf(path, size, "%s", asked)
            : shared == 1 ? snprintf(path, size, "/dev/shm/shmq-group-%u", (unsigned)group)
                          : snprintf(path, size, "/dev/shm/shmq-%u", (unsigned)geteuid());
    return shared < 0 ? shared : n < 0 || (unsigned)n >= size ? -ENAMETOOLONG : 0;
}

bool os_directory_is_default(void)
{
    return asked_for("SHMQ_DIR") == NULL;
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

int os_directory_look(const char *path)
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

int os_directory_open(const char *path)
{
    int fd = -ENOENT;

    /* Retried, because another process may remove an empty directory between the two calls. */
    for (int attempt = 0; fd == -ENOENT && attempt < 100; attempt++) {
        fd = os_directory_look(path);
        int error = fd == -ENOENT ? make(path) : 0;
        if (error < 0)
            return error;
    }
    return fd;
}

bool os_directory_is_at(int dir, const char *path)
{
    struct stat here, there;
    return fstat(dir, &here) == 0 && stat(path, &there) == 0 && here.st_ino == there.st_ino &&
           here.st_dev == there.st_dev;
}

int os_directory_group(int dir, gid_t *group)
{
    struct stat st;
    if (fstat(dir, &st) != 0)
        return -errno;
    *group = st.st_gid;
    return (st.st_mode & (S_ISGID | S_IRWXG)) == (S_ISGID | S_IRWXG);
}

void os_directory_close(int dir, const char *path, bool remove)
{
    close(dir);
    if (remove)
        rmdir(path); /* only succeeds when it is empty */
}
