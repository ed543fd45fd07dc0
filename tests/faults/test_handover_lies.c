/* SPDX-License-Identifier: MIT */
/*
 * What a peer that knows the library's inside can do in a hand-over (SHM_MEMFD): use another's identity or endpoint,
 * send files that do not open, give up half-way. (At random: tests/fuzz.)
 */
#include "handover.h"
#include "../support/line.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "core/membership.h"
#include "core/socket.h"

enum { HELLO_SIZE = 32, PLACE_SIZE = 33 };

/* ---- The two ends of a hand-over, and who sits between them ---- */

struct call {
    pthread_t thread;
    shm_socket_t *socket;
    int fd, timeout_ms, result;
};

static void *run_call(void *argument)
{
    struct call *call = argument;

    call->result = hand_over(call->socket, call->fd, call->timeout_ms);
    return NULL;
}

static void call_start(struct call *call, shm_socket_t *socket, int fd, int timeout_ms)
{
    *call = (struct call){.socket = socket, .fd = fd, .timeout_ms = timeout_ms};
    CHECK_INT(pthread_create(&call->thread, NULL, run_call, call), 0);
}

static int call_end(struct call *call)
{
    CHECK_INT(pthread_join(call->thread, NULL), 0);
    return call->result;
}

static int join_both(shm_socket_t *a, shm_socket_t *b)
{
    struct call call;
    int line[2];

    CHECK_OK(line_make(line));
    call_start(&call, b, line[1], 5000);
    int error = shm_handover(a, line[0], 5000) == 0 ? 0 : errno;
    shutdown(line[0], SHUT_RDWR);
    int there = call_end(&call);
    line_drop(line);
    return error != 0 ? error : there;
}

static void hear(int end, size_t size, struct letter *letter)
{
    CHECK_INT(line_recv(end, letter, size, 0), size);
    CHECK(letter->count > 0);
}

static void tell(int end, size_t size, struct letter *letter)
{
    CHECK_INT(line_send(end, letter->bytes, size, letter->fds, letter->count), size);
    letter_close(letter);
}

static void hello_of(shm_socket_t *s, struct letter *hello)
{
    int line[2];

    CHECK_OK(line_make(line));
    CHECK_ERR(shm_handover(s, line[0], 0), EAGAIN);
    hear(line[1], HELLO_SIZE, hello);
    line_drop(line);
}

/* ---- In another one's name ---- */

static void send_number(shm_socket_t *s, int number)
{
    CHECK_OK(shm_send(s, &number, sizeof number, 0));
}

TEST_THAT(nobody_comes_in_anothers_name)
{
    shm_socket_t *middle = open_between(SHM_DEALER);
    shm_socket_t *honest = open_beside(SHM_DEALER, middle->segment.id_hex, false),
                 *liar = open_beside(SHM_DEALER, middle->segment.id_hex, false);
    int number;

    CHECK_INT(join_both(middle, honest), 0);
    CHECK_INT(join_both(middle, liar), 0);
    await_peers(middle, 2);
    endpoint_announce(&liar->memberships->endpoint, honest->segment.header->id, SHM_DEALER,
                      honest->pipes.list[0]->record_block->offset);
    membership_sync(middle);
    for (int i = 0; i < 20; i++)
        send_number(honest, i);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(shm_recv(middle, &number, sizeof number, 0), sizeof number);
        CHECK_INT(number, i);
    }
    CHECK_ERR(shm_recv(middle, &number, sizeof number, SHM_DONTWAIT), EAGAIN);
    CHECK_INT(get_stats(middle).peers, 1);
    CLOSE_ALL(liar, honest, middle);
}

/* ---- At a place that is none ---- */

static int sealed_memory(int more, bool read_only, int lease)
{
    int fd = (int)CHECK_OK(memfd_create("place", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    char path[64];

    CHECK_OK(ftruncate(fd, 32 << 20));
    CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | more));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = (int)CHECK_OK(open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC));
    close(fd);
    if (lease != F_UNLCK)
        CHECK_OK(fcntl(again, F_SETLEASE, lease));
    return again;
}

/* LIAR's hello is in order; then it leads SOCKET to NAME. */
static int lead_to(shm_socket_t *socket, shm_socket_t *liar, const char *name, int fd)
{
    struct letter hello, place = {.fds = {fd}, .count = 1};
    int line[2];

    hello_of(liar, &hello);
    CHECK_OK(line_make(line));
    tell(line[1], HELLO_SIZE, &hello);
    snprintf((char *)place.bytes, sizeof place.bytes, "%s", name);
    tell(line[1], PLACE_SIZE, &place);
    int64_t begun = now_ms();
    int error = shm_handover(socket, line[0], 1000) == 0 ? 0 : errno;
    CHECK(now_ms() - begun < 5000);
    line_drop(line);
    return error;
}

