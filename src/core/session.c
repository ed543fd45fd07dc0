/* SPDX-License-Identifier: MIT */
/* Auth sessions of sockets and pipes: see session.h. docs/SECURITY.md says what they protect against. */
#include <stdlib.h>
#include <string.h>

#include "core/event.h"
#include "core/peer.h"
#include "core/session_state.h"
#include "transport/os.h"

/* ---- sockets ---- */

int session_available(void)
{
    return auth_ready();
}

int session_renew_standing(struct shm_socket *s, struct auth_session *auth)
{
    uint64_t fresh[2];
    int error = os_random(fresh, sizeof fresh);
    if (error < 0)
        return error;
    memcpy(auth->previous, auth->standing, sizeof fresh);
    memcpy(auth->standing, fresh, sizeof fresh);
    for (int i = 0; i < 2; i++)
        store_relaxed(&s->segment.header->challenge[i], fresh[i]);
    auth->epoch++;
    return 0;
}

int session_set_key(struct shm_socket *s, const void *key)
{
    struct auth_session *auth = calloc(1, sizeof *auth);
    if (auth == NULL)
        return -ENOMEM;
    auth->root = vault_take(&auth->vault);
    int error = auth->root == NULL ? -ENOMEM : session_renew_standing(s, auth);
    if (error < 0) {
        vault_close(&auth->vault);
        free(auth);
        return error;
    }
    memcpy(auth->root, key, AUTH_KEY_SIZE);
    auth->look_at_count = SOURCES_KEPT;
    session_close(s); /* replaces an earlier key */
    s->auth = auth;
    return 0;
}

void session_free_source(struct auth_session *auth, struct session_source *source)
{
    vault_give(&auth->vault, source->key);
    free(source->given);
    free(source);
}

void session_close(struct shm_socket *s)
{
    struct auth_session *auth = s->auth;
    if (auth == NULL)
        return;
    for (uint32_t i = 0; i < s->pipes.count; i++)
        s->pipes.list[i]->source = NULL;
    while (auth->sources != NULL) {
        struct session_source *source = auth->sources;
        auth->sources = source->next;
        session_free_source(auth, source);
    }
    vault_close(&auth->vault);
    free(auth->packed);
    free(auth->opened);
    free(auth);
    s->auth = NULL;
}

uint32_t session_mode(const struct shm_socket *s)
{
    return s->auth == NULL ? AUTH_NONE : s->options.seal ? AUTH_SEALED : AUTH_AUTHENTICATED;
}

void session_report(struct shm_socket *s, const struct pipe *peer)
{
    stat_add(s, STAT_AUTH_FAILED, 1);
    event_push(s, SHM_EVENT_UNTRUSTED, peer, NULL, 0);
    if (s->kind->advance != NULL && s->rx.pending_error == 0)
        s->rx.pending_error = -EBADMSG;
}

/* ---- keys ---- */

void session_derive(struct shm_socket *s, uint8_t *key, const char *sender, uint64_t session)
{
    struct session_statement statement;
    memcpy(statement.label, "shmqkey1", sizeof statement.label);
    statement.mode = session_mode(s);
    statement.session = session;
    memcpy(statement.sender, sender, HEX);
    auth_derive(key, s->auth->root, &statement, sizeof statement);
}

int session_key(struct shm_socket *s, struct pipe *pipe)
{
    struct auth_session *auth = s->auth;
    bool shared = pipe == NULL || pipe->out == &s->tx.shared;
    uint8_t **key = shared ? &auth->shared_key : &pipe->session->key;
    if (likely(*key != NULL))
        return 0;
    *key = vault_take(&auth->vault);
    if (*key == NULL)
        return -ENOMEM;
    uint64_t session = ++auth->sessions;
    *(shared ? &auth->shared_session : &pipe->session->session) = session;
    session_derive(s, *key, s->segment.id_hex, session);
    return 0;
}

