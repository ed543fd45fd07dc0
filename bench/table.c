/* SPDX-License-Identifier: MIT */
#include "table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "duel.h"

#define KEYS_MAX 1024

struct entry {
    char key[80];
    double value;
};

static struct entry entries[KEYS_MAX];
static int entry_count;
static int goals_met, goals_missed;

static const struct {
    const char *text;   /* in the table */
    const char *suffix; /* of the key */
    double divisor;
    int decimals;
} units[] = {
    [UNIT_NS] = {"ns", "_ns", 1, 1},
    [UNIT_RATE] = {"M/s", "_per_s", 1e6, 2},
    [UNIT_BANDWIDTH] = {"GB/s", "_bytes_per_s", 1e9, 2},
    [UNIT_BYTES] = {"KiB", "_bytes", 1024, 1},
    [UNIT_COUNT] = {"", "", 1, 0},
};

__attribute__((format(printf, 2, 3))) static void remember(double value, const char *format, ...)
{
    va_list arguments;

    if (entry_count == KEYS_MAX)
        return;
    va_start(arguments, format);
    vsnprintf(entries[entry_count].key, sizeof entries[entry_count].key, format, arguments);
    va_end(arguments);
    entries[entry_count++].value = value;
}

void table_key(const char *key, double value)
{
    remember(value, "%s", key);
}

void table_head(void)
{
    printf("\n%-38s %-6s %15s  %-29s %7s  %s\n", "what", "", "shmq", "against", "ratio", "goal");
    for (int i = 0; i < 116; i++)
        putchar('-');
    putchar('\n');
    fflush(stdout);
}

void table_words(const char *what, const char *words)
{
    printf("%-38s %s\n", what, words);
    fflush(stdout);
}

/* "71.3 ns" */
static const char *amount(char *text, size_t size, double value, enum unit unit)
{
    double shown = value / units[unit].divisor;

    snprintf(text, size, "%.*f %s", units[unit].decimals, shown, units[unit].text);
    return text;
}

static bool is_met(const struct figure *figure)
{
    switch (figure->goal) {
    case GOAL_RATIO_AT_MOST:
        return figure->ratio <= figure->bound;
    case GOAL_RATIO_AT_LEAST:
        return figure->ratio >= figure->bound;
    case GOAL_AT_MOST:
        return figure->ours <= figure->bound;
    case GOAL_AT_LEAST:
        return figure->ours >= figure->bound;
    case GOAL_NONE:
        break;
    }
    return true;
}

static void print_goal(const struct figure *figure)
{
    bool on_ratio = figure->goal == GOAL_RATIO_AT_MOST || figure->goal == GOAL_RATIO_AT_LEAST;
    bool at_most = figure->goal == GOAL_RATIO_AT_MOST || figure->goal == GOAL_AT_MOST;
    char text[32];

    if (figure->goal == GOAL_NONE)
        return;
    if (on_ratio)
        snprintf(text, sizeof text, "%.2fx", figure->bound);
    else
        amount(text, sizeof text, figure->bound, figure->unit);
    printf("  %s %-10s %s", at_most ? "<=" : ">=", text, is_met(figure) ? "ok" : "MISS");
}

static void remember_figure(const struct figure *figure)
{
    remember(figure->ours, "%s%s", figure->key, units[figure->unit].suffix);
    if (figure->against)
        remember(figure->base, "%s_against%s", figure->key, units[figure->unit].suffix);
    if (figure->ratio > 0)
        remember(figure->ratio, "%s_ratio", figure->key);
    if (figure->goal != GOAL_NONE) {
        remember(figure->bound, "%s_goal", figure->key);
        remember(is_met(figure) ? 1 : 0, "%s_ok", figure->key);
    }
}

void table_figure(const struct figure *figure)
{
    char ours[32], base[32] = "", against[64] = "";

    if (figure->against) {
        amount(base, sizeof base, figure->base, figure->unit);
        snprintf(against, sizeof against, "%13s %s", base, figure->against);
    }
    printf("%-38s %-6s %15s  %-29s", figure->what ? figure->what : "", figure->stat,
           amount(ours, sizeof ours, figure->ours, figure->unit), against);
    if (figure->ratio > 0)
        printf(" %6.3gx", figure->ratio);
    else
        printf(" %7s", "");
    print_goal(figure);
    putchar('\n');
    fflush(stdout);

    if (figure->goal != GOAL_NONE && is_met(figure))
        goals_met++;
    else if (figure->goal != GOAL_NONE)
        goals_missed++;
    if (figure->key)
        remember_figure(figure);
}

void table_latency(const char *key, const char *what, const struct lane *ours, const struct lane *floor, int turns,
                   double goal_p50, double goal_p99)
{
    static const char *const stats[] = {"p50", "p99", "p99.9", "max"};
    static const char *const suffixes[] = {"p50", "p99", "p999", "max"};
    const struct hist none = {0}, *base = floor ? &floor->all : &none;
    const double values[] = {ours->all.p50, ours->all.p99, ours->all.p999, ours->all.max};
    const double bases[] = {base->p50, base->p99, base->p999, base->max};
    const double goals[] = {goal_p50, goal_p99, 0, 0};
    double ratios[4] = {0};

    if (floor) {
        ratios[0] = duel_ratio_p50(ours, floor, turns);
        ratios[1] = duel_ratio_p99(ours, floor, turns);
    }
    for (int i = 0; i < 4; i++) {
        char name[64];

        snprintf(name, sizeof name, "%s_%s", key, suffixes[i]);
        table_figure(&(struct figure){
            .key = name,
            .what = i == 0 ? what : NULL,
            .stat = stats[i],
            .unit = UNIT_NS,
            .ours = values[i],
            .against = floor ? floor->name : NULL,
            .base = bases[i],
            .ratio = ratios[i],
            .goal = goals[i] > 0 ? GOAL_RATIO_AT_MOST : GOAL_NONE,
            .bound = goals[i],
        });
    }
}

void table_end(int failed_rows)
{
    printf("\n%d goals met, %d missed, %d rows failed. A missed goal may be noise (other load on\n"
           "the machine); a failed row never is.\n\n",
           goals_met, goals_missed, failed_rows);
    table_key("goals_met", goals_met);
    table_key("goals_missed", goals_missed);
    table_key("rows_failed", failed_rows);
    for (int i = 0; i < entry_count; i++) {
        double value = entries[i].value;

        printf("%s %.*f\n", entries[i].key, value == (double)(long long)value ? 0 : 4, value);
    }
}
