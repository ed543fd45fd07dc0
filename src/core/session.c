/* SPDX-License-Identifier: MIT */
/* See session.h; and docs/SECURITY.md for what it is good for and what not. */
#include "core/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/pipe.h"
#include "transport/os.h"

#define HEX (2 * SEGMENT_ID_SIZE)
#define SOURCES_KEPT 64 /* before the dead among them are looked for */
#define TICKET_BITS 46  /* that a claim word has */
#define OPEN_KEPT (UINT64_C(4) << 20) /* bytes of private buffers that are kept for the next message */

/* A session of a peer: where this reader is, or was, in it. */
struct session_source {
    struct session_source *next;
    char sender[HEX + 1];
    uint64_t session;
    uint32_t kind;
    bool in_use, opened;
    uint8_t *key;     /* in use */
    uint64_t reached; /* not in use: lower tickets were read */
    uint64_t epoch;   /* in which its sender was last known to live */
    uint64_t *given;  /* shared: per slot, one past the last ticket that was given out here */
    uint64_t mask;
};

struct auth_session {
    struct vault vault;
    uint8_t *root;
    uint64_t standing[2], previous[2]; /* the challenges for connectors that come */
    uint64_t epoch;                    /* how often they were renewed */
    uint64_t sessions; /* of own rings; the last one's number */
    uint8_t *shared_key;
    uint64_t shared_session;
    struct session_source *sources;
    uint32_t source_count, look_at_count;
    unsigned char *packed, *opened;
    uint64_t packed_room, opened_room;
};

struct pipe_session {
    uint64_t challenge[2]; /* 0: used up */
    uint64_t used[2];      /* what it was then */
    uint64_t proved[2];    /* the peer's challenge that was answered last */
    uint64_t pre_accept;        /* generation of the binder that was proven to before it answered */
    uint64_t their_offset;
    uint64_t start, resume;
    uint8_t *key; /* of the own ring */
    uint64_t session;
    uint8_t routing_id[256]; /* the peer's, as proven */
    uint32_t routing_id_size;
};

/* What proofs and keys are hashes of. Private; compared by recomputing. */
struct pipe_statement {
    char label[8];
    uint32_t mode, kind, sender_type, reader_type;
    char sender[HEX], reader[HEX];
    uint64_t challenge[2], session, start, reader_record;
    uint64_t routing_id_size;
    uint8_t routing_id[256];
};

struct session_statement {
    char label[8];
    uint64_t mode, session;
    char sender[HEX];
};

_Static_assert(sizeof(struct pipe_statement) == 8 + 16 + 2 * HEX + 48 + 256, "no padding in what is hashed");
_Static_assert(sizeof(struct session_statement) == 24 + HEX, "no padding in what is hashed");

/* ---- sockets ---- */

int session_available(void)
{
    return auth_ready();
}

static int renew_standing(struct shm_socket *s, struct auth_session *auth)
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
    int error = auth->root == NULL ? -ENOMEM : renew_standing(s, auth);
    if (error < 0) {
        vault_close(&auth->vault);
        free(auth);
        return error;
    }
    memcpy(auth->root, key, AUTH_KEY_SIZE);
    auth->look_at_count = SOURCES_KEPT;
    session_close(s); /* a key set before */
    s->auth = auth;
    return 0;
}

static void free_source(struct auth_session *auth, struct session_source *source)
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
        free_source(auth, source);
    }
    vault_close(&auth->vault);
    free(auth->packed);
    free(auth->opened);
    free(auth);
    s->auth = NULL;
}

static uint32_t mode_of(const struct shm_socket *s)
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

static void derive_session(struct shm_socket *s, uint8_t *key, const char *sender, uint64_t session)
{
    struct session_statement statement;
    memcpy(statement.label, "shmqkey1", sizeof statement.label);
    statement.mode = mode_of(s);
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
    derive_session(s, *key, s->segment.id_hex, session);
    return 0;
}

/* ---- pipes ---- */

/* Relaxed: nothing lies behind a challenge. Half of one and half of another is one that nobody knows; the peer is
 * called afterwards, and answers the whole. */
static void write_challenge(struct pipe *pipe)
{
    store_relaxed(&pipe->record->challenge[0], pipe->session->challenge[0]);
    store_relaxed(&pipe->record->challenge[1], pipe->session->challenge[1]);
}

static int fresh_challenge(struct pipe *pipe)
{
    int error = os_random(pipe->session->challenge, sizeof pipe->session->challenge);
    if (error == 0)
        write_challenge(pipe);
    return error;
}

