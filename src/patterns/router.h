/* SPDX-License-Identifier: MIT */
#ifndef SHMQ_PATTERNS_ROUTER_H
#define SHMQ_PATTERNS_ROUTER_H

#include <stdint.h>

/* What a ROUTER knows of a peer: a pipe's kind_data. */
struct router_peer {
    uint32_t request_tag; /* of the last request of a REQ */
    uint32_t id_size;     /* 0: it has no name any more */
    uint8_t id[256];
};

#endif
