/* SPDX-License-Identifier: MIT */
/* Sockets without a directory (SHM_MEMFD), joined by descriptors that are sent over a Unix socket. */
#include "support/ends.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

enum { MESSAGES = 200, SIZE = 20000 };

/* Ends of one Unix socket, for the two who join. */
static int ends[2];

static void make_line(void)
{
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
}

static void drop_line(void)
{
    close(ends[0]);
    close(ends[1]);
}

/* No directory for anybody, and as root another user and other namespaces for each. */
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

    end_setup(end, pipe, left, CHECK_PTR(shm_socket((left ? pair->left : pair->right) | SHM_MEMFD)));
    set_int(end->socket, SHM_LINGER, 0);
    if (end->type == SHM_PUB)
        set_int(end->socket, SHM_LOSSLESS, 1);
    CHECK_OK(shm_handover(end->socket, ends[left], 5000));
}

/* ---- Every pattern ---- */

static size_t size_of(unsigned i)
{
    return i == 77 ? 3 << 20 : i % 2 ? 64 : SIZE;
}

static void be_left(struct child *up, void *argument)
{
    unsigned char *bytes = CHECK_PTR(malloc(3 << 20));
    struct end end;

    live_apart(61001);
    end_hand_over(&end, argument, true);
    end_await(&end);
    for (unsigned i = 0; i < MESSAGES; i++) {
        pattern_fill(bytes, size_of(i), i);
        CHECK_OK(end_send(&end, bytes, size_of(i), 0));
        end_take_turn(&end);
    }
    child_say(up, 0);
    child_hear(up);
    end_close(&end);
    free(bytes);
}

static void be_right(struct child *up, void *argument)
{
    unsigned char *bytes = CHECK_PTR(malloc(3 << 20));
    struct end end;

    live_apart(61002);
    end_hand_over(&end, argument, false);
    for (unsigned i = 0; i < MESSAGES; i++) {
        CHECK_INT(end_recv(&end, bytes, 3 << 20, 0), size_of(i));
        pattern_check(bytes, size_of(i), i);
        end_give_turn(&end);
    }
    child_say(up, 0);
    child_hear(up);
    end_close(&end);
    free(bytes);
}

TEST_EACH_PIPE(both_ends_meet_without_a_directory, pipe)
{
    struct child left, right;

    make_line();
    left = child_start(be_left, (void *)(uintptr_t)pipe);
    right = child_start(be_right, (void *)(uintptr_t)pipe);
    child_hear(&right);
    child_hear(&left);
    child_say(&right, 0);
    child_say(&left, 0);
    child_wait(&right);
    child_wait(&left);
    drop_line();
}

/* ---- One lives on, others come and go ---- */

static unsigned count_open(void)
{
    return count_files("/proc/self/fd");
}

static void come_and_stay(struct child *up, void *argument)
{
    shm_socket_t *pull = CHECK_PTR(shm_socket(SHM_PULL | SHM_MEMFD));
    char text[8];

    CHECK_OK(shm_handover(pull, ends[1], 5000));
    CHECK_INT(shm_recv(pull, text, sizeof text, 0), 4);
    child_say(up, 0);
    child_hear(up);
    CHECK_OK(shm_close(pull));
}

TEST_THAT(who_has_gone_leaves_nothing_behind)
{
    shm_socket_t *push = CHECK_PTR(shm_socket(SHM_PUSH | SHM_MEMFD));
    unsigned before = 0;

    set_int(push, SHM_LINGER, 0);
    for (int i = 0; i < 40; i++) {
        make_line();
        struct child child = child_start(come_and_stay, NULL);

        CHECK_OK(shm_handover(push, ends[0], 5000));
        CHECK_OK(shm_send(push, "text", 4, 0));
        child_hear(&child);
        if (i % 2) {
            child_kill(&child);
            await_event(push, SHM_EVENT_DIED);
        } else {
            child_say(&child, 0);
            child_wait(&child);
            await_event(push, SHM_EVENT_LEFT);
        }
        drop_line();
        while (get_stats(push).peers > 0)
            CHECK_OK(shm_poll(&(shm_pollitem_t){push, -1, 0, 0}, 1, 1));
        if (i == 3)
            before = count_open();
    }
    CHECK_OK(shm_poll(&(shm_pollitem_t){push, -1, 0, 0}, 1, 150));
    CHECK(count_open() <= before);
    CHECK_OK(shm_close(push));
}

