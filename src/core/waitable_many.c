/* SPDX-License-Identifier: MIT */
/* Waiting for several at once: on all their bells with one system call or, if plain descriptors are among them, with
 * poll() on these and on the waitables' SHM_FD descriptors. */
#include <errno.h>
#include <stdlib.h>

#include "core/waitable.h"
#include "shmq.h"
#include "transport/os.h"

#define FEW 16 /* up to so many items need no heap memory */

static int look_at_items(struct wait_item *items, int count)
{
    int ready = 0;
    for (int i = 0; i < count; i++) {
        struct waitable *w = items[i].waitable;
        if (w == NULL)
            continue;
        w->ops->look(w);
        items[i].revents = w->ops->events(w, items[i].events);
        ready += items[i].revents != 0;
    }
    return ready;
}

static bool any_ready(struct wait_item *items, int count)
{
    for (int i = 0; i < count; i++)
        if (items[i].waitable != NULL && waitable_is_stirred(items[i].waitable, items[i].events))
            return true;
    return false;
}

/* ---- by descriptors ---- */

static short to_system(short events)
{
    return (short)(((events & SHM_POLLIN) ? OS_POLL_IN : 0) | ((events & SHM_POLLOUT) ? OS_POLL_OUT : 0) |
                   ((events & SHM_POLLPRI) ? OS_POLL_PRI : 0));
}

static short from_system(short revents)
{
    return (short)(((revents & OS_POLL_IN) ? SHM_POLLIN : 0) | ((revents & OS_POLL_OUT) ? SHM_POLLOUT : 0) |
                   ((revents & OS_POLL_PRI) ? SHM_POLLPRI : 0) |
                   ((revents & OS_POLL_ERROR) ? SHM_POLLERR : 0));
}

static int poll_descriptors(struct wait_item *items, int count, struct os_poll *fds, int timeout_ms)
{
    int ready = 0;
    for (int i = 0; i < count; i++) {
        struct waitable *w = items[i].waitable;
        fds[i] = (struct os_poll){items[i].fd, to_system(items[i].events), 0};
        if (w == NULL)
            continue;
        fds[i].fd = descriptor_open(w);
        if (fds[i].fd < 0)
            return fds[i].fd;
        fds[i].events = OS_POLL_IN;
        descriptor_rearm(w, items[i].events);
    }
    if (any_ready(items, count))
        timeout_ms = 0;
    int error = os_poll(fds, (unsigned)count, timeout_ms);
    if (error < 0)
        return error;
    for (int i = 0; i < count; i++) {
        if (items[i].waitable != NULL)
            continue;
        items[i].revents = (short)(from_system(fds[i].revents) & (items[i].events | SHM_POLLERR));
        ready += items[i].revents != 0;
    }
    return ready;
}

/* ---- by bells ---- */

static void spin_many(struct wait_item *items, int count, uint64_t deadline_ns)
{
    uint64_t start = cpu_ticks(), budget = 0;
    for (int i = 0; i < count; i++) {
        uint64_t one = items[i].waitable != NULL ? spin_budget(items[i].waitable) : 0;
        budget = one > budget ? one : budget;
    }
    for (uint64_t polls = 0; !any_ready(items, count); polls++) {
        if (cpu_ticks() - start > budget || (deadline_ns != CLOCK_FOREVER && clock_now_ns() >= deadline_ns))
            return;
        for (int i = 0; i < count && polls % POLLS_PER_LOOK == 0; i++)
            if (items[i].waitable != NULL)
                spin_check(items[i].waitable);
    }
}

static int sleep_many(struct wait_item *items, int count, shared_u32 **words, uint64_t timeout_ns)
{
    int result = 0;
    bool slept = false;
    for (int i = 0; i < count; i++) {
        items[i].waitable->ops->announce(items[i].waitable, BELL_WAITING);
        words[i] = &items[i].waitable->bell->page->waiting;
    }
    if (!any_ready(items, count)) {
        result = os_futex_wait_many(words, BELL_WAITING, count, timeout_ns);
        slept = result != -ENOSYS;
    }
    for (int i = 0; i < count; i++) {
        struct waitable *w = items[i].waitable;
        bell_retract(w->bell);
        count_add(w->sleeps, slept);
        if (w->descriptor.fd >= 0)
            bell_fd_raise(w->descriptor.fifo);
        if (result == -ETIMEDOUT)
            w->ops->check(w);
    }
    return result;
}

/* ---- both ---- */

/* One slice of sleep; READY: how many descriptors became ready. */
static int wait_once(struct wait_item *items, int count, bool descriptors, uint64_t deadline_ns, void *room, int *ready)
{
    uint64_t timeout_ns = sleep_slice(deadline_ns, clock_now_ns());
    int error = 0;
    *ready = 0;
    if (!descriptors && count > 0) {
        spin_many(items, count, deadline_ns);
        error = sleep_many(items, count, room, timeout_ns);
    }
    if (descriptors || count == 0 || error == -ENOSYS) {
        error = poll_descriptors(items, count, room, (int)(timeout_ns / 1000000 + 1));
        *ready = error > 0 ? error : 0;
    }
    if (error < 0 && error != -EAGAIN && error != -ETIMEDOUT)
        return error;
    for (int i = 0; i < count; i++)
        if (items[i].waitable != NULL && (error = items[i].waitable->ops->ended(items[i].waitable)) < 0)
            return error;
    return 0;
}

static int poll_until(struct wait_item *items, int count, uint64_t deadline_ns, void *room)
{
    bool descriptors = false;
    for (int i = 0; i < count; i++)
        descriptors = descriptors || items[i].waitable == NULL;
    int ready = look_at_items(items, count), more = 0;
    if (descriptors && (more = poll_descriptors(items, count, room, 0)) < 0)
        return more;
    ready += more;
    while (ready == 0) {
        if (deadline_ns != CLOCK_FOREVER && clock_now_ns() >= deadline_ns) {
            for (int i = 0; i < count; i++)
                if (items[i].waitable != NULL)
                    items[i].waitable->ops->idle(items[i].waitable); /* a caller may do nothing but poll */
            break;
        }
        int error = wait_once(items, count, descriptors, deadline_ns, room, &more);
        if (error < 0)
            return error;
        ready = look_at_items(items, count) + more;
    }
    return ready;
}

int waitable_poll(struct wait_item *items, int count, uint64_t deadline_ns)
{
    _Alignas(8) char few[FEW * sizeof(struct os_poll)];
    _Static_assert(sizeof(struct os_poll) >= sizeof(shared_u32 *), "room for either");
    void *room = count <= FEW ? (void *)few : malloc((size_t)count * sizeof(struct os_poll));
    if (room == NULL)
        return -ENOMEM;
    int result = poll_until(items, count, deadline_ns, room);
    if (room != (void *)few)
        free(room);
    return result;
}
