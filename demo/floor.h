/* SPDX-License-Identifier: MIT */
/*
 * The floors: what two processes can do at best on this machine, with nothing but a word of shared
 * memory between them. A messaging library can come close to them, not below.
 */
#ifndef DEMO_FLOOR_H
#define DEMO_FLOOR_H

#include "board.h"

/*
 * Parked: one process wakes another by a bare futex a thousand times a second, while the robot's
 * loop runs on the same processors. Samples go to PATH_WAKE and, for there and back,
 * PATH_WAKE_TRIP.
 */
void floor_wake(struct board *board, int number);
void floor_woken(struct board *board, int number);

/* Make (again) what the two share; before fork(). False: errno. */
bool floor_init(void);

/* Spinning: one cache line goes back and forth between two processes. Half of each round trip goes
 * to PATH_LINE. */
void floor_line_ping(struct board *board, int number);
void floor_line_pong(struct board *board, int number);

/* The same with shmq: 64-byte messages on a PAIR that never sleeps. To PATH_SPIN. */
void spin_ping(struct board *board, int number);
void spin_pong(struct board *board, int number);

/* Keep this process on the WHICH-th (0, 1) of the processors that it may use, if there are two. */
void pin_to(int which);

#define SPIN_RUN_NS       250000000u
#define SPIN_SAMPLE_EVERY 64 /* a few million round trips fit into that time */

#endif
