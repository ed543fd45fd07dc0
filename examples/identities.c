/* SPDX-License-Identifier: MIT */
/*
 * Routing ids: two arms choose their names, and the controller addresses them by name. With
 * SHM_ROUTER_MANDATORY it learns that a name is unknown; otherwise such a message is dropped.
 * Prints:
 *     left got: wave
 *     right got: grip
 *     nobody is called middle: No route to host
 */
#include "must.h"

#include <string.h>

static shm_socket_t *arm_open(const char *name)
{
    shm_socket_t *arm = must_open(SHM_DEALER);

    must(shm_setsockopt(arm, SHM_ROUTING_ID, name, strlen(name)));
    must(shm_connect(arm, "shm://example/arms"));
    must(shm_send(arm, "ready", 5, 0));
    return arm;
}

static void arm_listen(shm_socket_t *arm, const char *name)
{
    char order[32];
    ssize_t size = must(shm_recv(arm, order, sizeof order, 0));

    printf("%s got: %.*s\n", name, (int)size, order);
    must(shm_close(arm));
}

int main(void)
{
    shm_socket_t *controller = must_open(SHM_ROUTER), *left, *right;

    must_set(controller, SHM_ROUTER_MANDATORY, 1);
    must(shm_bind(controller, "shm://example/arms"));
    left = arm_open("left");
    right = arm_open("right");
    for (int i = 0; i < 2; i++) { /* "ready" from both: now the router knows them */
        char name[256], ready[8];

        must(shm_recv(controller, name, sizeof name, 0));
        must(shm_recv(controller, ready, sizeof ready, 0));
    }
    must(shm_send(controller, "right", 5, SHM_SNDMORE));
    must(shm_send(controller, "grip", 4, 0));
    must(shm_send(controller, "left", 4, SHM_SNDMORE));
    must(shm_send(controller, "wave", 4, 0));
    arm_listen(left, "left");
    arm_listen(right, "right");
    if (shm_send(controller, "middle", 6, SHM_SNDMORE) < 0)
        printf("nobody is called middle: %s\n", shm_strerror(errno));
    return shm_close(controller);
}
