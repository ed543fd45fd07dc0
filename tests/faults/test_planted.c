/* SPDX-License-Identifier: MIT */
/* Files in the runtime directory that the library did not make: symbolic links, FIFOs and garbage under the names it
 * uses. It must not follow them, hang, crash, or write to what they name. */
#include "support/ends.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define NAMES_MAX 16

struct names {
    char name[NAMES_MAX][300];
    unsigned count;
};

static void list_files(struct names *names)
{
    DIR *directory = opendir(test_dir());
    struct dirent *entry;

    CHECK(directory != NULL);
    names->count = 0;
    while ((entry = readdir(directory)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            CHECK(names->count < NAMES_MAX);
            snprintf(names->name[names->count++], sizeof names->name[0], "%s/%s", test_dir(),
                     entry->d_name);
        }
    closedir(directory);
}

static void list_when_bound(struct names *names)
{
    shm_socket_t *socket = socket_bound(SHM_PULL);

    list_files(names);
    CHECK_OK(shm_close(socket));
}

/* Files whose names depend on the endpoint alone: the same after two binds. */
static void find_endpoint_files(struct names *files)
{
    struct names first, second;

    list_when_bound(&first);
    list_when_bound(&second);
    files->count = 0;
    for (unsigned i = 0; i < first.count; i++)
        for (unsigned k = 0; k < second.count; k++)
            if (strcmp(first.name[i], second.name[k]) == 0)
                strcpy(files->name[files->count++], first.name[i]);
    CHECK(files->count > 0);
    CHECK_INT(count_files(test_dir()), 0);
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    int fd = (int)CHECK_OK(open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600));

    CHECK_INT(write(fd, bytes, size), size);
    close(fd);
}

static void check_file(const char *path, const void *bytes, size_t size)
{
    unsigned char got[256];
    int fd = (int)CHECK_OK(open(path, O_RDONLY | O_CLOEXEC));
    ssize_t n = read(fd, got, sizeof got);

    CHECK_MEM(got, n, bytes, size);
    close(fd);
}

/* Bind and connect where files are planted: each call works or fails, in time. */
static void try_the_name(bool must_fail)
{
    shm_socket_t *pull = socket_new(SHM_PULL), *push = socket_new(SHM_PUSH);
    char got[8];
    int bound = shm_bind(pull, "it");
    int bound_error = errno, connected = shm_connect(push, "it"), connected_error = errno;

    if (must_fail) {
        CHECK_INT(bound, -1);
        CHECK_INT(bound_error, EPERM);
        CHECK_INT(connected, -1);
        CHECK_INT(connected_error, EPERM);
    }
    if (bound == 0 && connected == 0) {
        CHECK_INT(shm_send(push, "hello", 5, 0), 5);
        CHECK_INT(shm_recv(pull, got, sizeof got, 0), 5);
    } else {
        CHECK(bound == 0 || bound_error == EPERM || bound_error == ENOCOMPATPROTO);
        CHECK(connected == 0 || connected_error == EPERM || connected_error == ENOCOMPATPROTO);
    }
    CLOSE_ALL(push, pull);
}

static const char secret[] = "must stay as it is";

static void check_planted(void (*plant)(const char *victim, const char *path))
{
    struct names files;
    char victim[300];

    find_endpoint_files(&files);
    snprintf(victim, sizeof victim, "%s/victim", test_dir());
    for (unsigned i = 0; i < files.count; i++) {
        struct stat status;

        write_file(victim, secret, sizeof secret);
        plant(victim, files.name[i]);
        try_the_name(true);
        check_file(victim, secret, sizeof secret);
        CHECK_OK(stat(victim, &status));
        CHECK_INT(status.st_mode & 07777, 0600);
        CHECK_OK(remove(files.name[i]));
        CHECK_OK(unlink(victim));
    }
    try_the_name(false);
}

static void plant_symbolic_link(const char *victim, const char *path)
{
    CHECK_OK(symlink(victim, path));
}

static void plant_hard_link(const char *victim, const char *path)
{
    CHECK_OK(link(victim, path));
}

static void plant_fifo(const char *victim, const char *path)
{
    (void)victim;
    CHECK_OK(mkfifo(path, 0600));
}

static void plant_directory(const char *victim, const char *path)
{
    (void)victim;
    CHECK_OK(mkdir(path, 0700));
}

static void plant_file_open_to_others(const char *victim, const char *path)
{
    (void)victim;
    write_file(path, secret, sizeof secret);
    CHECK_OK(chmod(path, 0666));
}

TEST_THAT(symbolic_links_are_not_followed)
{
    check_planted(plant_symbolic_link);
}

TEST_THAT(hard_links_are_not_written_to)
{
    check_planted(plant_hard_link);
}

TEST_THAT(pipes_do_not_block)
{
    check_planted(plant_fifo);
}

TEST_THAT(directories_are_refused)
{
    check_planted(plant_directory);
}

TEST_THAT(files_open_to_others_are_refused)
{
    check_planted(plant_file_open_to_others);
}

/* Regular files of the right owner and mode, but of any content and length. */
TEST_THAT(garbage_is_refused_or_replaced)
{
    static const size_t sizes[] = {0, 1, 64, 4095, 4096, 70000, 1 << 20};
    uint64_t state = test_seed();
    struct names files;
    unsigned char *bytes = CHECK_PTR(malloc(1 << 20));

    find_endpoint_files(&files);
    for (unsigned i = 0; i < files.count; i++)
        for (unsigned k = 0; k < 3 * COUNT_OF(sizes); k++) {
            size_t size = sizes[k / 3];

            memset(bytes, k % 3 == 1 ? 0xff : 0, size);
            for (size_t n = 0; k % 3 == 2 && n < size; n++)
                bytes[n] = (unsigned char)random_next(&state);
            write_file(files.name[i], bytes, size);
            try_the_name(false);
            unlink(files.name[i]);
            CHECK_INT(count_files(test_dir()), 0);
        }
    free(bytes);
}

static void be_bound(struct child *up, void *argument)
{
    socket_bound(SHM_PULL);

    child_say(up, 1);
    child_hear(up);
}

/* A dead binder's files, with one byte changed or the end cut off. */
TEST_THAT(damaged_leavings_are_refused_or_replaced)
{
    uint64_t state = test_seed();
    struct names files, all;

    find_endpoint_files(&files);
    for (int round = 0; round < 100; round++) {
        struct child child = child_start(be_bound, NULL);
        const char *path = files.name[(unsigned)round % files.count];
        struct stat status;
        unsigned char byte = (unsigned char)random_next(&state);
        int fd;

        CHECK_INT(child_hear(&child), 1);
        child_kill(&child);
        fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd >= 0) {
            off_t at;

            CHECK_OK(fstat(fd, &status));
            at = (off_t)(random_next(&state) % (uint64_t)(round % 2 ? 256 : status.st_size));
            if (round % 4 == 3)
                CHECK_OK(ftruncate(fd, at));
            else
                CHECK_INT(pwrite(fd, &byte, 1, at), 1);
            close(fd);
        }
        try_the_name(false);
        list_files(&all);
        for (unsigned i = 0; i < all.count; i++)
            unlink(all.name[i]);
    }
}
