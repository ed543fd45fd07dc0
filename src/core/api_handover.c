/* SPDX-License-Identifier: MIT */
/*
 * Hand-over: two sockets that share no directory (SHM_MEMFD) meet over a Unix socket, on which each sends the other the
 * descriptors of its files (transport/store.h):
 *
 *   both         hello: who I am;  descriptors: segment, bell, FIFO, and claims if there are any
 *   greater id   place: a name;    descriptor: an endpoint, where it is bound
 *   smaller id   connects there and confirms by one byte; the other accepts it before it returns
 *
 * From then on this is an endpoint like any other. Nobody else ever comes to it, so each side leaves when the other has
 * gone.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/process.h"
#include "core/api.h"
#include "core/peer.h"
#include "transport/os.h"
#include "transport/store.h"

#define HELLO_MAGIC UINT64_C(0x316f6c6c65686d73) /* "smhello1" */

_Static_assert(PEER_FILES == OS_FDS_MAX, "all of a peer's files go at once");

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

/* Wait until the line is readable or writable (EVENTS). 0, -EAGAIN, -EINTR. */
static int await(const struct line *line, short events)
{
    struct os_poll item = {line->fd, events, 0};
    uint64_t now_ns = clock_now_ns();
    if (line->deadline_ns <= now_ns)
        return -EAGAIN; /* even if it is ready: when others read it too, being told so might never end */
    uint64_t left_ms = (line->deadline_ns - now_ns + 999999) / 1000000;
    int timeout = line->deadline_ns == UINT64_MAX ? -1 : left_ms > INT32_MAX ? INT32_MAX : (int)left_ms;
    int n = os_poll(&item, 1, timeout);
    return n > 0 ? 0 : n == 0 ? -EAGAIN : n;
}

static int say(const struct line *line, const void *data, size_t size, const int *fds, unsigned count)
{
    int error;
    /* -EMSGSIZE: a message this small fits only if nobody else's bytes fill the buffer. */
    while ((error = os_send_fds(line->fd, data, size, fds, count)) == -EAGAIN)
        if ((error = await(line, OS_POLL_OUT)) < 0)
            return error;
    return error;
}

static void close_all(const int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        os_close(fds[i]);
}

/* Receive SIZE bytes and the descriptors that come with them: how many; or an error, and no descriptor is kept. */
static int hear(const struct line *line, void *data, size_t size, int fds[PEER_FILES])
{
    struct os_fds came = {.count = 0};
    size_t got = 0;
    int error = 0;

    while (error == 0 && got < size) {
        ssize_t n = os_receive_fds(line->fd, (char *)data + got, size - got, &came);
        if (n > 0)
            got += (size_t)n;
        else
            error = n == -EAGAIN ? await(line, OS_POLL_IN) : (int)n;
    }
    if (error < 0) {
        close_all(came.fds, came.count);
        return error;
    }
    memcpy(fds, came.fds, came.count * sizeof fds[0]);
    return (int)came.count;
}

/* ---- what is handed over ---- */

/* How the store takes each of a peer's files, in the order of peer_file_name(). */
static const int kinds_of_files[PEER_FILES] = {OS_READ, OS_WRITE, STORE_FIFO, OS_WRITE};

static int say_hello(struct shm_socket *s, const struct line *line)
{
    struct hello hello = {HELLO_MAGIC, SHMQ_ABI, s->tx.shared.claims != NULL ? 4 : 3, {0}};
    int fds[PEER_FILES];
    char name[48];

    memcpy(hello.id, s->segment.header->id, sizeof hello.id);
    int error = 0; /* makes the FIFO if needed: SHM_FD may be asked for later */
    for (unsigned i = 0; i < hello.files && error >= 0; i++) {
        peer_file_name(name, s->segment.id_hex, i);
        error = fds[i] = store_lend(s->store, name, kinds_of_files[i]);
    }
    return error < 0 ? error : say(line, &hello, sizeof hello, fds, hello.files);
}

/* Take the peer's files into our store. */
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
    if (error == 0 && store_lend(s->store, name, OS_WRITE) >= 0)
        error = -EISCONN;
    if (error < 0) {
        close_all(fds, (unsigned)count);
        return error;
    }
    for (unsigned i = 0; i < (unsigned)count; i++) {
        peer_file_name(name, id_hex, i);
        int taken = store_take(s->store, name, fds[i], kinds_of_files[i]);
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
        s->memberships->look_again = true; /* the peer may die before it comes */
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
    int fd = store_lend(s->store, file, OS_WRITE);
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

/* The binder bound before it named the endpoint to us: if it is not there, it has died or given up. */
static int connect_there(struct shm_socket *s, const struct line *line, const struct place *place, const char *peer)
{
    int error = membership(s, place, false, peer);
    if (error == -EBUSY)
        return -ECONNRESET; /* the endpoint was just removed */
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
    int error = store_take(s->store, file, fds[0], OS_WRITE);
    if (error < 0)
        return error == -EEXIST ? -EPROTO : error; /* another endpoint has that name */
    error = connect_there(s, line, &place, peer);
    if (error < 0)
        store_file_unlink(s->store, file);
    return error;
}

static int hand_over(struct shm_socket *s, const struct line *line)
{
    struct hello hello;
    char id_hex[2 * SEGMENT_ID_SIZE + 1];
    int is_unix = os_is_unix_socket(line->fd);

    if (is_unix < 0)
        return is_unix;
    if (store_has_names(s->store) || !is_unix)
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
