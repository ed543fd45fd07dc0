/* SPDX-License-Identifier: MIT */
/* For the checker, which never calls any of it. */
#pragma once
typedef unsigned long nfds_t;
struct pollfd {
    int fd;
    short events, revents;
};
enum { POLLIN = 1, POLLOUT = 4, POLLPRI = 2, POLLERR = 8, POLLHUP = 16, POLLNVAL = 32 };
int poll(struct pollfd *fds, nfds_t count, int timeout_ms);
