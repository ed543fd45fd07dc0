/* SPDX-License-Identifier: MIT */
#include "core/waitable.h"

#include <errno.h>

#include "base/clock.h"
#include "shmq.h"
#include "transport/os.h"

#define SPIN_START_US   20
#define SPIN_MIN_US     1
#define SPIN_MAX_US     100
#define SPIN_LONGEST_NS INT64_C(1000000000000) /* SHM_SPIN_NS is capped here, so that ticks do not overflow */
#define POLLS_NO_PAUSE  4096 /* polls at full speed before pausing between them */

bool waitable_is_stirred(struct waitable *w, short events)
{
    return peer_u32(&w->bell->page->changed) != 0 || w->ops->events(w, events) != 0 || w->ops->ended(w) < 0;
}

bool waitable_is_past(uint64_t ticks, uint64_t ms)
{
    return cpu_ticks() - ticks > clock_ticks_per_us() * 1000 * ms;
}

/* ---- callers that never wait ---- */

void look_init(struct look *look)
{
    uint64_t now = cpu_ticks();
    *look = (struct look){1, 1, now, now, clock_ticks_per_us() * 1000 * CHECK_MS / 2};
}

bool look_by_clock(struct look *look)
{
    uint64_t now = cpu_ticks();
    look->step = now - look->asked_at > look->slow ? 1 : look->step + (look->step < LOOK_STEP);
    look->asked_at = now;
    bool due = now - look->acted_at > 2 * look->slow;
    look->left = due ? 1 : look->step;
    return due;
}

void look_acted(struct look *look)
{
    look->acted_at = look->asked_at;
    look->left = look->step;
}

/* ---- spinning ---- */

static bool one_processor(void)
{
    static _Atomic int known; /* 0 unknown, 1 no, 2 yes */
    int answer = atomic_load_explicit(&known, memory_order_relaxed);
    if (answer == 0) {
        answer = os_processors() == 1 ? 2 : 1; /* of the machine, not our affinity: peers may run on others */
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer == 2;
}

uint64_t spin_budget(struct waitable *w)
{
    int64_t ns = *w->spin_ns;
    if (ns == -1)
        return UINT64_MAX;
    if (ns >= 0)
        return (ns < SPIN_LONGEST_NS ? (uint64_t)ns : (uint64_t)SPIN_LONGEST_NS) * clock_ticks_per_us() / 1000;
    if (w->spin_ticks == 0)
        w->spin_ticks = one_processor() ? 1 : SPIN_START_US * clock_ticks_per_us();
    return w->spin_ticks;
}

static void calibrate(struct waitable *w, uint64_t slept_ticks)
{
    uint64_t us = clock_ticks_per_us();
    if (*w->spin_ns != -2 || one_processor())
        return;
    if (slept_ticks < 2 * SPIN_MAX_US * us && w->spin_ticks < SPIN_MAX_US * us)
        w->spin_ticks *= 2;
    else if (slept_ticks > 1000 * us && w->spin_ticks > SPIN_MIN_US * us)
        w->spin_ticks /= 2;
}

/*
 * Having caught up with a peer, give it time for a few messages or slots before looking again. Looking at once would
 * each time take the cache line that it is about to write. A reply could not come sooner than this anyway.
 */
void pause_for_ns(uint64_t ns)
{
    uint64_t until = cpu_ticks() + clock_ticks_per_us() * ns / 1000;
    while (cpu_ticks() < until)
        ;
}

/* 1: ready; 0: the budget is spent; -EAGAIN: the deadline has passed. */
static int spin(struct waitable *w, short events, uint64_t budget, uint64_t deadline_ns)
{
    uint64_t start = cpu_ticks();
    for (uint64_t polls = 0;; polls++) {
        if (waitable_is_stirred(w, events))
            return 1;
        if (polls == 0 || (events & SHM_POLLOUT))
            pause_for_ns(w->apart_ns);
        if (polls % POLLS_PER_LOOK == POLLS_PER_LOOK - 1) {
            if (cpu_ticks() - start > budget)
                return 0;
            if (deadline_ns != CLOCK_FOREVER && clock_now_ns() >= deadline_ns)
                return -EAGAIN;
            spin_check(w);
        }
        if (polls > POLLS_NO_PAUSE)
            cpu_pause();
    }
}

/* ---- sleeping ---- */

/* Sleep for one slice. 0: go on; 1: ready; -EAGAIN: the deadline has passed; -EINTR. */
static int sleep_once(struct waitable *w, short events, uint64_t deadline_ns)
{
    uint32_t how = w->ops->announce(w, events == SHM_POLLIN ? BELL_WAITING | BELL_TAKES : BELL_WAITING);
    uint64_t now_ns = deadline_ns == CLOCK_FOREVER ? 0 : clock_now_ns();
    bool stirred = waitable_is_stirred(w, events);
    if (stirred || (deadline_ns != CLOCK_FOREVER && now_ns >= deadline_ns)) {
        bell_retract(w->bell);
        return stirred ? 1 : -EAGAIN;
    }
    uint64_t before = cpu_ticks();
    int result = bell_sleep(w->bell, how, sleep_slice(deadline_ns, now_ns));
    bell_retract(w->bell);
    count_add(w->sleeps, 1);
    if (result == -EINTR) /* what it was woken for is taken first: nobody else is told of it */
        return waitable_is_stirred(w, events) ? 1 : result;
    if (result == 0) {
        calibrate(w, cpu_ticks() - before);
        spin_check(w); /* a steady stream must not hide a death */
    } else {
        w->ops->check(w);
    }
    return waitable_is_stirred(w, events);
}

int waitable_wait(struct waitable *w, short events, uint64_t deadline_ns)
{
    int result = w->ops->ended(w);
    if (result < 0)
        return result;
    uint64_t budget = spin_budget(w);
    if (budget > 1 && (result = spin(w, events, budget, deadline_ns)) != 0)
        return result < 0 ? result : 0;
    do
        result = sleep_once(w, events, deadline_ns);
    while (result == 0);
    if (unlikely(w->descriptor.fd >= 0))
        bell_fd_raise(w->descriptor.fifo); /* this sleep may have disarmed it */
    return result < 0 ? result : 0;
}
