/* SPDX-License-Identifier: MIT */
/*
 * A whole socket among liars: who is connected, what they send, how far they have read, what their hazard words and
 * claims say, what the endpoint says of them. It only has to survive, to end every call, and to leave nothing
 * behind. SOCKET_TYPES: the types that this program tests.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "patterns/router.h"
#include "core/membership.h"
#include "core/message_layout.h"
#include "core/socket.h"
#include "liar.h"
#include "world.h"

#define LIARS     2
#define RECORD_AT 8192
#define RING_AT   12288
#define RING_SIZE UINT64_C(16)
#define BLOCK_AT  32768
#define VIEWS     4
#define STEPS     48

/* Per call: a ring's length for each pipe and message, and whole endpoints now and then. */
#define READS_ALLOWED (UINT64_C(48) << 20)

static const int types[] = {SOCKET_TYPES};
static shm_socket_t *victim;
static int segments[LIARS];  /* their files */
static uint64_t sent[LIARS]; /* what they have published */

/* ---- what tempts ---- */

static struct pipe *some_pipe(unsigned which)
{
    return victim != NULL && victim->pipes.count > 0 ? victim->pipes.list[which % victim->pipes.count] : NULL;
}

static uint64_t tempt(unsigned which)
{
    struct pipe *pipe = some_pipe(which / 8);
    uint64_t tail = pipe != NULL && pipe->has_in ? pipe->in.tail : 0;
    uint64_t mask = pipe != NULL && pipe->has_in ? pipe->in.mask : 15;
    uint64_t head = pipe != NULL && pipe->out != NULL ? pipe->out->head : 0;
    switch (which % 32) {
    case 0:
    case 1:
    case 8:
        return seq_ready(tail);
    case 2:
        return seq_ready(tail + mask + 1);
    case 3:
        return tail + 1;
    case 4:
        return head;
    case 5:
        return head + 1;
    case 6:
        return meta_make(SLOT_PAYLOAD, META_PACKED, 1);
    case 7:
        return meta_make(16, META_BLOCK | META_PACKED, 1);
    case 9:
        return PART_BLOCK | 1024;
    case 10:
        return RECORD_AT;
    case 11:
        return RING_AT;
    case 12:
        return BLOCK_AT;
    case 13:
        return claim_word(tail, CLAIM_CLAIMED, 9);
    case 14:
        return claim_word(head - 1, CLAIM_DONE, 9);
    case 15:
        return claim_word(head, CLAIM_CLAIMED, 1);
    case 16:
        return LIAR_WORD + (which & 1);
    case 17: { /* the victim's own */
        uint64_t id = 0;
        if (victim != NULL)
            memcpy(&id, victim->segment.header->id, sizeof id);
        return id;
    }
    case 18:
        return SEGMENT_EXTENT_MIN - 64;
    case 19:
        return VERDICT_ACCEPTED;
    case 20:
        return victim != NULL && victim->memberships != NULL ? victim->memberships->gen : 1;
    case 21:
        return RING_SPSC;
    case 22:
        return pipe != NULL && pipe->record_block != NULL ? pipe->record_block->offset : 4096;
    case 23:
        return victim != NULL && victim->tx.retired != NULL && pipe != NULL
                   ? hazard_word(pipe->their_tag, victim->tx.retired->offset)
                   : 0;
    case 24:
        return 8; /* a part of eight bytes */
    case 25:
        return meta_make(24, META_PACKED, 1);
    default:
        return which % 4;
    }
}

/* ---- the liars' files, as honest ones would be ---- */

static unsigned char *segment_of(unsigned n)
{
    return world_bytes(segments[n], 0, SEGMENT_EXTENT_MIN);
}

static uint32_t fitting_type(int type)
{
    static const uint32_t fits[] = {[SHM_PAIR] = SHM_PAIR, [SHM_PUB] = SHM_SUB, [SHM_SUB] = SHM_PUB,
                                    [SHM_REQ] = SHM_REP, [SHM_REP] = SHM_REQ, [SHM_DEALER] = SHM_DEALER,
                                    [SHM_ROUTER] = SHM_DEALER, [SHM_PULL] = SHM_PUSH, [SHM_PUSH] = SHM_PULL,
                                    [SHM_XPUB] = SHM_XSUB, [SHM_XSUB] = SHM_XPUB};
    return fits[type];
}

static uint32_t fitting_kind(int type, uint8_t choice)
{
    if (type == SHM_PULL)
        return choice & 1 ? RING_SPMC : RING_SPSC;
    return type == SHM_SUB || type == SHM_XSUB ? RING_BROADCAST : RING_SPSC;
}

