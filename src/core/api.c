/* SPDX-License-Identifier: MIT */
/* Opening and closing sockets, and other calls about the socket as a whole. */
#include <stdlib.h>
#include <string.h>

#include "core/api.h"
#include "core/memory.h"
#include "core/peer.h"
#include "core/pipe.h"
#include "core/rx.h"
#include "core/session.h"
#include "core/tx.h"
#include "transport/os.h"

static const struct options defaults = {
    .linger = -1,
    .send_hwm = 1000,
    .receive_hwm = 1000,
    .send_timeout = -1,
    .receive_timeout = -1,
    .redeliver = 1,
    .view_share = 50,
    .spin_ns = -2,
};

int api_result(int error)
{
    if (error >= 0)
        return 0;
    errno = -error;
    return -1;
}

int api_usable(struct shm_socket *s)
{
    if (unlikely(s == NULL))
        return api_result(-EINVAL);
    if (unlikely(!process_is_mine(s->mark)))
        return api_result(-EFORKED);
    if (unlikely(api_is_terminated(s)))
        return api_result(-ETERM);
    return 0;
}

/* ---- opening ---- */

SHM_API shm_socket_t *shm_socket(int type)
{
    int flags = type & SHM_MEMFD;
    type &= ~SHM_MEMFD;
    const struct kind *kind = type >= 0 && type < KIND_COUNT ? socket_kinds[type] : NULL;
    if (kind == NULL) {
        errno = EINVAL;
        return NULL;
    }
    uint64_t mark = process_mark();
    size_t size = (sizeof(struct shm_socket) + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
    struct shm_socket *s = mark != 0 ? aligned_alloc(CACHE_LINE, size) : NULL;
    if (s == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    memset(s, 0, sizeof *s);
    s->mark = mark;
    s->type = type;
    s->kind = kind;
    s->rx.is_plain = kind->receives_plain;
    s->options = defaults;
    s->wait = (struct waitable){.ops = &socket_waitable, .bell = &s->bell, .spin_ns = &s->options.spin_ns};
    descriptor_init(&s->wait.descriptor);
    s->segment.fd = -1;
    s->refs = 1;
    s->wait.checked_at = s->liveness.looked_at = cpu_ticks();
    look_init(&s->tx.look);
    look_init(&s->rx.look);
    int error = memory_open(s, flags);
    if (error < 0) {
        memory_unref(s);
        errno = -error;
        return NULL;
    }
    s->wait.store = s->store;
    s->wait.sleeps = &s->stats[STAT_SLEEPS];
    return s;
}

/* ---- closing ---- */

/* Has it messages that no peer has taken, and that no live binder can come for? */
static bool has_untaken(struct shm_socket *s)
{
    bool anybody = false, untaken = false;
    for (uint32_t i = 0; i < s->pipes.count; i++) {
        struct pipe *pipe = s->pipes.list[i];
        if (pipe_has_met(pipe))
            anybody = true;
        if (!pipe_is_queued(pipe))
            continue;
        if (endpoint_binder_lives(&pipe->membership->endpoint) && !session_pending(pipe))
            anybody = true;
        else if (pipe->out == &pipe->own_ring && pipe->out->kind == RING_SPSC &&
                 pipe->out->head > pipe->out->acked && !s->kind->sends_control)
            untaken = true;
    }
    if (s->tx.has_shared && s->tx.shared.kind == RING_SPMC && !anybody) {
        ring_out_look(&s->tx.shared);
        untaken = s->tx.shared.head > s->tx.shared.acked;
    }
    return untaken;
}

static void linger(struct shm_socket *s)
{
    uint64_t deadline_ns = clock_deadline_ns(s->options.linger);
    membership_look(s);
    while (s->options.linger != 0 && has_untaken(s)) {
        uint64_t now_ns = clock_now_ns();
        if (now_ns >= deadline_ns)
            return;
        uint64_t left = deadline_ns - now_ns;
        bell_announce(&s->bell, BELL_WAITING);
        if (peer_u32(&s->bell.page->changed) == 0)
            bell_sleep(&s->bell, BELL_WAITING, left < BELL_SLICE_NS ? left : BELL_SLICE_NS);
        bell_retract(&s->bell);
        membership_sync(s);
        membership_check(s);
    }
}

/* Close a handle inherited by fork(): its memory is not mapped here, and its files and names are the parent's. */
static void close_inherited(struct shm_socket *s)
{
    session_close(s);
    descriptor_close(&s->wait);
    if (s->segment.fd >= 0)
        os_close(s->segment.fd);
    store_forget(s->store);
    for (struct membership *a = s->memberships, *next; a != NULL; a = next) {
        next = a->next;
        os_close(a->endpoint.fd);
        free(a->pipes);
        free(a->rejected);
        free(a);
    }
    for (uint32_t i = 0; i < s->pipes.count; i++) {
        free(s->pipes.list[i]->session);
        free(s->pipes.list[i]);
    }
    memory_free(s);
}

SHM_API int shm_close(shm_socket_t *s)
{
    if (s == NULL) {
        errno = EINVAL;
        return -1;
    }
    if (!process_is_mine(s->mark)) {
        close_inherited(s);
        return 0;
    }
    if (s->rx.message.active)
        rx_leave(s);
    if (s->tx.message.active)
        tx_cancel(s);
    linger(s);
    atomic_store_explicit(&s->terminated, 1, memory_order_relaxed);
    store_relaxed(&s->segment.header->closed, 1);
    s->files_awaited = membership_leave_all(s);
    session_close(s);
    descriptor_close(&s->wait);
    while (s->pipes.count > 0)
        pipe_discard(s->pipes.list[s->pipes.count - 1]);
    s->kept_by_loans = s->loans > 0;
    if (!s->kept_by_loans)
        memory_unref(s);
    return 0;
}

/* ---- names ---- */

typedef int join_fn(struct shm_socket *s, const char *name, bool bind);

static int with_name(shm_socket_t *s, const char *address, join_fn *call, bool bind)
{
    char name[ENDPOINT_NAME_MAX + 1];
    if (address == NULL) {
        errno = EINVAL;
        return -1;
    }
    if (api_usable(s) < 0)
        return -1;
    int error = endpoint_name(name, address);
    if (error == 0) {
        membership_look(s);
        error = call(s, name, bind);
    }
    if (error < 0) {
        errno = -error;
        return -1;
    }
    return 0;
}

int api_prepare(struct shm_socket *s)
{
    if (s->options.seal && s->auth == NULL)
        return -EINVAL; /* never send in the clear by mistake */
    if (s->options.lock_memory && !s->segment.lock_memory) {
        int error = os_lock_memory(s->segment.header, SEGMENT_HEADER_SIZE);
        if (error < 0)
            return error;
        s->segment.lock_memory = true;
    }
    uint32_t kind = s->kind->shared_ring != NULL ? s->kind->shared_ring(s) : 0;
    return kind != 0 ? pipe_open_shared_ring(s, kind) : 0;
}

static int join_here(struct shm_socket *s, const char *name, bool bind)
{
    int error = store_has_names(s->store) ? api_prepare(s) : -ENOTSUP; /* use shm_handover() */
    return error < 0 ? error : membership_join(s, name, bind);
}

SHM_API int shm_bind(shm_socket_t *s, const char *endpoint)
{
    return with_name(s, endpoint, join_here, true);
}

SHM_API int shm_connect(shm_socket_t *s, const char *endpoint)
{
    return with_name(s, endpoint, join_here, false);
}

SHM_API int shm_unbind(shm_socket_t *s, const char *endpoint)
{
    return with_name(s, endpoint, membership_leave, true);
}

SHM_API int shm_disconnect(shm_socket_t *s, const char *endpoint)
{
    return with_name(s, endpoint, membership_leave, false);
}

SHM_API int shm_shutdown(shm_socket_t *s)
{
    if (s == NULL || !process_is_mine(s->mark)) {
        errno = s == NULL ? EINVAL : EFORKED;
        return -1;
    }
    atomic_store_explicit(&s->terminated, 1, memory_order_relaxed);
    peer_notify_bell(&s->bell);
    return 0;
}

SHM_API void shm_version(int *major, int *minor, int *patch)
{
    if (major != NULL)
        *major = SHM_VERSION_MAJOR;
    if (minor != NULL)
        *minor = SHM_VERSION_MINOR;
    if (patch != NULL)
        *patch = SHM_VERSION_PATCH;
}

SHM_API const char *shm_strerror(int errnum)
{
    switch (errnum) {
    case EFSM:
        return "Operation cannot be accomplished in current state";
    case ETERM:
        return "Socket was shut down";
    case EFORKED:
        return "Socket belongs to the parent process";
    case ENOCOMPATPROTO:
        return "Shared memory is of another version of shmq";
    case ECONNRESET:
        return "Peer died with the request in hand";
    case EPROTO:
        return "Peer broke the protocol and was detached";
    default: {
        const char *text = strerrordesc_np(errnum);
        return text != NULL ? text : "Unknown error";
    }
    }
}
