/* SPDX-License-Identifier: MIT */
#include "inside.h"

#include <stdio.h>

#include "core/membership.h"
#include "core/socket.h"

void inside_warm_up(void)
{
    (void)clock_ticks_per_us();
}

void inside_check_peers(shm_socket_t *socket)
{
    membership_check(socket);
    membership_look(socket);
}

static int dead_places(struct membership *membership)
{
    struct endpoint *endpoint = &membership->endpoint;
    struct member member;
    int dead = 0;

    for (uint32_t i = 0; i < endpoint_high(endpoint); i++)
        if (i != endpoint->slot && endpoint_connector(endpoint, i, &member) && !endpoint_connector_lives(endpoint, i)) {
            fprintf(stderr, "place %u stays with a dead one, %.4s\n", i, member.id_hex);
            dead++;
        }
    return dead;
}

static int claims_left(const struct pipe *pipe)
{
    int left = 0;

    if (pipe->state != PIPE_UP || !pipe->has_in || pipe->in.kind != RING_SPMC)
        return 0;
    for (uint64_t i = 0; i < pipe->in.claims->slots; i++) {
        uint64_t word = load_acquire(&pipe->in.claims->words[i]);
        if (claim_state(word) == CLAIM_CLAIMED) {
            fprintf(stderr, "ticket %llu stays claimed by owner %u\n", (unsigned long long)claim_ticket(word),
                    claim_owner(word));
            left++;
        }
    }
    return left;
}

int inside_left_with_the_dead(shm_socket_t *socket, bool may_claim)
{
    int left = 0;

    for (struct membership *membership = socket->memberships; membership != NULL; membership = membership->next)
        left += membership->bound ? dead_places(membership) : 0; /* the binder's work */
    for (uint32_t i = 0; !may_claim && i < socket->pipes.count; i++)
        left += claims_left(socket->pipes.list[i]);
    return left;
}

int inside_slots(shm_socket_t *socket)
{
    if (socket->tx.has_shared)
        return (int)socket->tx.shared.mask + 1;
    if (socket->pipes.count > 0 && socket->pipes.list[0]->out != NULL)
        return (int)socket->pipes.list[0]->own_ring.mask + 1;
    return 8;
}

bool inside_redelivered(shm_socket_t *socket)
{
    return socket->rx.last_redelivered;
}
