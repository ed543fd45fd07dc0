/* SPDX-License-Identifier: MIT */
/* For the checker, which never calls any of it. */
#pragma once
struct epoll_event {
    unsigned events;
    union {
        void *ptr;
        int fd;
    } data;
};
enum { EPOLLIN = 1, EPOLL_CTL_ADD = 1, EPOLL_CLOEXEC = 1 };
int epoll_create1(int flags);
int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event);
