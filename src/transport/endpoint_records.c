/* SPDX-License-Identifier: MIT */
/* The records of an endpoint, seqlocks all (base/seqlock.h): who is announced where, and whom the binder accepted. */
#include "transport/endpoint.h"

#include <string.h>

#include "base/process.h"
#include "base/seqlock.h"
#include "transport/life.h"
#include "transport/segment.h"

/* ---- members ---- */

static struct endpoint_member *my_member(struct endpoint *endpoint)
{
    return endpoint->slot == ENDPOINT_BINDER ? &endpoint->header->binder : &endpoint->slots[endpoint->slot].member;
}

/* G1. The fields may be written after that; who sees that one has left sees how, in the pipe record. */
static uint64_t retract(shared_u64 *gen)
{
    return seqlock_begin(gen, peer_u64(gen), SEQLOCK_ODD);
}

void endpoint_announce(struct endpoint *endpoint, const uint8_t *id, uint32_t type, uint64_t pipe_offset)
{
    struct endpoint_member *member = my_member(endpoint);
    uint64_t words[2], gen = retract(&member->gen);
    memcpy(words, id, sizeof words);
    store_relaxed(&member->id[0], words[0]);
    store_relaxed(&member->id[1], words[1]);
    store_relaxed(&member->type, type);
    store_relaxed(&member->pid, process_id());
    store_relaxed(&member->pipe_offset, pipe_offset);
    store_relaxed(&member->done_with, 0);
    seqlock_end_seq_cst(&member->gen, gen + 1);
}

void endpoint_done(struct endpoint *endpoint, uint64_t binder_gen)
{
    struct accepted said;
    if (endpoint_accept_read(endpoint, endpoint->slot, &said) && said.binder_gen == binder_gen)
        store_relaxed(&my_member(endpoint)->done_with, said.gen);
}

void endpoint_retract(struct endpoint *endpoint)
{
    retract(&my_member(endpoint)->gen);
}

static int read_member(const struct endpoint_member *member, struct member *out)
{
    uint64_t words[2];
    for (int attempt = 0; attempt < SEQLOCK_TRIES; attempt++) {
        out->gen = seqlock_look_seq_cst(&member->gen);
        if (!seqlock_is_valid(out->gen, SEQLOCK_ODD))
            return 0;
        words[0] = peer_u64(&member->id[0]);
        words[1] = peer_u64(&member->id[1]);
        out->type = (uint32_t)peer_u64(&member->type);
        out->pid = (uint32_t)peer_u64(&member->pid);
        out->pipe_offset = peer_u64(&member->pipe_offset);
        if (seqlock_holds(&member->gen, out->gen)) {
            memcpy(out->id, words, sizeof words);
            segment_id_hex(out->id_hex, out->id);
            return 1;
        }
    }
    return 0;
}

int endpoint_binder(const struct endpoint *endpoint, struct member *out)
{
    return read_member(&endpoint->header->binder, out);
}

int endpoint_connector(const struct endpoint *endpoint, uint32_t slot, struct member *out)
{
    return read_member(&endpoint->slots[slot].member, out);
}

uint64_t endpoint_gen(const struct endpoint *endpoint)
{
    return peer_u64(&my_member((struct endpoint *)(uintptr_t)endpoint)->gen);
}

void endpoint_clear(struct endpoint *endpoint, uint32_t slot)
{
    if (life_take(endpoint->fd, ENDPOINT_BYTE_SLOT + slot) != 0)
        return;
    retract(&endpoint->slots[slot].member.gen);
    life_give(endpoint->fd, ENDPOINT_BYTE_SLOT + slot);
}

/* ---- whom the binder accepted ---- */

void endpoint_accept_write(struct endpoint *endpoint, uint32_t slot, const struct accepted *accepted)
{
    struct accept_record *both = endpoint->slots[slot].accepts;
    uint64_t gens[2] = {peer_u64(&both[0].gen), peer_u64(&both[1].gen)};
    uint64_t last = gens[0] > gens[1] ? gens[0] : gens[1];
    struct accept_record *shared = &both[seqlock_newest(gens[0], gens[1]) == 0];
    retract(&shared->gen);
    store_relaxed(&shared->peer_gen, accepted->peer_gen);
    store_relaxed(&shared->binder_gen, accepted->binder_gen);
    uint64_t id[2];
    memcpy(id, accepted->binder_id, sizeof id);
    store_relaxed(&shared->binder_id[0], id[0]);
    store_relaxed(&shared->binder_id[1], id[1]);
    store_relaxed(&shared->verdict, accepted->verdict);
    store_relaxed(&shared->pipe_offset, accepted->pipe_offset);
    store_relaxed(&shared->resume, accepted->resume);
    seqlock_end(&shared->gen, (last + 1) | 1);
}

int endpoint_accept_read(const struct endpoint *endpoint, uint32_t slot, struct accepted *out)
{
    const struct accept_record *both = endpoint->slots[slot].accepts;
    for (int attempt = 0; attempt < SEQLOCK_TRIES; attempt++) {
        uint64_t gens[2] = {seqlock_look(&both[0].gen), seqlock_look(&both[1].gen)};
        int newest = seqlock_newest(gens[0], gens[1]);
        if (newest < 0)
            return 0;
        const struct accept_record *shared = &both[newest];
        out->peer_gen = peer_u64(&shared->peer_gen);
        out->binder_gen = peer_u64(&shared->binder_gen);
        out->verdict = peer_u64(&shared->verdict);
        out->pipe_offset = peer_u64(&shared->pipe_offset);
        out->resume = peer_u64(&shared->resume);
        uint64_t id[2] = {peer_u64(&shared->binder_id[0]), peer_u64(&shared->binder_id[1])};
        memcpy(out->binder_id, id, sizeof id);
        out->gen = gens[newest];
        if (seqlock_both_hold(&both[0].gen, &both[1].gen, gens))
            return 1;
    }
    return 0;
}
