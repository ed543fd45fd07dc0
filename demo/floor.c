/* SPDX-License-Identifier: MIT */
#include "floor.h"
#include "child.h"
#include "clock.h"

#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Each side writes only one of the lines. */
static struct cell {
    _Alignas(128) _Atomic uint32_t ping;
    uint64_t sent_ns;
    _Alignas(128) _Atomic uint32_t pong;
} * cell;

#define LINE_END UINT32_MAX

bool floor_init(void)
{
    void *memory = cell;

    if (!memory)
        memory =
            mmap(NULL, sizeof *cell, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    cell = memset(memory, 0, sizeof *cell);
    return true;
}

/* Sleep while *WORD is VALUE, for at most 100 ms. Returns its value then. */
static uint32_t futex_await(_Atomic uint32_t *word, uint32_t value)
{
    const struct timespec slice = {.tv_nsec = 100000000};
    uint32_t seen = atomic_load_explicit(word, memory_order_acquire);

    if (seen != value)
        return seen;
    syscall(SYS_futex, word, FUTEX_WAIT, value, &slice, NULL, 0);
    return atomic_load_explicit(word, memory_order_acquire);
}

static void futex_set(_Atomic uint32_t *word, uint32_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

void floor_wake(struct board *board, int number)
{
    if (!board_wait_go(board))
        return;
    for (uint32_t n = 1; !stopping(board); n++) {
        /* halfway between two poses, so that neither delays the other */
        sleep_until(board->start_ns + n * (uint64_t)POSE_PERIOD_NS - POSE_PERIOD_NS / 3);
        cell->sent_ns = now_ns();
        futex_set(&cell->ping, n);
        while (futex_await(&cell->pong, n - 1) != n)
            if (stopping(board))
                return;
        path_add(&board->path[PATH_WAKE_TRIP], now_ns() - cell->sent_ns);
    }
}

void floor_woken(struct board *board, int number)
{
    if (!board_wait_go(board))
        return;
    for (uint32_t n = 1; !stopping(board); n++) {
        while (futex_await(&cell->ping, n - 1) != n)
            if (stopping(board))
                return;
        path_add(&board->path[PATH_WAKE], now_ns() - cell->sent_ns);
        futex_set(&cell->pong, n);
    }
}

void pin_to(int which)
{
    cpu_set_t mine, one;

    if (sched_getaffinity(0, sizeof mine, &mine) < 0 || CPU_COUNT(&mine) < 2)
        return;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &mine) || which-- > 0)
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof one, &one);
        return;
    }
}

void floor_line_ping(struct board *board, int number)
{
    uint64_t end = now_ns() + SPIN_RUN_NS, before = 0, after;

    pin_to(0);
    for (uint32_t n = 1; before < end; n++) {
        before = now_ns();
        atomic_store_explicit(&cell->ping, n, memory_order_release);
        while (atomic_load_explicit(&cell->pong, memory_order_acquire) != n)
            ;
        after = now_ns();
        if (n % SPIN_SAMPLE_EVERY == 0)
            path_add(&board->path[PATH_LINE], (after - before) / 2);
    }
    atomic_store_explicit(&cell->ping, LINE_END, memory_order_release);
}

void floor_line_pong(struct board *board, int number)
{
    uint32_t seen = 0;

    pin_to(1);
    while (seen != LINE_END) {
        uint32_t now = atomic_load_explicit(&cell->ping, memory_order_acquire);

        if (now == seen)
            continue;
        atomic_store_explicit(&cell->pong, now, memory_order_release);
        seen = now;
    }
}
