/* SPDX-License-Identifier: MIT */
/* The roles spin_ping() and spin_pong(); see floor.h. */
#include "floor.h"
#include "child.h"
#include "clock.h"
#include "sock.h"

#include <errno.h>
#include <string.h>

#define SPIN_NAME "shm://demo/spin"

static shm_socket_t *spin_open(int cpu)
{
    shm_socket_t *pair = sock_open(SHM_PAIR);
    int64_t spin_for_ever = -1;

    pin_to(cpu);
    if (shm_setsockopt(pair, SHM_SPIN_NS, &spin_for_ever, sizeof spin_for_ever) < 0)
        die("SHM_SPIN_NS");
    return pair;
}

void spin_ping(struct board *board, int number)
{
    shm_socket_t *pair = spin_open(0);
    uint64_t end, before = 0, after;
    uint64_t message[8] = {0}; /* 64 bytes */

    sock_bind(pair, SPIN_NAME);
    sock_await_peers(pair, 1);
    end = now_ns() + SPIN_RUN_NS;
    for (message[0] = 1; before < end; message[0]++) {
        uint64_t sent = message[0];

        before = now_ns();
        if (shm_send(pair, message, sizeof message, 0) < 0)
            die("send");
        if (shm_recv(pair, message, sizeof message, 0) < 0)
            die("recv");
        after = now_ns();
        if (message[0] != sent) {
            errno = EPROTO;
            die("the echo of another message");
        }
        if (sent % SPIN_SAMPLE_EVERY == 0)
            path_add(&board->path[PATH_SPIN], (after - before) / 2);
    }
    message[0] = 0;
    if (shm_send(pair, message, sizeof message, 0) < 0)
        die("send");
    sock_close(pair);
}

void spin_pong(struct board *board, int number)
{
    shm_socket_t *pair = spin_open(1);
    uint64_t message[8] = {1};

    sock_connect(pair, SPIN_NAME);
    while (message[0] != 0) {
        if (shm_recv(pair, message, sizeof message, 0) < 0)
            die("recv");
        if (message[0] != 0 && shm_send(pair, message, sizeof message, 0) < 0)
            die("send");
    }
    sock_close(pair);
}
