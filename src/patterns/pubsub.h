/* SPDX-License-Identifier: MIT */
/* What PUB and XPUB have in common. */
#ifndef SHMQ_PATTERNS_PUBSUB_H
#define SHMQ_PATTERNS_PUBSUB_H

#include "core/pattern.h"

#define FITS_PUBLISHER         (KIND_BIT(SHM_SUB) | KIND_BIT(SHM_XSUB))
#define FITS_SUBSCRIBER        (KIND_BIT(SHM_PUB) | KIND_BIT(SHM_XPUB))
#define PUBLISHER_MEMORY_LIMIT (UINT64_C(256) << 20)

uint32_t publisher_ring(struct shm_socket *s, int peer);
uint32_t publisher_shared_ring(struct shm_socket *s);
int publisher_send(struct shm_socket *s, const struct part *part);
bool publisher_can_send(struct shm_socket *s);

#endif
