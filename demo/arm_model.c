/* SPDX-License-Identifier: MIT */
/* What the arm does with a command. The sockets are in arm.c (shmq) and zmq_loop.c (libzmq). */
#include "arm.h"

#include <stdio.h>
#include <string.h>

#define ANGLE_MAX 6.2831853 /* rad, in either direction */

static bool arm_move(struct arm *arm, const char *arguments, char *reply, size_t room)
{
    int joint;
    double angle;

    if (sscanf(arguments, "%d %lf", &joint, &angle) != 2) {
        snprintf(reply, room, "error usage: move_joint N ANGLE");
        return false;
    }
    if (joint < 0 || joint >= JOINTS) {
        snprintf(reply, room, "error no such joint: %d", joint);
        return false;
    }
    if (!(angle >= -ANGLE_MAX && angle <= ANGLE_MAX)) {
        snprintf(reply, room, "error out of range: %g", angle);
        return false;
    }
    arm->target[joint] = angle;
    arm->moving = true;
    snprintf(reply, room, "ok");
    return true;
}

bool arm_execute(struct arm *arm, const char *request, char *reply, size_t room)
{
    const double *q = arm->target;

    if (strcmp(request, "get_status") == 0) {
        snprintf(reply, room, "ok %s %.3f %.3f %.3f %.3f %.3f %.3f",
                 arm->moving ? "moving" : "stopped", q[0], q[1], q[2], q[3], q[4], q[5]);
        return true;
    }
    if (strncmp(request, "move_joint ", 11) == 0)
        return arm_move(arm, request + 11, reply, room);
    if (strcmp(request, "stop") == 0) {
        arm->moving = false;
        snprintf(reply, room, "ok");
        return true;
    }
    snprintf(reply, room, "error unknown command: %.40s", request);
    return false;
}

/* Rounds of five: move a joint, look, stop, look, nonsense. */
static int joint_of(uint64_t n)
{
    return (int)(n / 5 % JOINTS);
}

static double angle_of(uint64_t n)
{
    return (double)(n / 5 % 1000) * 0.001;
}

void arm_request(uint64_t n, char *request, size_t room)
{
    switch (n % 5) {
    case 0:
        snprintf(request, room, "move_joint %d %.3f", joint_of(n), angle_of(n));
        break;
    case 2:
        snprintf(request, room, "stop");
        break;
    case 4:
        snprintf(request, room, "dance");
        break;
    default:
        snprintf(request, room, "get_status");
    }
}

bool arm_reply_is_right(uint64_t n, const char *reply)
{
    char state[16];
    double q[JOINTS];

    switch (n % 5) {
    case 0:
    case 2:
        return strcmp(reply, "ok") == 0;
    case 4:
        return strcmp(reply, "error unknown command: dance") == 0;
    default:
        if (sscanf(reply, "ok %15s %lf %lf %lf %lf %lf %lf", state, &q[0], &q[1], &q[2], &q[3],
                   &q[4], &q[5]) != 1 + JOINTS)
            return false;
        return strcmp(state, n % 5 == 1 ? "moving" : "stopped") == 0 &&
               q[joint_of(n)] > angle_of(n) - 0.0005 && q[joint_of(n)] < angle_of(n) + 0.0005;
    }
}
