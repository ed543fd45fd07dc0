/* SPDX-License-Identifier: MIT */
/* The data of auth sessions; private to session*.c. */
#ifndef SHMQ_CORE_SESSION_STATE_H
#define SHMQ_CORE_SESSION_STATE_H

#include "core/session.h"

#define HEX (2 * SEGMENT_ID_SIZE)
#define SOURCES_KEPT 64 /* below this many, dead senders are not looked for */

/* A session of a peer, and our read position in it. */
struct session_source {
    struct session_source *next;
    char sender[HEX + 1];
    uint64_t session;
    uint32_t kind;
    bool in_use, opened;
    uint8_t *key;     /* while in use */
    uint64_t reached; /* while not in use: all lower tickets were read */
    uint64_t epoch;   /* the last in which its sender was known to live */
    uint64_t *given;  /* SPMC: per slot, one past the last ticket delivered here */
    uint64_t mask;
};

struct auth_session {
    struct vault vault;
    uint8_t *root;
    uint64_t standing[2], previous[2]; /* challenges for connectors that are not accepted yet */
    uint64_t epoch;                    /* how often they were renewed */
    uint64_t sessions; /* of own rings: the last number given */
    uint8_t *shared_key;
    uint64_t shared_session;
    struct session_source *sources;
    uint32_t source_count, look_at_count;
    unsigned char *packed, *opened;
    uint64_t packed_room, opened_room;
};

struct pipe_session {
    uint64_t challenge[2]; /* 0: used up */
    uint64_t used[2];      /* the challenge that the peer's proof used up */
    uint64_t proved[2];    /* the peer's challenge that we answered last */
    uint64_t pre_accept;   /* generation of the binder whose standing challenge we answered */
    uint64_t their_offset;
    uint64_t start, resume;
    uint8_t *key; /* of our own ring */
    uint64_t session;
    uint8_t routing_id[256]; /* the peer's, as proven */
    uint32_t routing_id_size;
};

/* What is hashed for proofs and keys. In private memory only: the verifier recomputes the hash. */
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

/* ---- between session.c and session_proof.c ---- */

uint32_t session_mode(const struct shm_socket *s);
void session_derive(struct shm_socket *s, uint8_t *key, const char *sender, uint64_t session);
void session_write_challenge(struct pipe *pipe);
int session_renew_standing(struct shm_socket *s, struct auth_session *auth);
void session_free_source(struct auth_session *auth, struct session_source *source);

#endif
