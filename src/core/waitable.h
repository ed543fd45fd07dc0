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

/* ---- callers that never wait ---- */

/*
 * When is it time to ask who lives, for a caller that always finds room, or a message? Asking the clock costs more than
 * counting, so it is asked every LOOK_STEP calls, and at every call when these come slowly: a look falls every 100 ms,
 * or after LOOK_STEP calls if a fast stream has just become a slow one. A send that wakes its peer asks as well.
 */
struct look {
    uint32_t left; /* calls until the clock is asked */
    uint32_t step; /* how many they were last time */
    uint64_t asked_at, acted_at; /* ticks */
    uint64_t slow;               /* ticks between two questions from which on every call asks */
};

#define LOOK_STEP 10

void look_init(struct look *look);
/* The clock's answer. True: act, and say so by look_acted(); until then every call hears the same. */
bool look_by_clock(struct look *look);
void look_acted(struct look *look);

static inline bool look_is_due(struct look *look)
{
    return unlikely(--look->left == 0) && look_by_clock(look);
}

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
