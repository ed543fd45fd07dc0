/* SPDX-License-Identifier: MIT */
/* What goes wrong outside the library: full memory, foreign directories, few descriptors. */
#include "support/ends.h"
#include "support/limits.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

struct pushpull {
    shm_socket_t *push, *pull;
};

/* Closes what there is. */
static void pushpull_close(struct pushpull *pair)
{
    if (pair->push)
        CHECK_OK(shm_close(pair->push));
    if (pair->pull)
        CHECK_OK(shm_close(pair->pull));
    *pair = (struct pushpull){NULL, NULL};
}

/* Nothing is left of it. */
static void pushpull_end(struct pushpull *pair)
{
    pushpull_close(pair);
    CHECK_INT(count_files(test_dir()), 0);
}

static shm_socket_t *try_socket(int type)
{
    shm_socket_t *socket = shm_socket(type);

    if (socket)
        set_int(socket, SHM_LINGER, 0);
    return socket;
}

/* Have they met? The last steps of meeting are done within other calls, which cannot report ENOSPC: then the two
 * just stay apart. */
static bool try_to_join(struct pushpull *pair)
{
    shm_event_t event;

    for (int i = 0; i < 1000; i++) {
        while (shm_event_recv(pair->push, &event, SHM_DONTWAIT) == 0)
            ;
        while (shm_event_recv(pair->pull, &event, SHM_DONTWAIT) == 0)
            ;
        if (get_stats(pair->push).peers == 1 && get_stats(pair->pull).peers == 1)
            return true;
    }
    errno = ENOSPC;
    return false;
}

/* Make a PUSH and a PULL that have met: 0, or -1 and errno, with nothing left open. */
static int pushpull_try(struct pushpull *pair)
{
    int error;

    *pair = (struct pushpull){NULL, NULL};
    if (!(pair->pull = try_socket(SHM_PULL)) || !(pair->push = try_socket(SHM_PUSH)))
        goto fail;
    if (shm_bind(pair->pull, "it") < 0 || shm_connect(pair->push, "it") < 0)
        goto fail;
    if (try_to_join(pair))
        return 0;
fail:
    error = errno;
    pushpull_close(pair);
    errno = error;
    return -1;
}

static void check_transfer(struct pushpull *pair, size_t size)
{
    unsigned char *bytes = CHECK_PTR(malloc(size + 1));

    pattern_fill(bytes, size, 3);
    CHECK_INT(CHECK_OK(shm_send(pair->push, bytes, size, SHM_DONTWAIT)), size);
    memset(bytes, 0, size);
    CHECK_INT(shm_recv(pair->pull, bytes, size, SHM_DONTWAIT), size);
    pattern_check(bytes, size, 3);
    free(bytes);
}

/* ---- Shared memory is full ---- */

/* Whatever the size, each call works or fails with ENOSPC; a SIGBUS would end the test. */
TEST_THAT(a_small_file_system_is_enospc_and_never_a_signal)
{
    static const size_t kibs[] = {4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096};
    size_t met = 0;

    enter_own_mounts();
    for (size_t i = 0; i < COUNT_OF(kibs); i++) {
        struct pushpull pair;
        unsigned char *bytes = CHECK_PTR(calloc(1, kibs[i] * 1024));
        size_t size;

        mount_runtime_directory(kibs[i], "");
        if (pushpull_try(&pair) < 0) {
            CHECK_INT(errno, ENOSPC);
            CHECK(kibs[i] < 1024);
        } else {
            met++;
            check_transfer(&pair, 32); /* in the ring: always */
            CHECK_ERR(shm_send(pair.push, bytes, kibs[i] * 1024, SHM_DONTWAIT), ENOSPC);
            CHECK_INT(get_stats(pair.push).sent, 1);
            check_transfer(&pair, 32);
            for (size = 1; shm_send(pair.push, bytes, size, SHM_DONTWAIT) == (ssize_t)size;)
                size += size / 2 + 1;
            CHECK_INT(errno, ENOSPC);
            while (shm_recv(pair.pull, bytes, kibs[i] * 1024, SHM_DONTWAIT) >= 0)
                ;
            check_transfer(&pair, 32);
            pushpull_close(&pair);
        }
        free(bytes);
        CHECK_INT(count_files(test_dir()), 0);
        unmount_runtime_directory();
    }
    CHECK(met >= 2); /* 4 MiB and 1 MiB are enough for a pair */
}

