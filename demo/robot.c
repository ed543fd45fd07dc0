/* SPDX-License-Identifier: MIT */
#include "robot.h"

#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846

/* Denavit-Hartenberg parameters of the UR5e (metres, radians). */
static const double dh_a[JOINTS] = {0, -0.425, -0.3922, 0, 0, 0};
static const double dh_d[JOINTS] = {0.1625, 0, 0, 0.1333, 0.0997, 0.0996};
static const double dh_alpha[JOINTS] = {PI / 2, 0, 0, PI / 2, -PI / 2, 0};

/* The stations of the cycle: above pick, pick, above pick, above place, place, above place. */
static const double station[][JOINTS] = {
    {0.00, -1.40, 1.60, -1.77, -1.57, 0.00}, {0.00, -1.15, 1.85, -2.27, -1.57, 0.00},
    {0.00, -1.40, 1.60, -1.77, -1.57, 0.00}, {1.35, -1.30, 1.45, -1.72, -1.57, 0.80},
    {1.35, -1.05, 1.70, -2.22, -1.57, 0.80}, {1.35, -1.30, 1.45, -1.72, -1.57, 0.80},
};
#define STATIONS ((int)(sizeof station / sizeof station[0]))
#define MOVE_S   0.75 /* each move takes this long */

void robot_trajectory(double time_s, double joints[JOINTS])
{
    double moves = time_s / MOVE_S;
    double s = moves - floor(moves);
    int from = (int)fmod(floor(moves), STATIONS), to = (from + 1) % STATIONS;
    /* minimum jerk: velocity and acceleration are 0 at both ends */
    double blend = s * s * s * (10 + s * (6 * s - 15));

    for (int i = 0; i < JOINTS; i++)
        joints[i] = station[from][i] + blend * (station[to][i] - station[from][i]);
}

/* hand = hand * (the transform of joint I at ANGLE) */
static void forward_step(struct hand *hand, int i, double angle)
{
    double c = cos(angle), s = sin(angle), ca = cos(dh_alpha[i]), sa = sin(dh_alpha[i]);
    const double step[3][4] = {
        {c, -s * ca, s * sa, dh_a[i] * c}, {s, c * ca, -c * sa, dh_a[i] * s}, {0, sa, ca, dh_d[i]}};
    struct hand old = *hand;

    for (int r = 0; r < 3; r++)
        for (int k = 0; k < 4; k++) {
            double sum = k == 3 ? old.m[4 * r + 3] : 0;

            for (int j = 0; j < 3; j++)
                sum += old.m[4 * r + j] * step[j][k];
            hand->m[4 * r + k] = sum;
        }
}

static const struct hand base = {{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0}};

void robot_forward(const double joints[JOINTS], struct hand *hand)
{
    *hand = base;
    for (int i = 0; i < JOINTS; i++)
        forward_step(hand, i, joints[i]);
}

double robot_distance(const struct hand *a, const struct hand *b)
{
    double worst = 0;

    for (int i = 0; i < 12; i++)
        worst = fmax(worst, fabs(a->m[i] - b->m[i]));
    return worst;
}

static void cross(const double a[3], const double b[3], double out[3])
{
    out[0] = a[1] * b[2] - a[2] * b[1];
    out[1] = a[2] * b[0] - a[0] * b[2];
    out[2] = a[0] * b[1] - a[1] * b[0];
}

/* The error of the hand against the target: three numbers of position, three of rotation. */
static void pose_error(const struct hand *target, const struct hand *hand, double error[6])
{
    double sum[3] = {0, 0, 0};

    for (int i = 0; i < 3; i++)
        error[i] = target->m[4 * i + 3] - hand->m[4 * i + 3];
    for (int k = 0; k < 3; k++) {
        double have[3], want[3], turn[3];

        for (int i = 0; i < 3; i++) {
            have[i] = hand->m[4 * i + k];
            want[i] = target->m[4 * i + k];
        }
        cross(have, want, turn);
        for (int i = 0; i < 3; i++)
            sum[i] += turn[i];
    }
    for (int i = 0; i < 3; i++)
        error[3 + i] = sum[i] / 2;
}

/* Column I says how turning joint I moves the hand; from the axes that forward_step() passes. */
static void jacobian(const double joints[JOINTS], double j[6][JOINTS])
{
    struct hand frame[JOINTS + 1];

    frame[0] = base;
    for (int i = 0; i < JOINTS; i++) {
        frame[i + 1] = frame[i];
        forward_step(&frame[i + 1], i, joints[i]);
    }
    for (int i = 0; i < JOINTS; i++) {
        double axis[3], arm[3], move[3];

        for (int r = 0; r < 3; r++) {
            axis[r] = frame[i].m[4 * r + 2];
            arm[r] = frame[JOINTS].m[4 * r + 3] - frame[i].m[4 * r + 3];
        }
        cross(axis, arm, move);
        for (int r = 0; r < 3; r++) {
            j[r][i] = move[r];
            j[3 + r][i] = axis[r];
        }
    }
}

/* Solve the symmetric positive system A x = B in place (Cholesky); the result is in B. */
static void solve(double a[6][6], double b[6])
{
    for (int i = 0; i < 6; i++)
        for (int k = 0; k <= i; k++) {
            double sum = a[i][k];

            for (int j = 0; j < k; j++)
                sum -= a[i][j] * a[k][j];
            a[i][k] = i == k ? sqrt(sum) : sum / a[k][k];
        }
    for (int i = 0; i < 6; i++) {
        for (int k = 0; k < i; k++)
            b[i] -= a[i][k] * b[k];
        b[i] /= a[i][i];
    }
    for (int i = 5; i >= 0; i--) {
        for (int k = i + 1; k < 6; k++)
            b[i] -= a[k][i] * b[k];
        b[i] /= a[i][i];
    }
}

int robot_inverse(const struct hand *target, double joints[JOINTS])
{
    for (int step = 0; step < 200; step++) {
        double j[6][JOINTS], normal[6][6], error[6], worst = 0;
        struct hand hand;

        robot_forward(joints, &hand);
        pose_error(target, &hand, error);
        for (int i = 0; i < 6; i++)
            worst = fmax(worst, fabs(error[i]));
        if (worst < 1e-9)
            return step;
        /* Short steps near a singularity, full Newton steps close to the solution. */
        double damping = 1e-8 + 0.02 * worst * worst;
        jacobian(joints, j);
        for (int r = 0; r < 6; r++)
            for (int c = 0; c < 6; c++) {
                normal[r][c] = r == c ? damping : 0;
                for (int k = 0; k < JOINTS; k++)
                    normal[r][c] += j[r][k] * j[c][k];
            }
        solve(normal, error);
        for (int i = 0; i < JOINTS; i++) {
            double turn = 0;

            for (int r = 0; r < 6; r++)
                turn += j[r][i] * error[r];
            joints[i] += fmax(-0.5, fmin(0.5, turn));
        }
    }
    return -1;
}
