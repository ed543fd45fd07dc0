/* SPDX-License-Identifier: MIT */
#include "pose.h"
#include "child.h"
#include "clock.h"
#include "sock.h"

#include <errno.h>
#include <string.h>

void pose_make(struct pose *pose, uint64_t sequence)
{
    pose->sequence = sequence;
    pose->last = 0;
    robot_trajectory((double)sequence * (POSE_PERIOD_NS / 1e9), pose->joints);
}

bool pose_is_right(const struct pose *pose)
{
    struct pose expected;

    pose_make(&expected, pose->sequence);
    return memcmp(expected.joints, pose->joints, sizeof expected.joints) == 0;
}

void pose_publish(struct board *board, int number)
{
    shm_socket_t *pub = sock_open(SHM_PUB);
    struct pose pose;
    bool last = false;

    /* Memory is fixed, however slow a subscriber is: one that falls this far behind loses the oldest poses. */
    sock_set(pub, SHM_SNDHWM, POSE_RING);
    sock_bind(pub, "shm://robot/pose");
    sock_await_peers(pub, LATE);
    board->pose_ready = true;
    if (!board_wait_go(board))
        return;
    for (uint64_t sequence = 0; !last; sequence++) {
        sleep_until(board->start_ns + sequence * POSE_PERIOD_NS);
        last = stopping(board);
        pose_make(&pose, sequence);
        pose.last = last;
        pose.sent_ns = now_ns();
        if (shm_send(pub, &pose, sizeof pose, 0) < 0)
            die("send");
        bump(&board->poses_sent);
    }
    sock_close(pub);
}

/* Count POSE, and the poses that are missing before it. */
static void account(struct subscriber *me, const struct pose *pose, uint64_t next, uint64_t lost)
{
    if (me->received == 0)
        me->joined_at = pose->sequence - lost; /* if it was lapped before its first pose, the lost ones count */
    else if (pose->sequence < next)
        bump(&me->wrong);
    if (me->received == 0)
        me->gaps = lost;
    else if (pose->sequence > next)
        me->gaps += pose->sequence - next;
    if (!pose_is_right(pose))
        bump(&me->wrong);
    me->lost = lost;
    bump(&me->received);
}

void pose_subscribe(struct board *board, int number)
{
    struct subscriber *me = &board->subscriber[number];
    shm_socket_t *sub = sock_open(SHM_SUB);
    struct pose pose = {0};

    if (shm_setsockopt(sub, SHM_SUBSCRIBE, "", 0) < 0)
        die("SHM_SUBSCRIBE");
    sock_connect(sub, "shm://robot/pose");
    sock_await_peers(sub, 1);
    me->ready = true;
    while (!pose.last) {
        uint64_t next = pose.sequence + 1;
        ssize_t size = shm_recv(sub, &pose, sizeof pose, 0);
        uint64_t now = now_ns();

        if (size < 0 && stopping(board) && !board->go)
            return; /* the run was cancelled before it began */
        if (size < 0)
            die("recv");
        if (size != sizeof pose) {
            bump(&me->wrong);
            continue;
        }
        if (number == CONTROLLER)
            path_add(&board->path[PATH_POSE], now - pose.sent_ns);
        if (number == LOGGER)
            path_add(&board->path[PATH_POSE_OTHER], now - pose.sent_ns);
        account(me, &pose, next, sock_lost(sub));
        if (number == SLOW && !stopping(board))
            sleep_until(now_ns() + SLOW_DELAY_MS * 1000000u);
    }
    me->finished = true;
    sock_close(sub);
}
