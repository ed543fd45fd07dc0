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
/* Returns what the caller lets go of by peer_unlink(), but not before it has mapped the peer again. */
struct peer *link_early_end(struct link *link, bool died);
int link_open_in(struct link *link, uint64_t resume);
/* Once more, while it is up: 0 or more; -EBADMSG, -EEXIST: it is not to be linked to; -EPROTO. */
int link_renew(struct link *link);

/*
 * How far has a peer read? A connector's record outlives its binders: until it has come to the next
 * one, its tail is about the ring of one before. So `linked_to` names the very link that the tail is
 * about, by the other side's id and the place of its record, and is looked at before and after.
 */
uint64_t link_token(const uint8_t *id, uint64_t record_offset);
uint64_t link_my_token(const struct link *link);
const struct link_record *record_at(struct remote *remote, uint64_t offset); /* NULL: it is none */
bool record_is_about(const struct link_record *record, uint64_t token);
bool record_tail(const struct link_record *record, uint64_t token, uint64_t *tail);
/* What attach->rejected has for a generation that was turned away for good. */
static inline uint64_t for_good(uint64_t gen)
{
    return ~gen;
}
bool link_is_awaited(const struct link *link); /* by a peer that was answered and has not come to look yet */
/* Memory for what there is to read of a peer that goes while its place stays (connectors). 0 or -ENOMEM. */
int link_reserve(struct link *link);
void link_gone(struct link *link, bool died);
void link_turn_away(struct link *link); /* or be turned away: nothing that it may have sent is read */
void link_free(struct link *link);
void link_notify(struct link *link);
/* False: there is no memory or descriptor to tell it with just now. */
bool notify_party(struct shm_socket *s, const char *id_hex);
uint64_t mark_of(int hwm);

#endif
