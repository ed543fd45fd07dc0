/* SPDX-License-Identifier: MIT */
/* shm_event_recv(). */
#include "core/api.h"
#include "core/event.h"

SHM_API int shm_event_recv(shm_socket_t *s, shm_event_t *event, int flags)
{
    if (event == NULL || (flags & ~SHM_DONTWAIT) != 0)
        return api_result(-EINVAL);
    if (api_usable(s) < 0)
        return -1;
    bool wait = !(flags & SHM_DONTWAIT) && s->options.receive_timeout != 0;
    uint64_t deadline = wait ? clock_deadline_ns(s->options.receive_timeout) : 0;
    for (;;) {
        membership_look(s);
        if (event_take(s, event))
            return 0;
        int error = wait ? socket_wait(s, SHM_POLLPRI, deadline) : -EAGAIN;
        if (error < 0 && !wait) {
            socket_empty_poll(s); /* it may notice a death */
            if (event_take(s, event))
                return 0;
        }
        if (error < 0)
            return api_result(error);
    }
}
