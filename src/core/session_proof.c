/* SPDX-License-Identifier: MIT */
/* Proofs: answer the challenges of peers, and verify their proofs. */
#include <stdlib.h>
#include <string.h>

#include "base/seqlock.h"
#include "core/peer.h"
#include "core/session_state.h"

/* ---- proofs ---- */

static void state(const struct pipe *pipe, struct pipe_statement *statement, bool mine)
{
    const struct shm_socket *s = pipe->socket;
    memset(statement, 0, sizeof *statement);
    memcpy(statement->label, "shmqlnk1", sizeof statement->label);
    statement->mode = session_mode(s);
    statement->sender_type = mine ? (uint32_t)s->type : pipe->member.type;
    statement->reader_type = mine ? pipe->member.type : (uint32_t)s->type;
    memcpy(statement->sender, mine ? s->segment.id_hex : pipe->member.id_hex, HEX);
    memcpy(statement->reader, mine ? pipe->member.id_hex : s->segment.id_hex, HEX);
}

/* The lowest ticket that this peer may read. */
static uint64_t first_for(const struct pipe *pipe)
{
    const struct ring_out *out = pipe->out;
    if (out == &pipe->own_ring)
        return out->acked;
    return out != NULL && out->kind == RING_BROADCAST ? out->head : 0;
}

static void read_pair(uint64_t pair[2], const shared_u64 *words)
{
    pair[0] = peer_u64(&words[0]);
    pair[1] = peer_u64(&words[1]);
}

static void write_proof(struct pipe_record *record, const struct pipe_statement *statement, const uint8_t *proof)
{
    uint64_t words[2], gen = seqlock_begin(&record->proof_gen, load_relaxed(&record->proof_gen), SEQLOCK_EVEN);
    memcpy(words, proof, sizeof words);
    for (int i = 0; i < 2; i++) {
        store_relaxed(&record->proof_challenge[i], statement->challenge[i]);
        store_relaxed(&record->proof[i], words[i]);
    }
    store_relaxed(&record->proof_session, statement->session);
    store_relaxed(&record->proof_start, statement->start);
    store_relaxed(&record->proof_kind, statement->kind);
    seqlock_end(&record->proof_gen, gen + 1);
}

/* Answer the challenge in STATEMENT. */
static int prove(struct pipe *pipe, struct pipe_statement *statement)
{
    struct shm_socket *s = pipe->socket;
    uint8_t proof[AUTH_MAC_SIZE];
    int error = pipe->out == NULL ? 0 : session_key(s, pipe);
    if (error < 0)
        return error;
    if (pipe->out != NULL) {
        statement->kind = pipe->out->kind;
        statement->session = pipe->out == &s->tx.shared ? s->auth->shared_session : pipe->session->session;
        statement->start = first_for(pipe);
    }
    statement->routing_id_size = s->identity.routing_id_size;
    memcpy(statement->routing_id, s->identity.routing_id, s->identity.routing_id_size);
    auth_prove(proof, s->auth->root, statement, sizeof *statement);
    write_proof(pipe->record, statement, proof);
    memcpy(pipe->session->proved, statement->challenge, sizeof statement->challenge);
    return 0;
}

static bool is_challenge(const uint64_t pair[2])
{
    return (pair[0] | pair[1]) != 0;
}

int session_prove(struct pipe *pipe)
{
    struct pipe_statement statement;
    if (pipe->socket->auth == NULL)
        return 0;
    state(pipe, &statement, true);
    read_pair(statement.challenge, pipe->theirs->challenge);
    statement.reader_record = pipe->session->their_offset;
    return is_challenge(statement.challenge) ? prove(pipe, &statement) : 0;
}

bool session_is_pre_accept(const struct pipe *pipe, const struct member *binder)
{
    return pipe->session->pre_accept != binder->gen;
}

int session_prove_pre_accept(struct pipe *pipe, const struct member *binder, uint32_t type,
                      const struct segment_header *header)
{
    struct pipe_statement statement;
    struct pipe to = {.socket = pipe->socket, .member = *binder};
    to.member.type = type;
    state(&to, &statement, true);
    read_pair(statement.challenge, header->challenge);
    int error = is_challenge(statement.challenge) ? prove(pipe, &statement) : -EBADMSG;
    if (error == 0)
        pipe->session->pre_accept = binder->gen;
    return error;
}

/* Copy the peer's statement and proof from its record. False: it is just being written. */
static bool read_proof(struct pipe *pipe, struct pipe_statement *statement, uint8_t proof[AUTH_MAC_SIZE])
{
    const struct pipe_record *theirs = pipe->theirs;
    const struct segment_header *header = pipe->peer->remote->header;
    uint64_t words[2], gen = seqlock_look(&theirs->proof_gen);
    if (!seqlock_is_valid(gen, SEQLOCK_EVEN))
        return false;
    state(pipe, statement, false);
    read_pair(statement->challenge, theirs->proof_challenge);
    read_pair(words, theirs->proof);
    statement->session = peer_u64(&theirs->proof_session);
    statement->start = peer_u64(&theirs->proof_start);
    statement->kind = peer_u32(&theirs->proof_kind);
    if (!seqlock_holds(&theirs->proof_gen, gen))
        return false;
    uint32_t size = peer_u32_once(&header->routing_id_size);
    statement->routing_id_size = size <= 255 ? size : 0;
    peer_copy(statement->routing_id, header->routing_id, statement->routing_id_size);
    memcpy(proof, words, sizeof words);
    return true;
}

