/* SPDX-License-Identifier: MIT */
/*
 * Repeats an operation with its first system call failing, then its second, and so on until all have failed: with
 * each error, and, for errors that do not pass by themselves, also with every later call of that kind failing.
 */
#ifndef SHMQ_TEST_FAULTS_EACH_H
#define SHMQ_TEST_FAULTS_EACH_H

#include "../support/harness.h"
#include "inject.h"

enum { EACH_CALLS_MAX = 400 };

/* Do it once; false when it made fewer calls than INJECTION.at. */
typedef bool each_fn(const struct injection *injection, void *argument);

/* Returns the number of cases. When a check fails, the case is printed. */
unsigned each_call_fails(const int *errors, size_t count, each_fn *body, void *argument);
/* The case: which call failed, with what. */
const char *each_case(void);
/* The caller was told ERROR: fail unless it is one of CLEAR, or, if AS_INJECTED, the injected one. */
void each_check_told(const char *operation, int error, const int *clear, size_t count, bool as_injected);
/* Add the test "WHAT: NAME", of 120 s at most. */
void each_add(const char *what, const char *name, void (*body)(const void *argument), const void *argument);

#endif
