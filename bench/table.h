/* SPDX-License-Identifier: MIT */
/*
 * The output: aligned lines for human readers as they come, and at the end the same figures as `key value`
 * lines for programs.
 */
#ifndef SHMQ_BENCH_TABLE_H
#define SHMQ_BENCH_TABLE_H

#include <stdbool.h>
#include <stddef.h>

enum unit { UNIT_NS, UNIT_RATE, UNIT_BANDWIDTH, UNIT_BYTES, UNIT_COUNT };

enum goal { GOAL_NONE, GOAL_RATIO_AT_MOST, GOAL_RATIO_AT_LEAST, GOAL_AT_MOST, GOAL_AT_LEAST };

/* One line. Figures are ns, messages per second, bytes per second, bytes, or a count. */
struct figure {
    const char *key;  /* "latency_64B_p50"; NULL: not printed for programs */
    const char *what; /* NULL: as in the line above */
    const char *stat; /* "p50" */
    enum unit unit;
    double ours;
    const char *against; /* name of the floor or peer, NULL: none */
    double base;
    double ratio; /* median over the pairs, not ours / base; 0: none */
    enum goal goal;
    double bound;
};

struct lane;

void table_head(void);
void table_figure(const struct figure *figure);
/* p50, p99, p99.9 and max of a bounce, beside those of FLOOR (NULL: none) in the same TURNS. The goals are
 * upper bounds of the ratio; 0: none. */
void table_latency(const char *key, const char *what, const struct lane *ours, const struct lane *floor, int turns,
                   double goal_p50, double goal_p99);
/* A line with words instead of figures: "not installed", "FAILED: ...". */
void table_words(const char *what, const char *words);
/* A line for programs only. */
void table_key(const char *key, double value);
/* Print the machine-readable part, and how many goals were met. */
void table_end(int failed_rows);

#endif