TEST_THAT(every_type_survives_a_full_file_system)
{
    enter_own_mounts();
    for (int type = SHM_PAIR; type <= SHM_XSUB; type++)
        for (size_t kib = 4; kib <= 2048; kib *= 2) {
            mount_runtime_directory(kib, "");
            shm_socket_t *a = try_socket(type), *b = a ? try_socket(type) : NULL;
            if (!b || shm_bind(a, "it") < 0 || shm_connect(b, "it") < 0)
                CHECK_INT(errno, ENOSPC);
            pushpull_end(&(struct pushpull){a, b});
            unmount_runtime_directory();
        }
}

TEST_THAT(too_few_inodes_are_enospc)
{
    bool met = false;

    enter_own_mounts();
    for (int inodes = 2; inodes < 40 && !met; inodes++) {
        struct pushpull pair;
        char options[32];

        snprintf(options, sizeof options, ",nr_inodes=%d", inodes);
        mount_runtime_directory(8192, options);
        met = pushpull_try(&pair) == 0;
        if (met)
            check_transfer(&pair, 1000);
        else
            CHECK_INT(errno, ENOSPC);
        pushpull_end(&pair);
        unmount_runtime_directory();
    }
    CHECK(met);
}

static struct pushpull pushpull_locked(bool locked)
{
    struct pushpull pair = {socket_new(SHM_PUSH), socket_new(SHM_PULL)};

    set_int(pair.push, SHM_LOCK_MEMORY, locked);
    set_int(pair.pull, SHM_LOCK_MEMORY, locked);
    pair_up(pair.pull, pair.push);
    return pair;
}

/* A neighbour takes all the room while a pair is at work, and gives it back. With locked memory
 * small messages go on meanwhile; otherwise they may be refused, with ENOSPC and nothing else. */
static void run_beside_a_full_file_system(bool locked)
{
    static char block[1 << 20];
    char path[128];

    enter_own_mounts();
    mount_runtime_directory(8192, "");
    struct pushpull pair = pushpull_locked(locked);
    check_transfer(&pair, 100);
    snprintf(path, sizeof path, "%s/neighbour", test_dir());
    int fd = (int)CHECK_OK(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    while (write(fd, block, 4096) > 0)
        ;
    CHECK_INT(errno, ENOSPC);
    for (int i = 0; i < 5000; i++)
        if (locked)
            check_transfer(&pair, 100);
        else if (shm_send(pair.push, block, 100, SHM_DONTWAIT) < 0)
            CHECK_INT(errno, ENOSPC);
        else
            CHECK_INT(shm_recv(pair.pull, block, 100, SHM_DONTWAIT), 100);
    CHECK_ERR(shm_send(pair.push, block, sizeof block, SHM_DONTWAIT), ENOSPC);
    close(fd);
    CHECK_OK(unlink(path));
    for (int i = 0; i < 5000; i++)
        check_transfer(&pair, 100);
    check_transfer(&pair, sizeof block);
    pushpull_close(&pair);
}

TEST_THAT(traffic_goes_on_when_room_comes_back)
{
    run_beside_a_full_file_system(false);
}

TEST_THAT(locked_memory_needs_no_more_room)
{
    if (geteuid() != 0)
        skip_test("only root can lock any memory");
    run_beside_a_full_file_system(true);
}

/* ---- The runtime directory ---- */

/* From now on it is NAME, in what it was until now. */
static void use_directory(char *path, size_t size, const char *name)
{
    snprintf(path, size, "%s/%s", test_dir(), name);
    CHECK_OK(setenv("SHMQ_DIR", path, 1));
}

TEST_THAT(a_directory_open_to_others_is_refused)
{
    static const mode_t modes[] = {0755, 0770, 0701, 0710, 0704, 0702, 0777, 01777};

    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        CHECK_OK(chmod(test_dir(), modes[i]));
        CHECK_NULL(shm_socket(SHM_PUSH), EPERM);
    }
    CHECK_OK(chmod(test_dir(), 0700));
    CHECK_OK(shm_close(CHECK_PTR(shm_socket(SHM_PUSH))));
}