static void draw_liar(unsigned n, int type)
{
    char name[64];
    uint32_t kind = fitting_kind(type, liar_byte());

    snprintf(name, sizeof name, "%032x", 0);
    memset(name, '1' + (int)n, 32);
    snprintf(name + 32, sizeof name - 32, ".seg");
    segments[n] = world_file(name, 2 * SEGMENT_EXTENT_MIN);
    unsigned char *base = segment_of(n);
    struct segment_header *header = (struct segment_header *)(void *)base;
    struct pipe_record *record = (struct pipe_record *)(void *)(base + RECORD_AT);
    struct ring_header *ring = (struct ring_header *)(void *)(base + RING_AT);
    header->magic = SEGMENT_MAGIC;
    header->abi = SHMQ_ABI;
    header->type = fitting_type(type);
    memset(header->id, 0x11 + 0x11 * (int)n, sizeof header->id);
    header->routing_id_size = n == 0 ? 0 : 3;
    memcpy(header->routing_id, "abc", 3);
    store_relaxed(&header->ring_offset, RING_AT);
    store_relaxed(&header->attached, 1);
    record->magic = PIPE_RECORD_MAGIC;
    record->hazard_tag = n + 1;
    store_relaxed(&record->ring_offset, RING_AT);
    store_relaxed(&record->receive_limit, 2);
    store_relaxed(&record->end, UINT64_MAX);
    ring->magic = RING_MAGIC;
    ring->kind = kind;
    ring->slots = ring->limit = RING_SIZE;
    memcpy(name + 32, ".bell", 6);
    ((struct bell_page *)world_bytes(world_file(name, sizeof(struct bell_page)), 0, sizeof(struct bell_page)))->magic =
        BELL_MAGIC;
    memcpy(name + 32, ".claims", 8);
    size_t size = CLAIMS_HEADER + RING_SIZE * sizeof(shared_u64);
    struct claims_header *claims = world_bytes(world_file(name, size), 0, size);
    claims->magic = CLAIMS_MAGIC;
    claims->slots = RING_SIZE;
    sent[n] = 0;
}

/* Both at once: connectors for a victim that is bound, a binder with its answer for one that connects. */
static void draw_endpoint(int type)
{
    size_t size = ENDPOINT_HEADER_SIZE + (size_t)ENDPOINT_SLOTS * sizeof(struct endpoint_slot);
    struct endpoint_header *header = world_bytes(world_file("it.ep", size), 0, size);
    struct endpoint_slot *slots = (struct endpoint_slot *)(void *)(header + 1);
    header->magic = ENDPOINT_MAGIC;
    header->abi = SHMQ_ABI;
    header->name_size = 2;
    memcpy(header->name, "it", 3);
    store_relaxed(&header->binder.gen, 1);
    store_relaxed(&header->binder.type, fitting_type(type));
    for (unsigned n = 0; n < LIARS; n++) {
        uint64_t id = LIAR_WORD * (n + 1);
        store_relaxed(&slots[n].member.gen, 1);
        store_relaxed(&slots[n].member.id[0], id);
        store_relaxed(&slots[n].member.id[1], id);
        store_relaxed(&slots[n].member.type, fitting_type(type));
        store_relaxed(&slots[n].member.pipe_offset, RECORD_AT);
    }
    store_relaxed(&header->high, LIARS);
    store_relaxed(&header->binder.id[0], LIAR_WORD);
    store_relaxed(&header->binder.id[1], LIAR_WORD);
    struct accept_record *answer = &slots[LIARS].accepts[0]; /* the place that a connector will get */
    store_relaxed(&answer->gen, 1);
    store_relaxed(&answer->peer_gen, 1);
    store_relaxed(&answer->binder_gen, 1);
    store_relaxed(&answer->binder_id[0], LIAR_WORD);
    store_relaxed(&answer->binder_id[1], LIAR_WORD);
    store_relaxed(&answer->verdict, VERDICT_ACCEPTED);
    store_relaxed(&answer->pipe_offset, RECORD_AT);
    store_relaxed(&answer->resume, UINT64_MAX);
}

