/* SPDX-License-Identifier: MIT */
/* A peer's files are truncated, of another version, or damaged in words that are written once: the peer is refused
 * with an event, and honest peers are served. (Words that change while they are read: tests/fuzz.) */
#include "support/ends.h"

#include <dirent.h>
#include <fcntl.h>

struct damage {
    const char *what, *ending;
    long cut_at;       /* -1: not cut */
    unsigned at, size; /* bytes to be replaced */
    uint64_t by;
    bool is_protocol_error;
};

static const struct damage damages[] = {
    {"no segment at all", ".seg", 0, 0, 0, 0, true},
    {"half a header", ".seg", 2048, 0, 0, 0, true},
    {"a byte too few", ".seg", 65535, 0, 0, 0, true},
    {"another magic", ".seg", -1, 0, 8, UINT64_C(0x3267657371), true},
    {"the next version", ".seg", -1, 8, 4, 3, true},
    {"no version", ".seg", -1, 8, 4, 0, true},
    {"another's id", ".seg", -1, 16, 8, 7, true},
    {"no type of socket", ".seg", -1, 12, 4, 99, true},
    {"a type that does not fit", ".seg", -1, 12, 4, SHM_SUB, true},
    {"an empty bell", ".bell", 0, 0, 0, 0, true},
    {"half a bell", ".bell", 2048, 0, 0, 0, true},
    {"a bell of another version", ".bell", -1, 0, 8, 1, true},
    {"no claims", ".claims", 0, 0, 0, 0, true},
    {"claims of half the ring", ".claims", 8192, 0, 0, 0, true},
    {"claims that say another size", ".claims", -1, 8, 8, 16, true},
    {"a pid from nowhere", ".seg", -1, 40, 4, UINT32_MAX, false},
    {"a birthday in the future", ".seg", -1, 32, 8, UINT64_MAX, false},
};

static void connect_and_wait(struct child *up, void *argument)
{
    shm_socket_t *socket = socket_new(*(const int *)argument);

    CHECK_OK(shm_connect(socket, "it"));
    child_say(up, 1);
    child_hear(up);
}

static void push_and_wait(struct child *up, void *argument)
{
    shm_socket_t *push = socket_connected(SHM_PUSH);

    CHECK_INT(shm_send(push, "from the damaged one", 20, 0), 20);
    child_say(up, 1);
    child_hear(up);
}

static void open_file(const char *ending, int *fd)
{
    DIR *directory = CHECK_PTR(opendir(test_dir()));
    struct dirent *entry;

    *fd = -1;
    while ((entry = readdir(directory)) != NULL) {
        size_t size = strlen(entry->d_name), tail = strlen(ending);
        if (size > tail && strcmp(entry->d_name + size - tail, ending) == 0)
            *fd = openat(dirfd(directory), entry->d_name, O_RDWR | O_CLOEXEC);
    }
    closedir(directory);
    CHECK(*fd >= 0);
}

static void do_damage(const struct damage *damage)
{
    int fd;

    open_file(damage->ending, &fd);
    if (damage->cut_at >= 0)
        CHECK_OK(ftruncate(fd, damage->cut_at));
    if (damage->size > 0)
        CHECK_INT(pwrite(fd, &damage->by, damage->size, damage->at), damage->size);
    close(fd);
}

/* So that only the next one's files are there. */
static void remove_files(void)
{
    DIR *directory = CHECK_PTR(opendir(test_dir()));
    struct dirent *entry;

    while ((entry = readdir(directory)) != NULL)
        if (entry->d_name[0] != '.')
            CHECK_OK(unlinkat(dirfd(directory), entry->d_name, 0));
    closedir(directory);
}

TEST_THAT(a_peer_with_damaged_files_is_turned_away_alone)
{
    leave_files(); /* damaged files of the dead are left for `shmq gc` */
    for (size_t i = 0; i < COUNT_OF(damages); i++) {
        struct child child = child_start(push_and_wait, NULL);
        shm_stats_t stats;
        char got[64];

        CHECK_INT(child_hear(&child), 1);
        do_damage(&damages[i]);
        shm_socket_t *pull = socket_new(SHM_PULL), *honest = socket_new(SHM_PUSH);
        CHECK_OK(shm_bind(pull, "it"));
        CHECK_OK(shm_connect(honest, "it"));
        CHECK_INT(shm_send(honest, "true", 4, 0), 4);
        if (!damages[i].is_protocol_error)
            CHECK_INT(shm_recv(pull, got, sizeof got, 0), 20);
        CHECK_INT(shm_recv(pull, got, sizeof got, 0), 4);
        CHECK_MEM(got, 4, "true", 4);
        stats = get_stats(pull);
        if ((stats.protocol_errors > 0) != damages[i].is_protocol_error)
            FAIL("%s: %llu protocol errors", damages[i].what, (unsigned long long)stats.protocol_errors);
        child_kill(&child);
        CLOSE_ALL(honest, pull);
        remove_files();
    }
}

static void be_bound(struct child *up, void *argument)
{
    socket_bound(SHM_PULL);

    child_say(up, 1);
    child_hear(up);
}

/* An endpoint of another version, in use, is not joined and not removed. */
/* A PAIR and a ROUTER retry peers that they had no room for, but not such a peer. */
TEST_THAT(who_was_turned_away_for_nonsense_is_not_tried_again)
{
    static const int types[][2] = {{SHM_PAIR, SHM_PAIR}, {SHM_ROUTER, SHM_DEALER}, {SHM_PULL, SHM_PUSH}};

    leave_files();
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        int type = types[i][1];
        struct child child = child_start(connect_and_wait, &type);
        char got[64];

        CHECK_INT(child_hear(&child), 1);
        do_damage(&damages[3]);
        shm_socket_t *bound = socket_new(types[i][0]), *honest = socket_new(types[i][1]);
        CHECK_OK(shm_bind(bound, "it"));
        for (int k = 0; k < 20; k++) /* another peer comes and goes, so that it looks */
            for (int up = 1; up >= 0; up--) {
                CHECK_OK((up ? shm_connect : shm_disconnect)(honest, "it"));
                CHECK_INT(shm_recv(bound, got, sizeof got, SHM_DONTWAIT), -1);
            }
        CHECK_INT(get_stats(bound).protocol_errors, 1);
        child_kill(&child);
        CLOSE_ALL(honest, bound);
        remove_files();
    }
}

TEST_THAT(an_endpoint_of_another_version_is_refused)
{
    const struct damage version = {"", ".ep", -1, 8, 4, 3, true};
    struct child child = child_start(be_bound, NULL);
    shm_socket_t *push = socket_new(SHM_PUSH), *pull = socket_new(SHM_PULL);

    leave_files(); /* of the one that is killed */
    CHECK_INT(child_hear(&child), 1);
    do_damage(&version);
    CHECK_ERR(shm_connect(push, "it"), ENOCOMPATPROTO);
    CHECK_ERR(shm_bind(pull, "it"), ENOCOMPATPROTO);
    child_kill(&child);
    CLOSE_ALL(push, pull);
}
