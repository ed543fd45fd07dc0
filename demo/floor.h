/* SPDX-License-Identifier: MIT */
/*
 * The floors: the best that two processes can do on this machine with nothing but a word of shared memory
 * between them. A messaging library can come close to them but not below.
 */
#ifndef DEMO_FLOOR_H
#define DEMO_FLOOR_H

#include "board.h"

/*
 * Asleep: one process wakes another by a bare futex a thousand times a second, while the robot's loop runs
 * on the same processors. Samples go to PATH_WAKE and, for round trips, to PATH_WAKE_TRIP.
 */
void floor_wake(struct board *board, int number);
void floor_woken(struct board *board, int number);

/* Create the memory that the two share, anew each time; call it before fork(). False: see errno. */
bool floor_init(void);

/* Spinning: one cache line goes back and forth between two processes. Half of each round trip goes
 * to PATH_LINE. */
void floor_line_ping(struct board *board, int number);
void floor_line_pong(struct board *board, int number);

/* The same with shmq: 64-byte messages on a PAIR that never sleeps. Goes to PATH_SPIN. */
void spin_ping(struct board *board, int number);
void spin_pong(struct board *board, int number);

/* Pin this process to the WHICH-th (0, 1) of the processors that it may use, if there are two. */
void pin_to(int which);

#define SPIN_RUN_NS       250000000u
#define SPIN_SAMPLE_EVERY 64 /* a few million round trips fit into that time */

#endif
