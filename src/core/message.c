/* SPDX-License-Identifier: MIT */
/*
 * shm_msg_t: a loan (memory of a socket's own segment, to be sent), a view (a peer's memory, held
 * until closed), or bytes of its own (inside, or on the heap when no hold was to be had).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/io.h"

#define MESSAGE_MAGIC UINT32_C(0x6d73676d)

struct message {
    uint32_t magic;
    uint8_t more;
    uint8_t redelivered;
    uint8_t is_inline;
    uint8_t reserved;
    void *data; /* unless inline: a message may be moved by assignment */
    size_t size;
    struct shm_socket *socket; /* of the loan */
    struct block *block;       /* the loan */
    struct hold *hold;         /* the view */
    void *heap;
    unsigned char bytes[SLOT_PAYLOAD];
};

_Static_assert(sizeof(struct message) <= sizeof(shm_msg_t), "shm_msg_t has the room");
_Static_assert(_Alignof(struct message) <= _Alignof(shm_msg_t), "and the alignment");

static struct message *message_of(shm_msg_t *msg)
{
    return (struct message *)(void *)msg;
}

static bool is_message(const shm_msg_t *msg)
{
    return msg != NULL && ((const struct message *)(const void *)msg)->magic == MESSAGE_MAGIC;
}

static int refuse(int error)
{
    errno = error;
    return -1;
}

SHM_API int shm_msg_init(shm_msg_t *msg)
{
    if (msg == NULL)
        return refuse(EINVAL);
    struct message *m = message_of(msg);
    memset(m, 0, offsetof(struct message, bytes));
    m->magic = MESSAGE_MAGIC;
    m->is_inline = 1;
    return 0;
}

SHM_API int shm_msg_loan(shm_msg_t *msg, shm_socket_t *s, size_t size)
{
    if (msg == NULL)
        return refuse(EINVAL);
    if (socket_usable(s) < 0)
        return -1;
    if (s->pattern->send == NULL)
        return refuse(ENOTSUP);
    if (size > SSIZE_MAX)
        return refuse(EMSGSIZE);
    struct block *block = socket_block(s, size);
    if (block == NULL)
        return -1;
    shm_msg_init(msg);
    struct message *m = message_of(msg);
    m->is_inline = 0;
    m->data = block->data;
    m->size = size;
    m->socket = s;
    m->block = block;
    return 0;
}

SHM_API void *shm_msg_data(shm_msg_t *msg)
{
    if (!is_message(msg))
        return NULL;
    struct message *m = message_of(msg);
    return m->is_inline ? m->bytes : m->data;
}

SHM_API size_t shm_msg_size(const shm_msg_t *msg)
{
    return is_message(msg) ? ((const struct message *)(const void *)msg)->size : 0;
}

SHM_API int shm_msg_more(const shm_msg_t *msg)
{
    return is_message(msg) ? ((const struct message *)(const void *)msg)->more : 0;
}

SHM_API int shm_msg_redelivered(const shm_msg_t *msg)
{
    return is_message(msg) ? ((const struct message *)(const void *)msg)->redelivered : 0;
}

SHM_API int shm_msg_close(shm_msg_t *msg)
{
    if (!is_message(msg))
        return refuse(EINVAL);
    struct message *m = message_of(msg);
    if (m->hold != NULL && process_is_mine(m->hold->socket->mark))
        hold_release(m->hold);
    if (m->block != NULL && process_is_mine(m->socket->mark))
        arena_free(&m->socket->arena, m->block);
    free(m->heap);
    return shm_msg_init(msg);
}

SHM_API ssize_t shm_msg_send(shm_msg_t *msg, shm_socket_t *s, int flags)
{
    if (!is_message(msg) || (flags & ~(SHM_DONTWAIT | SHM_SNDMORE)) != 0)
        return refuse(EINVAL);
    if (socket_usable(s) < 0)
        return -1;
    struct message *m = message_of(msg);
    struct part part = {shm_msg_data(msg), m->size, NULL, (flags & SHM_SNDMORE) != 0, false};
    if (m->block != NULL && m->socket == s)
        part.block = m->block;
    ssize_t sent = io_send(s, &part, flags);
    if (sent < 0)
        return -1;
    if (part.block != NULL)
        m->block = NULL; /* it is the ring's now */
    shm_msg_close(msg);
    return sent;
}

/* Bytes of its own: small ones, what no peer's memory holds, and when all holds are taken. */
static int keep_copy(struct message *m, const struct part *part)
{
    m->size = part->size;
    if (part->size <= SLOT_PAYLOAD) {
        m->is_inline = 1;
        if (part->size > 0)
            memcpy(m->bytes, part->data, part->size);
        return 0;
    }
    m->heap = malloc(part->size);
    if (m->heap == NULL)
        return -ENOMEM;
    memcpy(m->heap, part->data, part->size);
    m->is_inline = 0;
    m->data = m->heap;
    return 0;
}

static int keep(struct shm_socket *s, struct message *m, const struct part *part)
{
    bool of_peer = s->in.active && !part->synthetic;
    bool claimed = of_peer && s->in.link->in.kind == RING_SHARED;
    if (claimed || (of_peer && part->size > SLOT_PAYLOAD))
        m->hold = in_hold(s);
    if (m->hold == NULL || part->size <= SLOT_PAYLOAD)
        return keep_copy(m, part);
    m->is_inline = 0;
    m->data = (void *)(uintptr_t)part->data;
    m->size = part->size;
    return 0;
}

SHM_API ssize_t shm_msg_recv(shm_msg_t *msg, shm_socket_t *s, int flags)
{
    struct part part;
    if (!is_message(msg) || (flags & ~SHM_DONTWAIT) != 0)
        return refuse(EINVAL);
    if (socket_usable(s) < 0)
        return -1;
    shm_msg_close(msg);
    if (io_receive(s, &part, flags) < 0)
        return -1;
    struct message *m = message_of(msg);
    int error = keep(s, m, &part);
    if (error < 0) {
        s->in.at = s->in.previous; /* it is there still */
        return refuse(-error);
    }
    m->more = part.more;
    m->redelivered = s->last_redelivered;
    io_received(s, &part);
    return (ssize_t)part.size;
}
