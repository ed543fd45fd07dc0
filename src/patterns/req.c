/* SPDX-License-Identifier: MIT */
/* REQ: sends a request, then waits for the reply to it (reqrep.h). */
#include <stdlib.h>
#include <string.h>

#include "core/fast_path.h"
#include "core/pattern.h"
#include "patterns/reqrep.h"

struct req {
    int correlate, relaxed, resend; /* SHM_REQ_CORRELATE ... */
    bool waiting;
    bool lost;  /* the peer went after taking the request */
    uint32_t id;
    struct pipe *pipe;
    uint64_t ticket;
    unsigned char *copy; /* SHM_REQ_RESEND: the request's parts, each after its size */
    size_t copy_size, copy_room;
};

static int open_req(struct shm_socket *s)
{
    struct req *req = calloc(1, sizeof *req);
    if (req == NULL)
        return -ENOMEM;
    /* Not from 1: a REP's reply to a dead REQ may reach the next one that binds the name. */
    memcpy(&req->id, s->segment.header->id, sizeof req->id);
    s->kind_data = req;
    return 0;
}

static void close_req(struct shm_socket *s)
{
    struct req *req = s->kind_data;
    if (req != NULL)
        free(req->copy);
    free(req);
}

static int keep_copy(struct req *req, const struct part *part)
{
    size_t need = req->copy_size + sizeof part->size + part->size;
    if (need > req->copy_room) {
        unsigned char *larger = realloc(req->copy, 2 * need);
        if (larger == NULL)
            return -ENOMEM;
        req->copy = larger;
        req->copy_room = 2 * need;
    }
    memcpy(req->copy + req->copy_size, &part->size, sizeof part->size);
    if (part->size > 0)
        memcpy(req->copy + req->copy_size + sizeof part->size, part->data, part->size);
    req->copy_size = need;
    return 0;
}

static uint32_t next_id(const struct req *req)
{
    uint32_t id = (req->id + 1) & REQUEST_NUMBER;
    return id == 0 ? 1 : id;
}

/* Choose a peer and begin its message with the envelope. */
static int begin_request(struct shm_socket *s, struct req *req)
{
    struct pipe *pipe = tx_choose(s);
    if (pipe == NULL)
        return -EAGAIN;
    uint32_t tag = next_id(req);
    tx_begin(s, pipe->out, pipe, req->waiting ? tag | REQUEST_CANCELS : tag);
    int error = req->correlate ? tx_add(s, &tag, sizeof tag, NULL) : 0;
    if (error == 0)
        error = tx_add(s, "", 0, NULL);
    if (error < 0) {
        tx_cancel(s);
        return error;
    }
    req->pipe = pipe;
    req->id = tag;
    req->waiting = req->lost = false;
    req->copy_size = 0;
    return 0;
}

/* The peer went between two parts: treat the request, once complete, as lost with it. */
static int send_to_nobody(struct shm_socket *s, struct req *req, const struct part *part)
{
    int error = req->resend ? keep_copy(req, part) : 0;
    if (error == 0)
        error = tx_discard(s, part);
    if (error == 0 && !part->more)
        req->waiting = req->lost = true;
    return error;
}

static int send_request(struct shm_socket *s, const struct part *part)
{
    struct req *req = s->kind_data;
    bool began = !s->tx.message.active;
    if (s->tx.message.discard)
        return send_to_nobody(s, req, part);
    if (began) {
        if (req->waiting && !req->relaxed)
            return -EFSM;
        if (s->rx.message.active)
            rx_end(s); /* drop the unread rest of the last reply */
        int error = begin_request(s, req);
        if (error < 0)
            return error;
    }
    struct pipe *pipe = req->pipe;
    size_t kept = req->copy_size;
    int error = req->resend ? keep_copy(req, part) : 0;
    if (error == 0)
        error = tx_continue(s, part);
    if (error < 0) {
        req->copy_size = kept;
        if (began)
            tx_cancel(s);
        return error;
    }
    if (!part->more) {
        req->waiting = true;
        req->ticket = pipe->out->head - 1;
    }
    return 0;
}

static bool can_request(struct shm_socket *s)
{
    struct req *req = s->kind_data;
    return (!req->waiting || req->relaxed) && tx_can_choose(s);
}

/* The peer went. Our request is lost, unless we are a connector and it is unread: then the next binder gets it. */
static void req_pipe_gone(struct shm_socket *s, struct pipe *pipe)
{
    struct req *req = s->kind_data;
    if (!req->waiting || req->pipe != pipe)
        return;
    bool queued = pipe->state == PIPE_QUEUED && req->ticket >= pipe->own_ring.acked;
    req->lost = !queued;
}

static void req_pipe_free(struct shm_socket *s, struct pipe *pipe)
{
    struct req *req = s->kind_data;
    if (req->pipe != pipe)
        return;
    req->lost = req->waiting;
    req->pipe = NULL;
}

