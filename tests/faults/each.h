/* SPDX-License-Identifier: MIT */
/*
 * An operation is done again and again, with the first call that it makes of the system failing, then the second,
 * and so on until it makes no more: for each error, and for those that do not pass by themselves also for good.
 */
#ifndef SHMQ_TEST_FAULTS_EACH_H
#define SHMQ_TEST_FAULTS_EACH_H

#include "../support/harness.h"
#include "inject.h"

enum { EACH_CALLS_MAX = 400 };

/* Do it once; false when it made fewer calls than INJECTION has. */
typedef bool each_fn(const struct injection *injection, void *argument);

/* Returns the number of cases. When a check fails, the case is printed. */
unsigned each_call_fails(const int *errors, size_t count, each_fn *body, void *argument);
/* The case: which call failed, with what. */
const char *each_case(void);
/* An ERROR that says something about it: one of CLEAR, or the one that was injected if AS_INJECTED. */
void each_check_told(const char *operation, int error, const int *clear, size_t count, bool as_injected);
/* Add the test "WHAT: NAME", of 120 s at most. */
void each_add(const char *what, const char *name, void (*body)(const void *argument), const void *argument);

#endif
