/* SPDX-License-Identifier: MIT */
/*
 * Hand-over: two sockets that share no directory (SHM_MEMFD) come together over a Unix socket, by which each
 * sends the other the descriptors of its files (transport/memfd_store.h):
 *
 *   both         hello: who I am;  descriptors: segment, bell, FIFO, and claims if there are any
 *   greater id   place: a name;    descriptor: an endpoint, where it is bound
 *   smaller id   connects there, and says so by one byte: then the other takes it in, before it returns
 *
 * From there on all is as at any endpoint. Nobody else ever comes to it, so that each leaves it when the
 * other has gone.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/process.h"
#include "core/api.h"
#include "core/peer.h"
#include "transport/os.h"
#include "transport/memfd_store.h"

#define HELLO_MAGIC UINT64_C(0x316f6c6c65686d73) /* "smhello1" */

/* Room for more descriptors than there may be, and for what else may come: credentials, a label of SELinux. */
#define CONTROL_SIZE 1024
#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

struct hello {
    uint64_t magic;
    uint32_t abi;
    uint32_t files;
    uint8_t id[SEGMENT_ID_SIZE];
};

/* ---- the Unix socket ---- */

struct line {
    int fd;
    uint64_t deadline_ns;
};

/* Until there is something to read, or room, of which there was none just now. 0, -EAGAIN, -EINTR. */
static int await(const struct line *line, short events)
{
    struct pollfd item = {line->fd, events, 0};
    uint64_t now_ns = clock_now_ns();
    if (line->deadline_ns <= now_ns)
        return -EAGAIN; /* without a look: somebody else may read what we are told of */
    uint64_t left_ms = (line->deadline_ns - now_ns + 999999) / 1000000;
    int timeout = line->deadline_ns == UINT64_MAX ? -1 : left_ms > INT32_MAX ? INT32_MAX : (int)left_ms;
    int n = poll(&item, 1, timeout);
    return n > 0 ? 0 : n == 0 ? -EAGAIN : -errno;
}

static int say(const struct line *line, const void *data, size_t size, const int *fds, unsigned count)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * PEER_FILES)];
        struct cmsghdr align;
    } control = {0};
    struct iovec part = {(void *)(uintptr_t)data, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes,
                             .msg_controllen = count > 0 ? CMSG_SPACE(sizeof(int) * count) : 0};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head != NULL) {
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(head), fds, sizeof(int) * count);
    }
    for (;;) {
        ssize_t n = sendmsg(line->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n == (ssize_t)size)
            return 0;
        if (n >= 0)
            return -EMSGSIZE; /* no room for so few bytes: somebody else's are there */
        int error = errno == EAGAIN ? await(line, POLLOUT) : -errno;
        if (error < 0)
            return error;
    }
}

/* Returns how many there were. What the caller asked the system to tell of the peer (SO_PASSCRED, SO_PASSPIDFD) comes
 * along. */
static unsigned take_fds(struct msghdr *message, int fds[PEER_FILES], unsigned *count)
{
    unsigned all = 0;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head != NULL; head = CMSG_NXTHDR(message, head)) {
        if (head->cmsg_level != SOL_SOCKET || (head->cmsg_type != SCM_RIGHTS && head->cmsg_type != SCM_PIDFD))
            continue;
        unsigned n = (unsigned)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (unsigned i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(head) + i * sizeof fd, sizeof fd);
            if (head->cmsg_type == SCM_RIGHTS && *count < PEER_FILES)
                fds[(*count)++] = fd;
            else if (fd >= 0)
                close(fd);
            all += head->cmsg_type == SCM_RIGHTS;
        }
    }
    return all;
}

static void close_all(const int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        close(fds[i]);
}

/* SIZE bytes, and the descriptors that come with them: how many, or an error and none. */
static int hear(const struct line *line, void *data, size_t size, int fds[PEER_FILES])
{
    union {
        char bytes[CONTROL_SIZE];
        struct cmsghdr align;
    } control;
    unsigned count = 0, all = 0;
    size_t got = 0;
    int error = 0;

    while (error == 0 && got < size) {
        struct iovec part = {(char *)data + got, size - got};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes,
                                 .msg_controllen = sizeof control};
        ssize_t n = recvmsg(line->fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (n >= 0)
            all = take_fds(&message, fds, &count);
        if (n == 0)
            error = -EPIPE;
        else if (n < 0)
            error = errno == EAGAIN ? await(line, POLLIN) : -errno;
        else if ((message.msg_flags & MSG_CTRUNC) && all <= PEER_FILES)
            error = -EMFILE; /* there was room for more: what was wanting are descriptors of ours */
        else if (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC))
            error = -EPROTO;
        else
            got += (size_t)n;
    }
    if (error < 0)
        close_all(fds, count);
    return error < 0 ? error : (int)count;
}

/* ---- what is handed over ---- */

/* How each of a peer's files is taken into the store, in the order of peer_file_name(). */
static const int kinds_of_files[PEER_FILES] = {OS_READ, OS_WRITE, MEMFD_STORE_FIFO, OS_WRITE};

static int say_hello(struct shm_socket *s, const struct line *line)
{
    struct hello hello = {HELLO_MAGIC, SHMQ_ABI, s->tx.shared.claims != NULL ? 4 : 3, {0}};
    int pocket = directory_fd(s->directory), fds[PEER_FILES];
    char name[48];

    memcpy(hello.id, s->segment.header->id, sizeof hello.id);
    peer_file_name(name, s->segment.id_hex, 2);
    int error = memfd_store_fifo_new(pocket, name); /* for an SHM_FD that may be asked for later */
    for (unsigned i = 0; i < hello.files && error >= 0; i++) {
        peer_file_name(name, s->segment.id_hex, i);
        error = fds[i] = memfd_store_lend(pocket, name);
    }
    return error < 0 ? error : say(line, &hello, sizeof hello, fds, hello.files);
}

