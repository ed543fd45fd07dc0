/* SPDX-License-Identifier: MIT */
/* REP: replies to the peer whose request it has just received, with that request's envelope (reqrep.h). */
#include <stdlib.h>
#include <string.h>

#include "core/fast_path.h"
#include "core/pattern.h"
#include "patterns/reqrep.h"

struct rep {
    bool replying;
    struct pipe *pipe; /* NULL: the requester has gone */
    uint32_t tag;
    unsigned char *envelope; /* packed parts, up to and including the empty one */
    size_t size, room;
};

static int open_rep(struct shm_socket *s)
{
    struct rep *rep = calloc(1, sizeof *rep);
    if (rep == NULL)
        return -ENOMEM;
    s->kind_data = rep;
    rep->room = EMPTY_PART;
    rep->envelope = malloc(rep->room);
    return rep->envelope == NULL ? -ENOMEM : 0;
}

static void close_rep(struct shm_socket *s)
{
    struct rep *rep = s->kind_data;
    if (rep != NULL)
        free(rep->envelope);
    free(rep);
}

static void rep_pipe_gone(struct shm_socket *s, struct pipe *pipe)
{
    struct rep *rep = s->kind_data;
    if (rep->pipe == pipe)
        rep->pipe = NULL;
}

/* Copy a part of the envelope. The reply cannot refer to the requester's memory, whose contents may change anyway. */
static int keep_part(struct rep *rep, const struct part *part)
{
    uint64_t word = part->size;
    size_t need = rep->size + PART_HEADER + part_padded(part->size);
    if (need > rep->room) {
        unsigned char *larger = realloc(rep->envelope, 2 * need);
        if (larger == NULL)
            return -ENOMEM;
        rep->envelope = larger;
        rep->room = 2 * need;
    }
    memcpy(rep->envelope + rep->size, &word, sizeof word);
    memset(rep->envelope + rep->size + PART_HEADER, 0, part_padded(part->size));
    if (part->size > 0)
        peer_copy(rep->envelope + rep->size + PART_HEADER, part->data, part->size);
    rep->size = need;
    return 0;
}

/* Keep the envelope of the message just begun: 1. 0: it has none, drop the message. Negative: for rx_fail(). */
static int read_envelope(struct shm_socket *s, struct rep *rep)
{
    struct part part;
    rep->size = 0;
    do {
        int result = rx_next(s, &part);
        if (result < 0)
            return result;
        if (result != 1 || !part.more)
            return 0;
        if (keep_part(rep, &part) < 0)
            return -ENOMEM;
    } while (part.size > 0);
    rep->pipe = s->rx.message.pipe->state == PIPE_UP ? s->rx.message.pipe : NULL;
    rep->tag = s->rx.message.taken.tag;
    return 1;
}

static int advance_rep(struct shm_socket *s)
{
    struct rep *rep = s->kind_data;
    if (rep->replying)
        return -EFSM;
    int result = 0;
    for (uint64_t n = 0; n < PASSED_OVER_MAX && (result = rx_begin_fair(s)) == 1; n++) {
        result = read_envelope(s, rep);
        if (result != 0)
            return result < 0 ? rx_fail(s, result) : 1;
        rx_end(s);
    }
    return result == 1 ? 0 : result;
}

static int next_part_rep(struct shm_socket *s, struct part *part)
{
    struct rep *rep = s->kind_data;
    int result = rx_next(s, part);
    if (result == 1 && !part->more)
        rep->replying = true;
    return result;
}

static int send_reply(struct shm_socket *s, const struct part *part)
{
    struct rep *rep = s->kind_data;
    bool began = !s->tx.message.active;
    int error = 0;
    if (!rep->replying)
        return -EFSM;
    /* A REP never waits for its requester: without room the reply is dropped. */
    if (s->tx.message.discard ||
        (began && (rep->pipe == NULL || !pipe_is_open(rep->pipe) || !pipe_has_room(rep->pipe)))) {
        rep->replying = part->more;
        return tx_discard(s, part);
    }
    if (began) {
        tx_begin(s, rep->pipe->out, rep->pipe, rep->tag & REQUEST_NUMBER);
        error = tx_add_raw(s, rep->envelope, rep->size);
    }
    if (error == 0)
        error = tx_continue(s, part);
    if (error < 0) {
        if (began)
            tx_cancel(s);
        return error;
    }
    if (!part->more)
        rep->replying = false;
    return 0;
}

static bool fast_answer(struct shm_socket *s, const void *data, size_t size)
{
    struct rep *rep = s->kind_data;
    if (!rep->replying || rep->pipe == NULL || rep->pipe != s->fast.to || rep->size != EMPTY_PART ||
        !fast_send_delimited(s, rep->tag & REQUEST_NUMBER, data, size))
        return false;
    rep->replying = false;
    return true;
}

static ssize_t fast_question(struct shm_socket *s, void *buffer, size_t room, int flags)
{
    struct rep *rep = s->kind_data;
    if (rep->replying)
        return -1;
    ssize_t size = fast_await_delimited(s, flags, &rep->tag);
    if (size < 0)
        return -1;
    memset(rep->envelope, 0, EMPTY_PART);
    rep->size = EMPTY_PART;
    rep->pipe = s->fast.in;
    fast_take_delimited(s, buffer, room, (size_t)size);
    rep->replying = true;
    return size;
}

static bool can_reply(struct shm_socket *s)
{
    struct rep *rep = s->kind_data;
    return rep->replying;
}

const struct kind kind_rep = {
    .type = SHM_REP,
    .fits = KIND_BIT(SHM_REQ) | KIND_BIT(SHM_DEALER),
    .ends_discarding = true,
    .ring = ring_spsc,
    .open = open_rep,
    .close = close_rep,
    .pipe_gone = rep_pipe_gone,
    .pipe_free = rep_pipe_gone,
    .send = send_reply,
    .can_send = can_reply,
    .advance = advance_rep,
    .next_part = next_part_rep,
    .fast_send = fast_answer,
    .fast_receive = fast_question,
};
