/* SPDX-License-Identifier: MIT */
#include "board.h"
#include "clock.h"

#include <stddef.h>
#include <sys/mman.h>

struct board *board_new(void)
{
    struct board *board =
        mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (board == MAP_FAILED)
        return NULL;
    board->killed = -1;
    return board;
}

void board_free(struct board *board)
{
    munmap(board, sizeof *board);
}

bool board_wait_go(struct board *board)
{
    /* acquire: pairs with the parent's release of go, which publishes start_ns */
    while (!atomic_load_explicit(&board->go, memory_order_acquire)) {
        if (stopping(board))
            return false;
        sleep_until(now_ns() + 1000000);
    }
    return true;
}

void path_add(struct path *path, uint64_t ns)
{
    uint32_t i = atomic_fetch_add_explicit(&path->count, 1, memory_order_relaxed);

    if (i < PATH_SAMPLES)
        path->ns[i] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}