/* The peer's files, into our store. */
static int hear_hello(struct shm_socket *s, const struct line *line, struct hello *hello, char id_hex[33])
{
    int fds[PEER_FILES], error = 0;
    char name[48];

    int count = hear(line, hello, sizeof *hello, fds);
    if (count < 0)
        return count;
    segment_id_hex(id_hex, hello->id);
    if (hello->magic != HELLO_MAGIC)
        error = -EPROTO;
    else if (hello->abi != SHMQ_ABI)
        error = -ENOCOMPATPROTO;
    else if (hello->files != (uint32_t)count || count < 3 || strcmp(id_hex, s->segment.id_hex) == 0)
        error = -EPROTO;
    peer_file_name(name, id_hex, 0);
    if (error == 0 && memfd_store_lend(directory_fd(s->directory), name) >= 0)
        error = -EISCONN;
    if (error < 0) {
        close_all(fds, (unsigned)count);
        return error;
    }
    for (unsigned i = 0; i < (unsigned)count; i++) {
        peer_file_name(name, id_hex, i);
        int taken = memfd_store_take(directory_fd(s->directory), name, fds[i], kinds_of_files[i]);
        error = error < 0 ? error : taken;
    }
    if (error < 0)
        peer_forget_files(s, id_hex);
    return error;
}

/* ---- where they meet ---- */

struct place {
    char name[33];
};

static void file_of_place(char file[48], const struct place *place)
{
    snprintf(file, 48, "%.32s" ENDPOINT_SUFFIX, place->name);
}

static int membership(struct shm_socket *s, const struct place *place, bool bind, const char *peer)
{
    int error = membership_join_at(s, place->name, bind, peer);
    if (error == 0)
        s->memberships->look_again = true; /* it may die before it comes */
    return error;
}

static int bind_place(struct shm_socket *s, const struct line *line, const char *peer)
{
    struct place place;
    uint8_t id[SEGMENT_ID_SIZE];
    int fds[PEER_FILES];
    char file[48], here;

    int error = os_random(id, sizeof id);
    if (error < 0)
        return error;
    segment_id_hex(place.name, id);
    file_of_place(file, &place);
    error = membership(s, &place, true, peer);
    if (error < 0)
        return error;
    int fd = memfd_store_lend(directory_fd(s->directory), file);
    error = fd < 0 ? fd : say(line, &place, sizeof place, &fd, 1);
    int count = error < 0 ? error : hear(line, &here, sizeof here, fds);
    if (count < 0) {
        membership_leave(s, place.name, true);
        return count;
    }
    close_all(fds, (unsigned)count);
    membership_sync(s);
    return 0;
}

/* The binder was there before it told of the place: if it is not, it has died or given up. */
static int connect_there(struct shm_socket *s, const struct line *line, const struct place *place, const char *peer)
{
    int error = membership(s, place, false, peer);
    if (error == -EBUSY)
        return -ECONNRESET; /* the place was just removed */
    if (error == -EUSERS || error == -EPERM || error == -EAGAIN)
        return -EPROTO;
    if (error < 0)
        return error;
    error = endpoint_binder_lives(&s->memberships->endpoint) ? say(line, "", 1, NULL, 0) : -ECONNRESET;
    if (error < 0)
        membership_leave(s, place->name, false);
    return error;
}

static int connect_place(struct shm_socket *s, const struct line *line, const char *peer)
{
    struct place place;
    int fds[PEER_FILES];
    char file[48];

    int count = hear(line, &place, sizeof place, fds);
    if (count < 0)
        return count;
    if (count != 1 || place.name[32] != '\0' || strspn(place.name, "0123456789abcdef") != 32) {
        close_all(fds, (unsigned)count);
        return -EPROTO;
    }
    file_of_place(file, &place);
    int error = memfd_store_take(directory_fd(s->directory), file, fds[0], OS_WRITE);
    if (error < 0)
        return error == -EEXIST ? -EPROTO : error; /* another one's place */
    error = connect_there(s, line, &place, peer);
    if (error < 0)
        os_file_unlink(directory_fd(s->directory), file);
    return error;
}

static int hand_over(struct shm_socket *s, const struct line *line)
{
    struct hello hello;
    char id_hex[2 * SEGMENT_ID_SIZE + 1];
    int domain = 0;
    socklen_t size = sizeof domain;

    if (getsockopt(line->fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0)
        return -errno;
    if (!directory_is_memfd(s->directory) || domain != AF_UNIX)
        return -EINVAL;
    int error = api_prepare(s);
    if (error == 0)
        error = say_hello(s, line);
    if (error == 0)
        error = hear_hello(s, line, &hello, id_hex);
    if (error < 0)
        return error;
    error = strcmp(s->segment.id_hex, id_hex) > 0 ? bind_place(s, line, id_hex) : connect_place(s, line, id_hex);
    if (error < 0)
        peer_forget_files(s, id_hex);
    return error;
}

SHM_API int shm_handover(shm_socket_t *s, int fd, int timeout_ms)
{
    if (s == NULL) {
        errno = EINVAL;
        return -1;
    }
    if (api_usable(s) < 0)
        return -1;
    membership_look(s);
    struct line line = {fd, clock_deadline_ns(timeout_ms)};
    int error = hand_over(s, &line);
    if (error < 0)
        errno = error == -EPROTONOSUPPORT ? EPROTO : -error;
    return error < 0 ? -1 : 0;
}
