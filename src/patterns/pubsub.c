/* SPDX-License-Identifier: MIT */
/*
 * PUB and SUB; XPUB and XSUB are in files of their own. All subscribers read one broadcast ring, each with its own tail
 * and its own filter: a publisher's cost does not depend on their number, and a slow one harms nobody. Only XPUBs are
 * told of subscriptions, as \1topic and \0topic, on a ring per subscriber.
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
uint32_t subscriber_pre_accept_ring(struct shm_socket *s, int peer)
{
    return s->options.history > 0 ? RING_BROADCAST : 0;
}

uint32_t subscriber_ring(struct shm_socket *s, int peer)
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

/* Send \1topic or \0topic to the XPUB of PIPE. Its ring is of the largest size; when it is full, that is dropped. */
static void tell(struct shm_socket *s, struct pipe *pipe, unsigned char what, const void *topic, size_t size)
{
    unsigned char small[256], *message = size + 1 <= sizeof small ? small : malloc(size + 1);
    if (message == NULL)
        return;
    message[0] = what;
    if (size > 0)
        memcpy(message + 1, topic, size);
    struct part part = {message, size + 1, NULL, false, false};
    if (pipe_has_room(pipe))
        tx_single(s, pipe->out, pipe, &part, 0);
    if (message != small)
        free(message);
}

static void tell_all(struct shm_socket *s, unsigned char what, const void *topic, size_t size)
{
    for (uint32_t i = 0; i < s->pipes.count; i++)
        if (s->pipes.list[i]->state == PIPE_UP && s->pipes.list[i]->out != NULL)
            tell(s, s->pipes.list[i], what, topic, size);
}

void subscriber_repeat(struct shm_socket *s, struct pipe *pipe)
{
    struct prefixes *wanted = s->kind_data;
    for (size_t i = 0; pipe->out != NULL && i < wanted->count; i++)
        tell(s, pipe, 1, wanted->sorted[i].bytes, wanted->sorted[i].size);
}

int subscriber_subscribe(struct shm_socket *s, const void *topic, size_t size)
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
    tell_all(s, 1, topic, size); /* a repeated one as well, for SHM_XPUB_VERBOSE */
    return 0;
}

int subscriber_unsubscribe(struct shm_socket *s, const void *topic, size_t size)
{
    struct prefixes *wanted = s->kind_data;
    int result = prefixes_remove(wanted, topic, size);
    s->rx.is_plain = wanted->count > 0 && wanted->sorted[0].size == 0;
    if (result == 1)
        tell_all(s, 0, topic, size);
    return result == -ENOENT ? -EINVAL : 0;
}

int subscriber_set_option(struct shm_socket *s, int option, const void *value, size_t size)
{
    if (option == SHM_SUBSCRIBE)
        return subscriber_subscribe(s, value, size);
    return option == SHM_UNSUBSCRIBE ? subscriber_unsubscribe(s, value, size) : -EINVAL;
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
        result = next_wanted(s);
        if (result == 0) {
            pipe->in.tail = ticket; /* if it was overwritten meanwhile, reading goes on with newer ones */
            return rx_begin(s, pipe);
        }
    }
    return result;
}

int subscriber_advance(struct shm_socket *s)
{
    const struct prefixes *wanted = s->kind_data;
    if (wanted->count == 0 && s->rx.message.active)
        rx_end(s);
    if (wanted->count == 0)
        return 0;
    return s->options.conflate || s->rx.is_conflated ? newest_wanted(s) : next_wanted(s);
}

const struct kind kind_sub = {
    .type = SHM_SUB,
    .fits = FITS_SUBSCRIBER,
    .sends_control = true,
    .filters = true,
    .options = (const int[]){SHM_CONFLATE, SHM_HISTORY, 0},
    .ring = subscriber_ring,
    .pre_accept_ring = subscriber_pre_accept_ring,
    .open = open_subscriber,
    .close = close_subscriber,
    .pipe_up = subscriber_repeat,
    .advance = subscriber_advance,
    .set_option = subscriber_set_option,
};
