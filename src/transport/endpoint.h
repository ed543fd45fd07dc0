/* SPDX-License-Identifier: MIT */
/* Endpoints: where sockets meet (endpoint_layout.h has the format and the crash table). */
#ifndef SHMQ_TRANSPORT_ENDPOINT_H
#define SHMQ_TRANSPORT_ENDPOINT_H

#include "transport/endpoint_layout.h"
#include "transport/segment_layout.h"
#include "transport/store.h"

#define ENDPOINT_BINDER UINT32_MAX

struct endpoint {
    struct store *store;
    struct endpoint_header *header; /* this mapping holds the life lock */
    struct endpoint_slot *slots;
    int fd; /* for asking about others' locks; holds none */
    uint32_t slot; /* mine, or ENDPOINT_BINDER */
    uint32_t backed; /* slots that certainly have memory */
    bool is_short;   /* for others there was none when they were last looked for */
    char name[ENDPOINT_NAME_MAX + 1];
    char file[256];
};

/* A member's record, copied out. */
struct member {
    uint64_t gen;
    uint8_t id[SEGMENT_ID_SIZE];
    char id_hex[2 * SEGMENT_ID_SIZE + 1];
    uint32_t type;
    uint32_t pid;
    uint64_t pipe_offset;
};

/* A binder's accept record, copied out. */
struct accepted {
    uint64_t gen; /* of this record itself */
    uint64_t peer_gen, binder_gen, verdict, pipe_offset, resume;
    uint8_t binder_id[SEGMENT_ID_SIZE];
};

/* Strip "shm://" and check. -EINVAL, -ENAMETOOLONG, -EPROTONOSUPPORT. */
int endpoint_name(char name[ENDPOINT_NAME_MAX + 1], const char *address);

/* Take the binder's place (-EADDRINUSE) or a free connector's slot (-EUSERS), making the file if
 * there is none. Nothing is announced yet. */
int endpoint_bind(struct endpoint *endpoint, struct store *store, const char *name);
int endpoint_connect(struct endpoint *endpoint, struct store *store, const char *name);

/* Announce who we are. */
void endpoint_announce(struct endpoint *endpoint, const uint8_t *id, uint32_t type, uint64_t pipe_offset);

/* We, a connector, have done with the binder of this generation: its files are not kept for us any more. (Said before
 * they are unmapped: whoever finds them unlocked after that sees it.) */
void endpoint_done(struct endpoint *endpoint, uint64_t binder_gen);

/* Withdraw our record. (The binder that the accept record names may be named nowhere then.) */
void endpoint_retract(struct endpoint *endpoint);

/* Let go of the lock, and remove the file if nobody is left. Not RETRACTED: as if we had died there, so that the
 * binder still reads what was sent. */
void endpoint_leave(struct endpoint *endpoint, bool retracted);

/* 1 and *out is valid; 0 there is nobody (or it is just being written). */
int endpoint_binder(const struct endpoint *endpoint, struct member *out);
int endpoint_connector(const struct endpoint *endpoint, uint32_t slot, struct member *out);
uint32_t endpoint_high(struct endpoint *endpoint); /* slots below it have memory */

/* The accept record of a slot. */
void endpoint_accept_write(struct endpoint *endpoint, uint32_t slot, const struct accepted *accepted);
int endpoint_accept_read(const struct endpoint *endpoint, uint32_t slot, struct accepted *out);

/* Do they live? 1 or 0. */
int endpoint_binder_lives(const struct endpoint *endpoint);
uint64_t endpoint_gen(const struct endpoint *endpoint); /* of one's own record */
int endpoint_connector_lives(const struct endpoint *endpoint, uint32_t slot);
/* No connector is there that lives. */
bool endpoint_is_empty(const struct endpoint *endpoint);

/* Free the slot of a dead connector. */
void endpoint_clear(struct endpoint *endpoint, uint32_t slot);

#endif
