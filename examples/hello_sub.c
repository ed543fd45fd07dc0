/* SPDX-License-Identifier: MIT */
/* Print the next three poses that hello_pub publishes, whenever that starts. Prints:
 *     joint 0 at ... rad
 *     joint 0 at ... rad
 *     joint 0 at ... rad */
#include <shmq.h>
#include <stdio.h>

int main(void)
{
    double joints[6];
    shm_socket_t *sub = shm_socket(SHM_SUB);
    if (!sub || shm_connect(sub, "shm://robot/pose") < 0)
        return perror("robot/pose"), 1;
    if (shm_setsockopt(sub, SHM_SUBSCRIBE, "", 0) < 0)
        return perror("subscribe"), 1;
    for (int i = 0; i < 3 && shm_recv(sub, joints, sizeof joints, 0) > 0; i++)
        printf("joint 0 at %.2f rad\n", joints[0]);
    return shm_close(sub);
}