static void join_and_wait(struct child *up, void *argument)
{
    shm_socket_t *pair = CHECK_PTR(shm_socket(SHM_PAIR | SHM_MEMFD));

    child_say(up, 0);
    child_hear(up);
    if (shm_handover(pair, ends[1], 5000) == 0)
        child_say(up, 0);
    pass_ms(5000);
}

/* Killed anywhere in the joining: the other side knows by its Unix socket, or by the death. */
TEST_THAT(who_is_killed_while_joining_leaves_nothing_behind)
{
    shm_socket_t *pair = CHECK_PTR(shm_socket(SHM_PAIR | SHM_MEMFD));
    uint64_t random = test_seed();
    unsigned before = 0, enough = test_is_slow_build() ? 20 : 60;

    set_int(pair, SHM_LINGER, 0);
    for (unsigned i = 0; i < enough; i++) {
        make_line();
        struct child child = child_start(join_and_wait, NULL);

        child_hear(&child);
        close(ends[1]);
        child_say(&child, 0);
        pid_t killer = (pid_t)CHECK_OK(fork());
        if (killer == 0) {
            struct timespec nap = {0, (long)(random_next(&random) % 300000)};
            nanosleep(&nap, NULL);
            kill_guarded(child.pid, SIGKILL);
            _exit(0);
        }
        random_next(&random);
        if (shm_handover(pair, ends[0], 5000) < 0)
            CHECK(errno == EPIPE || errno == ECONNRESET);
        CHECK_INT(waitpid(killer, NULL, 0), killer);
        child_reap(&child);
        close(ends[0]);
        do
            CHECK_OK(shm_poll(&(shm_pollitem_t){pair, -1, 0, 0}, 1, 1));
        while (get_stats(pair).peers > 0);
        if (i == 10)
            before = count_open();
    }
    for (int i = 0; i < 100 && count_open() > before; i++)
        CHECK_OK(shm_poll(&(shm_pollitem_t){pair, -1, 0, 0}, 1, 20));
    CHECK(count_open() <= before);
    CHECK_OK(shm_close(pair));
}

/* ---- Kills in traffic ---- */

enum { JOBS_MAX = 100000, LARGEST = 1 << 20 };

struct traffic {
    _Atomic uint64_t acknowledged;
    _Atomic unsigned char done[JOBS_MAX];
};

static size_t size_in_traffic(uint64_t number)
{
    static const size_t sizes[] = {64, SIZE, 8, 300000, 5000, 64, LARGEST, 112};

    return sizes[number % COUNT_OF(sizes)];
}

static void fill(unsigned char *bytes, uint64_t number)
{
    pattern_fill(bytes, size_in_traffic(number), (unsigned)number);
    memcpy(bytes, &number, sizeof number);
}

static uint64_t number_of(unsigned char *bytes, size_t size)
{
    static unsigned char want[LARGEST];
    uint64_t number;

    CHECK(size >= sizeof number);
    memcpy(&number, bytes, sizeof number);
    CHECK(number < JOBS_MAX);
    fill(want, number);
    CHECK_MEM(bytes, size, want, size_in_traffic(number));
    return number;
}