int session_pipe_new(struct pipe *pipe)
{
    struct shm_socket *s = pipe->socket;
    pipe->authenticated = s->auth == NULL;
    pipe->record->auth_mode = mode_of(s);
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
    if (peer_u32_once(&pipe->theirs->auth_mode) != mode_of(s))
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
    if (fresh_challenge(pipe) < 0) { /* then nobody can answer it */
        memset(pipe->session->challenge, 0, sizeof pipe->session->challenge);
        write_challenge(pipe);
    }
}

void session_put_back(struct pipe *pipe)
{
    if (pipe->session == NULL || pipe->socket->auth == NULL)
        return;
    session_leave(pipe);
    if (pipe->authenticated) {
        memcpy(pipe->session->challenge, pipe->session->used, sizeof pipe->session->challenge);
        write_challenge(pipe);
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
    return pipe->session != NULL && pipe->state == PIPE_QUEUED && pipe->membership != NULL &&
           endpoint_binder(&pipe->membership->endpoint, &binder) == 1 && pipe->refused != binder.gen &&
           pipe->session->pre_accept != binder.gen;
}

/* ---- proofs ---- */

static void state(const struct pipe *pipe, struct pipe_statement *statement, bool mine)
{
    const struct shm_socket *s = pipe->socket;
    memset(statement, 0, sizeof *statement);
    memcpy(statement->label, "shmqlnk1", sizeof statement->label);
    statement->mode = mode_of(s);
    statement->sender_type = mine ? (uint32_t)s->type : pipe->member.type;
    statement->reader_type = mine ? pipe->member.type : (uint32_t)s->type;
    memcpy(statement->sender, mine ? s->segment.id_hex : pipe->member.id_hex, HEX);
    memcpy(statement->reader, mine ? pipe->member.id_hex : s->segment.id_hex, HEX);
}

/* The first ticket for this peer, which it must not go behind. */
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
    uint64_t words[2], gen = load_relaxed(&record->proof_gen);
    memcpy(words, proof, sizeof words);
    store_relaxed(&record->proof_gen, gen | 1);
    fence_release();
    for (int i = 0; i < 2; i++) {
        store_relaxed(&record->proof_challenge[i], statement->challenge[i]);
        store_relaxed(&record->proof[i], words[i]);
    }
    store_relaxed(&record->proof_session, statement->session);
    store_relaxed(&record->proof_start, statement->start);
    store_relaxed(&record->proof_kind, statement->kind);
    store_release(&record->proof_gen, (gen | 1) + 1);
}

/* Answer the challenge that STATEMENT has. */
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

/* The peer's statement as it stands in its record, and the proof beside it. False: just being written. */
static bool read_proof(struct pipe *pipe, struct pipe_statement *statement, uint8_t proof[AUTH_MAC_SIZE])
{
    const struct pipe_record *theirs = pipe->theirs;
    const struct segment_header *header = pipe->peer->remote->header;
    uint64_t words[2], gen = peer_u64_acquire(&theirs->proof_gen);
    if (gen % 2 != 0)
        return false;
    state(pipe, statement, false);
    read_pair(statement->challenge, theirs->proof_challenge);
    read_pair(words, theirs->proof);
    statement->session = peer_u64(&theirs->proof_session);
    statement->start = peer_u64(&theirs->proof_start);
    statement->kind = peer_u32(&theirs->proof_kind);
    fence_acquire();
    if (peer_u64(&theirs->proof_gen) != gen)
        return false;
    uint32_t size = peer_u32_once(&header->routing_id_size);
    statement->routing_id_size = size <= 255 ? size : 0;
    peer_copy(statement->routing_id, header->routing_id, statement->routing_id_size);
    memcpy(proof, words, sizeof words);
    return true;
}

/* Forget sessions whose sender was dead already when the challenges were made that are still good. */
static void prune(struct shm_socket *s)
{
    struct auth_session *auth = s->auth;
    if (auth->source_count < auth->look_at_count || renew_standing(s, auth) < 0)
        return;
    for (struct session_source **at = &auth->sources; *at != NULL;) {
        struct session_source *source = *at;
        if (source->in_use || segment_is_alive(directory_fd(s->directory), source->sender))
            source->epoch = auth->epoch;
        if (source->epoch + 1 >= auth->epoch) {
            at = &source->next;
            continue;
        }
        *at = source->next;
        auth->source_count--;
        free_source(auth, source);
    }
    auth->look_at_count = 2 * auth->source_count > SOURCES_KEPT ? 2 * auth->source_count : SOURCES_KEPT;
}

