/* SPDX-License-Identifier: MIT */
/* Files that no socket made, or that a liar changed: the tool does not crash, hang or follow them. */
#include "run_tool.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define EP_SIZE (4096 + 65535 * 256) /* endpoint_layout.h */

static const char *path_of(const char *name)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/%s", test_dir(), name);
    return path;
}

static void write_file(const char *name, const void *bytes, size_t size, off_t whole)
{
    int fd = (int)CHECK_OK(open(path_of(name), O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600));

    CHECK_INT(write(fd, bytes, size), size);
    CHECK_OK(ftruncate(fd, whole));
    close(fd);
}

static void fill_random(unsigned char *bytes, size_t size, uint64_t *state)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)random_next(state);
}

static void look_everywhere(void)
{
    CHECK(run_tool("ls", NULL)->status <= 1);
    CHECK(run_tool("info", "it", NULL)->status <= 1);
    tool_says_json(0, "ls");
    CHECK(run_tool("gc", "--dry-run", NULL)->status <= 1);
    check_json(__FILE__, __LINE__, run_tool("gc", "--dry-run", "--json", NULL)->text);
}

TEST_THAT(garbage_is_stale_and_removed)
{
    uint64_t state = test_seed();
    unsigned char bytes[8192];

    fill_random(bytes, sizeof bytes, &state);
    write_file("empty.ep", "", 0, 0);
    write_file("it.ep", bytes, sizeof bytes, sizeof bytes);
    write_file("large.ep", bytes, sizeof bytes, EP_SIZE);
    write_file("zeros.ep", "", 0, EP_SIZE);
    write_file("%2F%zz%.ep", bytes, 100, 100);
    write_file("0123456789abcdef0123456789abcdef.seg", bytes, sizeof bytes, 65536);
    CHECK_INT(count_in(tool_says(0, "ls"), "stale"), 5);
    look_everywhere();
    tool_says(0, "gc");
    CHECK_INT(count_files(test_dir()), 0);
}

TEST_THAT(what_is_no_file_of_a_socket_stays)
{
    static const char *const names[] = {"it.ep", "0123456789abcdef0123456789abcdef.seg",
                                        "0123456789abcdef0123456789abcdef.bell"};
    char victim[600];

    write_file("victim", "as it is", 8, 8);
    snprintf(victim, sizeof victim, "%s", path_of("victim"));
    for (size_t i = 0; i < COUNT_OF(names); i++)
        for (int kind = 0; kind < 5; kind++) {
            struct stat status;

            if (kind == 0)
                CHECK_OK(symlink(victim, path_of(names[i])));
            else if (kind == 1)
                CHECK_OK(mkfifo(path_of(names[i]), 0600));
            else if (kind == 2)
                CHECK_OK(mkdir(path_of(names[i]), 0700));
            else if (kind == 3)
                CHECK_OK(link(victim, path_of(names[i])));
            else
                CHECK_OK(symlink("/dev/zero", path_of(names[i])));
            if (i == 0)
                CHECK(strcmp(word_in_line(tool_says(0, "ls"), "it", 1), "foreign") == 0);
            tool_says(1, "gc");
            tool_says(1, "info", "it");
            CHECK_OK(lstat(path_of(names[i]), &status));
            CHECK_OK(stat(victim, &status));
            CHECK_INT(status.st_size, 8);
            CHECK_OK(remove(path_of(names[i])));
        }
    CHECK_OK(unlink(victim));
}

/* ---- damage ---- */

static void talk_and_wait(struct child *up, void *argument)
{
    shm_socket_t *push = socket_bound(SHM_PUSH);
    shm_socket_t *pub = socket_new(SHM_PUB), *sub = socket_new(SHM_SUB);
    shm_socket_t *left = socket_new(SHM_DEALER), *right = socket_new(SHM_DEALER);

    socket_joined(push, SHM_PULL);
    pair_up_at("that", pub, sub);
    pair_up_at("both", left, right);
    CHECK_OK(shm_send(push, "job", 3, 0));
    CHECK_OK(shm_send(pub, "news", 4, 0));
    CHECK_OK(shm_send(left, "there", 5, 0));
    CHECK_OK(shm_send(right, "back", 4, 0));
    child_stay(up, 1);
}

/* Overwrite words at random places of a file, most of them where the headers and records are, or cut
 * it: while its sockets live and have it mapped it is not cut, for they would die of that. */
static void damage(const char *name, uint64_t *state, bool may_cut)
{
    static const uint64_t values[] = {0, 1, 2, UINT64_MAX, INT64_MAX, 65535, UINT64_C(1) << 63, 4096, 65472};
    int fd = open(path_of(name), O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    struct stat status;

    if (fd < 0)
        return;
    CHECK_OK(fstat(fd, &status));
    if (S_ISREG(status.st_mode) && status.st_size > 8) {
        for (int i = 0; i < 8; i++) {
            uint64_t random = random_next(state),
                     value = random % 3 == 0 ? random_next(state) : values[random / 3 % COUNT_OF(values)];
            uint64_t within = random_next(state) % 4 != 0 && status.st_size > 16384 ? 16384 : (uint64_t)status.st_size;
            CHECK_INT(pwrite(fd, &value, 8, (off_t)(random_next(state) % within & ~UINT64_C(7))), 8);
        }
        if (may_cut && random_next(state) % 4 == 0)
            CHECK_OK(ftruncate(fd, (off_t)(random_next(state) % (uint64_t)status.st_size)));
    }
    close(fd);
}

static void each_file(void (*visit)(const char *name, uint64_t *state, bool may_cut), uint64_t *state, bool may_cut)
{
    DIR *directory = CHECK_PTR(opendir(test_dir()));
    struct dirent *entry;

    while ((entry = readdir(directory)) != NULL)
        if (entry->d_name[0] != '.')
            visit(entry->d_name, state, may_cut);
    closedir(directory);
}

static void remove_file(const char *name, uint64_t *state, bool may_cut)
{
    (void)state;
    (void)may_cut;
    CHECK_OK(unlink(path_of(name)));
}

TEST_WITHIN(120, damaged_files_are_survived)
{
    uint64_t state = test_seed();

    for (int round = 0; round < 60; round++) {
        struct child child = child_start(talk_and_wait, NULL);
        bool alive = round % 2 == 0;

        CHECK_INT(child_hear(&child), 1);
        if (!alive)
            child_kill(&child);
        each_file(damage, &state, !alive);
        look_everywhere();
        run_tool("info", "that", NULL);
        run_tool("info", "both", "--json", NULL);
        CHECK(run_tool("gc", NULL)->status <= 1);
        if (alive)
            child_kill(&child);
        CHECK(run_tool("gc", NULL)->status <= 1);
        CHECK_INT(run_tool("ls", NULL)->status, 1);
        each_file(remove_file, &state, false);
    }
}
