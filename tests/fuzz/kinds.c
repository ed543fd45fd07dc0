/* SPDX-License-Identifier: MIT */
#include "kinds.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "liar.h"
#include "transport/endpoint_layout.h"
#include "transport/segment_layout.h"

static int file_fd, directory_fd_, null_fd, event_fd, path_fd, pipe_fds[2], socket_fds[2], fifo_fd;

void kinds_make(void)
{
    char name[64];
    if (null_fd > 0)
        return;
    signal(SIGIO, SIG_IGN); /* of leases */
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    file_fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    directory_fd_ = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    path_fd = open("/tmp", O_PATH | O_CLOEXEC);
    event_fd = eventfd(0, EFD_CLOEXEC);
    CHECK(pipe2(pipe_fds, O_CLOEXEC) == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socket_fds) == 0);
    snprintf(name, sizeof name, "/proc/self/fd/%d", pipe_fds[0]);
    fifo_fd = open(name, O_RDWR | O_CLOEXEC); /* one that blocks */
    CHECK(null_fd > 0 && directory_fd_ > 0 && event_fd > 0 && fifo_fd > 0);
}

/* A memfd of some size, with some of the seals, of some mode, opened in some way, with or without a lease. */
static int some_memory(void)
{
    static const int seals[] = {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_WRITE, 0x0010 /* FUTURE_WRITE */};
    static const size_t sizes[] = {0, 1, 4096, 65536, 1 << 20, 32 << 20};
    int fd = memfd_create("liar", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    unsigned which = liar_byte(), how = liar_byte();
    char name[64];
    CHECK(fd >= 0 && ftruncate(fd, (off_t)sizes[liar_choice(6)]) == 0);
    if (how & 1) {
        static const uint64_t magics[] = {SEGMENT_MAGIC, ENDPOINT_MAGIC};
        CHECK(pwrite(fd, &magics[how >> 7], 8, 0) <= 8);
    }
    for (unsigned i = 0; i < 5; i++)
        if (which & 1u << i)
            fcntl(fd, F_ADD_SEALS, seals[i]);
    if (how & 2)
        fchmod(fd, 0);
    if (how & 12) {
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        int again = open(name, (how & 4 ? O_RDONLY : O_RDWR) | O_CLOEXEC);
        if (again >= 0) {
            close(fd);
            fd = again;
        }
    }
    if (how & 16)
        fcntl(fd, F_SETLEASE, how & 4 ? F_RDLCK : F_WRLCK); /* an open() would wait for 45 s, or for us */
    return fd;
}

static void put(struct set *set, int fd, bool ours)
{
    if (set->count < LINE_FDS_MAX) {
        set->fds[set->count] = fd;
        set->ours[set->count++] = ours;
    } else if (ours) {
        close(fd);
    }
}

static int some_kind(bool *ours)
{
    const int kinds[] = {null_fd, file_fd >= 0 ? file_fd : null_fd, directory_fd_, path_fd, event_fd, pipe_fds[0],
                         pipe_fds[1], socket_fds[0], fifo_fd};
    unsigned which = liar_choice(sizeof kinds / sizeof kinds[0] + 4);
    *ours = which >= sizeof kinds / sizeof kinds[0];
    return *ours ? some_memory() : kinds[which];
}

void set_choose(struct set *out, const int *truth, unsigned count)
{
    out->count = 0;
    for (unsigned i = 0; i < count; i++) {
        unsigned how = liar_byte();
        bool ours = false;
        if (how < 0xa0)
            put(out, truth[i], false);
        else if (how < 0xb0)
            put(out, truth[how % count], false);
        else if (how < 0xf0) {
            int fd = some_kind(&ours);
            put(out, fd, ours);
        }
        if (how >= 0xf8)
            for (unsigned more = how & 7; more > 0; more--)
                put(out, truth[i], false);
    }
}

void set_drop(struct set *set)
{
    for (unsigned i = 0; i < set->count; i++)
        if (set->ours[i])
            close(set->fds[i]);
    set->count = 0;
}
