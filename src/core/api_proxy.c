/* SPDX-License-Identifier: MIT */
/*
 * shm_proxy(). The proxy never holds a message itself: it sends a part while that is still the next one of the socket
 * that it came from, and only then takes it off there. So neither a signal nor a lack of room loses anything, and a
 * blocked direction does not hold up the other.
 */
#include "core/api.h"
#include "core/tx.h"

#define MEMORY_RETRY_MS 1 /* there is room, but no memory until receivers release some */

enum progress { NOTHING, MOVED, NO_ROOM, NO_MEMORY };

static bool has_room(struct shm_socket *to)
{
    return to->tx.message.active || to->kind->can_send == NULL || to->kind->can_send(to);
}

/* Make the part the next one again. */
static void put_back(struct shm_socket *from, const struct part *part)
{
    from->rx.message.at = from->rx.message.previous;
    stat_add(from, STAT_BYTES_RECEIVED, -(uint64_t)part->size);
}

/* Drop a part that can never be sent. */
static void drop(struct shm_socket *from, struct part *part)
{
    int error = errno;
    for (bool more = part->more; more && api_receive(from, part, SHM_DONTWAIT) == 0; more = part->more)
        api_received(from, part);
    api_received(from, part);
    errno = error;
}

/* Forward one message, or the rest of one that was begun. Returns a progress, or -1 with errno. */
static int forward(struct shm_socket *from, struct shm_socket *to, struct shm_socket *capture)
{
    struct part part;
    do {
        if (!has_room(to))
            return NO_ROOM;
        if (api_receive(from, &part, SHM_DONTWAIT) < 0)
            return errno == EAGAIN ? NOTHING : -1;
        part.block = NULL;
        if (api_send(to, &part, SHM_DONTWAIT) < 0) {
            if (errno == EAGAIN) {
                put_back(from, &part);
                return has_room(to) ? NO_MEMORY : NO_ROOM;
            }
            drop(from, &part);
            return -1;
        }
        while (capture != NULL && api_send(capture, &part, 0) < 0)
            if (errno != EINTR)
                return -1;
        api_received(from, &part);
    } while (part.more);
    return MOVED;
}

SHM_API int shm_proxy(shm_socket_t *frontend, shm_socket_t *backend, shm_socket_t *capture)
{
    if (api_usable(frontend) < 0 || api_usable(backend) < 0 || (capture != NULL && api_usable(capture) < 0))
        return -1;
    shm_socket_t *const sides[2] = {frontend, backend};
    int count = frontend == backend ? 1 : 2;
    enum progress last[2] = {NOTHING, NOTHING}; /* of each direction, by its source */
    for (;;) {
        shm_pollitem_t items[2];
        bool short_of_memory = last[0] == NO_MEMORY || last[1] == NO_MEMORY;
        for (int i = 0; i < count; i++) {
            int other = count - 1 - i;
            bool reads = sides[i]->kind->advance != NULL && last[i] != NO_ROOM && last[i] != NO_MEMORY;
            items[i] = (shm_pollitem_t){sides[i], -1, 0, 0};
            items[i].events = (short)((reads ? SHM_POLLIN : 0) | (last[other] == NO_ROOM ? SHM_POLLOUT : 0));
        }
        if (shm_poll(items, count, short_of_memory ? MEMORY_RETRY_MS : -1) < 0)
            return -1;
        for (int i = 0; i < count; i++) {
            if (sides[i]->kind->advance == NULL)
                continue;
            int result = forward(sides[i], sides[count - 1 - i], capture);
            if (result < 0)
                return -1;
            last[i] = (enum progress)result;
        }
    }
}
