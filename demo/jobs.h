/* SPDX-License-Identifier: MIT */
/*
 * The job queue: a dispatcher (PUSH) hands inverse-kinematics jobs to whichever worker (PULL) is
 * free; the workers send their results (PUSH) to a collector (PULL), which checks each of them.
 */
#ifndef DEMO_JOBS_H
#define DEMO_JOBS_H

#include "robot.h"

struct job {
    uint64_t id;
    uint64_t sent_ns;
    struct hand target;
    double guess[JOINTS]; /* where the search starts */
};

struct result {
    uint64_t id;
    uint64_t sent_ns;
    struct hand target;
    double joints[JOINTS];
    int32_t worker;
    int32_t steps; /* of the search; -1: no solution */
};

/* Job number ID; the same in every process. */
void job_make(struct job *job, uint64_t id);

/* The roles; see child.h. */
void job_dispatch(struct board *board, int number);
void job_work(struct board *board, int number);
void job_collect(struct board *board, int number);

#endif
