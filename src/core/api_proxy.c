/* SPDX-License-Identifier: MIT */
/* shm_proxy(). */
#include "core/api.h"

/* One whole message from one socket to another. */
static int forward(shm_socket_t *from, shm_socket_t *to, shm_socket_t *capture)
{
    shm_msg_t msg;
    int more;
    bool failed = false;

    shm_msg_init(&msg);
    do {
        if (shm_msg_recv(&msg, from, SHM_DONTWAIT) < 0) {
            shm_msg_close(&msg);
            return errno == EAGAIN ? 0 : -1;
        }
        more = shm_msg_more(&msg);
        if (capture != NULL &&
            shm_send(capture, shm_msg_data(&msg), shm_msg_size(&msg), more ? SHM_SNDMORE : 0) < 0) {
            failed = true;
            break;
        }
        if (shm_msg_send(&msg, to, more ? SHM_SNDMORE : 0) < 0)
            failed = true;
    } while (more && !failed);
    if (failed) {
        int error = errno;
        shm_msg_close(&msg);
        errno = error;
        return -1;
    }
    return 1;
}

SHM_API int shm_proxy(shm_socket_t *frontend, shm_socket_t *backend, shm_socket_t *capture)
{
    if (api_usable(frontend) < 0 || api_usable(backend) < 0 || (capture != NULL && api_usable(capture) < 0))
        return -1;
    shm_pollitem_t items[2] = {{frontend, -1, 0, 0}, {backend, -1, 0, 0}};
    for (int i = 0; i < 2; i++)
        items[i].events = items[i].socket->kind->advance != NULL ? SHM_POLLIN : 0;
    for (;;) {
        if (shm_poll(items, frontend == backend ? 1 : 2, -1) < 0)
            return -1;
        for (int i = 0; i < 2; i++) {
            shm_socket_t *other = items[1 - i].socket;
            if ((items[i].revents & SHM_POLLIN) && forward(items[i].socket, other, capture) < 0)
                return -1;
        }
    }
}