/* A liar sends a proper message. */
static void publish(unsigned n)
{
    unsigned char *base = segment_of(n);
    struct ring_header *ring = (struct ring_header *)(void *)(base + RING_AT);
    struct ring_slot *slot = (struct ring_slot *)(void *)(ring + 1) + sent[n] % RING_SIZE;
    uint64_t *words = (uint64_t *)(void *)(base + BLOCK_AT);
    uint8_t form = liar_byte();
    uint32_t tag = form & 0x80 ? (uint32_t)liar_byte() : 1;

    store_relaxed(&slot->seq, seq_absent(sent[n]));
    switch (form & 7) {
    case 0: /* short */
        store_relaxed(&slot->meta, meta_make(form >> 1 & 63, 0, tag));
        store_relaxed(&slot->payload[0], form >> 3 & 3); /* a subscription, for those who take it so */
        break;
    case 1: /* an empty part, and a short one: a request */
    case 2:
        store_relaxed(&slot->meta, meta_make(24, META_PACKED, tag));
        store_relaxed(&slot->payload[0], 0);
        store_relaxed(&slot->payload[1], 8);
        break;
    case 3: /* an envelope, an empty part, one in a block */
        store_relaxed(&slot->meta, meta_make(40, META_PACKED, tag));
        store_relaxed(&slot->payload[0], 4);
        store_relaxed(&slot->payload[1], tag);
        store_relaxed(&slot->payload[2], 0);
        store_relaxed(&slot->payload[3], PART_BLOCK | 2000);
        store_relaxed(&slot->payload[4], BLOCK_AT);
        break;
    case 4: /* parts in a block */
        words[0] = PART_BLOCK | 1500;
        words[1] = BLOCK_AT + 4096;
        words[2] = 0;
        words[3] = 200;
        store_relaxed(&slot->meta, meta_make(16, META_BLOCK | META_PACKED, tag));
        store_relaxed(&slot->payload[0], BLOCK_AT);
        store_relaxed(&slot->payload[1], 32 + 200);
        break;
    default:
        store_relaxed(&slot->meta, meta_make(16, META_BLOCK, tag));
        store_relaxed(&slot->payload[0], BLOCK_AT);
        store_relaxed(&slot->payload[1], liar_byte() * UINT64_C(8));
    }
    store_relaxed(&slot->seq, seq_ready(sent[n]++));
    store_relaxed(&ring->head, sent[n]);
    world_seal();
}

/* ---- the victim ---- */

static void set(int option, int value)
{
    shm_setsockopt(victim, option, &value, sizeof value);
}

static void choose_options(void)
{
    static const int options[] = {SHM_REQ_RELAXED, SHM_REQ_CORRELATE, SHM_REQ_RESEND, SHM_CONFLATE, SHM_LOSSLESS,
                                  SHM_REDELIVER, SHM_ROUND_ROBIN, SHM_PROBE_ROUTER, SHM_ROUTER_HANDOVER,
                                  SHM_ROUTER_MANDATORY, SHM_XPUB_VERBOSER, SHM_IMMEDIATE};
    const int64_t no_spin = 0;
    unsigned bits = liar_byte() | (unsigned)liar_byte() << 8;

    set(SHM_LINGER, 0);
    set(SHM_SNDTIMEO, 0);
    set(SHM_RCVTIMEO, 0);
    set(SHM_SNDHWM, 1 << (bits >> 13));
    set(SHM_RCVHWM, 1 << (bits >> 13));
    shm_setsockopt(victim, SHM_SPIN_NS, &no_spin, sizeof no_spin);
    for (unsigned i = 0; i < sizeof options / sizeof options[0]; i++)
        if (bits >> i & 1)
            set(options[i], 1);
    if (bits & 0x1000) {
        const uint64_t limit = 65536;
        shm_setsockopt(victim, SHM_MEMORY_LIMIT, &limit, sizeof limit);
        set(SHM_HISTORY, 4);
    }
    if (victim->type == SHM_SUB || victim->type == SHM_XSUB)
        shm_setsockopt(victim, SHM_SUBSCRIBE, "", bits & 1);
}

static void receive_view(shm_msg_t *view)
{
    if (shm_msg_recv(view, victim, SHM_DONTWAIT) >= 0)
        liar_touch(shm_msg_data(view), shm_msg_size(view));
}

static void look_at_events(void)
{
    shm_event_t event;
    int events;
    size_t size = sizeof events;

    if (shm_event_recv(victim, &event, SHM_DONTWAIT) == 0)
        CHECK(memchr(event.endpoint, '\0', sizeof event.endpoint) != NULL);
    shm_getsockopt(victim, SHM_EVENTS, &events, &size);
}

/* A liar has read, or claims so, or leaves. */
static void say_what_was_read(unsigned arg)
{
    struct pipe *pipe = some_pipe(arg);

    if (pipe == NULL || pipe->theirs == NULL)
        return;
    struct pipe_record *record = (struct pipe_record *)(void *)(segment_of(arg % LIARS) + RECORD_AT);
    store_relaxed(&record->end, sent[arg % LIARS]);
    store_relaxed(&record->left, arg & 1);
    store_relaxed(&record->tail, pipe->own_ring.head + (arg & 4)); /* which may be a lie */
    world_seal();
}

