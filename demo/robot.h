/* SPDX-License-Identifier: MIT */
/*
 * The robot: six joints with the published geometry of a UR5e, a pick-and-place trajectory, and forward and
 * inverse kinematics. The data that the demo sends is computed here.
 */
#ifndef DEMO_ROBOT_H
#define DEMO_ROBOT_H

#include "board.h"

/* Where the hand is: the upper three rows of a homogeneous transform, row by row. Metres. */
struct hand {
    double m[12];
};

/* Joint angles (rad) at TIME_S seconds into an endless pick-and-place cycle: minimum-jerk moves
 * between its stations. The same time gives the same bits in every process. */
void robot_trajectory(double time_s, double joints[JOINTS]);

void robot_forward(const double joints[JOINTS], struct hand *hand);

/*
 * Find joint angles that bring the hand to TARGET, from the guess in JOINTS, by damped least
 * squares. Returns the number of steps, or -1 if it did not converge.
 */
int robot_inverse(const struct hand *target, double joints[JOINTS]);

/* The distance between two hands: the largest difference of any entry. */
double robot_distance(const struct hand *a, const struct hand *b);

#endif
