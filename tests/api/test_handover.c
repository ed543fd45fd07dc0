/* SPDX-License-Identifier: MIT */
/* Sockets without a directory (SHM_MEMFD), joined by descriptors that are sent over a Unix socket. */
#include "support/short.h"
#include "support/line.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* The two ends of one line. */
static int ends[2];

/* Without a runtime directory; as root also as different users in different namespaces. */
static void live_apart(uid_t uid)
{
    setenv("SHMQ_DIR", "/nowhere/at/all", 1);
    if (geteuid() != 0)
        return;
    CHECK_OK(unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUTS));
    CHECK_OK(setgroups(0, NULL));
    CHECK_OK(setresgid(uid, uid, uid));
    CHECK_OK(setresuid(uid, uid, uid));
}

static void end_hand_over(struct end *end, const struct pipe *pipe, bool left)
{
    const struct pair *pair = pipe->pair;

    end_setup(end, pipe, left, memfd_socket(left ? pair->left : pair->right));
    if (end->type == SHM_PUB)
        set_int(end->socket, SHM_LOSSLESS, 1);
    CHECK_OK(shm_handover(end->socket, ends[left], 5000));
}

/* ---- Every pattern ---- */

static void be_left(struct child *up, void *argument)
{
    struct end end;

    live_apart(61001);
    end_hand_over(&end, argument, true);
    end_await(&end);
    end_send_traffic(&end);
    child_stay(up, 0);
    end_close(&end);
}

static void be_right(struct child *up, void *argument)
{
    struct end end;

    live_apart(61002);
    end_hand_over(&end, argument, false);
    end_receive_traffic(&end);
    child_stay(up, 0);
    end_close(&end);
}

TEST_EACH_PIPE(both_ends_meet_without_a_directory, pipe)
{
    CHECK_OK(line_make(ends));
    struct child left = pipe_child(pipe, be_left), right = pipe_child(pipe, be_right);
    child_hear(&right);
    child_hear(&left);
    child_end(&right);
    child_end(&left);
    line_drop(ends);
}

/* A child of which SOCKET is the peer. */
static struct child start_and_join(shm_socket_t *socket, void (*function)(struct child *up, void *argument))
{
    CHECK_OK(line_make(ends));
    struct child child = child_start(function, NULL);
    CHECK_OK(shm_handover(socket, ends[0], 5000));
    return child;
}

/* ---- One lives on, others come and go ---- */

static void come_and_stay(struct child *up, void *argument)
{
    shm_socket_t *pull = memfd_socket(SHM_PULL);

    CHECK_OK(shm_handover(pull, ends[1], 5000));
    expect_text(pull, "text");
    child_stay(up, 0);
    CHECK_OK(shm_close(pull));
}

TEST_THAT(who_has_gone_leaves_nothing_behind)
{
    shm_socket_t *push = memfd_socket(SHM_PUSH);
    unsigned before = 0;

    for (int i = 0; i < 40; i++) {
        bool by_kill = i % 2;
        struct child child = start_and_join(push, come_and_stay);

        send_text(push, "text");
        child_hear(&child);
        child_leave(&child, by_kill);
        await_event(push, by_kill ? SHM_EVENT_DIED : SHM_EVENT_LEFT);
        line_drop(ends);
        while (get_stats(push).peers > 0)
            CHECK_OK(shm_poll(&(shm_pollitem_t){push, -1, 0, 0}, 1, 1));
        if (i == 3)
            before = count_files("/proc/self/fd");
    }
    CHECK_OK(shm_poll(&(shm_pollitem_t){push, -1, 0, 0}, 1, 150));
    CHECK(count_files("/proc/self/fd") <= before);
    CHECK_OK(shm_close(push));
}

/* ---- SHM_FD ---- */

static void be_a_sender_after_a_while(struct child *up, void *argument)
{
    shm_socket_t *pair = memfd_socket(SHM_PAIR);
    struct rlimit limit;

    CHECK_OK(shm_handover(pair, ends[1], 5000));
    await_event(pair, SHM_EVENT_CONNECTED);
    child_hear(up);
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, limit.rlim_max})); /* to wake takes none */
    CHECK_OK(shm_send(pair, "text", 4, 0));
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
    child_hear(up);
    _exit(1); /* a death */
}

static void await_readable(int fd)
{
    struct pollfd item = {fd, POLLIN, 0};

    CHECK_INT(poll(&item, 1, 5000), 1);
}

TEST_THAT(a_descriptor_tells_of_messages_and_deaths)
{
    shm_socket_t *pair = memfd_socket(SHM_PAIR);
    struct child child = start_and_join(pair, be_a_sender_after_a_while);
    int fd = get_int(pair, SHM_FD);
    await_event(pair, SHM_EVENT_CONNECTED);
    child_say(&child, 0);
    while (recv_byte(pair, SHM_DONTWAIT) < 0) {
        CHECK_INT(errno, EAGAIN);
        await_readable(fd);
    }
    child_say(&child, 0);
    CHECK_OK(waitid(P_PID, (id_t)child.pid, &(siginfo_t){0}, WEXITED | WNOWAIT));
    while (recv_byte(pair, SHM_DONTWAIT) < 0 && errno == EAGAIN)
        await_readable(fd);
    CHECK_INT(waitpid(child.pid, NULL, 0), child.pid);
    close(child.fd);
    line_drop(ends);
    CHECK_OK(shm_close(pair));
}

