/* SPDX-License-Identifier: MIT */
#include "limits.h"
#include "harness.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <signal.h>

#define NOBODY 65534

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        skip_test("user name spaces cannot be set up here");
    close(fd);
}

void enter_own_mounts(void)
{
    unsigned uid = geteuid(), gid = getegid();
    char map[64];

    if (unshare(CLONE_NEWNS) != 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
            skip_test("mount name spaces are not permitted here");
        write_file("/proc/self/setgroups", "deny");
        snprintf(map, sizeof map, "%u %u 1", uid, uid);
        write_file("/proc/self/uid_map", map);
        snprintf(map, sizeof map, "%u %u 1", gid, gid);
        write_file("/proc/self/gid_map", map);
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        skip_test("mounts cannot be made private here");
}

void mount_runtime_directory(size_t kib, const char *options)
{
    char text[128];

    umount2(test_dir(), MNT_DETACH);
    snprintf(text, sizeof text, "size=%zuk,mode=0700%s", kib, options);
    if (mount("tmpfs", test_dir(), "tmpfs", 0, text) != 0)
        skip_test("a tmpfs cannot be mounted here");
}

void unmount_runtime_directory(void)
{
    CHECK_OK(umount2(test_dir(), 0)); /* EBUSY: something is still open or mapped */
}

void remount_read_only(void)
{
    CHECK_OK(mount(NULL, test_dir(), NULL, MS_REMOUNT | MS_RDONLY, "mode=0700"));
}

void become_nobody(void)
{
    if (geteuid() != 0)
        skip_test("only root can become another user");
    CHECK_OK(chown(test_dir(), NOBODY, NOBODY));
    CHECK_OK(setresgid(NOBODY, NOBODY, NOBODY));
    CHECK_OK(setresuid(NOBODY, NOBODY, NOBODY));
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of user clears it */
    prctl(PR_SET_DUMPABLE, 1);        /* and makes /proc/self root's */
}