TEST_THAT(a_directory_of_somebody_else_is_refused)
{
    if (geteuid() != 0)
        skip_test("only root can give a directory away");
    CHECK_OK(chown(test_dir(), 12345, 12345));
    CHECK_NULL(shm_socket(SHM_PUSH), EPERM);
    CHECK_OK(chown(test_dir(), 0, 0));
}

TEST_THAT(a_symbolic_link_or_a_file_instead_of_the_directory_is_refused)
{
    char path[128], target[128];

    snprintf(path, sizeof path, "%s/pipe", test_dir());
    snprintf(target, sizeof target, "%s/target", test_dir());
    CHECK_OK(mkdir(target, 0700));
    CHECK_OK(symlink(target, path));
    CHECK_OK(setenv("SHMQ_DIR", path, 1));
    CHECK_NULL(shm_socket(SHM_PUSH), EPERM);
    CHECK_INT(count_files(target), 0);
    CHECK_OK(unlink(path));
    CHECK_OK(rmdir(target));
    close((int)CHECK_OK(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600)));
    CHECK(shm_socket(SHM_PUSH) == NULL);
    CHECK(errno == ENOTDIR || errno == EPERM);
    CHECK_OK(unlink(path));
}

TEST_THAT(a_directory_whose_parent_is_missing_cannot_be_made)
{
    char path[128];

    use_directory(path, sizeof path, "missing/made");
    CHECK_NULL(shm_socket(SHM_PUSH), ENOENT);
}

TEST_THAT(a_read_only_file_system_is_erofs)
{
    char path[128];

    enter_own_mounts();
    mount_runtime_directory(4096, "");
    remount_read_only();
    CHECK_NULL(shm_socket(SHM_PUSH), EROFS);
    use_directory(path, sizeof path, "made");
    CHECK_NULL(shm_socket(SHM_PUSH), EROFS);
}

TEST_THAT(a_directory_without_write_permission_is_eacces)
{
    char path[128];

    become_nobody();
    CHECK_OK(chmod(test_dir(), 0500));
    CHECK_NULL(shm_socket(SHM_PUSH), EACCES);
    use_directory(path, sizeof path, "made");
    CHECK_NULL(shm_socket(SHM_PUSH), EACCES);
    CHECK_OK(chmod(test_dir(), 0700));
}

TEST_THAT(a_removed_directory_hurts_nobody)
{
    struct pushpull pair, fresh;
    char command[128];

    CHECK_OK(pushpull_try(&pair));
    snprintf(command, sizeof command, "rm -rf %s", test_dir());
    CHECK_INT(system(command), 0);
    for (int i = 0; i < 100; i++)
        check_transfer(&pair, 100);
    shm_bind(pair.push, "another"); /* may work or not */
    pushpull_close(&pair);
    CHECK_OK(pushpull_try(&fresh)); /* a new directory for a new start */
    check_transfer(&fresh, 5000);
    pushpull_close(&fresh);
    CHECK_OK(access(test_dir(), F_OK));
}

TEST_THAT(a_long_path_to_the_directory_works)
{
    char path[1024];
    struct pushpull pair;

    strcpy(path, test_dir());
    while (strlen(path) < 700) {
        strcat(path, "/0123456789012345678901234567890123456789");
        CHECK_OK(mkdir(path, 0700));
    }
    CHECK_OK(setenv("SHMQ_DIR", path, 1));
    CHECK_OK(pushpull_try(&pair));
    check_transfer(&pair, 5000);
    pushpull_close(&pair);
    CHECK_INT(count_files(path), 0);
    leave_files(); /* the directories */
}

