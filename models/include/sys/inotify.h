/* SPDX-License-Identifier: MIT */
/* For the checker, which never calls any of it. */
#pragma once
struct inotify_event {
    int wd;
};
enum { IN_ATTRIB = 4, IN_CLOSE_WRITE = 8, IN_NONBLOCK = 1, IN_CLOEXEC = 2 };
int inotify_init1(int flags);
int inotify_add_watch(int fd, const char *path, unsigned mask);
