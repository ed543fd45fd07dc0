/* SPDX-License-Identifier: MIT */
/*
 * Runtime directories that are not a plain private tmpfs: with mount options that forbid things, on other
 * file systems, removed, moved, replaced or shut while in use, at a path as long as can be. (Full ones, foreign
 * ones, pipes and files in their place: test_errors.c.)
 */
#include "../support/ends.h"
#include "../support/limits.h"

#include <limits.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define TMPFS 0x01021994

enum { MESSAGES = 12 };

static size_t size_of(unsigned number)
{
    static const size_t sizes[] = {9, 113, 5000, 70000};

    return sizes[number % COUNT_OF(sizes)];
}

/* COUNT messages from left to right, each checked, small ones only or of all sizes. */
static void pass(struct end *left, struct end *right, unsigned count, bool small)
{
    static unsigned char bytes[70000];

    for (unsigned i = 1; i <= count; i++) {
        size_t size = small ? 9 : size_of(i);

        pattern_fill(bytes, size, i);
        CHECK_INT(end_send_anew(left, bytes, size), size);
        memset(bytes, 0, size);
        CHECK_INT(end_recv_anew(right, bytes, sizeof bytes), size);
        pattern_check(bytes, size, i);
        pipe_turn(left, right);
    }
}

static void pass_in(const struct pipe *pipe, const char *path)
{
    struct end left, right;
    int fd;
    size_t size = sizeof fd;

    CHECK_OK(setenv("SHMQ_DIR", path, 1));
    pipe_start(&left, &right, pipe);
    CHECK_OK(shm_getsockopt(right.socket, SHM_FD, &fd, &size)); /* a FIFO */
    pass(&left, &right, MESSAGES, false);
    pipe_close(&left, &right);
    CHECK_INT(count_files(path), 0);
}

/* ---- Other mounts ---- */

TEST_EACH_PIPE(a_mount_that_forbids_programs_and_devices_will_do, pipe)
{
    enter_own_mounts();
    mount_runtime_directory(16384, "");
    CHECK_OK(mount(NULL, test_dir(), NULL, MS_REMOUNT | MS_NOEXEC | MS_NOSUID | MS_NODEV | MS_NOATIME, "mode=0700"));
    pass_in(pipe, test_dir());
}

/* Where the tests run from, if that is not on tmpfs: it is slower, but works. */
TEST_EACH_PIPE(a_directory_on_disk_will_do, pipe)
{
    char path[] = "shmq-test-XXXXXX", whole[PATH_MAX];
    struct statfs system;

    CHECK_OK(statfs(".", &system));
    if (system.f_type == TMPFS)
        skip_test("there is no disk here");
    CHECK_PTR(mkdtemp(path));
    CHECK_PTR(realpath(path, whole));
    pass_in(pipe, whole);
    CHECK_OK(rmdir(path));
}

static bool is_pair(const struct pair *pair)
{
    return pair->left == SHM_PAIR;
}

/* overlayfs, as containers have it: a mapping does not keep the life lock. */
TEST_PIPES(is_pair, an_overlay_is_refused, pipe)
{
    static const char *const names[] = {"lower", "upper", "work", "merged"};
    char path[4][96], options[400];

    enter_own_mounts();
    mount_runtime_directory(16384, "");
    for (unsigned i = 0; i < 4; i++) {
        snprintf(path[i], sizeof path[i], "%s/%s", test_dir(), names[i]);
        CHECK_OK(mkdir(path[i], 0700));
    }
    snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s,workdir=%s", path[0], path[1], path[2]);
    if (mount("overlay", path[3], "overlay", 0, options) != 0)
        skip_test("an overlay cannot be mounted here");
    CHECK_OK(setenv("SHMQ_DIR", path[3], 1));
    CHECK_NULL(shm_socket(SHM_PAIR), EOPNOTSUPP);
    CHECK_INT(count_files(path[3]), 0);
    CHECK_OK(umount2(path[3], 0));
    CHECK_OK(umount2(test_dir(), MNT_DETACH));
}

TEST_PIPES(is_pair, a_file_system_without_fallocate_is_refused, pipe)
{
    enter_own_mounts();
    if (mount("ramfs", test_dir(), "ramfs", 0, "mode=0700") != 0)
        skip_test("a ramfs cannot be mounted here");
    CHECK_NULL(shm_socket(SHM_PAIR), EOPNOTSUPP);
    CHECK_INT(count_files(test_dir()), 0);
    CHECK_OK(umount2(test_dir(), 0)); /* EBUSY: something is still open or mapped */
}

/* ---- Changes while in use ---- */

