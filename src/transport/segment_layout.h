/* SPDX-License-Identifier: MIT */
/*
 * What lies in a socket's segment, the file "<id>.seg" of the runtime directory. A format: fixed
 * widths, fixed offsets, checked below. Written by the owner alone; peers map it read-only.
 *
 *   0      header: who this is                     written once, before the file has a name
 *   128    counters                                owner, any time
 *   256    routing id                              owner, before its first endpoint
 *   1024   hazard words: blocks of peers in use    owner, any time
 *   4096 … blocks: rings, pipe records, messages, in extents that double:
 *          extent 0 is [0, 64 KiB), extent n is [64 KiB << (n-1), 64 KiB << n)
 *
 * Life: the owner holds the life lock on byte 0 of the file (life.h); every peer that maps it holds the file, shared
 * (flock). Whoever finds byte 0 free, and can hold the file alone, may remove it: nobody can miss it.
 *
 * Next to it lies "<id>.bell", one page that all peers may write: see bell.h.
 */
#ifndef SHMQ_TRANSPORT_SEGMENT_LAYOUT_H
#define SHMQ_TRANSPORT_SEGMENT_LAYOUT_H

#include "base/atomic.h"

#define SEGMENT_MAGIC        UINT64_C(0x31676573716d6873) /* "shmqseg1" */
#define SHMQ_ABI             2u
#define SEGMENT_ID_SIZE      16
#define SEGMENT_HEADER_SIZE  4096
#define SEGMENT_EXTENT_SHIFT 16
#define SEGMENT_EXTENT_MIN   (UINT64_C(1) << SEGMENT_EXTENT_SHIFT)
#define SEGMENT_EXTENTS      32 /* up to 128 TiB, more than an address space */
#define SEGMENT_HAZARDS         256
#define SEGMENT_BYTE_OWNER   0

/* The counters, in the order of shm_stats_t. */
enum {
    STAT_SENT,
    STAT_RECEIVED,
    STAT_BYTES_SENT,
    STAT_BYTES_RECEIVED,
    STAT_LOST,
    STAT_DROPPED,
    STAT_REDELIVERED,
    STAT_WAKES,
    STAT_SLEEPS,
    STAT_PEERS,
    STAT_MEMORY,
    STAT_PROTOCOL_ERRORS,
    STAT_AUTH_FAILED,
    STAT_COUNT
};

struct segment_header {
    uint64_t magic;
    uint32_t abi;
    uint32_t type; /* SHM_PAIR ... */
    uint8_t id[SEGMENT_ID_SIZE];
    uint64_t created_ns; /* CLOCK_REALTIME, for people */
    uint32_t pid;        /* in the owner's namespace, for people: nothing is decided from it */
    uint32_t routing_id_size;
    shared_u64 ring_offset; /* the ring that all peers read (PUB, PUSH), or 0 */
    shared_u32 closed;      /* 1: left in order, not by death */
    shared_u32 attached;    /* 0, 1, or 2: more than one: times it was bound or connected */
    uint8_t pad0[64];
    shared_u64 stats[16];
    uint8_t routing_id[256];
    shared_u64 challenge[2]; /* for connectors that come to this binder (core/session.h); 0: no key */
    uint8_t pad1[432];
    shared_u32 hazards_used; /* hazards above this were never set */
    uint32_t reserved1;
    uint8_t pad2[56];
    shared_u64 hazards[SEGMENT_HAZARDS]; /* tag << 48 | offset / 64 of a block of a peer's segment; 0 free */
    uint8_t pad3[1024];
};

_Static_assert(offsetof(struct segment_header, id) == 16, "layout");
_Static_assert(offsetof(struct segment_header, created_ns) == 32, "layout");
_Static_assert(offsetof(struct segment_header, ring_offset) == 48, "layout");
_Static_assert(offsetof(struct segment_header, closed) == 56, "layout");
_Static_assert(offsetof(struct segment_header, stats) == 128, "layout");
_Static_assert(offsetof(struct segment_header, routing_id) == 256, "layout");
_Static_assert(offsetof(struct segment_header, challenge) == 512, "layout");
_Static_assert(offsetof(struct segment_header, hazards_used) == 960, "layout");
_Static_assert(offsetof(struct segment_header, hazards) == 1024, "layout");
_Static_assert(sizeof(struct segment_header) == SEGMENT_HEADER_SIZE, "layout");
_Static_assert(STAT_COUNT <= 16, "room for the counters");

#define PIPE_RECORD_MAGIC 0x6b6e696cu /* "pipe" */

/* One side of a connection between two sockets, in its own segment. */
struct pipe_record {
    uint32_t magic;
    uint32_t hazard_tag; /* marks this pipe's hazards, 1..65535 */
    shared_u64 ring_offset; /* the ring that this side sends on; 0 none (yet) */
    shared_u32 receive_limit; /* SHM_RCVHWM of this side */
    shared_u32 left;          /* 1: this side has left; its ring ends at `end` */
    shared_u64 start; /* first ticket of that ring which is for this peer; UINT64_MAX: not yet known */
    shared_u64 end;   /* one past the last; UINT64_MAX while it goes on */
    shared_u64 connected_to;   /* the pipe that `tail` is about: pipe_token() of the peer's; 0 none */
    shared_u64 last_connected; /* the same, kept when that peer has gone */
    uint32_t auth_mode; /* 0 no key, 1 authenticated, 2 sealed (core/session.h); once */
    uint32_t reserved1;
    shared_u64 challenge[2]; /* what the peer's proof must answer; 0: none is wanted */
    uint8_t pad0[48];
    shared_u64 tail;  /* the next ticket that this side will read of the peer's ring */
    shared_u64 lost;  /* how many it missed there */
    shared_u64 received;
    shared_u64 first; /* where it began to read; those before us read the rest */
    uint8_t pad1[32];
    shared_u64 proof_gen; /* odd while the proof is being written */
    shared_u64 proof_challenge[2]; /* the peer's, which it answers */
    shared_u64 proof_session; /* of the ring that this side sends on */
    shared_u64 proof_start;
    shared_u64 proof[2];
    shared_u32 proof_kind; /* of that ring */
    uint32_t reserved2;
};

_Static_assert(offsetof(struct pipe_record, ring_offset) == 8, "layout");
_Static_assert(offsetof(struct pipe_record, start) == 24, "layout");
_Static_assert(offsetof(struct pipe_record, challenge) == 64, "layout");
_Static_assert(offsetof(struct pipe_record, tail) == 128, "layout");
_Static_assert(offsetof(struct pipe_record, proof_gen) == 192, "layout");
_Static_assert(sizeof(struct pipe_record) == 256, "layout");

static inline unsigned segment_extent(uint64_t offset)
{
    uint64_t unit = offset >> SEGMENT_EXTENT_SHIFT;
    return unit == 0 ? 0 : 64u - (unsigned)__builtin_clzll(unit);
}

static inline uint64_t segment_extent_start(unsigned extent)
{
    return extent == 0 ? 0 : SEGMENT_EXTENT_MIN << (extent - 1);
}

static inline uint64_t segment_extent_size(unsigned extent)
{
    return extent == 0 ? SEGMENT_EXTENT_MIN : SEGMENT_EXTENT_MIN << (extent - 1);
}

#endif
