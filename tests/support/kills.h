/* SPDX-License-Identifier: MIT */
/* Random kills: how many, and when. SHMQ_TEST_KILLS multiplies their number. */
#ifndef SHMQ_TEST_KILLS_H
#define SHMQ_TEST_KILLS_H

#include "harness.h"

/* COUNT times what SHMQ_TEST_KILLS says (1 by default). */
unsigned kills(unsigned count);
/* Let a random time pass, from nothing to a few milliseconds; mostly short. */
void pass_random(uint64_t *state);

#endif