static void send_until_killed(struct child *up, void *argument)
{
    static unsigned char bytes[LARGEST];
    struct traffic *traffic = argument;
    shm_socket_t *push = CHECK_PTR(shm_socket(SHM_PUSH | SHM_MEMFD));

    set_int(push, SHM_SNDHWM, 20);
    CHECK_OK(shm_handover(push, ends[1], 5000));
    child_say(up, 0);
    for (uint64_t i = 0; i < JOBS_MAX; i++) {
        fill(bytes, i);
        CHECK_OK(shm_send(push, bytes, size_in_traffic(i), 0));
        traffic->acknowledged = i + 1;
    }
    pass_ms(30000);
}

TEST_THAT(who_is_killed_while_sending_has_sent_what_was_acknowledged)
{
    static unsigned char bytes[LARGEST];
    struct traffic *traffic = shared_memory(sizeof *traffic);
    shm_socket_t *pull = CHECK_PTR(shm_socket(SHM_PULL | SHM_MEMFD));
    uint64_t random = test_seed();
    unsigned before = 0;

    set_int(pull, SHM_RCVTIMEO, 5000);
    for (int i = 0; i < 40; i++) {
        make_line();
        traffic->acknowledged = 0;
        struct child child = child_start(send_until_killed, traffic);
        uint64_t got = 0, enough = random_next(&random) % 60, linger = random_next(&random) % 4;

        CHECK_OK(shm_handover(pull, ends[0], 5000));
        drop_line();
        child_hear(&child);
        for (; got < enough; got++)
            CHECK_INT(number_of(bytes, (size_t)CHECK_OK(shm_recv(pull, bytes, sizeof bytes, 0))), got);
        if (linger > 1)
            pass_ms((unsigned)linger); /* it fills its ring, and waits for us */
        child_kill(&child);
        for (uint64_t all = traffic->acknowledged; got < all; got++)
            CHECK_INT(number_of(bytes, (size_t)CHECK_OK(shm_recv(pull, bytes, sizeof bytes, 0))), got);
        await_event(pull, SHM_EVENT_DIED);
        ssize_t n = shm_recv(pull, bytes, sizeof bytes, SHM_DONTWAIT); /* one that it was not told of */
        if (n >= 0)
            CHECK_INT(number_of(bytes, (size_t)n), got);
        CHECK_ERR(shm_recv(pull, bytes, sizeof bytes, SHM_DONTWAIT), EAGAIN);
        if (i == 5)
            before = count_open();
    }
    for (int i = 0; i < 100 && count_open() > before; i++)
        CHECK_OK(shm_poll(&(shm_pollitem_t){pull, -1, 0, 0}, 1, 20));
    CHECK(count_open() <= before);
    CHECK_OK(shm_close(pull));
    shared_memory_free(traffic, sizeof *traffic);
}

static void work_until_killed(struct child *up, void *argument)
{
    struct traffic *traffic = argument;
    shm_socket_t *pull = CHECK_PTR(shm_socket(SHM_PULL | SHM_MEMFD));
    shm_msg_t msg;

    CHECK_OK(shm_handover(pull, ends[1], 5000));
    child_say(up, 0);
    CHECK_OK(shm_msg_init(&msg));
    while (shm_msg_recv(&msg, pull, 0) >= 0) {
        uint64_t number = number_of(shm_msg_data(&msg), shm_msg_size(&msg));
        traffic->done[number] = 1;
        CHECK_OK(shm_msg_close(&msg));
    }
}