/* ---- Few descriptors, small files, little memory ---- */

static void limit(int resource, rlim_t value)
{
    struct rlimit old;

    CHECK_OK(getrlimit((__rlimit_resource_t)resource, &old));
    old.rlim_cur = value < old.rlim_max ? value : old.rlim_max;
    CHECK_OK(setrlimit((__rlimit_resource_t)resource, &old));
}

TEST_THAT(too_few_descriptors_are_emfile)
{
    struct pushpull pair;
    int first = (int)CHECK_OK(dup(0));
    bool met = false, failed = false;

    close(first);
    for (int room = 0; room < 64 && !met; room++) {
        limit(RLIMIT_NOFILE, (rlim_t)(first + room));
        met = pushpull_try(&pair) == 0;
        if (!met)
            CHECK_INT(errno, EMFILE);
        failed |= !met;
        pushpull_close(&pair);
        limit(RLIMIT_NOFILE, 1024); /* to count the files, too */
        CHECK_INT(count_files(test_dir()), 0);
    }
    CHECK(met && failed);
}

TEST_THAT(a_limit_on_file_sizes_is_an_error_and_never_a_signal)
{
    struct pushpull pair;

    limit(RLIMIT_FSIZE, 4096);
    CHECK_INT(pushpull_try(&pair), -1);
    CHECK(errno == EFBIG || errno == ENOSPC);
    CHECK_INT(count_files(test_dir()), 0);
}

TEST_THAT(too_little_memory_to_lock_is_an_error)
{
    if (test_is_slow_build())
        skip_test("the address sanitizer makes mlock() do nothing");
    become_nobody();
    limit(RLIMIT_MEMLOCK, 0);
    shm_socket_t *socket = socket_new(SHM_PUSH);
    set_int(socket, SHM_LOCK_MEMORY, 1);
    CHECK_INT(shm_bind(socket, "it"), -1);
    CHECK(errno == EPERM || errno == ENOMEM || errno == EAGAIN);
    CHECK_OK(shm_close(socket));
}

TEST_THAT(locked_memory_works_where_it_is_permitted)
{
    if (geteuid() != 0)
        skip_test("only root can lock any memory");
    struct pushpull pair = pushpull_locked(true);
    check_transfer(&pair, 100);
    check_transfer(&pair, 100000);
    pushpull_close(&pair);
}

/* ---- Others ---- */

static void bind_and_stay(struct child *up, void *argument)
{
    CHECK_OK(shm_bind(socket_new(SHM_PULL), "it"));
    child_stay(up, 1);
}

/* Like a process that was stopped while removing the name: it holds all of the file's locks. */
TEST_THAT(a_name_that_is_being_removed_is_ebusy_after_a_while)
{
    struct flock all = {.l_type = F_WRLCK}; /* of the file */
    struct child child = child_start_until(1, bind_and_stay, NULL);
    shm_socket_t *push = socket_new(SHM_PUSH), *pull = socket_new(SHM_PULL);
    struct pushpull pair = {push, pull};
    char path[256];

    child_kill(&child);
    snprintf(path, sizeof path, "%s/it.ep", test_dir());
    int fd = (int)CHECK_OK(open(path, O_RDWR | O_CLOEXEC));
    CHECK_OK(fcntl(fd, F_OFD_SETLK, &all));
    CHECK_ERR(shm_connect(push, "it"), EBUSY);
    CHECK_ERR(shm_bind(pull, "it"), EBUSY);
    CHECK_OK(close(fd));
    CHECK_OK(shm_connect(push, "it"));
    CHECK_OK(shm_bind(pull, "it"));
    join(push, pull);
    check_transfer(&pair, 100);
    pushpull_close(&pair);
}
