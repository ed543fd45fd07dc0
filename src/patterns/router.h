/* SPDX-License-Identifier: MIT */
#ifndef SHMQ_PATTERNS_ROUTER_H
#define SHMQ_PATTERNS_ROUTER_H

#include <stdint.h>

/* A ROUTER's data about a peer: the pipe's kind_data. */
struct router_peer {
    uint32_t request_tag; /* of the last request, if the peer is a REQ */
    uint32_t id_size;     /* 0: it lost its id to another peer */
    uint8_t id[256];
};

#endif
