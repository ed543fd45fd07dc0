/* SPDX-License-Identifier: MIT */
#include "patterns/reqrep.h"

uint32_t ring_spsc(struct shm_socket *s, int peer)
{
    return RING_SPSC;
}

int skip_answers_to_others(struct shm_socket *s, struct pipe *pipe)
{
    if (pipe->membership->bound && pipe->has_in && (s->type == SHM_REQ || pipe->member.type == SHM_REP))
        rx_skip_to_head(pipe);
    return 0;
}

void probe_router(struct shm_socket *s, struct pipe *pipe)
{
    struct part empty = {"", 0, NULL, false, false};
    if (s->options.probe_router && pipe->out != NULL && pipe_has_room(pipe))
        tx_single(s, pipe->out, pipe, &empty, 0);
}
