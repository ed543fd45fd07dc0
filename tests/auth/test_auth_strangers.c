/* SPDX-License-Identifier: MIT */
/* SHM_AUTH_KEY and SHM_AUTH_SEAL for every pattern: strangers, peers that come back, and what is visible from
 * outside. */
#include "support/keys.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

/* ---- Strangers ---- */

static void end_open_with(struct end *end, const struct pipe *pipe, bool left, unsigned key, int seal)
{
    end_open(end, pipe, left);
    set_key(end->socket, key);
    set_int(end->socket, SHM_AUTH_SEAL, seal);
}

static void expect_bad_message(struct end *end)
{
    CHECK_ERR(recv_byte(end->socket, SHM_DONTWAIT), EBADMSG);
}

static void expect_refusal(struct end *end)
{
    shm_stats_t stats = get_stats(end->socket);

    CHECK_INT(stats.auth_failed, 1);
    CHECK_INT(stats.peers, 0);
    if (end->type != SHM_PUB && end->type != SHM_PUSH) {
        expect_bad_message(end);
        CHECK_ERR(recv_byte(end->socket, SHM_DONTWAIT), end->type == SHM_REQ ? EFSM : EAGAIN);
    }
}

static void meet_as_strangers(const struct pipe *pipe, unsigned left_key, unsigned right_key, int left_seal,
                              int right_seal, bool send_first)
{
    struct end left, right;
    bool right_comes_first = send_first && !pipe->right_binds;

    end_open_with(&left, pipe, true, left_key, left_seal);
    end_open_with(&right, pipe, false, right_key, right_seal);
    end_attach(right_comes_first ? &right : &left, pipe, "it");
    if (send_first) /* it may find no peer, or queue up */
        end_send(&left, "not for you", 11, SHM_DONTWAIT);
    end_attach(right_comes_first ? &left : &right, pipe, "it");
    await_events(left.socket, SHM_EVENT_UNTRUSTED, right.socket, SHM_EVENT_UNTRUSTED);
    end_send(&left, "not for you", 11, SHM_DONTWAIT);
    expect_refusal(&right);
    if (left.type == SHM_REQ)
        expect_bad_message(&left);
    else
        expect_refusal(&left);
    set_int(right.socket, SHM_RCVTIMEO, 120); /* long enough to look at the peers */
    CHECK_ERR(recv_byte(right.socket, 0), EAGAIN);
    CHECK_INT(get_stats(right.socket).received, 0);
    CHECK_INT(get_stats(right.socket).auth_failed, 1);
    CHECK_INT(get_stats(left.socket).auth_failed, 1);
    pipe_close(&left, &right);
}

TEST_EACH_PIPE(another_key_is_refused_on_both_sides, pipe)
{
    meet_as_strangers(pipe, 1, 2, 0, 0, false);
    meet_as_strangers(pipe, 1, 2, 1, 1, true);
}

TEST_EACH_PIPE(a_peer_without_a_key_is_refused_on_both_sides, pipe)
{
    shm_socket_t *socket = socket_new(SHM_PAIR);

    set_key(socket, 1); /* skips */
    CHECK_OK(shm_close(socket));
    meet_as_strangers(pipe, 1, 0, 0, 0, false);
    meet_as_strangers(pipe, 0, 1, 0, 0, true);
}

TEST_EACH_PIPE(a_peer_that_does_not_seal_is_refused_on_both_sides, pipe)
{
    meet_as_strangers(pipe, 1, 1, 0, 1, false);
    meet_as_strangers(pipe, 1, 1, 1, 0, true);
}

/* A friend that comes after a stranger is served. */
TEST_EACH_PIPE(strangers_do_not_keep_friends_away, pipe)
{
    struct end left, right, stranger;
    struct end *binder = binder_of(pipe, &left, &right);

    end_open_with(&left, pipe, true, 1, 0);
    end_open_with(&right, pipe, false, 1, 0);
    end_open_with(&stranger, pipe, pipe->right_binds, 2, 0);
    end_attach(binder, pipe, "it");
    end_attach(&stranger, pipe, "it");
    await_events(stranger.socket, SHM_EVENT_UNTRUSTED, binder->socket, SHM_EVENT_UNTRUSTED);
    end_attach(connector_of(pipe, &left, &right), pipe, "it");
    if (left.type != SHM_PUB && left.type != SHM_PUSH && !pipe->right_binds)
        expect_bad_message(&left);
    pipe_meet(&left, &right);
    if (pipe->right_binds)
        expect_bad_message(&right);
    pipe_transfer(&left, &right, "welcome");
    end_close(&stranger);
    pipe_transfer(&left, &right, "still welcome");
    pipe_close(&left, &right);
}

