/* SPDX-License-Identifier: MIT */
/* What PUB and XPUB have in common, and SUB and XSUB. */
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

/* kind_data begins with the struct prefixes of what it subscribed to. */
uint32_t subscriber_ring(struct shm_socket *s, int peer);
uint32_t subscriber_pre_accept_ring(struct shm_socket *s, int peer);
void subscriber_repeat(struct shm_socket *s, struct pipe *pipe); /* tell an XPUB all of them */
int subscriber_subscribe(struct shm_socket *s, const void *topic, size_t size);
int subscriber_unsubscribe(struct shm_socket *s, const void *topic, size_t size);
int subscriber_set_option(struct shm_socket *s, int option, const void *value, size_t size);
int subscriber_advance(struct shm_socket *s);

#endif
