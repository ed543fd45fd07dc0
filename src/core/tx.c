/* SPDX-License-Identifier: MIT */
/* Outgoing messages: collecting their parts and publishing them. tx_room.c and tx_memory.c find room and memory. */
#include "core/tx.h"

#include <string.h>

#include "core/message_layout.h"
#include "core/session.h"

/* ---- one part ---- */

static int publish(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe, const struct ring_message *message)
{
    int error = ring_out_ready(ring);
    if (error == 0 && message->blocks != NULL && ring->in_flight == NULL)
        error = ring_out_track(ring);
    if (unlikely(error < 0))
        return error;
    bool heard = pipe != NULL || ring->kind != RING_BROADCAST || load_relaxed(&s->stats[STAT_PEERS]) > 0;
    ring_out_publish(ring, message);
    tx_wake(s, pipe);
    stat_add(s, heard ? STAT_SENT : STAT_DROPPED, 1);
    return 0;
}

/* With a key: seal MESSAGE from private memory into the slot or a block. Nothing may fail between sealing and
 * publishing, so that no two messages are ever sealed with one ticket. */
static int publish_sealed(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe,
                          const struct ring_message *message)
{
    unsigned char slot[SLOT_PAYLOAD];
    struct ring_message sealed = *message;
    if (message->size > AUTH_MAX)
        return -EMSGSIZE;
    sealed.size += AUTH_TAG_SIZE;
    sealed.bytes = slot;
    if (sealed.size > SLOT_PAYLOAD) {
        sealed.bytes = NULL;
        sealed.blocks = tx_block(s, sealed.size);
        if (sealed.blocks == NULL)
            return -errno;
    }
    int error = session_key(s, pipe);
    if (error == 0)
        error = ring_out_ready(ring);
    if (error == 0 && sealed.blocks != NULL)
        error = ring_out_track(ring);
    if (error == 0) {
        session_seal(s, pipe, ring, message, sealed.blocks != NULL ? sealed.blocks->data : slot);
        error = publish(s, ring, pipe, &sealed);
    }
    if (error < 0 && sealed.blocks != NULL)
        arena_free(&s->arena, sealed.blocks);
    return error;
}

int tx_single(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe, const struct part *part, uint32_t tag)
{
    struct ring_message message = {.bytes = part->data, .size = part->size, .tag = tag};
    if (unlikely(s->auth != NULL))
        return publish_sealed(s, ring, pipe, &message);
    if (part->block != NULL) {
        message.bytes = NULL;
        message.blocks = part->block;
    } else if (part->size > SLOT_PAYLOAD) {
        message.bytes = NULL;
        message.blocks = tx_block(s, part->size);
        if (message.blocks == NULL)
            return -errno;
        memcpy(message.blocks->data, part->data, part->size);
    }
    int error = publish(s, ring, pipe, &message);
    if (error < 0 && message.blocks != NULL && part->block == NULL)
        arena_free(&s->arena, message.blocks);
    return error;
}

/* ---- several parts ---- */

void tx_begin(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe, uint32_t tag)
{
    struct outgoing *out = &s->tx.message;
    out->active = true;
    out->discard = false;
    out->ring = ring;
    out->pipe = pipe;
    out->tag = tag;
    out->used = 0;
    out->envelope = out->blocks = NULL;
    out->gathered = NULL;
}

static void free_chain(struct shm_socket *s, struct block *blocks, const struct block *until)
{
    while (blocks != until) {
        struct block *next = blocks->chain;
        arena_free(&s->arena, blocks);
        blocks = next;
    }
}

void tx_cancel(struct shm_socket *s)
{
    free_chain(s, s->tx.message.blocks, NULL);
    if (s->tx.message.envelope != NULL)
        arena_free(&s->arena, s->tx.message.envelope);
    s->tx.message.blocks = s->tx.message.envelope = NULL;
    s->tx.message.active = s->tx.message.discard = false;
}

