/* SPDX-License-Identifier: MIT */
/*
 * A worker: run several of them, then push. A job received as a view (shm_msg_recv) counts as done
 * when the view is closed. If a worker is killed before that, another one gets the job, marked as
 * redelivered. "pull die" kills itself in its first job. A worker ends after half a second without
 * work. Prints, for the jobs that it gets:
 *     job ... done...
 */
#include "must.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int die = argc > 1 && strcmp(argv[1], "die") == 0;
    shm_socket_t *pull = must_open(SHM_PULL);
    shm_msg_t msg;

    setvbuf(stdout, NULL, _IOLBF, 0); /* so that what was printed before a kill is seen */
    must_set(pull, SHM_RCVTIMEO, 500);
    must(shm_connect(pull, "shm://robot/jobs"));
    must(shm_msg_init(&msg));
    while (shm_msg_recv(&msg, pull, 0) >= 0) {
        int job = *(const int *)shm_msg_data(&msg);

        if (die)
            raise(SIGKILL);
        usleep(20000); /* work */
        printf("job %d done%s\n", job, shm_msg_redelivered(&msg) ? " (redelivered)" : "");
        must(shm_msg_close(&msg));
    }
    must(errno == EAGAIN ? 0 : -1);
    return shm_close(pull);
}
