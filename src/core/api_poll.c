/* SPDX-License-Identifier: MIT */
/* shm_poll(). */
#include <stdlib.h>

#include "core/api.h"

#define FEW 16 /* up to so many items need no heap memory */

SHM_API int shm_poll(shm_pollitem_t *items, int count, long timeout_ms)
{
    if (count < 0 || (items == NULL && count > 0))
        return api_result(-EINVAL);
    for (int i = 0; i < count; i++) {
        items[i].revents = 0;
        if (items[i].socket != NULL && api_usable(items[i].socket) < 0)
            return -1;
    }
    struct wait_item few[FEW], *all = count <= FEW ? few : malloc((size_t)count * sizeof *all);
    if (all == NULL)
        return -1;
    for (int i = 0; i < count; i++)
        all[i] = (struct wait_item){.waitable = items[i].socket != NULL ? &items[i].socket->wait : NULL,
                                    .fd = items[i].fd,
                                    .events = items[i].events};
    int result = waitable_poll(all, count, clock_deadline_ns(timeout_ms));
    for (int i = 0; i < count; i++)
        items[i].revents = all[i].revents;
    if (all != few)
        free(all);
    return result < 0 ? api_result(result) : result;
}