/* A stranger waits at the name. What the binder sends before it recognizes it does not reach it. */
TEST_EACH_PIPE(a_peer_that_has_proven_nothing_is_sent_nothing, pipe)
{
    struct end left, right, friend;

    if (pipe->right_binds || pair_fans_out(pipe->pair))
        return;
    end_open_with(&left, pipe, true, 1, 0);
    end_open_with(&right, pipe, false, 2, 0);
    end_open_with(&friend, pipe, false, 1, 0);
    end_attach(&right, pipe, "it");
    end_attach(&left, pipe, "it");
    CHECK(end_send(&left, "too early", 9, SHM_DONTWAIT) < 0);
    CHECK_INT(get_stats(left.socket).peers, 0);
    await_events(left.socket, SHM_EVENT_UNTRUSTED, right.socket, SHM_EVENT_UNTRUSTED);
    CHECK(end_send(&left, "too early", 9, SHM_DONTWAIT) < 0);
    end_attach(&friend, pipe, "it");
    if (left.type != SHM_PUSH)
        expect_bad_message(&left);
    pipe_meet(&left, &friend);
    pipe_transfer(&left, &friend, "this is for you");
    CHECK_INT(get_stats(right.socket).received, 0);
    pipe_close(&left, &right);
    end_close(&friend);
}

/* ---- Restarts ---- */

TEST_EACH_PIPE(either_side_may_come_back, pipe)
{
    struct end left, right;

    for (unsigned round = 0; round < 6; round++) {
        if (round == 0 || round % 2 == 1) {
            end_open_with(&left, pipe, true, 1, 1);
            end_attach(&left, pipe, "it");
        }
        if (round % 2 == 0) {
            end_open_with(&right, pipe, false, 1, 1);
            end_attach(&right, pipe, "it");
        }
        pipe_meet(&left, &right);
        for (unsigned i = 0; i < 3; i++)
            pipe_transfer(&left, &right, "again and again");
        CHECK_INT(get_stats(left.socket).auth_failed + get_stats(right.socket).auth_failed, 0);
        if (round < 5)
            end_close(round % 2 == 0 ? &left : &right);
    }
    pipe_close(&left, &right);
}

/* ---- What is seen from outside ---- */

static bool file_has(const char *path, const void *what, size_t size)
{
    struct stat status;
    int fd = (int)CHECK_OK(open(path, O_RDONLY | O_CLOEXEC));

    CHECK_OK(fstat(fd, &status));
    if (!S_ISREG(status.st_mode)) {
        close(fd);
        return false;
    }
    char *bytes = CHECK_PTR(malloc((size_t)status.st_size + 1));
    CHECK_INT(read(fd, bytes, (size_t)status.st_size), status.st_size);
    bool has = memmem(bytes, (size_t)status.st_size, what, size) != NULL;
    free(bytes);
    close(fd);
    return has;
}

static bool any_file_has(const char *text)
{
    DIR *directory = CHECK_PTR(opendir(test_dir()));
    struct dirent *entry;
    char path[400];
    bool has = false;

    while ((entry = readdir(directory)))
        if (entry->d_name[0] != '.' && !strstr(entry->d_name, ".fifo")) {
            snprintf(path, sizeof path, "%s/%s", test_dir(), entry->d_name);
            has = has || file_has(path, text, strlen(text));
        }
    closedir(directory);
    return has;
}

static const char secret[] = "the code of the safe is 4711-0815";

/* In a slot, in a block, in parts, from a loan. */
static void send_secrets(struct end *left, struct end *right)
{
    static const size_t sizes[] = {sizeof secret, 1000, 20000};
    char *bytes = CHECK_PTR(calloc(1, 20000)), *got = CHECK_PTR(malloc(20000));
    shm_msg_t msg;

    memcpy(bytes, secret, sizeof secret);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        CHECK_INT(end_send(left, bytes, sizes[i], SHM_SNDMORE), sizes[i]);
        CHECK_INT(end_send(left, bytes, sizes[i], 0), sizes[i]);
        CHECK_INT(end_recv(right, got, sizes[i], 0), sizes[i]);
        CHECK_MEM(got, sizes[i], bytes, sizes[i]);
        CHECK_INT(shm_recv(right->socket, got, sizes[i], 0), sizes[i]);
        CHECK_MEM(got, sizes[i], bytes, sizes[i]);
        pipe_turn(left, right);
        CHECK_OK(shm_msg_loan(&msg, left->socket, sizes[i]));
        memcpy(shm_msg_data(&msg), bytes, sizes[i]);
        CHECK_INT(end_msg_send(left, &msg, 0), sizes[i]);
        CHECK_OK(end_msg_recv(right, &msg, 0));
        CHECK_MEM(shm_msg_data(&msg), shm_msg_size(&msg), bytes, sizes[i]);
        CHECK_OK(shm_msg_close(&msg));
        pipe_turn(left, right);
    }
    free(bytes);
    free(got);
}

TEST_EACH_PIPE(sealed_messages_are_nowhere_to_be_read, pipe)
{
    for (int seal = 0; seal < 2; seal++) {
        struct end left, right;

        end_open_with(&left, pipe, true, 1, seal);
        end_open_with(&right, pipe, false, 1, seal);
        pipe_attach(&left, &right, pipe);
        send_secrets(&left, &right);
        CHECK_INT(any_file_has(secret), !seal);
        pipe_close(&left, &right);
    }
}
