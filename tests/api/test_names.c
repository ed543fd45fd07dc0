/* SPDX-License-Identifier: MIT */
/* Names of endpoints, and the directory they live in. */
#include "support/ends.h"

#include <fcntl.h>
#include <sys/stat.h>

static void check_transfer(const char *bound, const char *connected)
{
    shm_socket_t *pull = socket_new(SHM_PULL), *push = socket_new(SHM_PUSH);
    char got[8];

    CHECK_OK(shm_bind(pull, bound));
    CHECK_OK(shm_connect(push, connected));
    CHECK_INT(shm_send(push, "hello", 5, 0), 5);
    CHECK_INT(shm_recv(pull, got, sizeof got, 0), 5);
    CLOSE_ALL(push, pull);
}

/* A name of LENGTH bytes. */
static const char *long_name(size_t length, char byte)
{
    static char name[512];

    memset(name, byte, length);
    name[length] = '\0';
    return name;
}

/* ---- Names that are refused ---- */

TEST_THAT(bad_names_are_refused_by_every_call)
{
    static const struct {
        const char *name;
        int errnum;
    } cases[] = {
        {"", EINVAL},
        {"shm://", EINVAL},
        {"tcp://127.0.0.1:5555", EPROTONOSUPPORT},
        {"ipc:///tmp/it", EPROTONOSUPPORT},
        {"inproc://it", EPROTONOSUPPORT},
        {"SHM://it", EPROTONOSUPPORT},
    };
    shm_socket_t *socket = socket_new(SHM_DEALER);

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CHECK_ERR(shm_bind(socket, cases[i].name), cases[i].errnum);
        CHECK_ERR(shm_connect(socket, cases[i].name), cases[i].errnum);
        CHECK_ERR(shm_unbind(socket, cases[i].name), cases[i].errnum);
        CHECK_ERR(shm_disconnect(socket, cases[i].name), cases[i].errnum);
    }
    CHECK_OK(shm_close(socket));
}

TEST_THAT(names_of_more_than_200_bytes_are_too_long)
{
    shm_socket_t *socket = socket_new(SHM_DEALER);
    char with_scheme[512] = "shm://";

    CHECK_ERR(shm_bind(socket, long_name(201, 'x')), ENAMETOOLONG);
    CHECK_ERR(shm_connect(socket, long_name(201, '/')), ENAMETOOLONG);
    CHECK_ERR(shm_connect(socket, long_name(500, 'x')), ENAMETOOLONG);
    strcat(with_scheme, long_name(201, 'x'));
    CHECK_ERR(shm_bind(socket, with_scheme), ENAMETOOLONG);
    CHECK_OK(shm_close(socket));
}

/* ---- Names that work ---- */

TEST_THAT(every_other_name_works)
{
    static const char *const names[] = {
        "x",
        "robot/pose",
        "/",
        "//",
        "/abs",
        "a/",
        "a//b",
        ".",
        "..",
        "../up",
        "a/../b",
        "./a",
        "r\xc3\xb6"
        "bot/gr\xc3\xbc\xc3\x9f"
        "e",
        "\xe6\x97\xa5\xe6\x9c\xac",
        "with space",
        "tab\there",
        "new\nline",
        "%2f",
        "a%00b",
        "*",
        "a:b",
        "a://",
        "\x01\x02\x7f",
        "\xff\xfe",
        "-",
        "~",
        "shm:/",
        "shm:x",
        ".hidden",
    };

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char with_scheme[512] = "shm://";

        strcat(with_scheme, names[i]);
        if (!strstr(names[i], "://")) {
            check_transfer(names[i], names[i]);
            check_transfer(with_scheme, names[i]);
            check_transfer(names[i], with_scheme);
        }
        check_transfer(with_scheme, with_scheme);
        CHECK_INT(count_files(test_dir()), 0);
    }
}

TEST_THAT(names_of_200_bytes_work_whatever_they_are_made_of)
{
    check_transfer(long_name(200, 'x'), long_name(200, 'x'));
    check_transfer(long_name(200, '/'), long_name(200, '/'));
    check_transfer(long_name(200, '%'), long_name(200, '%'));
    check_transfer(long_name(200, '.'), long_name(200, '.'));
    check_transfer(long_name(200, '\xff'), long_name(200, '\xff'));
}

