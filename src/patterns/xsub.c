/* SPDX-License-Identifier: MIT */
/*
 * XSUB: a SUB that subscribes by sending: \1topic subscribes, \0topic unsubscribes. Anything else, of any number of
 * parts, goes to all XPUBs as it is; for a peer that has not come yet it is kept, like a subscription.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/message_layout.h"
#include "core/pattern.h"
#include "patterns/prefixes.h"
#include "patterns/pubsub.h"

/* Packed parts (message_layout.h). */
struct bytes {
    unsigned char *data;
    size_t size, room;
};

struct xsub {
    struct prefixes wanted;
    struct bytes message; /* the one being sent: its parts so far */
    bool more;            /* further ones follow */
};

/* A pipe's: messages for a peer that is yet to come, each behind its size. */
struct kept {
    struct bytes messages;
    uint64_t count;
};

static unsigned char *extend(struct bytes *bytes, size_t size)
{
    if (bytes->size + size > bytes->room) {
        unsigned char *larger = realloc(bytes->data, 2 * (bytes->size + size));
        if (larger == NULL)
            return NULL;
        bytes->data = larger;
        bytes->room = 2 * (bytes->size + size);
    }
    bytes->size += size;
    return bytes->data + bytes->size - size;
}

static bool append(struct bytes *bytes, uint64_t word, const void *data, size_t size, size_t padded)
{
    unsigned char *at = extend(bytes, sizeof word + padded);
    if (at == NULL)
        return false;
    memset(at, 0, sizeof word + padded);
    memcpy(at, &word, sizeof word);
    if (size > 0)
        memcpy(at + sizeof word, data, size);
    return true;
}

static int open_xsub(struct shm_socket *s)
{
    s->kind_data = calloc(1, sizeof(struct xsub));
    return s->kind_data == NULL ? -ENOMEM : 0;
}

static void close_xsub(struct shm_socket *s)
{
    struct xsub *x = s->kind_data;
    if (x != NULL) {
        prefixes_deinit(&x->wanted);
        free(x->message.data);
    }
    free(x);
}

/* ---- to one peer ---- */

static void keep(struct shm_socket *s, struct pipe *pipe, const struct bytes *message)
{
    struct kept *kept = pipe->kind_data;
    if (kept == NULL)
        pipe->kind_data = kept = calloc(1, sizeof *kept);
    uint64_t most = s->options.send_hwm > 0 ? (uint64_t)s->options.send_hwm : RING_SLOTS_MAX;
    if (kept != NULL && kept->count < most &&
        append(&kept->messages, message->size, message->data, message->size, message->size))
        kept->count++;
    else
        stat_add(s, STAT_DROPPED, 1);
}

static void send_whole(struct shm_socket *s, struct pipe *pipe, const void *packed, size_t size)
{
    bool room = pipe->out != NULL && pipe_has_room(pipe);
    if (room)
        tx_begin(s, pipe->out, pipe, 0);
    if (room && tx_add_raw(s, packed, size) == 0 && tx_end(s) == 0)
        return;
    if (room)
        tx_cancel(s);
    stat_add(s, STAT_DROPPED, 1); /* full, or a PUB, which receives nothing */
}

static void forget_kept(struct shm_socket *s, struct pipe *pipe)
{
    struct kept *kept = pipe->kind_data;
    if (kept != NULL) {
        stat_add(s, STAT_DROPPED, kept->count);
        free(kept->messages.data);
    }
    free(kept);
    pipe->kind_data = NULL;
}

static void peer_up(struct shm_socket *s, struct pipe *pipe)
{
    struct kept *kept = pipe->kind_data;
    subscriber_repeat(s, pipe);
    for (size_t at = 0, size; kept != NULL && at < kept->messages.size; at += sizeof size + size) {
        memcpy(&size, kept->messages.data + at, sizeof size);
        kept->count--;
        send_whole(s, pipe, kept->messages.data + at + sizeof size, size);
    }
    forget_kept(s, pipe);
}

/* ---- sending ---- */

static void pass_up(struct shm_socket *s, const struct bytes *message)
{
    uint32_t peers = 0;
    for (uint32_t i = 0; i < s->pipes.count; i++) {
        struct pipe *pipe = s->pipes.list[i];
        if (pipe_is_ending(pipe))
            continue;
        peers++;
        if (pipe->state == PIPE_UP)
            send_whole(s, pipe, message->data, message->size);
        else
            keep(s, pipe, message);
    }
    if (peers == 0)
        stat_add(s, STAT_DROPPED, 1);
}

static int add_part(struct shm_socket *s, const struct part *part)
{
    struct xsub *x = s->kind_data;
    if (!append(&x->message, part->size, part->data, part->size, part_padded(part->size)))
        return -ENOMEM;
    x->more = part->more;
    if (!x->more) {
        pass_up(s, &x->message);
        x->message.size = 0;
    }
    return 0;
}

static int send_part(struct shm_socket *s, const struct part *part)
{
    const struct xsub *x = s->kind_data;
    const unsigned char *bytes = part->data;
    bool wish = !x->more && !part->more && part->size > 0 && bytes[0] <= 1;
    int error = 0;
    if (!wish)
        error = add_part(s, part);
    else if (bytes[0] == 1)
        error = subscriber_subscribe(s, bytes + 1, part->size - 1);
    else
        subscriber_unsubscribe(s, bytes + 1, part->size - 1);
    if (error == 0 && part->block != NULL)
        arena_free(&s->arena, part->block);
    return error;
}

static bool can_send(struct shm_socket *s)
{
    return true;
}

const struct kind kind_xsub = {
    .type = SHM_XSUB,
    .fits = FITS_SUBSCRIBER,
    .sends_control = true,
    .filters = true,
    .options = (const int[]){SHM_HISTORY, 0},
    .ring = subscriber_ring,
    .pre_accept_ring = subscriber_pre_accept_ring,
    .open = open_xsub,
    .close = close_xsub,
    .pipe_up = peer_up,
    .pipe_free = forget_kept,
    .send = send_part,
    .can_send = can_send,
    .advance = subscriber_advance,
    .set_option = subscriber_set_option,
};
