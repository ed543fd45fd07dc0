/* SPDX-License-Identifier: MIT */
/*
 * Waiting: spin first, then sleep on the own bell (bell.h has the argument), in slices, so that a
 * peer which died at the wrong instruction is noticed.
 *
 * How long to spin: as long as a sleep would cost, which is what a sleep that ended soon after the
 * spin suggests raising, and one that lasted suggests lowering. On one processor not at all.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core/socket.h"
#include "transport/os.h"

#define SPIN_START_US   20
#define SPIN_MIN_US     1
#define SPIN_MAX_US     100
#define SPIN_LONGEST_NS INT64_C(1000000000000) /* of a chosen time; more is the same */
#define DRAIN_NS        1500 /* between looks for room in a large ring: a quarter of it takes longer */
#define POLLS_PER_LOOK  64   /* polls between looks at the clock */
#define POLLS_NO_PAUSE  4096 /* polls at full speed before pausing between them */
#define CHECK_MS        100  /* how often a spinner or poller asks after its peers */
#define CHECK_BUSY_MS   10000 /* the same for a poller for whom messages move all the time */

/* ---- is it ready ---- */

short socket_events(struct shm_socket *s, short wanted)
{
    short events = 0;
    if ((wanted & SHM_POLLIN) && socket_can_receive(s))
        events |= SHM_POLLIN;
    if ((wanted & SHM_POLLOUT) && s->kind->send != NULL && (s->tx.message.active || s->kind->can_send(s)))
        events |= SHM_POLLOUT;
    if ((wanted & SHM_POLLPRI) && (s->events.count > 0 || s->events.missed > 0))
        events |= SHM_POLLPRI;
    return events;
}

static bool should_return(struct shm_socket *s, short events)
{
    return peer_u32(&s->bell.page->changed) != 0 || socket_events(s, events) != 0 ||
           atomic_load_explicit(&s->terminated, memory_order_relaxed);
}

static void check_now_and_then(struct shm_socket *s, uint64_t now_ticks)
{
    if (now_ticks - s->liveness.checked_at > clock_ticks_per_us() * 1000 * CHECK_MS)
        socket_check_peers(s);
}

/* For callers that never wait. Who receives from its only peer knows that it lives; with more peers the
 * kernel is asked now and then all the same, rarely, for it is a system call. */
static void check_unless_busy(struct shm_socket *s)
{
    uint64_t us = clock_ticks_per_us(), now = cpu_ticks();
    uint64_t moved = load_relaxed(&s->stats[STAT_RECEIVED]) + load_relaxed(&s->stats[STAT_SENT]);
    if (now - s->liveness.looked_at <= us * 1000 * CHECK_MS)
        return;
    bool busy = moved != s->liveness.looked_moved;
    s->liveness.looked_at = now;
    s->liveness.looked_moved = moved;
    if (!busy || (s->pipes.count > 1 && now - s->liveness.checked_at > us * 1000 * CHECK_BUSY_MS))
        socket_check_peers(s);
}

/* The same for those who never wait, because there always is a message. */
void socket_sent_many(struct shm_socket *s)
{
    uint64_t now = cpu_ticks();
    if (now - s->liveness.checked_at > clock_ticks_per_us() * 1000 * CHECK_BUSY_MS)
        socket_check_peers(s);
}

void socket_busy(struct shm_socket *s)
{
    uint64_t now = cpu_ticks();
    if (now - s->liveness.adopted_at <= clock_ticks_per_us() * 1000 * CHECK_MS)
        return;
    s->liveness.adopted_at = now;
    socket_adopt(s); /* asks the kernel only about pullers that have something in hand */
}

/* A non-blocking call found nothing: the only place where a busy poller notices a death. */
void socket_empty_poll(struct shm_socket *s)
{
    if (unlikely(s->descriptor.fd >= 0))
        socket_fd_rearm(s);
    check_unless_busy(s);
}

/* ---- spinning ---- */

