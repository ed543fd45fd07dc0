/* SPDX-License-Identifier: MIT */
#include "floor.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bounce.h"

struct words {
    _Alignas(128) atomic_uint there;
    _Alignas(128) atomic_uint back;
};

static atomic_uint *mine, *theirs;

static void open_words(struct lane *lane, int side)
{
    struct words *words = lane->shared;

    mine = side == 0 ? &words->there : &words->back;
    theirs = side == 0 ? &words->back : &words->there;
}

static void post(struct lane *lane, uint64_t number)
{
    atomic_store_explicit(mine, (unsigned)number, memory_order_release);
    syscall(SYS_futex, mine, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void await(struct lane *lane, uint64_t number)
{
    unsigned seen;

    while ((seen = atomic_load_explicit(theirs, memory_order_acquire)) != (unsigned)number)
        syscall(SYS_futex, theirs, FUTEX_WAIT, seen, NULL, NULL, 0);
}

static void run(struct lane *lane, int side, size_t rounds, uint32_t *ticks)
{
    bounce_run(lane, side, rounds, ticks, post, await);
}

struct lane floor_futex_lane(size_t rounds)
{
    return (struct lane){
        .name = "futex",
        .size = sizeof(unsigned),
        .rounds = rounds,
        .warm_up = rounds / 10,
        .hops = 2,
        .shared_size = sizeof(struct words),
        .open = open_words,
        .run = run,
    };
}
