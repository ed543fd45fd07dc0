/* SPDX-License-Identifier: MIT */
/* PUB/SUB: the robot's pose, a thousand times a second, on "robot/pose". */
#ifndef DEMO_POSE_H
#define DEMO_POSE_H

#include "robot.h"

struct pose {
    uint64_t sequence;
    uint64_t sent_ns;
    double joints[JOINTS];
    uint64_t last; /* 1: this is the publisher's last pose */
};

/* The pose of a number; the same bits in every process. */
void pose_make(struct pose *pose, uint64_t sequence);

/* Is this the pose that belongs to its number? */
bool pose_is_right(const struct pose *pose);

void pose_publish(struct board *board, int number);

/* NUMBER: which subscriber. */
void pose_subscribe(struct board *board, int number);

#endif
