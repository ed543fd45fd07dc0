/* SPDX-License-Identifier: MIT */
/* The table at the end. */
#include "storm.h"

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

void totals_add(struct totals *sum, const struct totals *more)
{
    for (unsigned i = 0; i < PAIRS_MAX; i++)
        tally_add(&sum->pair[i], &more->pair[i]);
    for (unsigned i = 0; i < KINDS; i++) {
        sum->kind_kills[i] += more->kind_kills[i];
        sum->kind_rounds[i] += more->kind_rounds[i];
    }
    for (unsigned i = 0; i < NEVER; i++)
        sum->phase_kills[i] += more->phase_kills[i];
    sum->fd_growth_max = (unsigned)larger(sum->fd_growth_max, more->fd_growth_max);
    sum->map_growth_max = (unsigned)larger(sum->map_growth_max, more->map_growth_max);
    sum->files_kept += more->files_kept;
    sum->controller_fds_first = larger(sum->controller_fds_first, more->controller_fds_first);
    sum->controller_fds_last = larger(sum->controller_fds_last, more->controller_fds_last);
    sum->rss_first_kib = larger(sum->rss_first_kib, more->rss_first_kib);
    sum->rss_last_kib = larger(sum->rss_last_kib, more->rss_last_kib);
    sum->blocks_first += more->blocks_first;
    sum->blocks_last += more->blocks_last;
}

static void print_row(const char *name, const struct tally *t)
{
    printf("%-14s %8llu %9llu %7llu %6llu %8llu %10llu %10llu %6llu %8llu %8llu %5llu\n", name,
           (unsigned long long)t->rounds, (unsigned long long)t->kills, (unsigned long long)t->stops,
           (unsigned long long)t->heirs, (unsigned long long)t->restarts, (unsigned long long)t->acked,
           (unsigned long long)t->delivered, (unsigned long long)t->again, (unsigned long long)t->in_hand,
           (unsigned long long)t->lost, (unsigned long long)t->violations);
}

static void print_kinds(const struct totals *totals)
{
    static const char *const phases[NEVER] = {"early in life", "just met", "just after the first message", "later"};

    printf("\nrounds (kills) by kind:");
    for (unsigned i = 0; i < KINDS; i++)
        printf(" %s %llu (%llu)%s", kind_name((enum kind)i), (unsigned long long)totals->kind_rounds[i],
               (unsigned long long)totals->kind_kills[i], i + 1 < KINDS ? "," : "\n");
    printf("kills by moment:");
    for (unsigned i = 0; i < NEVER; i++)
        printf(" %s %llu%s", phases[i], (unsigned long long)totals->phase_kills[i], i + 1 < NEVER ? "," : "\n");
}

void report_print(const struct totals *totals, uint64_t seed, double seconds)
{
    struct tally sum = {0};

    printf("\n%-14s %8s %9s %7s %6s %8s %10s %10s %6s %8s %8s %5s\n", "pattern", "rounds", "kills", "stops", "forks",
           "restarts", "acked", "delivered", "again", "in hand", "lost", "wrong");
    for (unsigned i = 0; i < pair_count(); i++) {
        print_row(pair_at(i)->name, &totals->pair[i]);
        tally_add(&sum, &totals->pair[i]);
    }
    print_row("all", &sum);
    print_kinds(totals);
    printf("file system full, files cut or removed: %llu times; calls turned away for lack of memory: "
           "%llu; SIGBUS by cut files: %llu\n",
           (unsigned long long)sum.faults, (unsigned long long)sum.turned_away, (unsigned long long)sum.buses);
    printf("files left to `shmq gc`: %llu, left by it: %llu\n", (unsigned long long)sum.leavings,
           (unsigned long long)totals->files_kept);
    printf("level: a survivor grew by at most %u descriptors and %u mappings; lanes: descriptors %llu -> "
           "%llu, resident %llu -> %llu KiB; blocks of their file systems %llu -> %llu\n",
           totals->fd_growth_max, totals->map_growth_max, (unsigned long long)totals->controller_fds_first,
           (unsigned long long)totals->controller_fds_last, (unsigned long long)totals->rss_first_kib,
           (unsigned long long)totals->rss_last_kib, (unsigned long long)totals->blocks_first,
           (unsigned long long)totals->blocks_last);
    printf("seed %llu: %llu kills in %.0f s (%.0f a second), %llu messages acknowledged, %llu violations\n",
           (unsigned long long)seed, (unsigned long long)sum.kills, seconds, (double)sum.kills / seconds,
           (unsigned long long)sum.acked, (unsigned long long)sum.violations);
}
