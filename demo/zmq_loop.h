/* SPDX-License-Identifier: MIT */
/*
 * The same control loop over libzmq's ipc:// transport, for comparison: the same messages, periods, processes
 * and work. zmq_loop.c implements it if libzmq was found, zmq_none.c otherwise.
 */
#ifndef DEMO_ZMQ_LOOP_H
#define DEMO_ZMQ_LOOP_H

#include "board.h"

/* libzmq's version, or NULL if the demo was built without it. */
const char *zmq_loop_version(void);

/* Start the processes; each ends some time after board->stop. Their ipc files go to DIRECTORY.
 * Returns 0, or -1 with errno. */
int zmq_loop_start(struct board *board, const char *directory, unsigned deadline_s);

/* Are all of them ready? */
bool zmq_loop_ready(struct board *board);

#endif