/* Views are in hand until they are closed: each job is done, by the next one if need be. */
TEST_THAT(jobs_of_who_is_killed_in_traffic_are_done_by_the_next)
{
    static unsigned char bytes[LARGEST];
    struct traffic *traffic = shared_memory(sizeof *traffic);
    shm_socket_t *push = CHECK_PTR(shm_socket(SHM_PUSH | SHM_MEMFD));
    uint64_t random = test_seed(), sent = 0;
    struct child child = {0};
    unsigned before = 0;

    set_int(push, SHM_LINGER, 0);
    set_int(push, SHM_SNDHWM, 20);
    set_int(push, SHM_SNDTIMEO, 5000);
    for (int i = 0; i < 40; i++) {
        uint64_t enough = sent + random_next(&random) % 60;

        make_line();
        child = child_start(work_until_killed, traffic);
        CHECK_OK(shm_handover(push, ends[0], 5000));
        drop_line();
        child_hear(&child);
        for (; sent < enough; sent++) {
            fill(bytes, sent);
            CHECK_OK(shm_send(push, bytes, size_in_traffic(sent), 0));
        }
        if (i == 39)
            break;
        child_kill(&child);
        await_event(push, SHM_EVENT_DIED);
        if (i == 5)
            before = count_open();
        if (i > 5)
            CHECK(count_open() <= before + 1);
    }
    int64_t end = now_ms() + 10000;
    for (uint64_t i = 0; i < sent; i++)
        while (!traffic->done[i]) {
            CHECK_OK(shm_poll(&(shm_pollitem_t){push, -1, 0, 0}, 1, 1));
            if (now_ms() > end)
                FAIL("job %llu of %llu was lost", (unsigned long long)i, (unsigned long long)sent);
        }
    child_kill(&child);
    CHECK_OK(shm_close(push));
    shared_memory_free(traffic, sizeof *traffic);
}

/* ---- SHM_FD ---- */

static int ask_fd(shm_socket_t *socket)
{
    return get_int(socket, SHM_FD);
}

static void be_a_sender_after_a_while(struct child *up, void *argument)
{
    shm_socket_t *pair = CHECK_PTR(shm_socket(SHM_PAIR | SHM_MEMFD));

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
    shm_socket_t *pair = CHECK_PTR(shm_socket(SHM_PAIR | SHM_MEMFD));
    char text[8];

    make_line();
    struct child child = child_start(be_a_sender_after_a_while, NULL);
    CHECK_OK(shm_handover(pair, ends[0], 5000));
    int fd = ask_fd(pair);
    await_event(pair, SHM_EVENT_CONNECTED);
    child_say(&child, 0);
    while (shm_recv(pair, text, sizeof text, SHM_DONTWAIT) < 0) {
        CHECK_INT(errno, EAGAIN);
        await_readable(fd);
    }
    child_say(&child, 0);
    CHECK_OK(waitid(P_PID, (id_t)child.pid, &(siginfo_t){0}, WEXITED | WNOWAIT));
    while (shm_recv(pair, text, sizeof text, SHM_DONTWAIT) < 0 && errno == EAGAIN)
        await_readable(fd);
    CHECK_INT(waitpid(child.pid, NULL, 0), child.pid);
    close(child.fd);
    drop_line();
    CHECK_OK(shm_close(pair));
}

/* ---- What is handed over ---- */

struct received {
    char bytes[256];
    int fds[8];
    unsigned count;
};

