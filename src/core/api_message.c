/* SPDX-License-Identifier: MIT */
/*
 * shm_msg_t: a loan (memory of the socket's own segment, to be sent), a view (a peer's memory, protected until it is
 * closed), or bytes of its own (inside, or on the heap when no view reference is free).
 */
#include <stdlib.h>
#include <string.h>

#include "core/api.h"
#include "core/fast_path.h"
#include "core/memory.h"
#include "core/session.h"
#include "core/tx.h"
#include "core/view_ref.h"

#define MESSAGE_MAGIC UINT32_C(0x6d73676d)

struct message {
    uint32_t magic;
    uint8_t more;
    uint8_t redelivered;
    uint8_t is_inline;
    uint8_t reserved;
    void *data; /* not used if inline, since a message may be moved by assignment */
    size_t size;
    struct shm_socket *socket; /* of the loan */
    struct block *block;       /* the loan */
    struct view_ref *ref;      /* the view */
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

static inline void make_empty(struct message *m)
{
    memset(m, 0, offsetof(struct message, bytes));
    m->magic = MESSAGE_MAGIC;
    m->is_inline = 1;
}

static inline void return_loan(struct shm_socket *s)
{
    if (unlikely(--s->loans == 0 && s->kept_by_loans))
        memory_unref(s);
}

/* Release its loan, view or heap memory. */
static inline void let_go(struct message *m)
{
    if (m->ref != NULL && view_ref_is_mine(m->ref))
        view_ref_release(m->ref);
    if (m->block != NULL && process_is_mine(m->socket->mark)) {
        arena_free(&m->socket->arena, m->block);
        return_loan(m->socket);
    }
    if (m->heap != NULL)
        free(m->heap);
    make_empty(m);
}

SHM_API int shm_msg_init(shm_msg_t *msg)
{
    if (msg == NULL)
        return refuse(EINVAL);
    make_empty(message_of(msg));
    return 0;
}

/* With a key, bytes to be sealed must be private memory, which no peer can change. */
static int loan_private(shm_msg_t *msg, uint64_t limit, size_t size)
{
    if (limit != 0 && size + AUTH_TAG_SIZE > limit)
        return refuse(EMSGSIZE);
    void *bytes = malloc(size > 0 ? size : 1);
    if (bytes == NULL)
        return -1;
    shm_msg_init(msg);
    struct message *m = message_of(msg);
    m->is_inline = 0;
    m->data = m->heap = bytes;
    m->size = size;
    return 0;
}

SHM_API int shm_msg_loan(shm_msg_t *msg, shm_socket_t *s, size_t size)
{
    if (msg == NULL)
        return refuse(EINVAL);
    if (api_usable(s) < 0)
        return -1;
    if (s->kind->send == NULL)
        return refuse(ENOTSUP);
    if (size > SSIZE_MAX)
        return refuse(EMSGSIZE);
    if (s->auth != NULL)
        return loan_private(msg, s->options.memory_limit, size);
    struct block *block = tx_block(s, size);
    if (block == NULL && errno == EAGAIN) { /* whose views keep the memory may have died */
        socket_empty_poll(s);
        membership_look(s);
        block = tx_block(s, size);
    }
    if (block == NULL)
        return -1;
    struct message *m = message_of(msg);
    make_empty(m);
    m->is_inline = 0;
    m->data = block->data;
    m->size = size;
    m->socket = s;
    m->block = block;
    s->loans++;
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
    let_go(message_of(msg));
    return 0;
}

SHM_API ssize_t shm_msg_send(shm_msg_t *msg, shm_socket_t *s, int flags)
{
    if (!is_message(msg) || (flags & ~(SHM_DONTWAIT | SHM_SNDMORE)) != 0)
        return refuse(EINVAL);
    if (api_usable(s) < 0)
        return -1;
    struct message *m = message_of(msg);
    struct part part = {m->is_inline ? m->bytes : m->data, m->size, NULL, (flags & SHM_SNDMORE) != 0, false};
    if (m->block != NULL && m->socket == s && s->auth == NULL)
        part.block = m->block;
    if (part.block == NULL || part.more || !fast_send_block(s, part.block, part.size)) {
        if (api_send(s, &part, flags) < 0)
            return -1;
        fast_plan(s);
    }
    if (part.block != NULL)
        s->loans--, m->block = NULL; /* the ring owns it now */
    let_go(m);
    return (ssize_t)part.size;
}

/* Keep a copy: of small parts, of those that are not in a peer's memory, and when no view reference is free. */
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
    bool of_peer = s->rx.message.active && !part->synthetic;
    bool claimed = of_peer && s->rx.message.pipe->in.kind == RING_SPMC;
    if (claimed || (of_peer && part->size > SLOT_PAYLOAD && s->auth == NULL))
        m->ref = view_ref_message(s, part->size);
    if (s->auth != NULL && part->size > SLOT_PAYLOAD && (m->heap = session_give(s, part->data, part->size)) != NULL) {
        m->is_inline = 0;
        m->data = m->heap;
        m->size = part->size;
        return 0;
    }
    if (m->ref == NULL || part->size <= SLOT_PAYLOAD || s->auth != NULL)
        return keep_copy(m, part);
    m->is_inline = 0;
    m->data = (void *)(uintptr_t)part->data;
    m->size = part->size;
    return 0;
}

