/* SPDX-License-Identifier: MIT */
#include "table.h"

static void lower(_Atomic uint64_t *least, uint64_t value)
{
    uint64_t seen = *least;

    while ((seen == 0 || value < seen) &&
           !__atomic_compare_exchange_n((uint64_t *)least, &seen, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
}

static void raise_to(_Atomic uint64_t *most, uint64_t value)
{
    uint64_t seen = *most;

    while (value > seen &&
           !__atomic_compare_exchange_n((uint64_t *)most, &seen, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
}

void table_note(struct row *row, const struct record *record)
{
    row->cases++;
    row->points += record->count;
    lower(&row->least_instructions, record->instructions);
    raise_to(&row->most_instructions, record->instructions);
    lower(&row->least_images, record->images);
    raise_to(&row->most_images, record->images);
}

static void print_range(uint64_t least, uint64_t most)
{
    char text[48];

    snprintf(text, sizeof text, least == most ? "%llu" : "%llu … %llu", (unsigned long long)least,
             (unsigned long long)most);
    printf(" %s |", text);
}

static void print_row(const char *name, const struct row *row)
{
    printf("| %s | %llu |", name, (unsigned long long)row->cases);
    print_range(row->least_instructions, row->most_instructions);
    print_range(row->least_images, row->most_images);
    printf(" %llu | %llu | %llu | %llu | %llu | %llu | %llu |\n", (unsigned long long)row->points,
           (unsigned long long)row->runs[MODE_KILL], (unsigned long long)row->runs[MODE_FREEZE],
           (unsigned long long)row->runs[MODE_CLOSE], (unsigned long long)row->runs[MODE_JOIN],
           (unsigned long long)row->runs[MODE_REPLACE], (unsigned long long)row->violations);
}

static void add(struct row *sum, const struct row *row)
{
    sum->cases += row->cases;
    sum->points += row->points;
    sum->violations += row->violations;
    sum->unrepeatable += row->unrepeatable;
    sum->seconds += row->seconds;
    for (int mode = 0; mode < MODES; mode++)
        sum->runs[mode] += row->runs[mode];
    if (row->least_instructions)
        lower(&sum->least_instructions, row->least_instructions);
    raise_to(&sum->most_instructions, row->most_instructions);
    if (row->least_images)
        lower(&sum->least_images, row->least_images);
    raise_to(&sum->most_images, row->most_images);
}

static void print_unrepeatable(const struct row *sum)
{
    printf("\n%llu runs that went another way than when they were recorded, three times, and show "
           "nothing\n",
           (unsigned long long)sum->unrepeatable);
}

uint64_t table_print(const struct row rows[OPERATIONS])
{
    struct row sum = {0};

    printf("| operation | cases | instructions | images | kill points | killed | frozen | peer "
           "left | joined | replaced | violations |\n"
           "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for (int i = 0; i < OPERATIONS; i++) {
        if (rows[i].cases == 0 && rows[i].violations == 0)
            continue;
        print_row(operations[i].name, &rows[i]);
        add(&sum, &rows[i]);
    }
    print_row("all", &sum);
    print_unrepeatable(&sum);
    return sum.violations;
}

/* ---- two faults ---- */

static void print_seconds(const char *name, const struct row *row)
{
    printf("| %s | %llu | %llu | %llu | %llu | %llu | %llu |\n", name, (unsigned long long)row->cases,
           (unsigned long long)row->seconds, (unsigned long long)row->runs[MODE_KILL_PEER],
           (unsigned long long)row->runs[MODE_KILL_NEXT], (unsigned long long)row->runs[MODE_FREEZE_BOTH],
           (unsigned long long)row->violations);
}

uint64_t seconds_print(const struct row rows[OPERATIONS])
{
    struct row sum = {0};

    printf("| operation | cases | first faults | peer killed too | newcomer killed too | both "
           "stopped | violations |\n"
           "|---|--:|--:|--:|--:|--:|--:|\n");
    for (int i = 0; i < OPERATIONS; i++) {
        if (rows[i].cases == 0 && rows[i].violations == 0)
            continue;
        print_seconds(operations[i].name, &rows[i]);
        add(&sum, &rows[i]);
    }
    print_seconds("all", &sum);
    print_unrepeatable(&sum);
    return sum.violations;
}

/* ---- instructions ---- */

void counts_note(struct counts *counts, const struct scenario *s, uint64_t instructions)
{
    int op = (int)(s->operation - operations), pair = (int)(s->pair - pair_at(0));
    uint32_t i = counts->of[op][pair].count++;

    CHECK(pair < PAIRS_MAX && i < COUNTS_MAX);
    counts->of[op][pair].values[i] = (uint32_t)instructions;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

void counts_print(struct counts *counts)
{
    printf("| instructions, least / median |");
    for (size_t pair = 0; pair < CRASH_PAIRS; pair++)
        printf(" %s |", crash_pair(pair)->name);
    printf("\n|---|");
    for (size_t pair = 0; pair < CRASH_PAIRS; pair++)
        printf("--:|");
    for (int op = 0; op < OPERATIONS; op++) {
        printf("\n| %s |", operations[op].name);
        for (size_t pair = 0; pair < CRASH_PAIRS; pair++) {
            size_t at = (size_t)(crash_pair(pair) - pair_at(0));
            uint32_t n = counts->of[op][at].count, *values = counts->of[op][at].values;

            qsort(values, n, sizeof *values, by_value);
            if (n > 0)
                printf(" %u / %u |", values[0], values[n / 2]);
            else
                printf(" – |");
        }
    }
    printf("\n");
}
