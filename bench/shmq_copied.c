/* SPDX-License-Identifier: MIT */
/*
 * Bandwidth of shm_send() and shm_recv(), which copy once in and once out. Both copies count, as bytes that
 * memcpy() would have moved.
 *
 * There are two floors. memcpy() alone copies again and again between the same two buffers of one core. The
 * hand-over copies in on one core and out on the other, as a message has to. From 1 MiB on memcpy() has to
 * leave the core's own caches, too, and the goal compares with memcpy(). A smaller copy stays in them, which
 * no message between two cores can match, whoever carries it: there the goal compares with the hand-over,
 * and memcpy() is printed beside it.
 */
#include <stdio.h>
#include <string.h>

#include "floor.h"
#include "place.h"
#include "shmq_lane.h"
#include "table.h"

/* Bytes per turn, roughly, so that a turn takes milliseconds at any size. */
#define TURN_BYTES ((size_t)16 << 20)

/* Two buffers of this size fill a core's second-level cache, or more. */
#define OWN_CACHES ((size_t)1 << 20)

/*
 * Messages under way, set by the high-water mark for shmq and by the number of buffers for the hand-over: as
 * many as stay in a core's own caches, but no less than two on each side. More would only be colder in the
 * caches, not faster. The last line of a row uses the default mark.
 */
static int depth_of(size_t size)
{
    size_t depth = ((size_t)512 << 10) / size;

    return depth < 4 ? 4 : (int)depth;
}

static void print(const char *key, const char *what, const char *stat, const struct lane *ours,
                  const struct lane *floor, int copies_of_floor, double goal, int turns)
{
    double bytes = (double)ours->size * 1e9, factor = 2.0 / copies_of_floor;

    table_figure(&(struct figure){
        .key = key,
        .what = what,
        .stat = stat,
        .unit = UNIT_BANDWIDTH,
        .ours = 2 * bytes / duel_median(ours, turns),
        .against = floor->name,
        .base = copies_of_floor * bytes / duel_median(floor, turns),
        .ratio = factor * duel_ratio_p50(floor, ours, turns),
        .goal = goal > 0 ? GOAL_RATIO_AT_LEAST : GOAL_NONE,
        .bound = goal,
    });
}

int copied_row(struct bench *bench, const struct row *row)
{
    size_t size = row->which;
    int name = (int)strcspn(row->text, " "); /* its length: the text begins with it */
    size_t rounds = size < TURN_BYTES / 4 ? TURN_BYTES / size : 4;
    struct lane lanes[] = {
        floor_copy_lane(FLOOR_COPY_ALONE, size, 1, rounds),
        shmq_stream_lane(SHMQ_PAIR, size, depth_of(size), rounds),
        floor_copy_lane(FLOOR_COPY_HAND_OVER, size, depth_of(size), rounds),
        shmq_stream_lane(SHMQ_PAIR, size, 0, rounds),
    };
    int turns = bench_blocks(bench, 60, size < TURN_BYTES ? 15 : 5), result;
    char key[64];

    if (!place_has_room(bench, 3 * (size_t)depth_of(size) * size, row->text))
        return 0;
    result = duel_run(bench, lanes, 4, turns);
    if (result == 0) {
        bool within = size < OWN_CACHES;
        snprintf(key, sizeof key, "copied_%.*s", name, row->text);
        print(key, row->text, "median", &lanes[1], &lanes[0], 1, within ? 0 : 0.8, turns);
        snprintf(key, sizeof key, "copied_%.*s_handover", name, row->text);
        print(key, NULL, "median", &lanes[1], &lanes[2], 2, within ? 0.8 : 0, turns);
        snprintf(key, sizeof key, "copied_%.*s_default", name, row->text);
        print(key, "  default high-water mark", "median", &lanes[3], &lanes[0], 1, 0, turns);
    }
    duel_free(lanes, 4);
    return result;
}