static void take(int fd, struct received *received)
{
    union {
        char bytes[CMSG_SPACE(sizeof received->fds)];
        struct cmsghdr align;
    } control;
    struct iovec part = {received->bytes, sizeof received->bytes};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control};

    CHECK_OK(recvmsg(fd, &message, MSG_CMSG_CLOEXEC));
    received->count = (unsigned)((CMSG_FIRSTHDR(&message)->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(received->fds, CMSG_DATA(CMSG_FIRSTHDR(&message)), received->count * sizeof(int));
}

static void say_raw(int fd, const void *bytes, size_t size, const int *fds, unsigned count)
{
    union {
        char bytes[CMSG_SPACE(8 * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec part = {(void *)(uintptr_t)bytes, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = count ? control.bytes : NULL,
                             .msg_controllen = count ? CMSG_SPACE(count * sizeof(int)) : 0};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);

    if (head) {
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(head), fds, count * sizeof(int));
    }
    CHECK_INT(sendmsg(fd, &message, 0), size);
}

/* The one who was let in can neither write to what the other sends nor cut it, whichever way he opens it. */
TEST_THAT(memory_that_was_handed_over_is_read_only)
{
    shm_socket_t *pub = CHECK_PTR(shm_socket(SHM_PUB | SHM_MEMFD));
    struct received got;
    char path[64];

    make_line();
    CHECK_ERR(shm_handover(pub, ends[0], 0), EAGAIN); /* nobody answers, but the hello is there */
    take(ends[1], &got);
    CHECK_INT(got.count, 3);
    snprintf(path, sizeof path, "/proc/self/fd/%d", got.fds[0]);
    int again = (int)CHECK_OK(open(path, O_RDWR | O_CLOEXEC));
    const int fds[] = {got.fds[0], again};
    for (unsigned i = 0; i < COUNT_OF(fds); i++) {
        CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fds[i], 0) == MAP_FAILED);
        CHECK_INT(errno, EPERM);
        CHECK_ERR(pwrite(fds[i], "x", 1, 0), EPERM);
        CHECK_ERR(ftruncate(fds[i], 0), EPERM);
        CHECK_ERR(fallocate(fds[i], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), EPERM);
        void *memory = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fds[i], 0);
        CHECK(memory != MAP_FAILED);
        CHECK(mprotect(memory, 4096, PROT_READ | PROT_WRITE) < 0);
        CHECK_OK(munmap(memory, 4096));
    }
    CHECK_ERR(ftruncate(got.fds[1], 0), EPERM); /* the bell, which peers do write */
    close(again);
    for (unsigned i = 0; i < got.count; i++)
        close(got.fds[i]);
    drop_line();
    CHECK_OK(shm_close(pub));
}

/* ---- Who sends nonsense ---- */

static void be_honest(struct child *up, void *argument)
{
    shm_socket_t *sub = CHECK_PTR(shm_socket(SHM_SUB | SHM_MEMFD));

    shm_handover(sub, ends[1], 0);
    child_say(up, 0);
    child_hear(up);
    CHECK_OK(shm_close(sub));
}

/* An honest hello, with one of its descriptors replaced. */
static void send_altered(unsigned which, int fd)
{
    struct received got;

    make_line();
    struct child child = child_start(be_honest, NULL);
    take(ends[0], &got);
    child_hear(&child);
    drop_line();
    make_line();
    int was = got.fds[which];
    got.fds[which] = fd;
    say_raw(ends[1], got.bytes, 32, got.fds, got.count);
    got.fds[which] = was;
    for (unsigned i = 0; i < got.count; i++)
        close(got.fds[i]);
    child_say(&child, 0);
    child_wait(&child);
}

static void check_refused(shm_socket_t *socket, int error)
{
    CHECK_ERR(shm_handover(socket, ends[0], 1000), error);
    drop_line();
}

