/* SPDX-License-Identifier: MIT */
/*
 * What lies in an endpoint's file, "<name>.ep": who is bound, who is connected, where their pipe
 * records are. All of its sockets map it writable (one of the named exceptions to "one writer per
 * word"); every word still has one writer, the holder of a life lock:
 *
 *   0     header           maker, once; `high`: any, grows only; `tombstone`: the remover
 *   512   binder           the holder of byte 0
 *   4096  slot[i] line 0       the connector that holds byte 1+i
 *         slot[i] lines 2, 3   the binder: its accept record for that connector, twice
 *
 * Every record is a seqlock (base/seqlock.h) that is valid while its generation is odd. Its writer's death is seen by
 * the lock, never by the record. An accept record says from where on the next binder reads, so there must always be
 * one: the older of two is written, and counts from when its generation is odd and the greater.
 *
 * The last one to leave, or to find everybody dead, takes a lock on all bytes at once, sets tombstone
 * and removes the name. A newcomer locks its byte first and looks at tombstone and name after that.
 *
 * Died ...                         state                             repair
 * maker before linkat              no name                           none: an O_TMPFILE file goes with it
 * connector before its gen is odd  a free slot                       none
 * connector after that             an odd gen without a lock         the binder drains its ring, frees the slot
 * binder before its gen is odd     nobody bound                      the next binder
 * binder after that                an odd gen without a lock         connectors see the lock; the next binder
 * binder amid an accept record     the other one still counts        none: as if it had died before it
 * remover before tombstone         nothing happened                  the next one removes
 * remover between tombstone, unlink  a name with a tombstone         the next opener removes it
 */
#ifndef SHMQ_TRANSPORT_ENDPOINT_LAYOUT_H
#define SHMQ_TRANSPORT_ENDPOINT_LAYOUT_H

#include "base/atomic.h"

#define ENDPOINT_MAGIC       UINT64_C(0x31706571686d7368)
#define ENDPOINT_NAME_MAX    200
#define ENDPOINT_SUFFIX      ".ep"
#define ENDPOINT_SLOTS       65535u
#define ENDPOINT_HEADER_SIZE 4096
#define ENDPOINT_BYTE_BINDER 0
#define ENDPOINT_BYTE_SLOT   1       /* + slot */
#define ENDPOINT_BYTES       (1 << 17) /* what the remover locks */
#define ENDPOINT_BYTE_REMOVE (ENDPOINT_BYTES - 1)

/* Who a socket is: its segment's id, its type, and its pipe record in that segment. */
struct endpoint_member {
    shared_u64 gen;
    shared_u64 id[2];
    shared_u64 type; /* SHM_PAIR ... */
    shared_u64 pid;  /* for people */
    shared_u64 pipe_offset; /* connectors: of their pipe record */
    shared_u64 done_with;   /* connectors: the generation of the accept record whose binder is not needed any more */
};

enum { VERDICT_ACCEPTED = 1, VERDICT_REJECTED = 2, VERDICT_UNTRUSTED = 3 };

struct accept_record {
    shared_u64 gen;
    shared_u64 peer_gen;   /* of the connector that it is for */
    shared_u64 binder_gen; /* of the binder that accepts */
    shared_u64 binder_id[2];
    shared_u64 verdict;
    shared_u64 pipe_offset; /* of the binder's pipe record */
    shared_u64 resume; /* the connector's ring was read up to here, by a binder that left in order or before this one */
};

struct endpoint_header {
    uint64_t magic;
    uint32_t abi;
    uint32_t name_size;
    char name[208];
    uint8_t pad0[288];
    struct endpoint_member binder; /* 512 */
    uint8_t pad1[456];
    shared_u32 tombstone; /* 1024 */
    shared_u32 high;   /* slots at and above this were never used and have no memory */
    uint8_t pad2[3064];
};

struct endpoint_slot {
    struct endpoint_member member;
    uint8_t pad0[72];
    struct accept_record accepts[2];
};

_Static_assert(offsetof(struct endpoint_header, binder) == 512, "layout");
_Static_assert(offsetof(struct endpoint_header, tombstone) == 1024, "layout");
_Static_assert(sizeof(struct endpoint_header) == ENDPOINT_HEADER_SIZE, "layout");
_Static_assert(offsetof(struct endpoint_slot, accepts) == 128, "layout");
_Static_assert(sizeof(struct endpoint_slot) == 256, "layout");

#endif
