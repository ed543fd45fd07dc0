/* SPDX-License-Identifier: MIT */
#include "core/peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/memory.h"
#include "transport/os.h"

/* ---- mapped memory ---- */

static void give_up(struct peer *peer, int64_t refs)
{
    if (atomic_fetch_sub_explicit(&peer->refs, refs, memory_order_acq_rel) != refs)
        return;
    bell_detach(&peer->bell);
    claims_detach(&peer->claims);
    remote_close(peer->remote);
    memory_unref(peer->socket);
    free(peer);
}

void peer_drop(struct peer *peer)
{
    if (peer != NULL)
        give_up(peer, PEER_HAS_PIPE - peer->taken);
}

void peer_release_view(struct peer *peer)
{
    give_up(peer, 1);
}

int peer_open(struct peer **out, struct shm_socket *s, const char *id_hex, const char *file, uint32_t place)
{
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL)
        return -ENOMEM;
    atomic_store_explicit(&peer->refs, PEER_HAS_PIPE, memory_order_relaxed);
    peer->socket = s;
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    int error = remote_open(&peer->remote, s->store, id_hex);
    if (error == 0)
        remote_met_at(peer->remote, file, place);
    if (error == 0)
        error = bell_attach(&peer->bell, s->store, id_hex);
    if (error < 0) {
        if (peer->remote != NULL)
            peer->remote->is_needed = error_passes(error);
        peer_drop(peer);
        return error;
    }
    *out = peer;
    return 0;
}

/* ---- liveness ---- */

bool pipe_is_dead(const struct pipe *pipe)
{
    const struct membership *membership = pipe->membership;
    if (pipe_has_met(pipe) && membership != NULL)
        return membership->bound ? !endpoint_connector_lives(&membership->endpoint, pipe->slot)
                                 : !endpoint_binder_lives(&membership->endpoint);
    return pipe->peer != NULL && !segment_is_alive(pipe->socket->store, pipe->member.id_hex);
}

/* ---- notifying a peer ---- */

/* The fence orders the change, whatever its own order, before `changed`: a peer whose 0 overwrites this 1 sees the
 * change. */
void peer_notify_bell(struct bell *bell)
{
    fence_seq_cst();
    store_seq_cst(&bell->page->changed, 1);
    bell_ring(bell);
}

bool peer_notify(struct shm_socket *s, const char *id_hex)
{
    struct bell bell = {0};
    int error = bell_attach(&bell, s->store, id_hex);
    if (error == 0) {
        peer_notify_bell(&bell);
        bell_detach(&bell);
    }
    return !error_passes(error); /* a peer without a bell need not be told */
}

/* ---- files that were handed over ---- */

void peer_file_name(char name[48], const char *id_hex, unsigned file)
{
    static const char *const suffixes[PEER_FILES] = {".seg", ".bell", ".fifo", ".claims"};
    snprintf(name, 48, "%.32s%s", id_hex, suffixes[file]);
}

void peer_forget_files(struct shm_socket *s, const char *id_hex)
{
    char name[48];
    for (unsigned i = 0; i < PEER_FILES; i++) {
        peer_file_name(name, id_hex, i);
        store_file_unlink(s->store, name);
    }
}

/* ---- how far it has read ---- */

uint64_t pipe_token(const uint8_t *id, uint64_t record_offset)
{
    uint64_t word;
    memcpy(&word, id, sizeof word);
    word ^= record_offset;
    return word != 0 ? word : 1;
}

uint64_t pipe_my_token(const struct pipe *pipe)
{
    return pipe_token(pipe->socket->segment.header->id, pipe->record_block->offset);
}

const struct pipe_record *record_at(struct remote *remote, uint64_t offset)
{
    const struct pipe_record *record = offset % 64 == 0 ? remote_at(remote, offset, sizeof *record) : NULL;
    return record != NULL && peer_u32_once(&record->magic) == PIPE_RECORD_MAGIC ? record : NULL;
}

bool record_is_about(const struct pipe_record *record, uint64_t token)
{
    return peer_u64_acquire(&record->connected_to) == token;
}

bool record_tail(const struct pipe_record *record, uint64_t token, uint64_t *tail)
{
    if (!record_is_about(record, token))
        return false;
    *tail = peer_u64_acquire(&record->tail); /* R4 */
    return record_is_about(record, token);
}

bool pipe_peer_tail(const struct pipe *pipe, uint64_t *tail)
{
    return pipe->theirs != NULL && pipe->record_block != NULL &&
           record_tail(pipe->theirs, pipe_my_token(pipe), tail);
}