static int send_again(struct shm_socket *s, struct req *req)
{
    size_t size = req->copy_size, at = 0;
    unsigned char *copy = req->copy;
    req->copy = NULL; /* send_request() makes a new copy */
    req->copy_room = 0;
    req->waiting = false;
    int error = 0;
    while (error == 0 && at < size) {
        struct part part = {0};
        memcpy(&part.size, copy + at, sizeof part.size);
        part.data = copy + at + sizeof part.size;
        at += sizeof part.size + part.size;
        part.more = at < size;
        error = send_request(s, &part);
    }
    if (error < 0) { /* no peer yet: try again at the next look */
        if (s->tx.message.active)
            tx_cancel(s);
        free(req->copy);
        req->copy = copy;
        req->copy_size = size;
        req->copy_room = size;
        req->waiting = req->lost = true;
        return error == -EAGAIN ? 0 : error;
    }
    free(copy);
    return 0;
}

/* Is the message just begun the reply? 1: yes, and its envelope was read; 0: no; -EPROTO. */
static int is_reply(struct shm_socket *s, const struct req *req)
{
    struct part part;
    uint32_t number;
    int result;
    if ((s->rx.message.taken.tag & REQUEST_NUMBER) != req->id)
        return 0;
    if (req->correlate) {
        if ((result = rx_next(s, &part)) != 1 || part.size != sizeof number)
            return result < 0 ? result : 0;
        peer_copy(&number, part.data, sizeof number);
        if (number != req->id)
            return 0;
    }
    result = rx_next(s, &part);
    return result == 1 ? part.size == 0 && part.more : result;
}

static int advance_req(struct shm_socket *s)
{
    struct req *req = s->kind_data;
    if (!req->waiting)
        return -EFSM;
    int result = 0;
    for (uint64_t n = 0; n < PASSED_OVER_MAX && (result = rx_begin_fair(s)) == 1; n++) {
        result = is_reply(s, req);
        if (result != 0)
            return result < 0 ? rx_fail(s, result) : 1;
        rx_end(s); /* a reply to a request that was given up */
    }
    if (result != 0 || !req->lost)
        return result;
    if (req->resend)
        return send_again(s, req);
    req->waiting = req->lost = false;
    return -ECONNRESET;
}

static int next_part_req(struct shm_socket *s, struct part *part)
{
    struct req *req = s->kind_data;
    int result = rx_next(s, part);
    if (result == 1 && !part->more)
        req->waiting = req->lost = false;
    return result;
}

static bool fast_request(struct shm_socket *s, const void *data, size_t size)
{
    struct req *req = s->kind_data;
    if (req->waiting || s->rx.message.active || req->correlate || req->resend ||
        !fast_send_delimited(s, next_id(req), data, size))
        return false;
    req->pipe = s->fast.to;
    req->id = next_id(req);
    req->waiting = true;
    req->lost = false;
    req->copy_size = 0;
    req->ticket = s->fast.out->head - 1;
    return true;
}

static ssize_t fast_reply(struct shm_socket *s, void *buffer, size_t room, int flags)
{
    struct req *req = s->kind_data;
    uint32_t tag;
    if (!req->waiting || req->correlate)
        return -1;
    ssize_t size = fast_await_delimited(s, flags, &tag);
    if (size < 0 || (tag & REQUEST_NUMBER) != req->id)
        return -1;
    fast_take_delimited(s, buffer, room, (size_t)size);
    req->waiting = req->lost = false;
    return size;
}

/* If this binder starts after our request, one that we never met took the request and went: it is lost. */
static void req_pipe_up(struct shm_socket *s, struct pipe *pipe)
{
    struct req *req = s->kind_data;
    uint64_t tail;
    if (req->waiting && req->pipe == pipe && pipe_peer_tail(pipe, &tail) &&
        req->ticket < peer_u64(&pipe->theirs->first))
        req->lost = true;
    if (pipe->member.type == SHM_ROUTER)
        probe_router(s, pipe);
}

static const struct int_option own_options[] = {
    {SHM_REQ_CORRELATE, offsetof(struct req, correlate), 0, 1, true},
    {SHM_REQ_RELAXED, offsetof(struct req, relaxed), 0, 1, false},
    {SHM_REQ_RESEND, offsetof(struct req, resend), 0, 1, true},
    {0},
};

const struct kind kind_req = {
    .type = SHM_REQ,
    .fits = KIND_BIT(SHM_REP) | KIND_BIT(SHM_ROUTER),
    .ends_discarding = true,
    .options = (const int[]){SHM_ROUTING_ID, SHM_PROBE_ROUTER, 0},
    .own_options = own_options,
    .ring = ring_spsc,
    .open = open_req,
    .close = close_req,
    .pipe_new = skip_answers_to_others,
    .pipe_up = req_pipe_up,
    .pipe_gone = req_pipe_gone,
    .pipe_free = req_pipe_free,
    .send = send_request,
    .can_send = can_request,
    .advance = advance_req,
    .next_part = next_part_req,
    .fast_send = fast_request,
    .fast_receive = fast_reply,
};
