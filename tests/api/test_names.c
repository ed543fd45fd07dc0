/* SPDX-License-Identifier: MIT */
/* Names of endpoints, and the directory they live in. */
#include "support/short.h"

#include <fcntl.h>
#include <sys/stat.h>

static void check_transfer(const char *bound, const char *connected)
{
    shm_socket_t *pull = socket_new(SHM_PULL);

    CHECK_OK(shm_bind(pull, bound));
    shm_socket_t *push = socket_connected_to(SHM_PUSH, connected);
    pass_text(push, pull, "hello");
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
    static const char names[] = /* one behind the other */
        "x\0robot/pose\0/\0//\0/abs\0a/\0a//b\0.\0..\0../up\0a/../b\0./a\0.hidden\0with space\0tab\there\0new\nline\0"
        "r\303\266bot/gr\303\274\303\237e\0\xe6\x97\xa5\xe6\x9c\xac\0\x01\x02\x7f\0\xff\xfe\0%2f\0a%00b\0*\0a:b\0a://\0"
        "-\0~\0shm:/\0shm:x\0";

    for (const char *name = names; *name; name += strlen(name) + 1) {
        char with_scheme[512] = "shm://";

        strcat(with_scheme, name);
        if (!strstr(name, "://")) {
            check_transfer(name, name);
            check_transfer(with_scheme, name);
            check_transfer(name, with_scheme);
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
        shm_socket_t *push = socket_connected_to(SHM_PUSH, names[i]);

        send_text(push, names[i]);
        for (size_t k = 0; k < COUNT_OF(names); k++)
            if (k != i)
                expect_nothing(sockets[k]);
        expect_text(sockets[i], names[i]);
        CHECK_OK(shm_close(push));
    }
    CLOSE_EACH(sockets);
}

static void check_last_endpoint(shm_socket_t *socket, char name[300], const char *part)
{
    size_t size = 300;

    CHECK_OK(shm_getsockopt(socket, SHM_LAST_ENDPOINT, name, &size));
    CHECK_INT(size, strlen(name) + 1);
    CHECK(strstr(name, part) != NULL);
}

TEST_THAT(the_last_endpoint_can_be_asked_for)
{
    shm_socket_t *socket = socket_new(SHM_DEALER), *peer;
    char name[300];
    size_t size = 5;

    check_last_endpoint(socket, name, "");
    CHECK_INT(name[0], 0);
    CHECK_OK(shm_bind(socket, "robot/pose"));
    check_last_endpoint(socket, name, "robot/pose");
    CHECK_ERR(shm_getsockopt(socket, SHM_LAST_ENDPOINT, name, &size), EINVAL);
    peer = socket_connected_to(SHM_DEALER, name); /* it is a name that can be used */
    join(socket, peer);
    CHECK_OK(shm_connect(socket, "shm://elsewhere"));
    check_last_endpoint(socket, name, "elsewhere");
    CLOSE_ALL(peer, socket);
}

/* ---- Directories ---- */

static void use_another_directory(struct child *up, void *argument)
{
    CHECK_OK(setenv("SHMQ_DIR", argument, 1));
    shm_socket_t *pull = socket_bound(SHM_PULL);
    child_stay(up, 1);
    expect_nothing(pull);
    CHECK_OK(shm_close(pull));
}

TEST_THAT(two_directories_do_not_see_each_other)
{
    char other[128];
    shm_socket_t *pull = socket_new(SHM_PULL), *push = socket_new(SHM_PUSH);

    snprintf(other, sizeof other, "%s/other", test_dir());
    CHECK_OK(mkdir(other, 0700));
    CHECK_OK(shm_bind(pull, "it"));
    struct child child = child_start_until(1, use_another_directory, other);
    CHECK_OK(shm_connect(push, "it"));
    pass_text(push, pull, "hello");
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

    snprintf(made, sizeof made, "%s/made", test_dir());
    CHECK_OK(setenv("SHMQ_DIR", made, 1));
    umask(0);
    shm_socket_t *socket = socket_bound(SHM_PUSH);
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
