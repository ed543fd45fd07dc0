/* SPDX-License-Identifier: MIT */
/* Publish the robot's pose a hundred times, for one second. Any number of hello_sub may listen,
 * started before or after it. Prints:
 *     published 100 poses */
#include <shmq.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    shm_socket_t *pub = shm_socket(SHM_PUB);
    if (!pub || shm_bind(pub, "shm://robot/pose") < 0)
        return perror("robot/pose"), 1;
    for (int i = 0; i < 100; i++, usleep(10000)) {
        double joints[6] = {0.01 * i, 0, 0, 0, 0, 0};
        if (shm_send(pub, joints, sizeof joints, 0) < 0)
            return perror("send"), 1;
    }
    return puts("published 100 poses"), shm_close(pub);
}
