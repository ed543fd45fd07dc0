/* SPDX-License-Identifier: MIT */
/*
 * XPUB: a PUB that receives subscriptions: \1topic when the first peer subscribes to a topic, \0topic when the last one
 * unsubscribes, goes or dies. It keeps each subscriber's set.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/pattern.h"
#include "patterns/prefixes.h"
#include "patterns/pubsub.h"

struct note {
    struct note *next;
    size_t size;
    bool more; /* further parts of its message follow */
    unsigned char bytes[];
};

struct xpub {
    int verbose, verboser; /* SHM_XPUB_VERBOSE, _VERBOSER */
    struct prefixes all;
    struct note *first, **last; /* to be read by the caller */
    struct note *given;         /* the one that the caller is reading */
};

static int open_xpub(struct shm_socket *s)
{
    struct xpub *x = calloc(1, sizeof *x);
    if (x == NULL)
        return -ENOMEM;
    x->last = &x->first;
    s->kind_data = x;
    return 0;
}

static struct note *new_note(const void *bytes, size_t size)
{
    struct note *n = malloc(sizeof *n + size + 1);
    if (n == NULL)
        return NULL;
    n->next = NULL;
    n->size = size;
    n->more = false;
    if (size > 0)
        peer_copy(n->bytes, bytes, size); /* before looking at it: the peer may change it */
    return n;
}

static void free_notes(struct note *n)
{
    for (struct note *next; n != NULL; n = next) {
        next = n->next;
        free(n);
    }
}

/* Give the caller a note, or several that are one message. */
static void pass_on(struct xpub *x, struct note *n)
{
    *x->last = n;
    while (*x->last != NULL)
        x->last = &(*x->last)->next;
}

static void note(struct xpub *x, unsigned char what, const void *topic, size_t size)
{
    struct note *n = malloc(sizeof *n + size + 1);
    if (n == NULL)
        return;
    *n = (struct note){.size = size + 1};
    n->bytes[0] = what;
    if (size > 0)
        memcpy(n->bytes + 1, topic, size);
    pass_on(x, n);
}

static void close_xpub(struct shm_socket *s)
{
    struct xpub *x = s->kind_data;
    if (x == NULL)
        return;
    free_notes(x->first);
    free(x->given);
    prefixes_deinit(&x->all);
    free(x);
}

static int peer_new(struct shm_socket *s, struct pipe *pipe)
{
    pipe->kind_data = calloc(1, sizeof(struct prefixes));
    return pipe->kind_data == NULL ? -ENOMEM : 0;
}

static void forget(struct shm_socket *s, const struct prefix *prefix)
{
    struct xpub *x = s->kind_data;
    if (prefixes_remove(&x->all, prefix->bytes, prefix->size) == 1 || x->verboser)
        note(x, 0, prefix->bytes, prefix->size);
}

static void peer_gone(struct shm_socket *s, struct pipe *pipe)
{
    struct prefixes *theirs = pipe->kind_data;
    if (theirs == NULL)
        return;
    for (size_t i = 0; i < theirs->count; i++)
        forget(s, &theirs->sorted[i]);
    prefixes_deinit(theirs);
    free(theirs);
    pipe->kind_data = NULL;
}

static void subscription(struct shm_socket *s, struct pipe *pipe, const unsigned char *bytes, size_t size)
{
    struct xpub *x = s->kind_data;
    struct prefixes *theirs = pipe->kind_data;
    if (bytes[0] == 1) {
        int added = prefixes_add(theirs, bytes + 1, size - 1);
        if (added == 0) /* it has it already: a set, since it unsubscribes once */
            prefixes_remove(theirs, bytes + 1, size - 1);
        bool anew = added == 1 && prefixes_add(&x->all, bytes + 1, size - 1) == 1;
        if (anew || x->verbose || x->verboser)
            note(x, 1, bytes + 1, size - 1);
    } else {
        struct prefix one = {(unsigned char *)(uintptr_t)(bytes + 1), size - 1, 1};
        if (prefixes_remove(theirs, bytes + 1, size - 1) == 1)
            forget(s, &one);
    }
}

/* The parts of the message in hand. Negative: for rx_fail(). */
static int read_parts(struct shm_socket *s, struct note **first)
{
    struct part part = {.more = true};
    int result = 1;
    for (struct note **last = first; result == 1 && part.more; last = &(*last)->next) {
        result = rx_next(s, &part);
        if (result != 1)
            return result;
        *last = new_note(part.data, part.size);
        if (*last == NULL)
            return -ENOMEM;
        (*last)->more = part.more;
    }
    return result;
}

/* Turn what subscribers sent into notes; anything but subscriptions is passed on as it is. */
static int read_subscribers(struct shm_socket *s)
{
    int result = 0;
    for (uint64_t n = 0; n < PASSED_OVER_MAX && (result = rx_begin_fair(s)) == 1; n++) {
        struct pipe *pipe = s->rx.message.pipe;
        struct note *parts = NULL;
        result = read_parts(s, &parts);
        if (result < 0) {
            free_notes(parts);
            return rx_fail(s, result);
        }
        if (parts != NULL && (parts->more || parts->size == 0 || parts->bytes[0] > 1)) {
            pass_on(s->kind_data, parts);
        } else {
            if (parts != NULL && pipe->kind_data != NULL)
                subscription(s, pipe, parts->bytes, parts->size);
            free_notes(parts);
        }
        rx_end(s);
    }
    return result == 1 ? 0 : result;
}

static int advance(struct shm_socket *s)
{
    struct xpub *x = s->kind_data;
    int result = read_subscribers(s);
    return x->first != NULL ? 1 : result;
}

static int next_part(struct shm_socket *s, struct part *part)
{
    struct xpub *x = s->kind_data;
    free(x->given);
    x->given = x->first;
    x->first = x->given->next;
    if (x->first == NULL)
        x->last = &x->first;
    part->data = x->given->bytes;
    part->size = x->given->size;
    part->block = NULL;
    part->more = x->given->more;
    part->synthetic = true;
    return 1;
}

static const struct int_option own_options[] = {
    {SHM_XPUB_VERBOSE, offsetof(struct xpub, verbose), 0, 1, false},
    {SHM_XPUB_VERBOSER, offsetof(struct xpub, verboser), 0, 1, false},
    {0},
};

const struct kind kind_xpub = {
    .type = SHM_XPUB,
    .fits = FITS_PUBLISHER,
    .memory_limit = PUBLISHER_MEMORY_LIMIT,
    .options = (const int[]){SHM_LOSSLESS, SHM_XPUB_NODROP, SHM_VIEW_SHARE, 0},
    .own_options = own_options,
    .ring = publisher_ring,
    .shared_ring = publisher_shared_ring,
    .open = open_xpub,
    .close = close_xpub,
    .pipe_new = peer_new,
    .pipe_gone = peer_gone,
    .pipe_free = peer_gone,
    .send = publisher_send,
    .can_send = publisher_can_send,
    .advance = advance,
    .next_part = next_part,
};
