/* SPDX-License-Identifier: MIT */
/* Messages of sockets with a key: sealed on their way out, verified on their way in. */
#include <stdlib.h>
#include <string.h>

#include "core/session_state.h"

#define TICKET_BITS 46                /* of a ticket in a claim word */
#define OPEN_KEPT (UINT64_C(4) << 20) /* bytes: larger private buffers are not kept for the next message */

/* ---- messages ---- */

void session_seal(struct shm_socket *s, struct pipe *pipe, const struct ring_out *ring,
                const struct ring_message *message, void *to)
{
    struct auth_frame frame = {.key = pipe == NULL || ring == &s->tx.shared ? s->auth->shared_key : pipe->session->key,
                               .ticket = ring->head,
                               .tag = message->tag,
                               .packed = (message->flags & META_PACKED) != 0,
                               .secret = s->options.seal != 0};
    auth_seal(&frame, to, message->bytes, message->size);
}

/* Grow BUFFER to SIZE bytes, or shrink it if an earlier large message left it much too large. */
static unsigned char *make_room(unsigned char **buffer, uint64_t *room, uint64_t used, uint64_t size)
{
    if (size <= *room && (*room <= OPEN_KEPT || size > OPEN_KEPT / 4))
        return *buffer;
    uint64_t larger = used > 0 ? size + size / 2 : size;
    unsigned char *bytes = malloc(larger > 0 ? larger : 1);
    if (bytes == NULL)
        return NULL;
    if (used > 0)
        memcpy(bytes, *buffer, used);
    free(*buffer);
    *buffer = bytes;
    *room = larger;
    return bytes;
}

unsigned char *session_gather(struct shm_socket *s, uint64_t used, uint64_t size)
{
    return make_room(&s->auth->packed, &s->auth->packed_room, used, size);
}

/* A claim word has only the low bits of a ticket: return the ticket nearest to the tail with these bits. */
static uint64_t whole_ticket(const struct ring_in *ring, uint64_t ticket)
{
    int64_t ahead = (int64_t)((ticket - ring->tail) << (64 - TICKET_BITS)) >> (64 - TICKET_BITS);
    return ring->tail + (uint64_t)ahead;
}

int session_open(struct shm_socket *s, struct pipe *pipe, struct ring_taken *taken)
{
    struct session_source *source = pipe->source;
    uint64_t small[SLOT_WORDS];
    void *to = small;

    if (source == NULL || taken->size < AUTH_TAG_SIZE || taken->size - AUTH_TAG_SIZE > AUTH_MAX)
        return -EBADMSG;
    uint64_t size = taken->size - AUTH_TAG_SIZE;
    uint64_t ticket = taken->redelivered ? whole_ticket(&pipe->in, taken->ticket) : taken->ticket;
    if (source->given != NULL && source->given[ticket & source->mask] > ticket)
        return -EBADMSG; /* replay: delivered before, whatever the claim words say */
    if (taken->is_block)
        to = make_room(&s->auth->opened, &s->auth->opened_room, 0, size);
    if (to == NULL)
        return -ENOMEM;
    struct auth_frame frame = {.key = source->key,
                               .ticket = ticket,
                               .tag = taken->tag,
                               .packed = taken->packed,
                               .secret = s->options.seal != 0};
    if (!auth_open(&frame, to, taken->bytes, size))
        return -EBADMSG;
    if (!taken->is_block)
        to = memcpy(taken->copy, small, size);
    if (source->given != NULL)
        source->given[ticket & source->mask] = ticket + 1;
    taken->bytes = to;
    taken->size = size;
    taken->is_block = false; /* a private copy now */
    if (taken->protected)
        hazard_clear(&s->hazards, HAZARD_IN_HAND);
    taken->protected = false;
    return 0;
}

void session_untake(struct pipe *pipe, const struct ring_taken *taken)
{
    struct session_source *source = pipe->source;
    if (source == NULL || source->given == NULL)
        return;
    uint64_t ticket = taken->redelivered ? whole_ticket(&pipe->in, taken->ticket) : taken->ticket;
    source->given[ticket & source->mask] = ticket;
}

void *session_give(struct shm_socket *s, const void *data, size_t size)
{
    struct auth_session *auth = s->auth;
    if (auth == NULL || data != auth->opened || size < auth->opened_room / 2)
        return NULL;
    void *bytes = auth->opened;
    auth->opened = NULL;
    auth->opened_room = 0;
    return bytes;
}
