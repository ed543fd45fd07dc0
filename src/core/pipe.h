/* SPDX-License-Identifier: MIT */
/* Between pipe.c and membership.c. */
#ifndef SHMQ_CORE_PIPE_H
#define SHMQ_CORE_PIPE_H

#include "core/socket.h"

int pipe_new(struct pipe **out, struct shm_socket *s, struct membership *membership, uint32_t slot, int peer_type);

/* Map the peer MEMBER, whose pipe record is at THEIR_OFFSET of its segment; read its ring from RESUME
 * on. After an error the pipe is as before. */
int pipe_up(struct pipe *pipe, const struct member *member, uint64_t their_offset, uint64_t resume);
void pipe_pre_accept(struct pipe *pipe, const struct member *member);
/* Returns what the caller lets go of by peer_drop(), but not before it has mapped the peer again. */
struct peer *pipe_pre_accept_end(struct pipe *pipe, bool died);
int pipe_open_in(struct pipe *pipe, uint64_t resume);
/* Once more, while it is up: 0 or more; -EBADMSG, -EEXIST: it is not to be linked to; -EPROTO. */
int pipe_renew(struct pipe *pipe);

/*
 * How far has a peer read? A connector's record outlives its binders: until it has come to the next
 * one, its tail is about the ring of one before. So `connected_to` names the very pipe that the tail is
 * about, by the other side's id and the place of its record, and is looked at before and after.
 */
uint64_t pipe_token(const uint8_t *id, uint64_t record_offset);
uint64_t pipe_my_token(const struct pipe *pipe);
const struct pipe_record *record_at(struct remote *remote, uint64_t offset); /* NULL: it is none */
bool record_is_about(const struct pipe_record *record, uint64_t token);
bool record_tail(const struct pipe_record *record, uint64_t token, uint64_t *tail);
/* What membership->rejected has for a generation that was turned away for good. */
static inline uint64_t for_good(uint64_t gen)
{
    return ~gen;
}
bool pipe_is_awaited(const struct pipe *pipe); /* by a peer that was answered and has not come to look yet */
/* Memory for what there is to read of a peer that goes while its place stays (connectors). 0 or -ENOMEM. */
int pipe_reserve(struct pipe *pipe);
void pipe_gone(struct pipe *pipe, bool died);
void pipe_turn_away(struct pipe *pipe); /* or be turned away: nothing that it may have sent is read */
void pipe_free(struct pipe *pipe);
void pipe_notify(struct pipe *pipe);
/* False: there is no memory or descriptor to tell it with just now. */
bool notify_member(struct shm_socket *s, const char *id_hex);
uint64_t mark_of(int hwm);

#endif
