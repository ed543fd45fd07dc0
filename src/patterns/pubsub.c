/* SPDX-License-Identifier: MIT */
/*
 * PUB and SUB, XSUB; XPUB is in xpub.c. All subscribers read one broadcast ring, each with its own tail and its own
 * filter: a publisher's cost does not depend on their number, and a slow one harms nobody. Only XPUBs are told of
 * subscriptions, as \1topic and \0topic, on a ring per subscriber.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/pattern.h"
#include "patterns/prefixes.h"
#include "patterns/pubsub.h"

/* ---- publishing ---- */

uint32_t publisher_ring(struct shm_socket *s, int peer)
{
    return RING_BROADCAST;
}

uint32_t publisher_shared_ring(struct shm_socket *s)
{
    return RING_BROADCAST;
}

int publisher_send(struct shm_socket *s, const struct part *part)
{
    if (s->tx.message.active)
        return tx_continue(s, part);
    if (s->options.conflate && part->more)
        return -EINVAL;
    if (!s->tx.has_shared)
        return tx_discard(s, part); /* neither bound nor connected: there can be no subscriber */
    if (!ring_has_room(s, &s->tx.shared, NULL))
        return -EAGAIN;
    return tx_part(s, &s->tx.shared, NULL, part, 0);
}

bool publisher_can_send(struct shm_socket *s)
{
    return !s->tx.has_shared || ring_has_room(s, &s->tx.shared, NULL);
}

const struct kind kind_pub = {
    .type = SHM_PUB,
    .fits = FITS_PUBLISHER,
    .sends_plain = true,
    .memory_limit = PUBLISHER_MEMORY_LIMIT,
    .options = (const int[]){SHM_CONFLATE, SHM_LOSSLESS, SHM_XPUB_NODROP, SHM_VIEW_SHARE, 0},
    .ring = publisher_ring,
    .shared_ring = publisher_shared_ring,
    .send = publisher_send,
    .can_send = publisher_can_send,
};

/* ---- subscribing ---- */

/* Reading history needs nothing from the publisher. */
static uint32_t pre_accept_ring_subscriber(struct shm_socket *s, int peer)
{
    return s->options.history > 0 ? RING_BROADCAST : 0;
}

static uint32_t ring_subscriber(struct shm_socket *s, int peer)
{
    return peer == SHM_XPUB ? RING_SPSC : 0;
}

static int open_subscriber(struct shm_socket *s)
{
    s->kind_data = calloc(1, sizeof(struct prefixes));
    return s->kind_data == NULL ? -ENOMEM : 0;
}

static void close_subscriber(struct shm_socket *s)
{
    if (s->kind_data != NULL)
        prefixes_deinit(s->kind_data);
    free(s->kind_data);
}

/* Send a message to all XPUBs. Its rings are of the largest size; when one is full, the message is dropped there. */
static void pass_up(struct shm_socket *s, const void *bytes, size_t size)
{
    struct part part = {bytes, size, NULL, false, false};
    for (uint32_t i = 0; i < s->pipes.count; i++) {
        struct pipe *pipe = s->pipes.list[i];
        if (pipe->state == PIPE_UP && pipe->out != NULL && pipe_has_room(pipe))
            tx_single(s, pipe->out, pipe, &part, 0);
    }
}

/* Send \1topic or \0topic to the XPUB of PIPE, or (NULL) to all. */
static void tell(struct shm_socket *s, struct pipe *pipe, unsigned char what, const void *topic, size_t size)
{
    unsigned char small[256], *message = size + 1 <= sizeof small ? small : malloc(size + 1);
    if (message == NULL)
        return;
    message[0] = what;
    if (size > 0)
        memcpy(message + 1, topic, size);
    struct part part = {message, size + 1, NULL, false, false};
    if (pipe == NULL)
        pass_up(s, message, size + 1);
    else if (pipe_has_room(pipe))
        tx_single(s, pipe->out, pipe, &part, 0);
    if (message != small)
        free(message);
}

static void tell_all(struct shm_socket *s, unsigned char what, const void *topic, size_t size)
{
    tell(s, NULL, what, topic, size);
}

static void repeat_subscriptions(struct shm_socket *s, struct pipe *pipe)
{
    struct prefixes *wanted = s->kind_data;
    for (size_t i = 0; pipe->out != NULL && i < wanted->count; i++)
        tell(s, pipe, 1, wanted->sorted[i].bytes, wanted->sorted[i].size);
}

