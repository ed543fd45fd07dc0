/* SPDX-License-Identifier: MIT */
/* What is printed: a row per operation, summed over patterns and start states by all workers. */
#ifndef SHMQ_CRASH_TABLE_H
#define SHMQ_CRASH_TABLE_H

#include "crash.h"

struct row {
    _Atomic uint64_t cases, points, unrepeatable, violations;
    _Atomic uint64_t least_instructions, most_instructions, least_images, most_images;
    _Atomic uint64_t runs[MODES];
    _Atomic uint64_t seconds; /* kill points of a victim at which another was stepped */
};

/* How many instructions, by operation and pattern. */
enum { COUNTS_MAX = 512, PAIRS_MAX = 12 };

struct counts {
    struct {
        _Atomic uint32_t count;
        uint32_t values[COUNTS_MAX];
    } of[OPERATIONS][PAIRS_MAX];
};

void counts_note(struct counts *counts, const struct scenario *scenario, uint64_t instructions);
void counts_print(struct counts *counts);

void table_note(struct row *row, const struct record *record);
/* Markdown, as it stands in docs/FAILURE.md. Returns the number of violations. */
uint64_t table_print(const struct row rows[OPERATIONS]);
/* The same of runs with two faults. */
uint64_t seconds_print(const struct row rows[OPERATIONS]);

#endif