/* What is mapped keeps working; what has to be opened by name fails with an error, no signal, no hang. */
TEST_EACH_PIPE(a_directory_removed_while_in_use, pipe)
{
    static unsigned char bytes[400000];
    struct end left, right;
    char command[128];
    ssize_t n;

    pipe_start(&left, &right, pipe);
    pass(&left, &right, 4, true);
    snprintf(command, sizeof command, "rm -rf %s", test_dir());
    CHECK_INT(system(command), 0);
    pass(&left, &right, MESSAGES, true);
    CHECK_ERR(shm_bind(left.socket, "another"), ENOENT);
    CHECK_INT(end_send(&left, bytes, sizeof bytes, 0), sizeof bytes);
    set_int(right.socket, SHM_RCVTIMEO, 2000);
    n = end_recv(&right, bytes, sizeof bytes, 0);
    if (n < 0)
        CHECK_INT(errno, EPROTO);
    else
        CHECK_INT(n, sizeof bytes);
    pipe_close(&left, &right);
    CHECK_OK(mkdir(test_dir(), 0700)); /* the harness looks into it */
}

/* Existing sockets keep their directory, wherever it is now; new sockets use the new one. */
TEST_EACH_PIPE(a_directory_moved_and_replaced, pipe)
{
    struct end left, right, new_left, new_right;
    char moved[96];

    pipe_start(&left, &right, pipe);
    snprintf(moved, sizeof moved, "%s-moved", test_dir());
    CHECK_OK(rename(test_dir(), moved));
    CHECK_OK(mkdir(test_dir(), 0700));
    pipe_start(&new_left, &new_right, pipe); /* the same name: no EADDRINUSE, no meeting with the others */
    CHECK_INT(get_stats(left.socket).peers, 1);
    CHECK_INT(get_stats(new_left.socket).peers, 1);
    pass(&left, &right, MESSAGES, false);
    pass(&new_left, &new_right, MESSAGES, false);
    CHECK_OK(shm_bind(left.socket, "another"));
    CHECK_OK(shm_bind(new_left.socket, "another"));
    pipe_close(&left, &right);
    CHECK_INT(count_files(moved), 0);
    CHECK_OK(rmdir(moved));
    pass(&new_left, &new_right, MESSAGES, false);
    pipe_close(&new_left, &new_right);
}

/* No permission: whatever has to be opened waits until it is permitted again. */
TEST_EACH_PIPE(a_directory_shut_while_in_use_loses_nothing, pipe)
{
    static unsigned char bytes[400000];
    struct end left, right;

    become_nobody();
    pipe_start(&left, &right, pipe);
    pass(&left, &right, MESSAGES, true);
    CHECK_OK(chmod(test_dir(), 0));
    pass(&left, &right, MESSAGES, true);
    CHECK_NULL(shm_socket(SHM_PAIR), EACCES);
    CHECK_ERR(shm_bind(left.socket, "another"), EACCES);
    pattern_fill(bytes, sizeof bytes, 5);
    CHECK_INT(end_send(&left, bytes, sizeof bytes, 0), sizeof bytes);
    for (int i = 0; i < 3; i++)
        CHECK_ERR(end_recv(&right, bytes, sizeof bytes, 0), EACCES);
    CHECK_OK(chmod(test_dir(), 0700));
    memset(bytes, 0, sizeof bytes);
    CHECK_INT(end_recv(&right, bytes, sizeof bytes, 0), sizeof bytes);
    pattern_check(bytes, sizeof bytes, 5);
    pipe_turn(&left, &right);
    pass(&left, &right, MESSAGES, false);
    pipe_close(&left, &right);
}

/* ---- Paths ---- */

/* Go down to a directory whose path is SIZE bytes long: deeper than one call could name. */
static void make_path(char *path, size_t size)
{
    int at = (int)CHECK_OK(open(test_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), next;

    strcpy(path, test_dir());
    while (strlen(path) < size) {
        size_t left = size - strlen(path) - 1, one = left > 200 ? (left < 202 ? left - 2 : 200) : left;
        char name[256] = {0};

        memset(name, 'd', one);
        CHECK_OK(mkdirat(at, name, 0700));
        next = (int)CHECK_OK(openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        close(at);
        at = next;
        strcat(strcat(path, "/"), name);
    }
    CHECK_INT(strlen(path), size);
    close(at);
}

TEST_PIPES(is_pair, the_longest_path_works_and_a_longer_one_is_refused, pipe)
{
    static char path[PATH_MAX + 64];
    char name[300] = {0};

    make_path(path, PATH_MAX - 1);
    pass_in(pipe, path);
    strcat(path, "/");
    CHECK_OK(setenv("SHMQ_DIR", path, 1));
    CHECK_NULL(shm_socket(SHM_PAIR), ENAMETOOLONG);
    memset(name, 'd', 256);
    snprintf(path, sizeof path, "%s/%s", test_dir(), name);
    CHECK_OK(setenv("SHMQ_DIR", path, 1));
    CHECK_NULL(shm_socket(SHM_PAIR), ENAMETOOLONG);
    leave_files(); /* the directories */
}
