/* SPDX-License-Identifier: MIT */
#include "transport/os.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <unistd.h>

_Static_assert(sizeof(struct os_poll) == sizeof(struct pollfd) &&
                   offsetof(struct os_poll, fd) == offsetof(struct pollfd, fd) &&
                   offsetof(struct os_poll, events) == offsetof(struct pollfd, events) &&
                   offsetof(struct os_poll, revents) == offsetof(struct pollfd, revents),
               "struct os_poll is the kernel's");
_Static_assert(OS_POLL_IN == POLLIN && OS_POLL_PRI == POLLPRI && OS_POLL_OUT == POLLOUT &&
                   OS_POLL_ERROR == (POLLERR | POLLHUP | POLLNVAL),
               "and so are its events");

int os_poll(struct os_poll *items, unsigned count, int timeout_ms)
{
    int ready = poll((struct pollfd *)(void *)items, count, timeout_ms);
    return ready < 0 ? -errno : ready;
}

int os_group_new(void)
{
    int group = epoll_create1(EPOLL_CLOEXEC);
    return group < 0 ? -errno : group;
}

void os_group_add(int group, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    if (fd >= 0)
        epoll_ctl(group, EPOLL_CTL_ADD, fd, &event);
}

int os_watch_new(void)
{
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    return watch < 0 ? -errno : watch;
}

bool os_watch_add(int watch, const char *path, enum os_watch what)
{
    return inotify_add_watch(watch, path, what == OS_WATCH_TIMES ? IN_ATTRIB : IN_CLOSE_WRITE) >= 0;
}

int os_ticker_new(uint64_t period_ns)
{
    struct timespec period = {(time_t)(period_ns / 1000000000u), (long)(period_ns % 1000000000u)};
    struct itimerspec ticks = {.it_interval = period, .it_value = period};
    int ticker = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (ticker < 0)
        return -errno;
    timerfd_settime(ticker, 0, &ticks, NULL);
    return ticker;
}

bool os_watch_take(int watch)
{
    char events[1024];
    bool any = false;
    while (read(watch, events, sizeof events) > 0)
        any = true;
    return any;
}

void os_fifo_drain(int fd)
{
    char bytes[256];
    while (read(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes)
        ;
}

void os_fifo_fill(int fd)
{
    /* A full pipe is as readable as can be. */
    if (write(fd, "", 1) < 0)
        return;
}
