/* SPDX-License-Identifier: MIT */
/*
 * The floors by themselves, to show what kind of machine this is. The later rows measure the floor that
 * they are compared with again, in turns with themselves.
 */
#include "duel.h"
#include "floor.h"
#include "table.h"

#define LINE_ROUNDS  2000
#define FUTEX_ROUNDS 500

int floor_row(struct bench *bench, const struct row *row)
{
    struct lane lanes[] = {
        floor_line_lane(FLOOR_ONE_LINE, LINE_ROUNDS),
        floor_line_lane(FLOOR_TWO_LINES, LINE_ROUNDS),
        floor_futex_lane(FUTEX_ROUNDS),
    };
    int turns = bench_blocks(bench, 100, 15);
    int result = duel_run(bench, lanes, 3, turns);

    if (result == 0) {
        table_latency("floor_one_line", "floor: one cache line, back and forth", &lanes[0], NULL, turns, 0, 0);
        table_latency("floor_two_lines", "floor: a line each way", &lanes[1], NULL, turns, 0, 0);
        table_latency("floor_futex", "floor: futex, both asleep in turn", &lanes[2], NULL, turns, 0, 0);
    }
    duel_free(lanes, 3);
    return result;
}
