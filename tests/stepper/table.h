/* SPDX-License-Identifier: MIT */
/* What is printed: a row per operation, summed over patterns and start states by all workers. */
#ifndef SHMQ_STEPPER_TABLE_H
#define SHMQ_STEPPER_TABLE_H

#include "stepper.h"

struct row {
    _Atomic uint64_t cases, points, unrepeatable, violations;
    _Atomic uint64_t least_instructions, most_instructions, least_images, most_images;
    _Atomic uint64_t runs[MODES];
};

void table_note(struct row *row, const struct record *record);
/* Markdown, as it stands in docs/FAILURE.md. Returns the number of violations. */
uint64_t table_print(const struct row rows[OPERATIONS]);

#endif