/* ---- pipes ---- */

/* relaxed: a challenge publishes no other data. A peer that sees a mixture of two proves itself in vain; it is woken
 * afterwards and answers the whole one. */
void session_write_challenge(struct pipe *pipe)
{
    store_relaxed(&pipe->record->challenge[0], pipe->session->challenge[0]);
    store_relaxed(&pipe->record->challenge[1], pipe->session->challenge[1]);
}

static int fresh_challenge(struct pipe *pipe)
{
    int error = os_random(pipe->session->challenge, sizeof pipe->session->challenge);
    if (error == 0)
        session_write_challenge(pipe);
    return error;
}

int session_pipe_new(struct pipe *pipe)
{
    struct shm_socket *s = pipe->socket;
    pipe->authenticated = s->auth == NULL;
    pipe->record->auth_mode = session_mode(s);
    if (s->auth == NULL)
        return 0;
    pipe->session = calloc(1, sizeof *pipe->session);
    return pipe->session == NULL ? -ENOMEM : fresh_challenge(pipe);
}

void session_leave(struct pipe *pipe)
{
    struct session_source *source = pipe->source;
    pipe->source = NULL;
    if (source == NULL || pipe->socket->auth == NULL)
        return;
    if (source->opened && source->kind != RING_SPMC)
        source->reached = pipe->in.tail;
    vault_give(&pipe->socket->auth->vault, source->key);
    source->key = NULL;
    source->in_use = source->opened = false;
}

void session_pipe_free(struct pipe *pipe)
{
    session_leave(pipe);
    if (pipe->session == NULL)
        return;
    if (pipe->socket->auth != NULL)
        vault_give(&pipe->socket->auth->vault, pipe->session->key);
    free(pipe->session);
    pipe->session = NULL;
}

int session_meet(struct pipe *pipe, uint64_t offset)
{
    struct shm_socket *s = pipe->socket;
    if (peer_u32_once(&pipe->theirs->auth_mode) != session_mode(s))
        return -EBADMSG;
    if (s->auth != NULL)
        pipe->session->their_offset = offset;
    return 0;
}

void session_again(struct pipe *pipe)
{
    if (pipe->session == NULL || pipe->socket->auth == NULL)
        return;
    session_leave(pipe);
    pipe->authenticated = false;
    pipe->session->proved[0] = pipe->session->proved[1] = 0;
    pipe->session->resume = 0;
    if (fresh_challenge(pipe) < 0) { /* no randomness: 0 is a challenge that nobody can answer */
        memset(pipe->session->challenge, 0, sizeof pipe->session->challenge);
        session_write_challenge(pipe);
    }
}

void session_put_back(struct pipe *pipe)
{
    if (pipe->session == NULL || pipe->socket->auth == NULL)
        return;
    session_leave(pipe);
    if (pipe->authenticated) {
        memcpy(pipe->session->challenge, pipe->session->used, sizeof pipe->session->challenge);
        session_write_challenge(pipe);
    }
    pipe->authenticated = false;
    pipe->session->resume = 0;
}

void session_drain(struct pipe *rest, struct pipe *pipe)
{
    rest->authenticated = pipe->authenticated;
    rest->source = pipe->source;
    pipe->source = NULL;
}

uint64_t session_start(const struct pipe *pipe)
{
    return pipe->session->start;
}

uint64_t session_resume(struct pipe *pipe, uint64_t resume)
{
    if (pipe->session == NULL)
        return resume;
    if (resume > pipe->session->resume)
        pipe->session->resume = resume;
    return pipe->session->resume;
}

bool session_pending(const struct pipe *pipe)
{
    struct member binder;
    return pipe->session != NULL && pipe_is_queued(pipe) && pipe->membership != NULL &&
           endpoint_binder(&pipe->membership->endpoint, &binder) == 1 && pipe->refused != binder.gen &&
           pipe->session->pre_accept != binder.gen;
}
