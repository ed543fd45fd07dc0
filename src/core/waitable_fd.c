/* SPDX-License-Identifier: MIT */
/* The descriptor behind SHM_FD: an epoll of the FIFO that peers write to when they ring, and of an inotify watch that
 * tells of deaths. Announcing a sleep arms it; it is level-triggered: readable until it is rearmed. */

#include "core/waitable.h"
#include "transport/os.h"

void descriptor_init(struct descriptor *descriptor)
{
    *descriptor = (struct descriptor){.fd = -1, .fifo = -1, .inotify = -1};
}

/* No inotify watch is left (fs.inotify, user.max_inotify_instances): look at intervals instead. */
static void watch_by_time(struct descriptor *descriptor)
{
    int timer = os_ticker_new(BELL_SLICE_NS - 1);
    if (timer < 0)
        return;
    os_group_add(descriptor->fd, timer);
    if (descriptor->inotify >= 0)
        os_close(descriptor->inotify);
    descriptor->inotify = timer;
    descriptor->ticks = true;
}

void descriptor_watch(struct waitable *w)
{
    struct descriptor *descriptor = &w->descriptor;
    const char *file;
    char fifo[40];
    bell_fd_name(w->bell, fifo);
    bool watched =
        descriptor->inotify >= 0 &&
        (descriptor->ticks || store_watch(w->store, fifo, descriptor->inotify, OS_WATCH_TIMES));
    /* When a peer's mapping ends, by death or otherwise, inotify reports the end of a writer. */
    for (unsigned i = 0; watched && !descriptor->ticks && (file = w->ops->watched(w, i)) != NULL; i++)
        watched = store_watch(w->store, file, descriptor->inotify, OS_WATCH_WRITERS);
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
    int epoll = os_group_new();
    if (epoll < 0) {
        bell_fd_close(w->bell, fifo);
        return epoll;
    }
    descriptor->fifo = fifo;
    descriptor->inotify = os_watch_new();
    os_group_add(epoll, fifo);
    os_group_add(epoll, descriptor->inotify);
    descriptor->fd = epoll;
    descriptor_watch(w);
    bell_fd_raise(fifo); /* readable at first; the caller's first look arms it */
    return descriptor->fd;
}

void descriptor_close(struct waitable *w)
{
    struct descriptor *descriptor = &w->descriptor;
    if (descriptor->fd < 0)
        return;
    os_close(descriptor->fd);
    os_close(descriptor->fifo);
    if (descriptor->inotify >= 0)
        os_close(descriptor->inotify);
    descriptor_init(descriptor);
}

void descriptor_rearm(struct waitable *w, short wanted)
{
    struct descriptor *descriptor = &w->descriptor;
    if (descriptor->inotify >= 0 && os_watch_take(descriptor->inotify)) {
        w->ops->check(w);
        descriptor_watch(w);
    }
    bell_fd_drain(descriptor->fifo);
    w->ops->announce(w, BELL_FD);
    if (waitable_is_stirred(w, wanted))
        bell_fd_raise(descriptor->fifo);
}