/* The session that the proof names, from where it was left: 1. 0: an early proof, of one that is being read.
 * -EBADMSG: of one that has one reader, elsewhere. */
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
    derive_session(s, source->key, source->sender, source->session);
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
    /* A sender whose readers pin blocks has to know them first. */
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
    write_challenge(pipe);
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

/* ---- messages ---- */

void session_seal(struct shm_socket *s, struct pipe *pipe, const struct ring_out *ring,
                const struct ring_message *message, void *to)
{
    struct auth_frame frame = {.key = pipe == NULL || ring == &s->tx.shared ? s->auth->shared_key : pipe->session->key,
                               .ticket = ring->head,
                               .tag = message->tag,
                               .packed = (message->flags & META_PACKED) != 0,
                               .secret = s->options.seal != 0};
    auth_seal(&frame, to, message->bytes, message->size);
}

/* A buffer that large messages do not leave large for ever. */
static unsigned char *make_room(unsigned char **buffer, uint64_t *room, uint64_t used, uint64_t size)
{
    if (size <= *room && (*room <= OPEN_KEPT || size > OPEN_KEPT / 4))
        return *buffer;
    uint64_t larger = used > 0 ? size + size / 2 : size;
    unsigned char *bytes = malloc(larger > 0 ? larger : 1);
    if (bytes == NULL)
        return NULL;
    if (used > 0)
        memcpy(bytes, *buffer, used);
    free(*buffer);
    *buffer = bytes;
    *room = larger;
    return bytes;
}

unsigned char *session_gather(struct shm_socket *s, uint64_t used, uint64_t size)
{
    return make_room(&s->auth->packed, &s->auth->packed_room, used, size);
}

/* A claim word has the low bits of a ticket: it is the one of those that is nearest. */
static uint64_t whole_ticket(const struct ring_in *ring, uint64_t ticket)
{
    int64_t ahead = (int64_t)((ticket - ring->tail) << (64 - TICKET_BITS)) >> (64 - TICKET_BITS);
    return ring->tail + (uint64_t)ahead;
}

int session_open(struct shm_socket *s, struct pipe *pipe, struct ring_taken *taken)
{
    struct session_source *source = pipe->source;
    uint64_t small[SLOT_WORDS];
    void *to = small;

    if (source == NULL || taken->size < AUTH_TAG_SIZE || taken->size - AUTH_TAG_SIZE > AUTH_MAX)
        return -EBADMSG;
    uint64_t size = taken->size - AUTH_TAG_SIZE;
    uint64_t ticket = taken->redelivered ? whole_ticket(&pipe->in, taken->ticket) : taken->ticket;
    if (source->given != NULL && source->given[ticket & source->mask] > ticket)
        return -EBADMSG; /* once is enough, whatever the claim words say */
    if (taken->is_block)
        to = make_room(&s->auth->opened, &s->auth->opened_room, 0, size);
    if (to == NULL)
        return -ENOMEM;
    struct auth_frame frame = {.key = source->key,
                               .ticket = ticket,
                               .tag = taken->tag,
                               .packed = taken->packed,
                               .secret = s->options.seal != 0};
    if (!auth_open(&frame, to, taken->bytes, size))
        return -EBADMSG;
    if (!taken->is_block)
        to = memcpy(taken->copy, small, size);
    if (source->given != NULL)
        source->given[ticket & source->mask] = ticket + 1;
    taken->bytes = to;
    taken->size = size;
    taken->is_block = false; /* no part of the peer's memory any more */
    if (taken->protected)
        hazard_clear(&s->hazards, HAZARD_IN_HAND);
    taken->protected = false;
    return 0;
}

void session_untake(struct pipe *pipe, const struct ring_taken *taken)
{
    struct session_source *source = pipe->source;
    if (source == NULL || source->given == NULL)
        return;
    uint64_t ticket = taken->redelivered ? whole_ticket(&pipe->in, taken->ticket) : taken->ticket;
    source->given[ticket & source->mask] = ticket;
}

void *session_give(struct shm_socket *s, const void *data, size_t size)
{
    struct auth_session *auth = s->auth;
    if (auth == NULL || data != auth->opened || size < auth->opened_room / 2)
        return NULL;
    void *bytes = auth->opened;
    auth->opened = NULL;
    auth->opened_room = 0;
    return bytes;
}
