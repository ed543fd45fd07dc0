/* SPDX-License-Identifier: MIT */
/*
 * A waitable is anything that can be waited for; so far, sockets. It has a bell to sleep on (bell.h has the argument)
 * and a table of functions that say whether it is ready. Blocking calls, shm_poll() and SHM_FD know nothing else of it.
 *
 * Waiting first spins, for about as long as a sleep would cost: after a short sleep the next spin is longer, after a
 * long one shorter. On one processor it does not spin. Then it sleeps, in slices, so that a peer that died just before
 * waking us is noticed.
 */
#ifndef SHMQ_CORE_WAITABLE_H
#define SHMQ_CORE_WAITABLE_H

#include "base/clock.h"
#include "transport/bell.h"
#include "transport/store.h"

struct waitable;

struct waitable_ops {
    short (*events)(struct waitable *w, short wanted); /* which of the SHM_POLL bits hold now */
    int (*ended)(struct waitable *w);                  /* -ETERM: it was shut down; else 0 */
    void (*look)(struct waitable *w);                  /* act on changes that were announced; cheap */
    void (*check)(struct waitable *w);                 /* ask the kernel which peers live */
    void (*idle)(struct waitable *w);                  /* a caller that never waits found nothing */
    /* P1: bell_announce(), and tell peers that need to know. What was announced: HOW, or without BELL_TAKES. */
    uint32_t (*announce)(struct waitable *w, uint32_t how);
    const char *(*watched)(struct waitable *w, unsigned i); /* the Ith file to watch for deaths; NULL: no more */
};

/* SHM_FD: all -1 until somebody asks for it. */
struct descriptor {
    int fd, inotify, fifo;
    bool ticks; /* `inotify` is a timer instead, since deaths cannot be watched for */
};

struct waitable {
    const struct waitable_ops *ops;
    struct bell *bell;
    struct store *store;
    const int64_t *spin_ns; /* SHM_SPIN_NS */
    shared_u64 *sleeps;     /* counter of sleeps */
    uint64_t spin_ticks;    /* how long to spin, self-calibrated; 0: not known yet */
    uint64_t apart_ns;      /* how long to leave a peer alone after catching up with it */
    uint64_t checked_at;    /* ticks: the last check(), which sets it */
    struct descriptor descriptor;
};

#define BURST_NS 200 /* the usual apart_ns */
#define CHECK_MS 100 /* how often a spinner or poller checks that its peers live */

/* Should waiting end, because of EVENTS, an announced change or a shutdown? */
bool waitable_is_stirred(struct waitable *w, short events);

/* 0: something may have changed; -EAGAIN at the deadline, -EINTR, -ETERM. */
int waitable_wait(struct waitable *w, short events, uint64_t deadline_ns);

/* Have more than MS milliseconds passed since TICKS? */
bool waitable_is_past(uint64_t ticks, uint64_t ms);

void pause_for_ns(uint64_t ns);

/* ---- between waitable*.c ---- */

#define POLLS_PER_LOOK 64 /* polls between looks at the clock */
uint64_t spin_budget(struct waitable *w); /* ticks */

/* The longest sleep from NOW_NS on. */
static inline uint64_t sleep_slice(uint64_t deadline_ns, uint64_t now_ns)
{
    uint64_t left = deadline_ns == CLOCK_FOREVER ? UINT64_MAX : deadline_ns - now_ns;
    return left < BELL_SLICE_NS ? left : BELL_SLICE_NS;
}

static inline void spin_check(struct waitable *w)
{
    if (waitable_is_past(w->checked_at, CHECK_MS))
        w->ops->check(w);
}

/* ---- the descriptor (waitable_fd.c) ---- */

void descriptor_init(struct descriptor *descriptor);
int descriptor_open(struct waitable *w); /* opens it at the first call; returns it, or a negative errno */
void descriptor_close(struct waitable *w);
void descriptor_watch(struct waitable *w); /* watch every endpoint for deaths */
/* Make the descriptor unreadable until a peer rings or dies, or one of WANTED holds. */
void descriptor_rearm(struct waitable *w, short wanted);

/* ---- several at once (waitable_many.c) ---- */

struct wait_item {
    struct waitable *waitable; /* NULL: FD */
    int fd;
    short events, revents;
};

/* Like shm_poll(): how many are ready, or a negative errno. */
int waitable_poll(struct wait_item *items, int count, uint64_t deadline_ns);

#endif
