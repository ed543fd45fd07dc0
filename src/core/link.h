/* SPDX-License-Identifier: MIT */
/* Between link.c and attach.c. */
#ifndef SHMQ_CORE_LINK_H
#define SHMQ_CORE_LINK_H

#include "core/socket.h"

int link_new(struct link **out, struct shm_socket *s, struct attach *attach, uint32_t slot, int peer_type);

/* Map the peer PARTY, whose link record is at THEIR_OFFSET of its segment; read its ring from RESUME
 * on. After an error the link is as before. */
int link_up(struct link *link, const struct party *party, uint64_t their_offset, uint64_t resume);
void link_early(struct link *link, const struct party *party);
void link_early_end(struct link *link, bool died);
int link_open_in(struct link *link, uint64_t resume);
void link_gone(struct link *link, bool died);
void link_free(struct link *link);
void link_notify(struct link *link);
void notify_party(struct shm_socket *s, const char *id_hex);
uint64_t mark_of(int hwm);

#endif