static void change_endpoint(unsigned arg)
{
    if (arg == 0)
        shm_unbind(victim, "it");
    else if (arg == 1)
        shm_disconnect(victim, "it");
    else if (arg == 2)
        shm_connect(victim, "it");
    else if (arg == 3)
        shm_bind(victim, "it");
    else
        shm_poll(&(shm_pollitem_t){victim, -1, SHM_POLLIN | SHM_POLLOUT, 0}, 1, 0);
}

static void step(shm_msg_t *views)
{
    static const size_t sizes[] = {0, 1, 8, 96, 112, 113, 600, 1024, 5000, 20000};
    static char bytes[20000];
    char buffer[256];
    uint8_t what = liar_byte();
    unsigned arg = what >> 4;

    liar_allow("a call on a socket", READS_ALLOWED);
    switch (what & 15) {
    case 0:
    case 1:
        publish(arg % LIARS);
        break;
    case 2:
    case 3:
        shm_recv(victim, buffer, sizeof buffer, SHM_DONTWAIT);
        break;
    case 4:
        receive_view(&views[arg % VIEWS]);
        break;
    case 5:
        shm_msg_close(&views[arg % VIEWS]);
        break;
    case 6:
    case 7:
    case 8:
        shm_send(victim, bytes, sizes[arg % 10], SHM_DONTWAIT | ((what & 15) == 8 ? SHM_SNDMORE : 0));
        break;
    case 9: {
        shm_msg_t loan;
        if (shm_msg_loan(&loan, victim, sizes[arg % 10]) == 0 && shm_msg_send(&loan, victim, SHM_DONTWAIT) < 0)
            shm_msg_close(&loan);
        break;
    }
    case 10:
        store_relaxed(&victim->bell.page->changed, 1);
        break;
    case 11:
        membership_check(victim);
        break;
    case 12:
        look_at_events();
        break;
    case 13:
        if (arg & 1)
            shm_setsockopt(victim, SHM_SUBSCRIBE, "topic", arg / 2 % 5);
        else
            shm_setsockopt(victim, SHM_UNSUBSCRIBE, "topic", arg / 2 % 5);
        break;
    case 14:
        say_what_was_read(arg);
        break;
    default:
        change_endpoint(arg);
    }
}

/* No peer chose a routing id of the form that only a ROUTER generates. (Two may share an id for a while, when one
 * says that it has left and is still being read.) */
static void check_ids(void)
{
    for (uint32_t i = 0; victim->type == SHM_ROUTER && i < victim->pipes.count; i++) {
        const struct router_peer *one = victim->pipes.list[i]->kind_data;
        if (victim->pipes.list[i]->state != PIPE_UP || one == NULL || one->id_size == 0)
            continue;
        CHECK(one->id_size <= 255 && (one->id[0] != 0 || one->id_size == 5));
        for (uint32_t k = 0; k < i && one->id[0] == 0; k++) { /* generated ids are unique */
            const struct router_peer *other = victim->pipes.list[k]->kind_data;
            CHECK(victim->pipes.list[k]->state != PIPE_UP || other == NULL || memcmp(other->id, one->id, 5) != 0);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    shm_msg_t views[VIEWS];

    liar_begin(data, size);
    liar_tempt = tempt;
    int type = types[liar_choice(sizeof types / sizeof types[0])];
    for (unsigned n = 0; n < LIARS; n++)
        draw_liar(n, type);
    draw_endpoint(type);
    world_seal();
    for (int i = 0; i < VIEWS; i++)
        shm_msg_init(&views[i]);
    victim = shm_socket(type);
    CHECK(victim != NULL);
    choose_options();
    liar_allow("the first call", READS_ALLOWED);
    if (liar_byte() & 1)
        shm_bind(victim, "it");
    else
        shm_connect(victim, "it");
    for (int i = 0; i < STEPS && (i < 8 || liar_has_more()); i++) {
        step(views);
        check_ids();
    }
    liar_allow("shm_close", READS_ALLOWED);
    bool close_first = liar_byte() & 1;
    if (close_first)
        shm_close(victim);
    for (int i = 0; i < VIEWS; i++)
        shm_msg_close(&views[i]);
    if (!close_first)
        shm_close(victim);
    victim = NULL;
    world_reset();
    return 0;
}
