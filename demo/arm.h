/* SPDX-License-Identifier: MIT */
/*
 * REQ/REP: the arm's service on "robot/arm". Requests and replies are lines of text:
 *
 *     get_status          ok moving|stopped J0 J1 J2 J3 J4 J5
 *     move_joint N ANGLE  ok | error ...
 *     stop                ok
 *     anything else       error unknown command: ...
 */
#ifndef DEMO_ARM_H
#define DEMO_ARM_H

#include "board.h"

#include <stddef.h>

struct arm {
    double target[JOINTS];
    bool moving;
};

/* Carry out REQUEST (a string) and write the reply (a string). False: the reply is an error. */
bool arm_execute(struct arm *arm, const char *request, char *reply, size_t room);

/* The client's N-th request, and whether REPLY is the right one for it. */
void arm_request(uint64_t n, char *request, size_t room);
bool arm_reply_is_right(uint64_t n, const char *reply);

void arm_serve(struct board *board, int number);
void arm_call(struct board *board, int number);

#endif
