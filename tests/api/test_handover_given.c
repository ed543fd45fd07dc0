/* SPDX-License-Identifier: MIT */
/* What a hand-over passes on (SHM_MEMFD): memory that the receiver cannot damage; and what happens if something else
 * comes. */
#include "support/ends.h"
#include "support/line.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

static int ends[2];

/* ---- What is handed over ---- */

/* The receiver can neither write to the sender's memory nor truncate it, however it is opened. */
TEST_THAT(memory_that_was_handed_over_is_read_only)
{
    shm_socket_t *pub = memfd_socket(SHM_PUB);
    struct letter got;
    char path[64];

    CHECK_OK(line_make(ends));
    CHECK_ERR(shm_handover(pub, ends[0], 0), EAGAIN); /* nobody answers, but the hello was sent */
    CHECK_OK(line_recv(ends[1], &got, sizeof got.bytes, 0));
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
    CHECK_ERR(ftruncate(got.fds[1], 0), EPERM); /* the doorbell, which peers may write */
    close(again);
    letter_close(&got);
    line_drop(ends);
    CHECK_OK(shm_close(pub));
}

/* ---- Who sends nonsense ---- */

static void be_honest(struct child *up, void *argument)
{
    shm_socket_t *sub = memfd_socket(SHM_SUB);

    shm_handover(sub, ends[1], 0);
    child_stay(up, 0);
    CHECK_OK(shm_close(sub));
}

/* An honest hello, with one of its descriptors replaced. */
static void send_altered(unsigned which, int fd)
{
    struct letter got;

    CHECK_OK(line_make(ends));
    struct child child = child_start(be_honest, NULL);
    CHECK_OK(line_recv(ends[0], &got, sizeof got.bytes, 0));
    child_hear(&child);
    line_drop(ends);
    CHECK_OK(line_make(ends));
    int was = got.fds[which];
    got.fds[which] = fd;
    CHECK_OK(line_send(ends[1], got.bytes, 32, got.fds, got.count));
    got.fds[which] = was;
    letter_close(&got);
    child_end(&child);
}

static void check_refused(shm_socket_t *socket, int error)
{
    CHECK_ERR(shm_handover(socket, ends[0], 1000), error);
    line_drop(ends);
}

TEST_THAT(nonsense_is_refused)
{
    shm_socket_t *pub = memfd_socket(SHM_PUB);
    char garbage[64] = "no hello";
    int unsealed = (int)CHECK_OK(memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    int null = (int)CHECK_OK(open("/dev/null", O_RDWR | O_CLOEXEC));
    int part = (int)CHECK_OK(memfd_create("part", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    unsigned before = count_files("/proc/self/fd");

    CHECK_OK(ftruncate(unsealed, 65536));
    CHECK_OK(ftruncate(part, 65536));
    CHECK_OK(fcntl(part, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_FUTURE_WRITE));
    CHECK_OK(line_make(ends));
    CHECK_OK(line_send(ends[1], garbage, sizeof garbage, NULL, 0));
    check_refused(pub, EPROTO);
    CHECK_OK(line_make(ends));
    CHECK_OK(line_send(ends[1], garbage, 32, (int[]){null, null, null, null, null, null}, 6));
    check_refused(pub, EPROTO);
    CHECK_OK(line_make(ends));
    CHECK_OK(line_send(ends[1], garbage, 10, NULL, 0));
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
    CHECK(count_files("/proc/self/fd") <= before + 1); /* the FIFO that was made for peers */
    close(unsealed);
    close(null);
    close(part);
    CHECK_OK(shm_close(pub));
}

/* Credentials that the socket was asked to report come along with the hello. */
TEST_THAT(credentials_may_come_along)
{
    const int on = 1;
    unsigned before;

    for (int option = 0; option < 2; option++) {
        shm_socket_t *pair = memfd_socket(SHM_PAIR), *other = memfd_socket(SHM_PAIR);
        struct letter got;

        CHECK_OK(line_make(ends));
        CHECK_ERR(shm_handover(pair, ends[0], 0), EAGAIN);
        CHECK_ERR(shm_handover(other, ends[1], 0), EAGAIN); /* the endpoint, or an answer, never arrives */
        line_drop(ends);
        CHECK_OK(line_make(ends));
        before = count_files("/proc/self/fd");
        CHECK_OK(setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
        if (option == 1 && setsockopt(ends[0], SOL_SOCKET, 76 /* SO_PASSPIDFD, Linux 6.5 */, &on, sizeof on) < 0)
            CHECK_INT(errno, ENOPROTOOPT);
        CHECK_ERR(shm_handover(other, ends[1], 0), EAGAIN);
        CHECK_ERR(shm_handover(pair, ends[0], 0), EAGAIN); /* not EPROTO */
        CHECK(count_files("/proc/self/fd") <= before);
        CHECK_OK(line_recv(ends[1], &got, sizeof got.bytes, 0));
        letter_close(&got);
        line_drop(ends);
        CLOSE_ALL(other, pair);
    }
}

/* Descriptors that are lost because this process has too few. */
TEST_THAT(a_want_of_descriptors_is_no_lie)
{
    shm_socket_t *pair = memfd_socket(SHM_PAIR), *other = memfd_socket(SHM_PAIR);
    struct rlimit limit;

    CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
    CHECK_OK(line_make(ends));
    CHECK_ERR(shm_handover(pair, ends[0], 0), EAGAIN); /* a FIFO is made */
    line_drop(ends);
    for (unsigned room = 0; room < 3; room++) {
        CHECK_OK(line_make(ends));
        CHECK_ERR(shm_handover(other, ends[1], 0), EAGAIN);
        int next = (int)CHECK_OK(dup(ends[0]));
        close(next);
        unsigned before = count_files("/proc/self/fd");
        CHECK_OK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)next + room, limit.rlim_max}));
        errno = 0;
        int result = shm_handover(pair, ends[0], 0), error = errno;
        CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
        CHECK_INT(result, -1);
        CHECK_INT(error, EMFILE);
        CHECK_INT(count_files("/proc/self/fd"), before);
        line_drop(ends);
    }
    CLOSE_ALL(other, pair);
}
