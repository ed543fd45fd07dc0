/* SPDX-License-Identifier: MIT */
/* The demo's report: who sent, received and lost what, how long it took, and whether it all adds up. */
#ifndef DEMO_REPORT_H
#define DEMO_REPORT_H

#include "board.h"

/* Count a condition that must hold, and print it if it does not. */
void check(bool holds, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* How many conditions were checked, and how many did not hold. */
int checks_made(void);
int checks_failed(void);

/* Print the counters of the loop and check that they add up. */
void report_counts(const struct board *loop, double seconds);

/* Print the latencies. ZMQ_VERSION is NULL if there are none of libzmq. */
void report_times(const struct board *loop, const struct board *zmq, const char *zmq_version);

/* Write a line about the state of a running loop into TEXT, of ROOM bytes, without a newline. */
void report_progress(const struct board *loop, double seconds, char *text, size_t room);

#endif
