/* SPDX-License-Identifier: MIT */
/* See trust.h; and docs/SECURITY.md for what it is good for and what not. */
#include "core/trust.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/link.h"
#include "transport/os.h"

#define HEX (2 * SEGMENT_ID_SIZE)
#define SOURCES_KEPT 64 /* before the dead among them are looked for */
#define TICKET_BITS 46  /* that a claim word has */
#define OPEN_KEPT (UINT64_C(4) << 20) /* bytes of private buffers that are kept for the next message */

/* A session of a peer: where this reader is, or was, in it. */
struct trust_source {
    struct trust_source *next;
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

struct trust {
    struct vault vault;
    uint8_t *root;
    uint64_t standing[2], previous[2]; /* the challenges for connectors that come */
    uint64_t epoch;                    /* how often they were renewed */
    uint64_t sessions; /* of own rings; the last one's number */
    uint8_t *shared_key;
    uint64_t shared_session;
    struct trust_source *sources;
    uint32_t source_count, look_at_count;
    unsigned char *packed, *opened;
    uint64_t packed_room, opened_room;
};

struct trust_link {
    uint64_t challenge[2]; /* 0: used up */
    uint64_t used[2];      /* what it was then */
    uint64_t proved[2];    /* the peer's challenge that was answered last */
    uint64_t early;        /* generation of the binder that was proven to before it answered */
    uint64_t their_offset;
    uint64_t start, resume;
    uint8_t *key; /* of the own ring */
    uint64_t session;
    uint8_t routing_id[256]; /* the peer's, as proven */
    uint32_t routing_id_size;
};

/* What proofs and keys are hashes of. Private; compared by recomputing. */
struct link_statement {
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

_Static_assert(sizeof(struct link_statement) == 8 + 16 + 2 * HEX + 48 + 256, "no padding in what is hashed");
_Static_assert(sizeof(struct session_statement) == 24 + HEX, "no padding in what is hashed");

/* ---- sockets ---- */

int trust_available(void)
{
    return auth_ready();
}

static int renew_standing(struct shm_socket *s, struct trust *trust)
{
    uint64_t fresh[2];
    int error = os_random(fresh, sizeof fresh);
    if (error < 0)
        return error;
    memcpy(trust->previous, trust->standing, sizeof fresh);
    memcpy(trust->standing, fresh, sizeof fresh);
    for (int i = 0; i < 2; i++)
        store_relaxed(&s->segment.header->challenge[i], fresh[i]);
    trust->epoch++;
    return 0;
}

int trust_set_key(struct shm_socket *s, const void *key)
{
    struct trust *trust = calloc(1, sizeof *trust);
    if (trust == NULL)
        return -ENOMEM;
    trust->root = vault_take(&trust->vault);
    int error = trust->root == NULL ? -ENOMEM : renew_standing(s, trust);
    if (error < 0) {
        vault_close(&trust->vault);
        free(trust);
        return error;
    }
    memcpy(trust->root, key, AUTH_KEY_SIZE);
    trust->look_at_count = SOURCES_KEPT;
    trust_close(s); /* a key set before */
    s->trust = trust;
    s->seal_size = AUTH_TAG_SIZE;
    return 0;
}

static void free_source(struct trust *trust, struct trust_source *source)
{
    vault_give(&trust->vault, source->key);
    free(source->given);
    free(source);
}

void trust_close(struct shm_socket *s)
{
    struct trust *trust = s->trust;
    if (trust == NULL)
        return;
    for (uint32_t i = 0; i < s->link_count; i++)
        s->links[i]->source = NULL;
    while (trust->sources != NULL) {
        struct trust_source *source = trust->sources;
        trust->sources = source->next;
        free_source(trust, source);
    }
    vault_close(&trust->vault);
    free(trust->packed);
    free(trust->opened);
    free(trust);
    s->trust = NULL;
}

static uint32_t mode_of(const struct shm_socket *s)
{
    return s->trust == NULL ? TRUST_NONE : s->options.seal ? TRUST_SEALED : TRUST_AUTHENTICATED;
}

void trust_report(struct shm_socket *s, const struct link *peer)
{
    stat_add(s, STAT_AUTH_FAILED, 1);
    event_push(s, SHM_EVENT_UNTRUSTED, peer, NULL, 0);
    if (s->pattern->advance != NULL && s->pending_error == 0)
        s->pending_error = -EBADMSG;
}

/* ---- keys ---- */

static void derive_session(struct shm_socket *s, uint8_t *key, const char *sender, uint64_t session)
{
    struct session_statement statement;
    memcpy(statement.label, "shmqkey1", sizeof statement.label);
    statement.mode = mode_of(s);
    statement.session = session;
    memcpy(statement.sender, sender, HEX);
    auth_derive(key, s->trust->root, &statement, sizeof statement);
}

int trust_session(struct shm_socket *s, struct link *link)
{
    struct trust *trust = s->trust;
    bool shared = link == NULL || link->out == &s->shared_out;
    uint8_t **key = shared ? &trust->shared_key : &link->trust->key;
    if (likely(*key != NULL))
        return 0;
    *key = vault_take(&trust->vault);
    if (*key == NULL)
        return -ENOMEM;
    uint64_t session = ++trust->sessions;
    *(shared ? &trust->shared_session : &link->trust->session) = session;
    derive_session(s, *key, s->segment.id_hex, session);
    return 0;
}

/* ---- links ---- */

/* Relaxed: nothing lies behind a challenge. Half of one and half of another is one that nobody knows; the peer is
 * called afterwards, and answers the whole. */
static void write_challenge(struct link *link)
{
    store_relaxed(&link->record->challenge[0], link->trust->challenge[0]);
    store_relaxed(&link->record->challenge[1], link->trust->challenge[1]);
}

static int fresh_challenge(struct link *link)
{
    int error = os_random(link->trust->challenge, sizeof link->trust->challenge);
    if (error == 0)
        write_challenge(link);
    return error;
}

int trust_link_new(struct link *link)
{
    struct shm_socket *s = link->socket;
    link->trusted = s->trust == NULL;
    link->record->auth_mode = mode_of(s);
    if (s->trust == NULL)
        return 0;
    link->trust = calloc(1, sizeof *link->trust);
    return link->trust == NULL ? -ENOMEM : fresh_challenge(link);
}

void trust_leave(struct link *link)
{
    struct trust_source *source = link->source;
    link->source = NULL;
    if (source == NULL || link->socket->trust == NULL)
        return;
    if (source->opened && source->kind != RING_SHARED)
        source->reached = link->in.tail;
    vault_give(&link->socket->trust->vault, source->key);
    source->key = NULL;
    source->in_use = source->opened = false;
}

void trust_link_free(struct link *link)
{
    trust_leave(link);
    if (link->trust == NULL)
        return;
    if (link->socket->trust != NULL)
        vault_give(&link->socket->trust->vault, link->trust->key);
    free(link->trust);
    link->trust = NULL;
}

int trust_meet(struct link *link, uint64_t offset)
{
    struct shm_socket *s = link->socket;
    if (peer_u32_once(&link->theirs->auth_mode) != mode_of(s))
        return -EBADMSG;
    if (s->trust != NULL)
        link->trust->their_offset = offset;
    return 0;
}

void trust_again(struct link *link)
{
    if (link->trust == NULL || link->socket->trust == NULL)
        return;
    trust_leave(link);
    link->trusted = false;
    link->trust->proved[0] = link->trust->proved[1] = 0;
    link->trust->resume = 0;
    if (fresh_challenge(link) < 0) { /* then nobody can answer it */
        memset(link->trust->challenge, 0, sizeof link->trust->challenge);
        write_challenge(link);
    }
}

void trust_put_back(struct link *link)
{
    if (link->trust == NULL || link->socket->trust == NULL)
        return;
    trust_leave(link);
    if (link->trusted) {
        memcpy(link->trust->challenge, link->trust->used, sizeof link->trust->challenge);
        write_challenge(link);
    }
    link->trusted = false;
    link->trust->resume = 0;
}

void trust_split(struct link *rest, struct link *link)
{
    rest->trusted = link->trusted;
    rest->source = link->source;
    link->source = NULL;
}

uint64_t trust_start(const struct link *link)
{
    return link->trust->start;
}

uint64_t trust_resume(struct link *link, uint64_t resume)
{
    if (link->trust == NULL)
        return resume;
    if (resume > link->trust->resume)
        link->trust->resume = resume;
    return link->trust->resume;
}

bool trust_pending(const struct link *link)
{
    struct party binder;
    return link->trust != NULL && link->state == LINK_QUEUED && link->attach != NULL &&
           endpoint_binder(&link->attach->endpoint, &binder) == 1 && link->refused != binder.gen &&
           link->trust->early != binder.gen;
}

/* ---- proofs ---- */

static void state(const struct link *link, struct link_statement *statement, bool mine)
{
    const struct shm_socket *s = link->socket;
    memset(statement, 0, sizeof *statement);
    memcpy(statement->label, "shmqlnk1", sizeof statement->label);
    statement->mode = mode_of(s);
    statement->sender_type = mine ? (uint32_t)s->type : link->party.type;
    statement->reader_type = mine ? link->party.type : (uint32_t)s->type;
    memcpy(statement->sender, mine ? s->segment.id_hex : link->party.id_hex, HEX);
    memcpy(statement->reader, mine ? link->party.id_hex : s->segment.id_hex, HEX);
}

/* The first ticket for this peer, which it must not go behind. */
static uint64_t first_for(const struct link *link)
{
    const struct ring_out *out = link->out;
    if (out == &link->own_ring)
        return out->acked;
    return out != NULL && out->kind == RING_PRIVATE ? out->head : 0;
}

static void read_pair(uint64_t pair[2], const shared_u64 *words)
{
    pair[0] = peer_u64(&words[0]);
    pair[1] = peer_u64(&words[1]);
}

static void write_proof(struct link_record *record, const struct link_statement *statement, const uint8_t *proof)
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
static int prove(struct link *link, struct link_statement *statement)
{
    struct shm_socket *s = link->socket;
    uint8_t proof[AUTH_MAC_SIZE];
    int error = link->out == NULL ? 0 : trust_session(s, link);
    if (error < 0)
        return error;
    if (link->out != NULL) {
        statement->kind = link->out->kind;
        statement->session = link->out == &s->shared_out ? s->trust->shared_session : link->trust->session;
        statement->start = first_for(link);
    }
    statement->routing_id_size = s->routing_id_size;
    memcpy(statement->routing_id, s->routing_id, s->routing_id_size);
    auth_prove(proof, s->trust->root, statement, sizeof *statement);
    write_proof(link->record, statement, proof);
    memcpy(link->trust->proved, statement->challenge, sizeof statement->challenge);
    return 0;
}

static bool is_challenge(const uint64_t pair[2])
{
    return (pair[0] | pair[1]) != 0;
}

int trust_prove(struct link *link)
{
    struct link_statement statement;
    if (link->socket->trust == NULL)
        return 0;
    state(link, &statement, true);
    read_pair(statement.challenge, link->theirs->challenge);
    statement.reader_record = link->trust->their_offset;
    return is_challenge(statement.challenge) ? prove(link, &statement) : 0;
}

bool trust_is_early(const struct link *link, const struct party *binder)
{
    return link->trust->early != binder->gen;
}

int trust_prove_early(struct link *link, const struct party *binder, uint32_t type,
                      const struct segment_header *header)
{
    struct link_statement statement;
    struct link to = {.socket = link->socket, .party = *binder};
    to.party.type = type;
    state(&to, &statement, true);
    read_pair(statement.challenge, header->challenge);
    int error = is_challenge(statement.challenge) ? prove(link, &statement) : -EBADMSG;
    if (error == 0)
        link->trust->early = binder->gen;
    return error;
}

/* The peer's statement as it stands in its record, and the proof beside it. False: just being written. */
static bool read_proof(struct link *link, struct link_statement *statement, uint8_t proof[AUTH_MAC_SIZE])
{
    const struct link_record *theirs = link->theirs;
    const struct segment_header *header = link->peer->remote->header;
    uint64_t words[2], gen = peer_u64_acquire(&theirs->proof_gen);
    if (gen % 2 != 0)
        return false;
    state(link, statement, false);
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
    struct trust *trust = s->trust;
    if (trust->source_count < trust->look_at_count || renew_standing(s, trust) < 0)
        return;
    for (struct trust_source **at = &trust->sources; *at != NULL;) {
        struct trust_source *source = *at;
        if (source->in_use || segment_is_alive(directory_fd(s->directory), source->sender))
            source->epoch = trust->epoch;
        if (source->epoch + 1 >= trust->epoch) {
            at = &source->next;
            continue;
        }
        *at = source->next;
        trust->source_count--;
        free_source(trust, source);
    }
    trust->look_at_count = 2 * trust->source_count > SOURCES_KEPT ? 2 * trust->source_count : SOURCES_KEPT;
}

/* The session that the proof names, from where it was left: 1. 0: an early proof, of one that is being read.
 * -EBADMSG: of one that has one reader, elsewhere. */
static int find_source(struct link *link, const struct link_statement *statement, bool early)
{
    struct shm_socket *s = link->socket;
    struct trust_source *source = NULL;
    uint64_t reached = 0;

    for (struct trust_source *it = s->trust->sources; it != NULL; it = it->next) {
        if (it->session != statement->session || memcmp(it->sender, link->party.id_hex, HEX) != 0)
            continue;
        if (!it->in_use)
            source = it;
        else if (early || it->kind == RING_EXCLUSIVE)
            return early ? 0 : -EBADMSG;
        reached = !it->in_use && it->reached > reached ? it->reached : reached;
    }
    if (source == NULL) {
        prune(s);
        source = calloc(1, sizeof *source);
        if (source == NULL)
            return -ENOMEM;
        memcpy(source->sender, link->party.id_hex, HEX);
        source->session = statement->session;
        source->next = s->trust->sources;
        s->trust->sources = source;
        s->trust->source_count++;
    }
    source->key = vault_take(&s->trust->vault);
    if (source->key == NULL)
        return -ENOMEM;
    source->kind = statement->kind;
    source->reached = reached;
    source->in_use = true;
    source->epoch = s->trust->epoch;
    derive_session(s, source->key, source->sender, source->session);
    link->source = source;
    return 1;
}

static int verify(struct link *link)
{
    struct link_statement statement;
    uint8_t proof[AUTH_MAC_SIZE], wanted[AUTH_MAC_SIZE];
    struct trust *trust = link->socket->trust;

    if (!read_proof(link, &statement, proof) || !is_challenge(statement.challenge))
        return 0;
    bool mine = memcmp(statement.challenge, link->trust->challenge, sizeof statement.challenge) == 0;
    bool early = memcmp(statement.challenge, trust->standing, sizeof statement.challenge) == 0 ||
                 memcmp(statement.challenge, trust->previous, sizeof statement.challenge) == 0;
    /* A sender whose readers pin blocks has to know them first. */
    if (!mine && (!early || statement.kind == RING_PRIVATE))
        return 0;
    statement.reader_record = mine ? link->record_block->offset : 0;
    auth_prove(wanted, trust->root, &statement, sizeof statement);
    if (!auth_equal(proof, wanted))
        return -EBADMSG;
    int found = statement.session == 0 ? 1 : find_source(link, &statement, early);
    if (found <= 0)
        return found;
    link->trust->start = statement.start;
    memcpy(link->trust->routing_id, statement.routing_id, sizeof link->trust->routing_id);
    link->trust->routing_id_size = (uint32_t)statement.routing_id_size;
    memcpy(link->trust->used, link->trust->challenge, sizeof link->trust->used);
    memset(link->trust->challenge, 0, sizeof link->trust->challenge);
    write_challenge(link);
    link->trusted = true;
    return 1;
}

int trust_check(struct link *link)
{
    uint64_t theirs[2];
    if (link->socket->trust == NULL || link->trust == NULL)
        return 1;
    read_pair(theirs, link->theirs->challenge);
    if (is_challenge(theirs) && memcmp(theirs, link->trust->proved, sizeof theirs) != 0) {
        int error = trust_prove(link);
        if (error < 0)
            return error;
        link_notify(link);
    }
    return link->trusted ? 1 : verify(link);
}

int link_peer_routing_id(const struct link *link, uint8_t id[256], uint32_t *size)
{
    const struct segment_header *header = link->peer->remote->header;
    *size = link->trust != NULL ? link->trust->routing_id_size : peer_u32_once(&header->routing_id_size);
    if (*size > 255)
        return -EPROTO;
    peer_copy(id, link->trust != NULL ? link->trust->routing_id : header->routing_id, *size);
    return 0;
}

int trust_begin(struct link *link, uint64_t *first)
{
    struct trust_source *source = link->source;
    if (link->socket->trust == NULL)
        return 1;
    if (source == NULL || source->kind != link->in.kind)
        return -EPROTO;
    if (*first < source->reached)
        *first = source->reached;
    if (source->kind == RING_SHARED && source->given != NULL && source->mask != link->in.mask)
        return -EPROTO;
    if (source->kind == RING_SHARED && source->given == NULL) {
        source->given = calloc(link->in.mask + 1, sizeof *source->given);
        source->mask = link->in.mask;
    }
    source->opened = source->kind != RING_SHARED || source->given != NULL;
    return source->opened ? 1 : -ENOMEM;
}

/* ---- messages ---- */

void trust_seal(struct shm_socket *s, struct link *link, const struct ring_out *ring,
                const struct ring_message *message, void *to)
{
    struct auth_frame frame = {.key = link == NULL || ring == &s->shared_out ? s->trust->shared_key : link->trust->key,
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

unsigned char *trust_gather(struct shm_socket *s, uint64_t used, uint64_t size)
{
    return make_room(&s->trust->packed, &s->trust->packed_room, used, size);
}

/* A claim word has the low bits of a ticket: it is the one of those that is nearest. */
static uint64_t whole_ticket(const struct ring_in *ring, uint64_t ticket)
{
    int64_t ahead = (int64_t)((ticket - ring->tail) << (64 - TICKET_BITS)) >> (64 - TICKET_BITS);
    return ring->tail + (uint64_t)ahead;
}

int trust_open(struct shm_socket *s, struct link *link, struct ring_taken *taken)
{
    struct trust_source *source = link->source;
    uint64_t small[SLOT_WORDS];
    void *to = small;

    if (source == NULL || taken->size < AUTH_TAG_SIZE || taken->size - AUTH_TAG_SIZE > AUTH_MAX)
        return -EBADMSG;
    uint64_t size = taken->size - AUTH_TAG_SIZE;
    uint64_t ticket = taken->redelivered ? whole_ticket(&link->in, taken->ticket) : taken->ticket;
    if (source->given != NULL && source->given[ticket & source->mask] > ticket)
        return -EBADMSG; /* once is enough, whatever the claim words say */
    if (taken->is_block)
        to = make_room(&s->trust->opened, &s->trust->opened_room, 0, size);
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
    if (taken->pinned)
        pin_clear(&s->pins, PIN_IN_HAND);
    taken->pinned = false;
    return 0;
}

void trust_untake(struct link *link, const struct ring_taken *taken)
{
    struct trust_source *source = link->source;
    if (source == NULL || source->given == NULL)
        return;
    uint64_t ticket = taken->redelivered ? whole_ticket(&link->in, taken->ticket) : taken->ticket;
    source->given[ticket & source->mask] = ticket;
}

void *trust_give(struct shm_socket *s, const void *data, size_t size)
{
    struct trust *trust = s->trust;
    if (trust == NULL || data != trust->opened || size < trust->opened_room / 2)
        return NULL;
    void *bytes = trust->opened;
    trust->opened = NULL;
    trust->opened_room = 0;
    return bytes;
}