static bool one_processor(void)
{
    static _Atomic int known; /* 0 unknown, 1 no, 2 yes */
    int answer = atomic_load_explicit(&known, memory_order_relaxed);
    if (answer == 0) {
        answer = sysconf(_SC_NPROCESSORS_ONLN) == 1 ? 2 : 1; /* not our own: peers may have others */
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer == 2;
}

static uint64_t spin_budget(struct shm_socket *s)
{
    int64_t ns = s->options.spin_ns;
    if (ns == -1)
        return UINT64_MAX;
    if (ns >= 0)
        return (ns < SPIN_LONGEST_NS ? (uint64_t)ns : (uint64_t)SPIN_LONGEST_NS) * clock_ticks_per_us() / 1000;
    if (s->wait.spin_ticks == 0)
        s->wait.spin_ticks = one_processor() ? 1 : SPIN_START_US * clock_ticks_per_us();
    return s->wait.spin_ticks;
}

static void calibrate(struct shm_socket *s, uint64_t slept_ticks)
{
    uint64_t us = clock_ticks_per_us();
    if (s->options.spin_ns != -2 || one_processor())
        return;
    if (slept_ticks < 2 * SPIN_MAX_US * us && s->wait.spin_ticks < SPIN_MAX_US * us)
        s->wait.spin_ticks *= 2;
    else if (slept_ticks > 1000 * us && s->wait.spin_ticks > SPIN_MIN_US * us)
        s->wait.spin_ticks /= 2;
}

/*
 * Having caught up with a peer, give it time for a few messages, or slots, before looking again: to
 * look at once would take the very line from it that it is about to write, each time. A reply could
 * not come sooner than this anyway.
 */
void pause_ns(uint64_t ns)
{
    uint64_t until = cpu_ticks() + clock_ticks_per_us() * ns / 1000;
    while (cpu_ticks() < until)
        ;
}

/* 1 ready, 0 the budget is spent, -EAGAIN the deadline has passed. */
static int spin(struct shm_socket *s, short events, uint64_t budget, uint64_t deadline_ns)
{
    uint64_t start = cpu_ticks();
    bool drains = s->tx.blocked && (s->options.send_hwm == 0 || s->options.send_hwm >= RING_LARGE);
    for (uint64_t polls = 0;; polls++) {
        if (should_return(s, events))
            return 1;
        if (polls == 0 || (events & SHM_POLLOUT))
            pause_ns(drains ? DRAIN_NS : BURST_NS);
        if (polls % POLLS_PER_LOOK == POLLS_PER_LOOK - 1) {
            uint64_t now = cpu_ticks();
            if (now - start > budget)
                return 0;
            if (deadline_ns != CLOCK_FOREVER && clock_now_ns() >= deadline_ns)
                return -EAGAIN;
            check_now_and_then(s, now);
        }
        if (polls > POLLS_NO_PAUSE)
            cpu_pause();
    }
}

/* ---- sleeping ---- */

/* P1 for all: the own bell, and word to those whose shared ring is read that they have a sleeper. */
static void prepare_sleep(struct shm_socket *s, uint32_t how)
{
    bool said = false;
    bell_announce(&s->bell, how);
    for (uint32_t i = 0; i < s->pipes.count; i++) {
        struct pipe *pipe = s->pipes.list[i];
        if (pipe->state == PIPE_UP && pipe->has_in && pipe->in.kind != RING_SPSC) {
            store_relaxed(&pipe->peer->bell.page->has_waiters, 1); /* between two fences */
            said = true;
        }
    }
    if (said)
        fence_seq_cst();
}

static uint64_t slice(uint64_t deadline_ns, uint64_t now_ns)
{
    uint64_t left = deadline_ns == CLOCK_FOREVER ? UINT64_MAX : deadline_ns - now_ns;
    return left < BELL_SLICE_NS ? left : BELL_SLICE_NS;
}

int socket_wait(struct shm_socket *s, short events, uint64_t deadline_ns)
{
    int result;
    if (atomic_load_explicit(&s->terminated, memory_order_relaxed))
        return -ETERM;
    uint64_t budget = spin_budget(s);
    if (budget > 1 && (result = spin(s, events, budget, deadline_ns)) != 0)
        return result < 0 ? result : 0;
    for (;;) {
        prepare_sleep(s, BELL_WAITING);
        if (should_return(s, events)) {
            bell_retract(&s->bell);
            break;
        }
        uint64_t now_ns = deadline_ns == CLOCK_FOREVER ? 0 : clock_now_ns();
        if (deadline_ns != CLOCK_FOREVER && now_ns >= deadline_ns) {
            bell_retract(&s->bell);
            result = -EAGAIN;
            goto out;
        }
        uint64_t before = cpu_ticks();
        result = bell_sleep(&s->bell, BELL_WAITING, slice(deadline_ns, now_ns));
        bell_retract(&s->bell);
        stat_add(s, STAT_SLEEPS, 1);
        if (result == -EINTR)
            goto out;
        if (result == 0) {
            uint64_t now = cpu_ticks();
            calibrate(s, now - before);
            check_now_and_then(s, now); /* a steady stream must not hide a death */
        } else {
            socket_check_peers(s);
        }
        if (should_return(s, events))
            break;
    }
    result = 0;
out:
    if (unlikely(s->descriptor.fd >= 0))
        bell_fd_raise(s->descriptor.fifo); /* it may have been disarmed by this sleep */
    return result;
}

/* ---- the descriptor ---- */

static void add_to_epoll(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    if (fd >= 0)
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

/* The system has no watch left (fs.inotify, user.max_inotify_instances): look now and then instead. */
static void watch_by_time(struct shm_socket *s)
{
    struct itimerspec slices = {.it_interval = {.tv_nsec = BELL_SLICE_NS - 1}, .it_value = {.tv_nsec = BELL_SLICE_NS - 1}};
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (timer < 0)
        return;
    timerfd_settime(timer, 0, &slices, NULL);
    add_to_epoll(s->descriptor.fd, timer);
    if (s->descriptor.inotify >= 0)
        close(s->descriptor.inotify);
    s->descriptor.inotify = timer;
    s->descriptor.ticks = true;
}

static bool watch_file(struct shm_socket *s, const char *file, uint32_t events)
{
    char path[PATH_MAX];
    if (os_file_path(directory_fd(s->directory), file, path, sizeof path) &&
        inotify_add_watch(s->descriptor.inotify, path, events) >= 0)
        return true;
    /* A container without /proc: by name, then. */
    int size = snprintf(path, sizeof path, "%s/%s", directory_name(s->directory), file);
    return size < (int)sizeof path && inotify_add_watch(s->descriptor.inotify, path, events) >= 0;
}

void socket_fd_watch(struct shm_socket *s)
{
    char fifo[40];
    bell_fd_name(&s->bell, fifo);
    bool watched = s->descriptor.inotify >= 0 && (s->descriptor.ticks || watch_file(s, fifo, IN_ATTRIB)); /* os_fifo_raise() */
    /* The end of a peer's mapping, by death too, is told as the end of writing. */
    for (struct membership *a = s->memberships; a != NULL && watched && !s->descriptor.ticks; a = a->next)
        watched = watch_file(s, a->endpoint.file, IN_CLOSE_WRITE);
    if (!watched)
        watch_by_time(s);
}

/* An epoll of two: the FIFO that ringers write to, and the endpoints' files, which tell of deaths. */
int socket_fd(struct shm_socket *s)
{
    if (s->descriptor.fd >= 0)
        return s->descriptor.fd;
    int fifo = bell_fd_open(&s->bell);
    if (fifo < 0)
        return fifo;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) {
        int error = errno;
        bell_fd_close(&s->bell, fifo);
        return -error;
    }
    s->descriptor.fifo = fifo;
    s->descriptor.inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    add_to_epoll(epoll, fifo);
    add_to_epoll(epoll, s->descriptor.inotify);
    s->descriptor.fd = epoll;
    socket_fd_watch(s);
    bell_fd_raise(fifo); /* readable at first: the first look arms it */
    return s->descriptor.fd;
}

void socket_fd_close(struct shm_socket *s)
{
    if (s->descriptor.fd < 0)
        return;
    close(s->descriptor.fd);
    close(s->descriptor.fifo);
    if (s->descriptor.inotify >= 0)
        close(s->descriptor.inotify);
    s->descriptor.fd = s->descriptor.fifo = s->descriptor.inotify = -1;
}

/* Nothing to do was seen: unreadable from here on until a peer rings, or dies. */
void socket_fd_rearm(struct shm_socket *s)
{
    char events[1024];
    if (s->descriptor.inotify >= 0 && read(s->descriptor.inotify, events, sizeof events) > 0) {
        while (read(s->descriptor.inotify, events, sizeof events) > 0)
            ;
        socket_check_peers(s);
        socket_fd_watch(s);
    }
    bell_fd_drain(s->descriptor.fifo);
    prepare_sleep(s, BELL_FD);
    short wanted = SHM_POLLIN | SHM_POLLPRI;
    if (should_return(s, s->tx.refused ? wanted | SHM_POLLOUT : wanted))
        bell_fd_raise(s->descriptor.fifo);
}

/* ---- many ---- */

static int look_at_items(shm_pollitem_t *items, int count)
{
    int ready = 0;
    for (int i = 0; i < count; i++) {
        if (items[i].socket == NULL)
            continue;
        socket_look(items[i].socket);
        items[i].revents = socket_events(items[i].socket, items[i].events);
        ready += items[i].revents != 0;
    }
    return ready;
}

static bool any_ready(shm_pollitem_t *items, int count)
{
    for (int i = 0; i < count; i++)
        if (items[i].socket != NULL && should_return(items[i].socket, items[i].events))
            return true;
    return false;
}

/* Descriptors among the items: the kernel's poll() over all, the sockets by their SHM_FD. */
static int poll_descriptors(shm_pollitem_t *items, int count, struct pollfd *fds, int timeout_ms)
{
    int ready = 0;
    for (int i = 0; i < count; i++) {
        fds[i].fd = items[i].fd;
        fds[i].events = (short)(((items[i].events & SHM_POLLIN) ? POLLIN : 0) |
                                ((items[i].events & SHM_POLLOUT) ? POLLOUT : 0) |
                                ((items[i].events & SHM_POLLPRI) ? POLLPRI : 0));
        if (items[i].socket != NULL) {
            fds[i].fd = socket_fd(items[i].socket);
            if (fds[i].fd < 0)
                return fds[i].fd;
            fds[i].events = POLLIN;
            socket_fd_rearm(items[i].socket);
        }
        fds[i].revents = 0;
    }
    if (any_ready(items, count))
        timeout_ms = 0;
    if (poll(fds, (nfds_t)count, timeout_ms) < 0)
        return -errno;
    for (int i = 0; i < count; i++) {
        if (items[i].socket != NULL)
            continue;
        items[i].revents = (short)(((fds[i].revents & POLLIN) ? SHM_POLLIN : 0) |
                                   ((fds[i].revents & POLLOUT) ? SHM_POLLOUT : 0) |
                                   ((fds[i].revents & POLLPRI) ? SHM_POLLPRI : 0) |
                                   ((fds[i].revents & (POLLERR | POLLHUP | POLLNVAL)) ? SHM_POLLERR : 0));
        items[i].revents &= (short)(items[i].events | SHM_POLLERR);
        ready += items[i].revents != 0;
    }
    return ready;
}

static void spin_sockets(shm_pollitem_t *items, int count, uint64_t deadline_ns)
{
    uint64_t start = cpu_ticks(), budget = 0;
    for (int i = 0; i < count; i++) {
        uint64_t one = items[i].socket != NULL ? spin_budget(items[i].socket) : 0;
        budget = one > budget ? one : budget;
    }
    for (uint64_t polls = 0; !any_ready(items, count); polls++) {
        uint64_t now = cpu_ticks();
        if (now - start > budget || (deadline_ns != CLOCK_FOREVER && clock_now_ns() >= deadline_ns))
            return;
        for (int i = 0; i < count && polls % POLLS_PER_LOOK == 0; i++)
            if (items[i].socket != NULL)
                check_now_and_then(items[i].socket, now);
    }
}

static int sleep_sockets(shm_pollitem_t *items, int count, shared_u32 **words, uint64_t timeout_ns)
{
    int result = 0;
    bool slept = false;
    for (int i = 0; i < count; i++) {
        prepare_sleep(items[i].socket, BELL_WAITING);
        words[i] = &items[i].socket->bell.page->waiting;
    }
    if (!any_ready(items, count)) {
        result = os_futex_wait_many(words, BELL_WAITING, count, timeout_ns);
        slept = result != -ENOSYS;
    }
    for (int i = 0; i < count; i++) {
        bell_retract(&items[i].socket->bell);
        stat_add(items[i].socket, STAT_SLEEPS, slept);
        if (items[i].socket->descriptor.fd >= 0)
            bell_fd_raise(items[i].socket->descriptor.fifo);
        if (result == -ETIMEDOUT)
            socket_check_peers(items[i].socket);
    }
    return result;
}

static int poll_until(shm_pollitem_t *items, int count, uint64_t deadline_ns, void *room)
{
    bool descriptors = false;
    for (int i = 0; i < count; i++)
        descriptors = descriptors || items[i].socket == NULL;
    int ready = look_at_items(items, count), error = 0;
    if (descriptors) {
        int more = poll_descriptors(items, count, room, 0);
        if (more < 0)
            return more;
        ready += more;
    }
    while (ready == 0) {
        uint64_t now_ns = clock_now_ns();
        if (deadline_ns != CLOCK_FOREVER && now_ns >= deadline_ns) {
            for (int i = 0; i < count; i++)
                if (items[i].socket != NULL)
                    check_unless_busy(items[i].socket); /* this may be all that the caller ever calls */
            break;
        }
        uint64_t timeout_ns = slice(deadline_ns, now_ns);
        if (!descriptors && count > 0) {
            spin_sockets(items, count, deadline_ns);
            error = sleep_sockets(items, count, room, timeout_ns);
        }
        int more = 0;
        if (descriptors || count == 0 || error == -ENOSYS) {
            more = poll_descriptors(items, count, room, (int)(timeout_ns / 1000000 + 1));
            error = more < 0 ? more : 0;
        }
        if (error == -EINTR || (error < 0 && error != -EAGAIN && error != -ETIMEDOUT))
            return error;
        for (int i = 0; i < count; i++)
            if (items[i].socket != NULL && atomic_load_explicit(&items[i].socket->terminated, memory_order_relaxed))
                return -ETERM;
        ready = look_at_items(items, count) + more;
    }
    return ready;
}

SHM_API int shm_poll(shm_pollitem_t *items, int count, long timeout_ms)
{
    if (count < 0 || (items == NULL && count > 0)) {
        errno = EINVAL;
        return -1;
    }
    for (int i = 0; i < count; i++) {
        items[i].revents = 0;
        if (items[i].socket != NULL && socket_usable(items[i].socket) < 0)
            return -1;
    }
    _Alignas(8) char few[16 * sizeof(struct pollfd) + 16 * sizeof(shared_u32 *)];
    size_t each = sizeof(struct pollfd) > sizeof(shared_u32 *) ? sizeof(struct pollfd) : sizeof(shared_u32 *);
    void *room = count <= 16 ? (void *)few : malloc((size_t)count * each);
    if (room == NULL)
        return -1;
    int result = poll_until(items, count, clock_deadline_ns(timeout_ms), room);
    if (room != (void *)few)
        free(room);
    if (result < 0) {
        errno = -result;
        return -1;
    }
    return result;
}