static int subscribe(struct shm_socket *s, const void *topic, size_t size)
{
    struct prefixes *wanted = s->kind_data;
    bool first = wanted->count == 0;
    int result = prefixes_add(wanted, topic, size);
    if (result < 0)
        return result;
    s->rx.is_plain = wanted->sorted[0].size == 0;
    /* Skip what was published before the first subscription, unless history was asked for. */
    for (uint32_t i = 0; first && s->options.history == 0 && i < s->pipes.count; i++)
        if (s->pipes.list[i]->has_in && s->pipes.list[i]->in.kind == RING_BROADCAST)
            rx_skip_to_head(s->pipes.list[i]);
    if (result == 1)
        tell_all(s, 1, topic, size);
    return 0;
}

static int unsubscribe(struct shm_socket *s, const void *topic, size_t size)
{
    struct prefixes *wanted = s->kind_data;
    int result = prefixes_remove(wanted, topic, size);
    s->rx.is_plain = wanted->count > 0 && wanted->sorted[0].size == 0;
    if (result == 1)
        tell_all(s, 0, topic, size);
    return result == -ENOENT ? -EINVAL : 0;
}

static int set_option(struct shm_socket *s, int option, const void *value, size_t size)
{
    if (option == SHM_SUBSCRIBE)
        return subscribe(s, value, size);
    return option == SHM_UNSUBSCRIBE ? unsubscribe(s, value, size) : -EINVAL;
}

/* Bring rx.message to the next message that matches a subscription. */
static int next_wanted(struct shm_socket *s)
{
    const struct prefixes *wanted = s->kind_data;
    struct part first;

    for (uint64_t n = 0; n < PASSED_OVER_MAX; n++) {
        int result = rx_begin_fair(s);
        if (result != 1 || wanted->sorted[0].size == 0)
            return result;
        result = rx_next(s, &first);
        if (error_passes(result))
            return rx_fail(s, result);
        if (result < 0 || (result == 1 && prefixes_match(wanted, first.data, first.size))) {
            s->rx.message.at = s->rx.message.previous;
            return 1; /* an error is met again, and reported, when the caller reads the part */
        }
        rx_end(s);
    }
    return 0;
}

/* Conflated: skip to the newest wanted message; if only unwanted ones follow it, go back to it. */
static int newest_wanted(struct shm_socket *s)
{
    int result = s->rx.message.active ? 1 : next_wanted(s); /* active: a poll found it */
    for (uint64_t n = 0; n < PASSED_OVER_MAX && result == 1 && ring_in_has_more(&s->rx.message.pipe->in); n++) {
        struct pipe *pipe = s->rx.message.pipe;
        uint64_t ticket = s->rx.message.taken.ticket;
        rx_end(s);
    if (wanted->count == 0 && s->rx.message.active)
        rx_end(s);
        result = next_wanted(s);
        if (result == 0) {
            pipe->in.tail = ticket; /* if it was overwritten meanwhile, reading goes on with newer ones */
            return rx_begin(s, pipe);
        }
    }
    return result;
}

static int advance_subscriber(struct shm_socket *s)
{
    const struct prefixes *wanted = s->kind_data;
    if (wanted->count == 0)
        return 0;
    return s->options.conflate || s->rx.is_conflated ? newest_wanted(s) : next_wanted(s);
}

/* XSUB sends: \1topic subscribes, \0topic unsubscribes, anything else goes to the XPUBs as it is. */
static int send_upstream(struct shm_socket *s, const struct part *part)
{
    const unsigned char *bytes = part->data;
    if (part->more)
        return -EINVAL;
    int error = 0;
    if (part->size > 0 && bytes[0] == 1)
        error = subscribe(s, bytes + 1, part->size - 1);
    else if (part->size > 0 && bytes[0] == 0)
        unsubscribe(s, bytes + 1, part->size - 1);
    else
        pass_up(s, bytes, part->size);
    if (error == 0 && part->block != NULL)
        arena_free(&s->arena, part->block);
    return error;
}

static bool can_send_upstream(struct shm_socket *s)
{
    return true;
}

const struct kind kind_sub = {
    .type = SHM_SUB,
    .fits = FITS_SUBSCRIBER,
    .sends_control = true,
    .filters = true,
    .options = (const int[]){SHM_CONFLATE, SHM_HISTORY, 0},
    .ring = ring_subscriber,
    .pre_accept_ring = pre_accept_ring_subscriber,
    .open = open_subscriber,
    .close = close_subscriber,
    .pipe_up = repeat_subscriptions,
    .advance = advance_subscriber,
    .set_option = set_option,
};

const struct kind kind_xsub = {
    .type = SHM_XSUB,
    .fits = FITS_SUBSCRIBER,
    .sends_control = true,
    .filters = true,
    .options = (const int[]){SHM_HISTORY, 0},
    .ring = ring_subscriber,
    .pre_accept_ring = pre_accept_ring_subscriber,
    .open = open_subscriber,
    .close = close_subscriber,
    .pipe_up = repeat_subscriptions,
    .send = send_upstream,
    .can_send = can_send_upstream,
    .advance = advance_subscriber,
    .set_option = set_option,
};