/* Forget sessions whose sender was dead before the oldest standing challenge that is still valid was made. */
static void prune(struct shm_socket *s)
{
    struct auth_session *auth = s->auth;
    if (auth->source_count < auth->look_at_count || session_renew_standing(s, auth) < 0)
        return;
    for (struct session_source **at = &auth->sources; *at != NULL;) {
        struct session_source *source = *at;
        if (source->in_use || segment_is_alive(s->store, source->sender))
            source->epoch = auth->epoch;
        if (source->epoch + 1 >= auth->epoch) {
            at = &source->next;
            continue;
        }
        *at = source->next;
        auth->source_count--;
        session_free_source(auth, source);
    }
    auth->look_at_count = 2 * auth->source_count > SOURCES_KEPT ? 2 * auth->source_count : SOURCES_KEPT;
}

/* Find or make the session that the proof names, and continue where we stopped reading it: 1. 0: a pre-accept proof for
 * a session that is being read already. -EBADMSG: a single-reader session that another pipe reads. */
static int find_source(struct pipe *pipe, const struct pipe_statement *statement, bool early)
{
    struct shm_socket *s = pipe->socket;
    struct session_source *source = NULL;
    uint64_t reached = 0;

    for (struct session_source *it = s->auth->sources; it != NULL; it = it->next) {
        if (it->session != statement->session || memcmp(it->sender, pipe->member.id_hex, HEX) != 0)
            continue;
        if (!it->in_use)
            source = it;
        else if (early || it->kind == RING_SPSC)
            return early ? 0 : -EBADMSG;
        reached = !it->in_use && it->reached > reached ? it->reached : reached;
    }
    if (source == NULL) {
        prune(s);
        source = calloc(1, sizeof *source);
        if (source == NULL)
            return -ENOMEM;
        memcpy(source->sender, pipe->member.id_hex, HEX);
        source->session = statement->session;
        source->next = s->auth->sources;
        s->auth->sources = source;
        s->auth->source_count++;
    }
    source->key = vault_take(&s->auth->vault);
    if (source->key == NULL)
        return -ENOMEM;
    source->kind = statement->kind;
    source->reached = reached;
    source->in_use = true;
    source->epoch = s->auth->epoch;
    session_derive(s, source->key, source->sender, source->session);
    pipe->source = source;
    return 1;
}

static int verify(struct pipe *pipe)
{
    struct pipe_statement statement;
    uint8_t proof[AUTH_MAC_SIZE], wanted[AUTH_MAC_SIZE];
    struct auth_session *auth = pipe->socket->auth;

    if (!read_proof(pipe, &statement, proof) || !is_challenge(statement.challenge))
        return 0;
    bool mine = memcmp(statement.challenge, pipe->session->challenge, sizeof statement.challenge) == 0;
    bool early = memcmp(statement.challenge, auth->standing, sizeof statement.challenge) == 0 ||
                 memcmp(statement.challenge, auth->previous, sizeof statement.challenge) == 0;
    /* A broadcast sender must know its reader's hazard words first, so a pre-accept proof does not do. */
    if (!mine && (!early || statement.kind == RING_BROADCAST))
        return 0;
    statement.reader_record = mine ? pipe->record_block->offset : 0;
    auth_prove(wanted, auth->root, &statement, sizeof statement);
    if (!auth_equal(proof, wanted))
        return -EBADMSG;
    int found = statement.session == 0 ? 1 : find_source(pipe, &statement, early);
    if (found <= 0)
        return found;
    pipe->session->start = statement.start;
    memcpy(pipe->session->routing_id, statement.routing_id, sizeof pipe->session->routing_id);
    pipe->session->routing_id_size = (uint32_t)statement.routing_id_size;
    memcpy(pipe->session->used, pipe->session->challenge, sizeof pipe->session->used);
    memset(pipe->session->challenge, 0, sizeof pipe->session->challenge);
    session_write_challenge(pipe);
    pipe->authenticated = true;
    return 1;
}

int session_check(struct pipe *pipe)
{
    uint64_t theirs[2];
    if (pipe->socket->auth == NULL || pipe->session == NULL)
        return 1;
    read_pair(theirs, pipe->theirs->challenge);
    if (is_challenge(theirs) && memcmp(theirs, pipe->session->proved, sizeof theirs) != 0) {
        int error = session_prove(pipe);
        if (error < 0)
            return error;
        pipe_notify(pipe);
    }
    return pipe->authenticated ? 1 : verify(pipe);
}

int pipe_peer_routing_id(const struct pipe *pipe, uint8_t id[256], uint32_t *size)
{
    const struct segment_header *header = pipe->peer->remote->header;
    *size = pipe->session != NULL ? pipe->session->routing_id_size : peer_u32_once(&header->routing_id_size);
    if (*size > 255)
        return -EPROTO;
    peer_copy(id, pipe->session != NULL ? pipe->session->routing_id : header->routing_id, *size);
    return 0;
}

int session_begin(struct pipe *pipe, uint64_t *first)
{
    struct session_source *source = pipe->source;
    if (pipe->socket->auth == NULL)
        return 1;
    if (source == NULL || source->kind != pipe->in.kind)
        return -EPROTO;
    if (*first < source->reached)
        *first = source->reached;
    if (source->kind == RING_SPMC && source->given != NULL && source->mask != pipe->in.mask)
        return -EPROTO;
    if (source->kind == RING_SPMC && source->given == NULL) {
        source->given = calloc(pipe->in.mask + 1, sizeof *source->given);
        source->mask = pipe->in.mask;
    }
    source->opened = source->kind != RING_SPMC || source->given != NULL;
    return source->opened ? 1 : -ENOMEM;
}
