/* SPDX-License-Identifier: MIT */
#include "transport/os.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Room for more descriptors than there may be, and for what else may come: credentials, a label of SELinux. */
#define CONTROL_SIZE 1024
#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

int os_is_unix_socket(int fd)
{
    int domain = 0;
    socklen_t size = sizeof domain;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0)
        return -errno;
    return domain == AF_UNIX;
}

int os_send_fds(int fd, const void *data, size_t size, const int *fds, unsigned count)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * OS_FDS_MAX)];
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
    ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0)
        return -errno;
    return n == (ssize_t)size ? 0 : -EMSGSIZE;
}

/* What the caller asked the system to tell of the peer (SO_PASSCRED, SO_PASSPIDFD) comes along. */
static void take_fds(struct msghdr *message, struct os_fds *into)
{
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head != NULL; head = CMSG_NXTHDR(message, head)) {
        if (head->cmsg_level != SOL_SOCKET || (head->cmsg_type != SCM_RIGHTS && head->cmsg_type != SCM_PIDFD))
            continue;
        unsigned n = (unsigned)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        into->came = head->cmsg_type == SCM_RIGHTS ? into->came + n : into->came;
        for (unsigned i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(head) + i * sizeof fd, sizeof fd);
            if (head->cmsg_type == SCM_RIGHTS && into->count < OS_FDS_MAX)
                into->fds[into->count++] = fd;
            else if (fd >= 0)
                close(fd);
        }
    }
}

ssize_t os_receive_fds(int fd, void *data, size_t size, struct os_fds *into)
{
    union {
        char bytes[CONTROL_SIZE];
        struct cmsghdr align;
    } control;
    struct iovec part = {data, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes,
                             .msg_controllen = sizeof control};
    ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0)
        return -errno;
    into->came = 0;
    take_fds(&message, into);
    if (n == 0)
        return -EPIPE;
    if ((message.msg_flags & MSG_CTRUNC) && into->came <= OS_FDS_MAX)
        return -EMFILE; /* there was room for more: what was wanting are descriptors of ours */
    return message.msg_flags & (MSG_CTRUNC | MSG_TRUNC) ? -EPROTO : n;
}
