/* SPDX-License-Identifier: MIT */
/* What a job is. The sockets are in jobs.c (shmq) and zmq_loop.c (libzmq). */
#include "jobs.h"

/* A number from 0 to 1 that depends only on X (splitmix64). */
static double fraction(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    x ^= x >> 31;
    return (double)(x >> 11) / (double)(UINT64_C(1) << 53);
}

void job_make(struct job *job, uint64_t id)
{
    /* The elbow and the wrist stay bent: a straight one is a singularity, where the answer is not
     * unique. */
    static const double low[JOINTS] = {-3.0, -2.0, 0.6, -2.5, -2.0, -3.0};
    static const double high[JOINTS] = {3.0, -0.9, 2.0, -0.8, -1.1, 3.0};
    double joints[JOINTS];

    job->id = id;
    job->sent_ns = 0;
    for (uint64_t i = 0; i < JOINTS; i++) {
        joints[i] = low[i] + (high[i] - low[i]) * fraction(16 * id + i);
        job->guess[i] = joints[i] + 0.2 * (fraction(16 * id + 8 + i) - 0.5);
    }
    robot_forward(joints, &job->target);
}