/* With a key: gather parts in private memory, where no peer can change them before they are sealed. */
static unsigned char *private_room(struct shm_socket *s, uint64_t size)
{
    struct outgoing *out = &s->tx.message;
    if (out->gathered == NULL && out->used + size + AUTH_TAG_SIZE <= SLOT_PAYLOAD)
        return out->inline_bytes + out->used;
    unsigned char *bytes = session_gather(s, out->gathered != NULL ? out->used : 0, out->used + size);
    if (bytes == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    if (out->gathered == NULL)
        memcpy(bytes, out->inline_bytes, out->used);
    out->gathered = bytes;
    return bytes + out->used;
}

/* Room for SIZE further packed bytes: in the slot, or in an envelope that grows. */
static unsigned char *room_for(struct shm_socket *s, uint64_t size)
{
    struct outgoing *out = &s->tx.message;
    if (unlikely(s->auth != NULL))
        return private_room(s, size);
    if (out->envelope == NULL && out->used + size <= SLOT_PAYLOAD)
        return out->inline_bytes + out->used;
    if (out->envelope == NULL || out->used + size > out->envelope->size) {
        struct block *larger = tx_block(s, (out->used + size) * 2);
        if (larger == NULL)
            return NULL;
        memcpy(larger->data, out->envelope != NULL ? out->envelope->data : out->inline_bytes, out->used);
        if (out->envelope != NULL)
            arena_free(&s->arena, out->envelope);
        out->envelope = larger;
    }
    return out->envelope->data + out->used;
}

static int add_block(struct shm_socket *s, struct block *block, size_t size)
{
    uint64_t entry[2] = {size | PART_BLOCK, block->offset};
    unsigned char *at = room_for(s, sizeof entry);
    if (at == NULL)
        return -errno;
    memcpy(at, entry, sizeof entry);
    s->tx.message.used += sizeof entry;
    block->chain = s->tx.message.blocks;
    s->tx.message.blocks = block;
    return 0;
}

int tx_add(struct shm_socket *s, const void *data, size_t size, struct block *block)
{
    if (block != NULL)
        return add_block(s, block, size);
    if (size >= PART_OWN_BLOCK && s->auth == NULL) {
        struct block *own = tx_block(s, size);
        if (own == NULL)
            return -errno;
        memcpy(own->data, data, size);
        int error = add_block(s, own, size);
        if (error < 0)
            arena_free(&s->arena, own);
        return error;
    }
    uint64_t word = size;
    unsigned char *at = room_for(s, PART_HEADER + part_padded(size));
    if (at == NULL)
        return -errno;
    memcpy(at, &word, sizeof word);
    if (size > 0)
        memcpy(at + PART_HEADER, data, size);
    s->tx.message.used += PART_HEADER + part_padded(size);
    return 0;
}

int tx_add_raw(struct shm_socket *s, const void *packed, size_t size)
{
    unsigned char *at = room_for(s, size);
    if (at == NULL)
        return -errno;
    memcpy(at, packed, size);
    s->tx.message.used += size;
    return 0;
}

int tx_end(struct shm_socket *s)
{
    struct outgoing *out = &s->tx.message;
    /* A broadcast reader protects a message by one hazard word, so all its blocks must hang on one. */
    if (out->envelope == NULL && out->blocks != NULL && out->ring->kind == RING_BROADCAST) {
        out->envelope = tx_block(s, out->used);
        if (out->envelope == NULL)
            return -errno;
        memcpy(out->envelope->data, out->inline_bytes, out->used);
    }
    struct ring_message message = {
        .bytes = out->inline_bytes, .size = out->used, .flags = META_PACKED, .tag = out->tag, .blocks = out->blocks};
    if (out->envelope != NULL) {
        out->envelope->chain = out->blocks;
        message.bytes = NULL;
        message.blocks = out->envelope;
    } else if (out->gathered != NULL) {
        message.bytes = out->gathered;
    }
    int error = s->auth != NULL ? publish_sealed(s, out->ring, out->pipe, &message)
                                 : publish(s, out->ring, out->pipe, &message);
    if (error == 0) {
        out->blocks = out->envelope = NULL;
        out->active = false;
    }
    return error;
}

int tx_continue(struct shm_socket *s, const struct part *part)
{
    struct outgoing *out = &s->tx.message;
    if (out->used == 0 && !part->more) {
        int error = tx_single(s, out->ring, out->pipe, part, out->tag);
        if (error == 0)
            out->active = false;
        return error;
    }
    uint64_t used = out->used;
    struct block *blocks = out->blocks;
    int error = tx_add(s, part->data, part->size, part->block);
    if (error < 0 || part->more)
        return error;
    error = tx_end(s);
    if (error < 0) {
        /* Undo the last part: a loan stays the caller's, a copy is freed. */
        struct block *added = out->blocks;
        if (added != blocks) {
            out->blocks = blocks;
            added->chain = NULL;
            if (part->block == NULL)
                arena_free(&s->arena, added);
        }
        out->used = used;
    }
    return error;
}

int tx_part(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe, const struct part *part, uint32_t tag)
{
    bool began = !s->tx.message.active;
    if (began && !part->more)
        return tx_single(s, ring, pipe, part, tag);
    if (began)
        tx_begin(s, ring, pipe, tag);
    int error = tx_continue(s, part);
    if (error < 0 && began)
        tx_cancel(s);
    return error;
}

int tx_discard(struct shm_socket *s, const struct part *part)
{
    if (part->block != NULL)
        arena_free(&s->arena, part->block);
    s->tx.message.active = s->tx.message.discard = part->more;
    s->tx.message.pipe = NULL;
    if (!part->more)
        stat_add(s, STAT_DROPPED, 1);
    return 0;
}

void tx_abandon(struct pipe *pipe)
{
    struct shm_socket *s = pipe->socket;
    if (!s->tx.message.active || s->tx.message.pipe != pipe)
        return;
    tx_cancel(s);
    s->tx.message.active = s->tx.message.discard = true;
    s->tx.message.pipe = NULL;
}