/* Different names are different endpoints, whatever file names they map to. */
TEST_THAT(similar_names_are_different_endpoints)
{
    static const char *const names[] = {
        "a/b",  "a_b",  "a%2Fb", "a%2fb", "a%252fb", "a-b", "a.b", "a\\b", "a//b",
        "a/b/", "/a/b", "a",     "A",     "a ",      "a/",  "%61", "a%",
    };
    shm_socket_t *sockets[COUNT_OF(names)];

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        sockets[i] = socket_new(SHM_PULL);
        CHECK_OK(shm_bind(sockets[i], names[i]));
    }
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        shm_socket_t *push = socket_new(SHM_PUSH);
        char got[16];

        CHECK_OK(shm_connect(push, names[i]));
        CHECK_INT(shm_send(push, names[i], strlen(names[i]), 0), strlen(names[i]));
        for (size_t k = 0; k < COUNT_OF(names); k++)
            if (k != i)
                CHECK_ERR(shm_recv(sockets[k], got, sizeof got, SHM_DONTWAIT), EAGAIN);
        CHECK_INT(shm_recv(sockets[i], got, sizeof got, 0), strlen(names[i]));
        CHECK_MEM(got, strlen(names[i]), names[i], strlen(names[i]));
        CHECK_OK(shm_close(push));
    }
    for (size_t i = 0; i < COUNT_OF(names); i++)
        CHECK_OK(shm_close(sockets[i]));
}

TEST_THAT(the_last_endpoint_can_be_asked_for)
{
    shm_socket_t *socket = socket_new(SHM_DEALER), *peer;
    char name[300];
    size_t size = sizeof name;

    CHECK_OK(shm_getsockopt(socket, SHM_LAST_ENDPOINT, name, &size));
    CHECK_MEM(name, size, "", 1);
    CHECK_OK(shm_bind(socket, "robot/pose"));
    size = sizeof name;
    CHECK_OK(shm_getsockopt(socket, SHM_LAST_ENDPOINT, name, &size));
    CHECK_INT(size, strlen(name) + 1);
    CHECK(strstr(name, "robot/pose") != NULL);
    size = 5;
    CHECK_ERR(shm_getsockopt(socket, SHM_LAST_ENDPOINT, name, &size), EINVAL);
    peer = socket_new(SHM_DEALER);
    CHECK_OK(shm_connect(peer, name)); /* it is a name that can be used */
    join(socket, peer);
    CHECK_OK(shm_connect(socket, "shm://elsewhere"));
    size = sizeof name;
    CHECK_OK(shm_getsockopt(socket, SHM_LAST_ENDPOINT, name, &size));
    CHECK(strstr(name, "elsewhere") != NULL);
    CLOSE_ALL(peer, socket);
}

/* ---- Directories ---- */

static void use_another_directory(struct child *up, void *argument)
{
    shm_socket_t *pull;
    char got[8];

    CHECK_OK(setenv("SHMQ_DIR", argument, 1));
    pull = socket_bound(SHM_PULL);
    child_say(up, 1);
    child_hear(up);
    CHECK_ERR(shm_recv(pull, got, sizeof got, SHM_DONTWAIT), EAGAIN);
    CHECK_OK(shm_close(pull));
}

TEST_THAT(two_directories_do_not_see_each_other)
{
    char other[128];
    struct child child;
    shm_socket_t *pull = socket_new(SHM_PULL), *push = socket_new(SHM_PUSH);
    char got[8];

    snprintf(other, sizeof other, "%s/other", test_dir());
    CHECK_OK(mkdir(other, 0700));
    CHECK_OK(shm_bind(pull, "it"));
    child = child_start(use_another_directory, other);
    CHECK_INT(child_hear(&child), 1);
    CHECK_OK(shm_connect(push, "it"));
    CHECK_INT(shm_send(push, "hello", 5, 0), 5);
    CHECK_INT(shm_recv(pull, got, sizeof got, 0), 5);
    CHECK_INT(get_stats(push).peers, 1);
    child_end(&child);
    CHECK_INT(count_files(other), 0);
    CHECK_OK(rmdir(other));
    CLOSE_ALL(push, pull);
}

TEST_THAT(a_missing_directory_is_made_for_its_user_only)
{
    char made[128];
    struct stat status;
    shm_socket_t *socket;

    snprintf(made, sizeof made, "%s/made", test_dir());
    CHECK_OK(setenv("SHMQ_DIR", made, 1));
    umask(0);
    socket = socket_bound(SHM_PUSH);
    CHECK_OK(stat(made, &status));
    CHECK(S_ISDIR(status.st_mode));
    CHECK_INT(status.st_mode & 07777, 0700);
    CHECK_INT(status.st_uid, geteuid());
    CHECK_OK(shm_close(socket));
    CHECK_INT(count_files(made), 0);
    if (access(made, F_OK) == 0)
        CHECK_OK(rmdir(made));
}

TEST_THAT(files_are_for_their_user_only)
{
    shm_socket_t *push = socket_new(SHM_PUSH), *pull = socket_new(SHM_PULL);
    char command[256];

    umask(0);
    pair_up(push, pull);
    CHECK(count_files(test_dir()) > 0);
    snprintf(command, sizeof command, "test -z \"$(find %s -mindepth 1 -perm /077)\"", test_dir());
    CHECK_INT(system(command), 0);
    CLOSE_ALL(push, pull);
}
