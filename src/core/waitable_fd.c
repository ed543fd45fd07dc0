/* SPDX-License-Identifier: MIT */
/* The descriptor behind SHM_FD: an epoll of two, the FIFO that ringers write to and a watch of files that tells of
 * deaths. It is armed by announcing that we sleep on it, and level-triggered: readable until it is rearmed. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core/waitable.h"
#include "transport/os.h"

void descriptor_init(struct descriptor *descriptor)
{
    descriptor->fd = descriptor->fifo = descriptor->inotify = -1;
}

static void add_to_epoll(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    if (fd >= 0)
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

/* The system has no watch left (fs.inotify, user.max_inotify_instances): look now and then instead. */
static void watch_by_time(struct descriptor *descriptor)
{
    struct itimerspec slices = {.it_interval = {.tv_nsec = BELL_SLICE_NS - 1}, .it_value = {.tv_nsec = BELL_SLICE_NS - 1}};
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (timer < 0)
        return;
    timerfd_settime(timer, 0, &slices, NULL);
    add_to_epoll(descriptor->fd, timer);
    if (descriptor->inotify >= 0)
        close(descriptor->inotify);
    descriptor->inotify = timer;
    descriptor->ticks = true;
}

static bool watch_file(struct waitable *w, const char *file, uint32_t events)
{
    char path[PATH_MAX];
    if (os_file_path(directory_fd(w->directory), file, path, sizeof path) &&
        inotify_add_watch(w->descriptor.inotify, path, events) >= 0)
        return true;
    /* A container without /proc: by name, then. */
    int size = snprintf(path, sizeof path, "%s/%s", directory_name(w->directory), file);
    return size < (int)sizeof path && inotify_add_watch(w->descriptor.inotify, path, events) >= 0;
}

void descriptor_watch(struct waitable *w)
{
    struct descriptor *descriptor = &w->descriptor;
    const char *file;
    char fifo[40];
    bell_fd_name(w->bell, fifo);
    bool watched =
        descriptor->inotify >= 0 && (descriptor->ticks || watch_file(w, fifo, IN_ATTRIB)); /* os_fifo_raise() */
    /* The end of a peer's mapping, by death too, is told as the end of writing. */
    for (unsigned i = 0; watched && !descriptor->ticks && (file = w->ops->watched(w, i)) != NULL; i++)
        watched = watch_file(w, file, IN_CLOSE_WRITE);
    if (!watched)
        watch_by_time(descriptor);
}

int descriptor_open(struct waitable *w)
{
    struct descriptor *descriptor = &w->descriptor;
    if (descriptor->fd >= 0)
        return descriptor->fd;
    int fifo = bell_fd_open(w->bell);
    if (fifo < 0)
        return fifo;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) {
        int error = errno;
        bell_fd_close(w->bell, fifo);
        return -error;
    }
    descriptor->fifo = fifo;
    descriptor->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    add_to_epoll(epoll, fifo);
    add_to_epoll(epoll, descriptor->inotify);
    descriptor->fd = epoll;
    descriptor_watch(w);
    bell_fd_raise(fifo); /* readable at first: the first look arms it */
    return descriptor->fd;
}

void descriptor_close(struct waitable *w)
{
    struct descriptor *descriptor = &w->descriptor;
    if (descriptor->fd < 0)
        return;
    close(descriptor->fd);
    close(descriptor->fifo);
    if (descriptor->inotify >= 0)
        close(descriptor->inotify);
    descriptor_init(descriptor);
}

void descriptor_rearm(struct waitable *w, short wanted)
{
    struct descriptor *descriptor = &w->descriptor;
    char events[1024];
    if (descriptor->inotify >= 0 && read(descriptor->inotify, events, sizeof events) > 0) {
        while (read(descriptor->inotify, events, sizeof events) > 0)
            ;
        w->ops->check(w);
        descriptor_watch(w);
    }
    bell_fd_drain(descriptor->fifo);
    w->ops->announce(w, BELL_FD);
    if (waitable_is_stirred(w, wanted))
        bell_fd_raise(descriptor->fifo);
}
