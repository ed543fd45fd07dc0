/* SPDX-License-Identifier: MIT */
#include "line.h"

#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
    char bytes[CMSG_SPACE(LINE_FDS_MAX * sizeof(int))];
    struct cmsghdr align;
};

int line_make(int line[2])
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line);
}

void line_drop(int line[2])
{
    close(line[0]);
    close(line[1]);
}

ssize_t line_send(int end, const void *bytes, size_t size, const int *fds, unsigned count)
{
    union control control = {0};
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
    return sendmsg(end, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

ssize_t line_recv(int end, struct letter *letter, size_t size, int flags)
{
    union control control;
    struct iovec part = {letter->bytes, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes,
                             .msg_controllen = sizeof control};
    ssize_t n = recvmsg(end, &message, MSG_CMSG_CLOEXEC | flags);
    struct cmsghdr *head = n < 0 ? NULL : CMSG_FIRSTHDR(&message);

    letter->count = 0;
    if (head && head->cmsg_type == SCM_RIGHTS) {
        letter->count = (unsigned)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(letter->fds, CMSG_DATA(head), letter->count * sizeof(int));
    }
    return n;
}

void letter_close(struct letter *letter)
{
    for (unsigned i = 0; i < letter->count; i++)
        close(letter->fds[i]);
    letter->count = 0;
}
