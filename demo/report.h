/* SPDX-License-Identifier: MIT */
/* What the demo says at the end: who sent, got and lost what, how long it took, and whether all of
 * it adds up. */
#ifndef DEMO_REPORT_H
#define DEMO_REPORT_H

#include "board.h"

/* Print one condition that must hold (only when it does not) and count it. */
void check(bool holds, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* How many were checked, and how many of them did not hold. */
int checks_made(void);
int checks_failed(void);

/* Print the counters of the loop and check that they add up. */
void report_counts(const struct board *loop, double seconds);

/* Print the latencies; ZMQ_VERSION is NULL when ZMQ has nothing to show. */
void report_times(const struct board *loop, const struct board *zmq, const char *zmq_version);

/* A line about the state of a running loop: into TEXT of ROOM bytes, no newline. */
void report_progress(const struct board *loop, double seconds, char *text, size_t room);

#endif
