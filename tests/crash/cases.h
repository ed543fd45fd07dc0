/* SPDX-License-Identifier: MIT */
/* What was asked for on the command line, the cases that this means, and each of them. */
#ifndef SHMQ_CRASH_CASES_H
#define SHMQ_CRASH_CASES_H

#include "table.h"

enum { JOBS_MAX = 256 };
#define NOWHERE UINT64_MAX

struct options {
    const char *operation, *pattern, *policy, *state, *binds, *side, *mode;
    uint64_t at, then;
    unsigned jobs, share, seed, say, minutes, pairs, looks;
    bool every, list, count;
};

extern struct options options;
void options_parse(int argc, char **argv);

extern const char *const mode_names[MODES];
bool has_second(enum mode mode);

/* What all workers share. */
struct board {
    struct row rows[OPERATIONS];
    struct counts counts;
    _Atomic uint64_t said;
    _Atomic uint64_t turns[OPERATIONS]; /* of each: its place in the list of its cases */
};

extern struct board *board;
extern struct record *record; /* of each worker, and of the run that it makes */

/* Before the workers begin: what the library can do. */
void cases_begin(void);
/* One run, in a process of its own. True: nothing wrong. */
bool run_one(const struct scenario *scenario, enum mode mode, const struct point *first, const struct point *second);
/* All runs of a case. */
void case_run(const struct scenario *scenario);
/* The next case of the operation that no worker has had; false: there is none. */
bool case_next(int operation, struct scenario *scenario);
/* The operation that has had the least time of this worker and is not through; OPERATIONS: all are. */
int case_least_served(const int64_t spent_ms[OPERATIONS]);

#endif