/*
 * Prefetch what the reply will need while the caller looks at the message: the words that show which of our blocks the
 * peer has read, and the first of these. The peer has just sent, so it is not using them now; later it would be.
 */
static inline void fetch_ahead(const struct pipe *pipe)
{
    const struct ring_out *ring = pipe->out;
    if (ring != &pipe->own_ring || ring->in_flight == NULL || ring->reclaim == ring->head)
        return;
    const struct block *oldest = ring->in_flight[ring->reclaim & ring->mask];
    __builtin_prefetch((const void *)(uintptr_t)&pipe->theirs->tail);
    __builtin_prefetch((const void *)(uintptr_t)pipe->peer->remote->header->hazards);
    if (oldest != NULL)
        cpu_prefetch_write(oldest->data);
}

/* Fast path for a message of one part from an SPSC ring: a view, or a copy of a short one. */
static bool fast_view(struct shm_socket *s, struct message *m, int flags)
{
    const struct ring_slot *slot = fast_await(s, flags);
    if (slot == NULL || s->fast.in->in.kind != RING_SPSC || s->kind->fast_receive != NULL)
        return false;
    struct pipe *pipe = s->fast.in;
    uint64_t meta = slot_meta(slot), size = meta_length(meta), reference[2];
    const void *bytes = slot_bytes(slot, 0);
    slot_words(slot, reference, 2);
    if (meta & META_PACKED)
        return false;
    if (meta & META_BLOCK) {
        size = reference[1];
        bytes = reference[0] % 64 == 0 ? remote_at(pipe->in.remote, reference[0], size) : NULL;
        if (bytes == NULL)
            return false; /* the general path finds the error again and reports it */
        __builtin_prefetch(bytes);
    }
    fetch_ahead(pipe);
    if (size > SLOT_PAYLOAD) {
        m->ref = meta & META_BLOCK ? view_ref_block(pipe, reference[0]) : NULL;
        if (m->ref == NULL)
            return false;
        m->is_inline = 0;
        m->data = (void *)(uintptr_t)bytes;
    } else {
        copy_short(m->bytes, bytes, size);
    }
    m->size = size;
    fast_consume(s, pipe, size);
    return true;
}

SHM_API ssize_t shm_msg_recv(shm_msg_t *msg, shm_socket_t *s, int flags)
{
    struct part part;
    if (!is_message(msg) || (flags & ~SHM_DONTWAIT) != 0)
        return refuse(EINVAL);
    if (api_usable(s) < 0)
        return -1;
    struct message *m = message_of(msg);
    let_go(m);
    if (fast_view(s, m, flags))
        return (ssize_t)m->size;
    if (api_receive(s, &part, flags) < 0)
        return -1;
    int error = keep(s, m, &part);
    if (error < 0) {
        s->rx.message.at = s->rx.message.previous; /* the next call gets this part again */
        return refuse(-error);
    }
    m->more = part.more;
    m->redelivered = s->rx.last_redelivered;
    api_received(s, &part);
    fast_plan(s);
    return (ssize_t)part.size;
}