TEST_THAT(a_place_that_does_not_open_is_refused_at_once)
{
    static const char name[] = "00112233445566778899aabbccddeeff";
    shm_socket_t *socket = open_between(SHM_PAIR), *liar = open_beside(SHM_PAIR, socket->segment.id_hex, true);

    signal(SIGIO, SIG_IGN);
    /* With a lease, open() would wait. */
    CHECK_INT(lead_to(socket, liar, name, sealed_memory(F_SEAL_SEAL, true, F_RDLCK)), EPROTO);
    CHECK_INT(lead_to(socket, liar, name, sealed_memory(F_SEAL_SEAL, false, F_WRLCK)), EPROTO);
    CHECK_INT(lead_to(socket, liar, name, sealed_memory(F_SEAL_SEAL | F_SEAL_WRITE, false, F_UNLCK)), EPROTO);
    CHECK_INT(lead_to(socket, liar, name, sealed_memory(0, false, F_UNLCK)), EPROTO); /* more seals could follow */
    CLOSE_ALL(liar, socket);
}

TEST_THAT(another_ones_place_stays_that_ones)
{
    shm_socket_t *socket = open_between(SHM_DEALER);
    shm_socket_t *honest = open_beside(SHM_DEALER, socket->segment.id_hex, true),
                 *liar = open_beside(SHM_DEALER, socket->segment.id_hex, true);
    unsigned before = count_files("/proc/self/fd");
    char name[128];
    size_t size = sizeof name;
    int number;

    CHECK_INT(join_both(socket, honest), 0);
    CHECK_OK(shm_getsockopt(socket, SHM_LAST_ENDPOINT, name, &size));
    for (int i = 0; i < 3; i++)
        CHECK_INT(lead_to(socket, liar, name + strlen("shm://"), sealed_memory(F_SEAL_SEAL, false, F_UNLCK)), EPROTO);
    CHECK_OK(shm_close(liar));
    await_peers(socket, 1);
    send_number(honest, 5);
    CHECK_INT(shm_recv(socket, &number, sizeof number, 0), sizeof number);
    CHECK_OK(shm_close(honest));
    await_peers(socket, 0);
    for (int i = 0; i < 2000 && count_files("/proc/self/fd") >= before; i++)
        poll_once(socket); /* fewer, since two sockets were closed */
    CHECK(count_files("/proc/self/fd") < before);
    CHECK_OK(shm_close(socket));
}

/* ---- Who gives up half-way ---- */

/* The binder times out: the connector's answer is delayed, or never sent. */
static void give_up(bool too_late)
{
    shm_socket_t *binder = open_between(SHM_DEALER),
                 *connector = open_beside(SHM_DEALER, binder->segment.id_hex, false);
    struct letter hello, place;
    struct call call;
    int line[2], other[2], error, number = 7;

    CHECK_OK(line_make(line));
    CHECK_OK(line_make(other));
    call_start(&call, binder, line[0], 300);
    hello_of(connector, &hello);
    tell(line[1], HELLO_SIZE, &hello);
    hear(line[1], HELLO_SIZE, &hello);
    hear(line[1], PLACE_SIZE, &place);
    if (too_late)
        CHECK_INT(call_end(&call), EAGAIN);
    tell(other[1], HELLO_SIZE, &hello);
    tell(other[1], PLACE_SIZE, &place);
    if (too_late)
        CHECK_ERR(shm_handover(connector, other[0], 5000), ECONNRESET);
    else
        CHECK_OK(shm_handover(connector, other[0], 5000));
    if (!too_late)
        CHECK_INT(call_end(&call), EAGAIN);
    line_drop(line);
    line_drop(other);
    for (int i = 0; (error = join_both(binder, connector)) == EISCONN || error == EPIPE; i++) {
        CHECK(i < 1000);
        poll_once(connector);
    }
    CHECK_INT(error, 0);
    send_number(connector, number);
    CHECK_INT(shm_recv(binder, &number, sizeof number, 0), sizeof number);
    CLOSE_ALL(connector, binder);
}

TEST_THAT(who_comes_when_the_other_gave_up_is_told)
{
    give_up(true);
}

TEST_THAT(who_is_given_up_after_coming_can_be_joined_again)
{
    give_up(false);
}