/* A signal ends it, like every call that waits; it can be repeated over another line. */
TEST_THAT(a_signal_ends_the_wait)
{
    shm_socket_t *pair = memfd_socket(SHM_PAIR);

    CHECK_OK(line_make(ends));
    CHECK_INTERRUPTED(shm_handover(pair, ends[0], -1));
    line_drop(ends);
    struct child child = start_and_join(pair, be_a_sender_after_a_while);
    child_kill(&child);
    line_drop(ends);
    CHECK_OK(shm_close(pair));
}

TEST_THAT(misuse_is_an_error)
{
    shm_socket_t *handed = memfd_socket(SHM_PAIR), *named = socket_new(SHM_PAIR);
    int null = (int)CHECK_OK(open("/dev/null", O_RDWR | O_CLOEXEC));
    int net = (int)CHECK_OK(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

    CHECK_OK(line_make(ends));
    CHECK_ERR(shm_bind(handed, "it"), ENOTSUP);
    CHECK_ERR(shm_connect(handed, "it"), ENOTSUP);
    CHECK_ERR(shm_handover(named, ends[0], 0), EINVAL);
    CHECK_ERR(shm_handover(handed, null, 0), ENOTSOCK);
    CHECK_ERR(shm_handover(handed, net, 0), EINVAL);
    CHECK_ERR(shm_handover(handed, -1, 0), EBADF);
    CHECK_ERR(shm_handover(NULL, ends[0], 0), EINVAL);
    CHECK_NULL(shm_socket(77 | SHM_MEMFD), EINVAL);
    close(ends[1]);
    CHECK_ERR(shm_handover(handed, ends[0], 1000), EPIPE);
    close(ends[0]);
    CHECK_INT(get_int(handed, SHM_TYPE), SHM_PAIR);
    close(null);
    close(net);
    CLOSE_ALL(named, handed);
}

static bool child_can_only_close(shm_socket_t *socket)
{
    return shm_handover(socket, 0, 0) < 0 && errno == EFORKED && shm_close(socket) == 0;
}

static void check_ends_well(pid_t pid)
{
    int status;

    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
}

TEST_THAT(a_child_closes_only_its_copy)
{
    shm_socket_t *pair = memfd_socket(SHM_PAIR);
    pid_t pid = (pid_t)CHECK_OK(fork());

    if (pid == 0)
        _exit(child_can_only_close(pair) ? 0 : 1);
    check_ends_well(pid);
    CHECK_OK(shm_close(pair));
}

static _Atomic bool stop;

static void *open_and_close(void *argument)
{
    while (!stop)
        CHECK_OK(shm_close(memfd_socket(SHM_PAIR)));
    return NULL;
}

/* What another thread was doing at the fork stays half done in the child for ever. */
TEST_THAT(a_child_of_many_threads_closes_and_opens)
{
    shm_socket_t *pair = memfd_socket(SHM_PAIR);
    pthread_t threads[2];

    if (test_is_slow_build())
        skip_test("a sanitizer's own locks are not for children of threads");
    for (unsigned i = 0; i < COUNT_OF(threads); i++)
        CHECK_INT(pthread_create(&threads[i], NULL, open_and_close, NULL), 0);
    for (int i = 0; i < 300; i++) {
        pid_t pid = (pid_t)CHECK_OK(fork());

        if (pid == 0) {
            alarm(10); /* ends the child should it wait for a lock that nobody will release */
            bool ok = child_can_only_close(pair);
            shm_socket_t *own = shm_socket(SHM_PAIR | SHM_MEMFD), *named = shm_socket(SHM_PAIR);
            _exit(ok && own && named && shm_close(own) == 0 && shm_close(named) == 0 ? 0 : 1);
        }
        check_ends_well(pid);
    }
    stop = true;
    for (unsigned i = 0; i < COUNT_OF(threads); i++)
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    CHECK_OK(shm_close(pair));
}

static void be_a_pair(struct child *up, void *argument)
{
    shm_socket_t *pair = memfd_socket(SHM_PAIR);

    CHECK_OK(shm_handover(pair, ends[1], 5000));
    await_event(pair, SHM_EVENT_CONNECTED);
    child_say(up, 0);
    CHECK_ERR(shm_handover(pair, ends[1], 5000), EISCONN);
    await_event(pair, SHM_EVENT_LEFT);
    CHECK_OK(shm_close(pair));
}

TEST_THAT(joined_once_and_left_by_name)
{
    shm_socket_t *pair = memfd_socket(SHM_PAIR);
    char name[256];
    size_t size = sizeof name;

    struct child child = start_and_join(pair, be_a_pair);
    await_event(pair, SHM_EVENT_CONNECTED);
    child_hear(&child);
    CHECK_ERR(shm_handover(pair, ends[0], 5000), EISCONN);
    CHECK_OK(shm_getsockopt(pair, SHM_LAST_ENDPOINT, name, &size));
    CHECK_OK(shm_disconnect(pair, name));
    CHECK_ERR(shm_disconnect(pair, name), ENOENT);
    child_wait(&child);
    line_drop(ends);
    CHECK_OK(shm_close(pair));
}