TEST_THAT(nonsense_is_refused)
{
    shm_socket_t *pub = CHECK_PTR(shm_socket(SHM_PUB | SHM_MEMFD));
    char garbage[64] = "no hello";
    int unsealed = (int)CHECK_OK(memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    int null = (int)CHECK_OK(open("/dev/null", O_RDWR | O_CLOEXEC));
    int part = (int)CHECK_OK(memfd_create("part", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    unsigned before = count_open();

    CHECK_OK(ftruncate(unsealed, 65536));
    CHECK_OK(ftruncate(part, 65536));
    CHECK_OK(fcntl(part, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_FUTURE_WRITE));
    make_line();
    say_raw(ends[1], garbage, sizeof garbage, NULL, 0);
    check_refused(pub, EPROTO);
    make_line();
    say_raw(ends[1], garbage, 32, (int[]){null, null, null, null, null, null}, 6);
    check_refused(pub, EPROTO);
    make_line();
    say_raw(ends[1], garbage, 10, NULL, 0);
    CHECK_OK(shutdown(ends[1], SHUT_WR));
    check_refused(pub, EPIPE);
    for (unsigned which = 0; which < 3; which++) {
        const int wrong[] = {unsealed, null, part, ends[0]};
        for (unsigned i = 0; i < COUNT_OF(wrong); i++) {
            if (wrong[i] == part && which == 1) {
                send_altered(1, part); /* it may be cut */
                check_refused(pub, EPROTO);
                continue;
            }
            send_altered(which, i == 3 ? null : wrong[i]);
            check_refused(pub, EPROTO);
        }
    }
    CHECK(count_open() <= before + 1); /* the FIFO that was made for peers */
    close(unsealed);
    close(null);
    close(part);
    CHECK_OK(shm_close(pub));
}

/* What else the system tells of the peer, if it was asked to, comes with the hello. */
TEST_THAT(credentials_may_come_along)
{
    const int on = 1;
    unsigned before;

    for (int option = 0; option < 2; option++) {
        shm_socket_t *pair = CHECK_PTR(shm_socket(SHM_PAIR | SHM_MEMFD)), *other = CHECK_PTR(shm_socket(SHM_PAIR | SHM_MEMFD));
        struct received got;

        make_line();
        CHECK_ERR(shm_handover(pair, ends[0], 0), EAGAIN);
        CHECK_ERR(shm_handover(other, ends[1], 0), EAGAIN); /* the place, or an answer, does not come */
        drop_line();
        make_line();
        before = count_open();
        CHECK_OK(setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
        if (option == 1 && setsockopt(ends[0], SOL_SOCKET, 76 /* SO_PASSPIDFD, Linux 6.5 */, &on, sizeof on) < 0)
            CHECK_INT(errno, ENOPROTOOPT);
        CHECK_ERR(shm_handover(other, ends[1], 0), EAGAIN);
        CHECK_ERR(shm_handover(pair, ends[0], 0), EAGAIN); /* not EPROTO */
        CHECK(count_open() <= before);
        take(ends[1], &got);
        for (unsigned i = 0; i < got.count; i++)
            close(got.fds[i]);
        drop_line();
        CLOSE_ALL(other, pair);
    }
}

/* A signal ends it, as it ends every call that waits; over another line it is done again. */
TEST_THAT(a_signal_ends_the_wait)
{
    shm_socket_t *pair = CHECK_PTR(shm_socket(SHM_PAIR | SHM_MEMFD));

    make_line();
    start_ticking();
    CHECK_ERR(shm_handover(pair, ends[0], -1), EINTR);
    stop_ticking();
    drop_line();
    make_line();
    struct child child = child_start(be_a_sender_after_a_while, NULL);
    CHECK_OK(shm_handover(pair, ends[0], 5000));
    child_kill(&child);
    drop_line();
    CHECK_OK(shm_close(pair));
}

/* Descriptors that do not come because there is no room for them in this process. */
TEST_THAT(a_want_of_descriptors_is_no_lie)
{
    shm_socket_t *pair = CHECK_PTR(shm_socket(SHM_PAIR | SHM_MEMFD)), *other = CHECK_PTR(shm_socket(SHM_PAIR | SHM_MEMFD));
    struct rlimit limit;

    CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
    make_line();
    CHECK_ERR(shm_handover(pair, ends[0], 0), EAGAIN); /* a FIFO is made */
    drop_line();
    for (unsigned room = 0; room < 3; room++) {
        make_line();
        CHECK_ERR(shm_handover(other, ends[1], 0), EAGAIN);
        int next = (int)CHECK_OK(dup(ends[0]));
        close(next);
        unsigned before = count_open();
        CHECK_OK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)next + room, limit.rlim_max}));
        errno = 0;
        int result = shm_handover(pair, ends[0], 0), error = errno;
        CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
        CHECK_INT(result, -1);
        CHECK_INT(error, EMFILE);
        CHECK_INT(count_open(), before);
        drop_line();
    }
    CLOSE_ALL(other, pair);
}

