/* SPDX-License-Identifier: MIT */
#include "arm.h"
#include "child.h"
#include "clock.h"
#include "sock.h"

#include <errno.h>
#include <string.h>

#define LINE_MAX_BYTES 160

void arm_serve(struct board *board, int number)
{
    shm_socket_t *rep = sock_open(SHM_REP);
    struct arm arm = {.moving = false};

    sock_bind(rep, "shm://robot/arm");
    sock_set(rep, SHM_RCVTIMEO, 100); /* look around now and then if nobody asks */
    board->arm_ready = true;
    while (!board->client_finished) {
        char request[LINE_MAX_BYTES], reply[LINE_MAX_BYTES];
        ssize_t size = shm_recv(rep, request, sizeof request - 1, 0);

        if (size < 0 && errno == EAGAIN)
            continue;
        if (size < 0)
            die("recv");
        request[size < LINE_MAX_BYTES ? size : LINE_MAX_BYTES - 1] = '\0';
        if (!arm_execute(&arm, request, reply, sizeof reply))
            bump(&board->arm_refused);
        if (shm_send(rep, reply, strlen(reply), 0) < 0)
            die("send");
        bump(&board->arm_served);
    }
    sock_close(rep);
}

void arm_call(struct board *board, int number)
{
    shm_socket_t *req = sock_open(SHM_REQ);

    sock_connect(req, "shm://robot/arm");
    board->client_ready = true;
    if (!board_wait_go(board)) {
        board->client_finished = true;
        return;
    }
    for (uint64_t n = 0; !stopping(board); n++) {
        char request[LINE_MAX_BYTES], reply[LINE_MAX_BYTES];
        uint64_t sent;
        ssize_t size;

        arm_request(n, request, sizeof request);
        sleep_until(board->start_ns + n * ARM_PERIOD_NS + POSE_PERIOD_NS / 4);
        sent = now_ns();
        if (shm_send(req, request, strlen(request), 0) < 0)
            die("send");
        bump(&board->calls);
        size = shm_recv(req, reply, sizeof reply - 1, 0);
        if (size < 0)
            die("recv");
        path_add(&board->path[PATH_ARM], now_ns() - sent);
        reply[size < LINE_MAX_BYTES ? size : LINE_MAX_BYTES - 1] = '\0';
        bump(&board->answers);
        if (strncmp(reply, "error ", 6) == 0)
            bump(&board->refusals);
        if (!arm_reply_is_right(n, reply))
            bump(&board->wrong_answers);
    }
    board->client_finished = true;
    sock_close(req);
}