TEST_THAT(misuse_is_an_error)
{
    shm_socket_t *handed = CHECK_PTR(shm_socket(SHM_PAIR | SHM_MEMFD)), *named = socket_new(SHM_PAIR);
    int null = (int)CHECK_OK(open("/dev/null", O_RDWR | O_CLOEXEC));
    int net = (int)CHECK_OK(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

    make_line();
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

TEST_THAT(a_child_closes_only_its_copy)
{
    shm_socket_t *pair = CHECK_PTR(shm_socket(SHM_PAIR | SHM_MEMFD));
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        bool ok = shm_handover(pair, 0, 0) < 0 && errno == EFORKED && shm_close(pair) == 0;
        _exit(ok ? 0 : 1);
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
    CHECK_OK(shm_close(pair));
}

static _Atomic bool stop;

static void *open_and_close(void *argument)
{
    while (!stop)
        CHECK_OK(shm_close(CHECK_PTR(shm_socket(SHM_PAIR | SHM_MEMFD))));
    return NULL;
}

/* What another thread was at when this one forked is for ever half done in the child. */
TEST_THAT(a_child_of_many_threads_closes_and_opens)
{
    shm_socket_t *pair = CHECK_PTR(shm_socket(SHM_PAIR | SHM_MEMFD));
    pthread_t threads[2];
    int status;

    if (test_is_slow_build())
        skip_test("a sanitizer's own locks are not for children of threads");
    for (unsigned i = 0; i < COUNT_OF(threads); i++)
        CHECK_INT(pthread_create(&threads[i], NULL, open_and_close, NULL), 0);
    for (int i = 0; i < 300; i++) {
        pid_t pid = (pid_t)CHECK_OK(fork());

        if (pid == 0) {
            alarm(10); /* the child's end, if it waits for a lock that nobody will open */
            bool ok = shm_handover(pair, 0, 0) < 0 && errno == EFORKED && shm_close(pair) == 0;
            shm_socket_t *own = shm_socket(SHM_PAIR | SHM_MEMFD), *named = shm_socket(SHM_PAIR);
            _exit(ok && own && named && shm_close(own) == 0 && shm_close(named) == 0 ? 0 : 1);
        }
        CHECK_INT(waitpid(pid, &status, 0), pid);
        CHECK_INT(status, 0);
    }
    stop = true;
    for (unsigned i = 0; i < COUNT_OF(threads); i++)
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    CHECK_OK(shm_close(pair));
}

static void be_a_pair(struct child *up, void *argument)
{
    shm_socket_t *pair = CHECK_PTR(shm_socket(SHM_PAIR | SHM_MEMFD));

    CHECK_OK(shm_handover(pair, ends[1], 5000));
    await_event(pair, SHM_EVENT_CONNECTED);
    child_say(up, 0);
    CHECK_ERR(shm_handover(pair, ends[1], 5000), EISCONN);
    await_event(pair, SHM_EVENT_LEFT);
    CHECK_OK(shm_close(pair));
}

TEST_THAT(joined_once_and_left_by_name)
{
    shm_socket_t *pair = CHECK_PTR(shm_socket(SHM_PAIR | SHM_MEMFD));
    char name[256];
    size_t size = sizeof name;

    make_line();
    struct child child = child_start(be_a_pair, NULL);
    CHECK_OK(shm_handover(pair, ends[0], 5000));
    await_event(pair, SHM_EVENT_CONNECTED);
    child_hear(&child);
    CHECK_ERR(shm_handover(pair, ends[0], 5000), EISCONN);
    CHECK_OK(shm_getsockopt(pair, SHM_LAST_ENDPOINT, name, &size));
    CHECK_OK(shm_disconnect(pair, name));
    CHECK_ERR(shm_disconnect(pair, name), ENOENT);
    child_wait(&child);
    drop_line();
    CHECK_OK(shm_close(pair));
}
