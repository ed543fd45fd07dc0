/* SPDX-License-Identifier: MIT */
/*
 * What the words of pipe records and segments publish, and when memory goes.
 *
 *   CASE 1  ring_offset, start: one side makes its ring for the other, which opens it and reads where it
 *           begins
 *   CASE 2  a PUSH's ring_offset in its segment's header, under a PULL that comes early
 *   CASE 3  connected_to: a side that left frees its record and ring once the other has let go of them
 *   CASE 4  refs: two views of one message are closed by two threads, the socket being closed meanwhile;
 *           the last of all frees; and the view reference is used again
 *   CASE 5  hazards: a side that left frees its ring once the other has no view of it
 *   CASE 6  view references: a view is closed by one thread while the socket's thread takes the next, which has a
 *           hazard word of its own then. CLAIM: a claim
 *   CASE 7  connected_to, tail: a connector goes from one binder to the next; both ask how far it has read theirs
 *   CASE 8  left, end: a side leaves, the other takes the pipe down at any time
 *   CASE 9  last_connected: a connector comes to map a binder that has gone; the next binder removes its files then.
 *           REFUSED: it finds that it cannot be linked to that one. AWAITED: the binder itself removes them.
 *           LEAVES: it has looked, could not be linked for want of something, and leaves; TURNED: as one that the
 *           binder had turned away
 *   CASE 10 a socket's refs: it is closed while another thread closes its last view
 *   CASE 11 connected_to: a binder left; its connector lets go of it and goes on; the binder uses the memory again
 *   CASE 12 connected_to, last_connected: a connector comes to a binder that leaves
 *
 * Shown: no memory is read before it is ready, or freed, or written again, before it was read. (The race
 * detector says so; IMM has none, there the values do.)
 *
 * run: -DCASE=1                       ring_offset
 * run: -DCASE=2                       ring_offset, early
 * run: -DCASE=3                       connected_to
 * run: -DCASE=4                       refs
 * run: -DCASE=5                       hazards
 * run: -DCASE=6                       view references
 * run: -DCASE=7                       connected_to and tail, between two
 * run: -DCASE=8                       left, end
 * run: -DCASE=9                       last_connected
 * run: -DCASE=9 -DREFUSED               last_connected, refused
 * run: -DCASE=9 -DAWAITED               last_connected, awaited
 * run: -DCASE=9 -DAWAITED -DLEAVES      left, by who was awaited
 * run: -DCASE=9 -DAWAITED -DLEAVES -DTURNED  left, by who was turned away
 * run: -DCASE=10                      refs of a socket
 * run: -DCASE=11                      connected_to, by one who goes on
 * run: -DCASE=12                      connected_to before last_connected
 * run: -DCASE=6 -DCLAIM               view references that keep claims
 */
#define RUNS_PIPE
#define RUNS_RX
#define RUNS_MEMBERSHIP
#define RUNS_MEMORY
#define SLOTS 8
#include "shared.h"

static void *model_calloc(size_t n, size_t size);
static void model_free(void *memory);
#define calloc(n, size) model_calloc(n, size)
#define free(p)         model_free(p)
#define memset(p, v, n) ((void)(p)) /* all of it is zero already */
#define memcmp(a, b, n) ((void)sizeof(a), (void)sizeof(b), 0) /* ids are looked at in words */

#include "kernel.h"

#if CASE == 2 || defined(CLAIM)
#define KIND RING_SPMC
#else
#define KIND RING_SPSC
#endif

static struct shm_socket sockets[PROCESSES];
static uint32_t ring_kind(struct shm_socket *s, int peer_type)
{
    (void)peer_type;
    return CASE >= 7 && s == &sockets[1] ? 0 : KIND; /* process 1 only receives there */
}

#ifdef REFUSED
#define FITS 0
#else
#define FITS UINT32_MAX
#endif
static const struct kind kind = {.ring = ring_kind, .fits = FITS};
static struct pipe *lists[4] = {&pipes[0], &pipes[1]};
#if CASE >= 7
#undef RECORDS
#define RECORDS .record = {{.magic = PIPE_RECORD_MAGIC, .hazard_tag = 1, .connected_to = 1, .ring_offset = OFFSET(ring)}}, \
                .ring = {.magic = RING_MAGIC, .kind = RING_SPSC, .slots = SLOTS, .head = 8}
#endif
static struct memory memory[PROCESSES] = {{RECORDS}, {RECORDS}, {RECORDS}};
static struct claims_header claims_header;
static shared_u64 claims_words[SLOTS];
static struct claims claims_of_1 = {.header = &claims_header, .words = claims_words, .slots = SLOTS, .owner = 1};
static struct peer peers[2 * PROCESSES] = {PEER(0, 1, ), PEER(1, 0, )};
static struct pipe pipes[2 * PROCESSES] = {
    PIPE(0, 0, 0, 1, 0, .own_ring = OUT(0, KIND, ), .out = &pipes[0].own_ring),
    PIPE(1, 1, 0, 0, 0, .in = IN(0, KIND, .claims = &claims_of_1), .has_in = true),
};
static struct shm_socket sockets[PROCESSES] = {
    SOCKET(0, .pipes = &lists[0], .pipes.count = 1, .kind = &kind, .type = SHM_PUSH),
    SOCKET(1, .pipes = &lists[1], .pipes.count = 1, .pipes.capacity = 4, .kind = &kind, .type = SHM_PULL),
    SOCKET(2, .kind = &kind, .type = SHM_PUSH),
};

#ifdef REFUSED
#define MEMBER_ID_UNIT uint8_t
#endif
#include "member.h"

#include "record_world.h"

/* ---- cases ---- */

model_thread(maker)
{
#if CASE == 1
    ring_out_open(&pipes[0].own_ring, NULL, KIND, 8, false);
    sockets[0].tx.has_shared = true;
    pipes[0].out = NULL;
    pipe_open_out(&pipes[0], SHM_PULL);
#else
    pipe_open_shared_ring(&sockets[0], RING_SPMC);
#endif
    return NULL;
}

model_thread(opener)
{
    pipes[1].has_in = false;
#if CASE == 1
    int opened = pipe_open_in(&pipes[1], 0);
    assert(opened == 0 || (opened == 1 && pipes[1].in.mask == SLOTS - 1 && pipes[1].in.kind == KIND));
#else
    static const struct member member;
    bool there = load_relaxed(&memory[0].header.ring_offset) != 0;
    if (pipe_pre_accept_open(&pipes[1], &peers[1], &member, RING_SPMC))
        assert(pipes[1].in.mask == SLOTS - 1 && pipes[1].in.kind == RING_SPMC);
    else
        assert(!there);
#endif
    return NULL;
}

model_thread(reader)
{
    uint64_t value = ring_memory;
#if CASE == 3
    pipe_free(&pipes[1]); /* lets go of the peer: connected_to := 0 */
#elif CASE == 5
    hazard_clear(&sockets[1].hazards, 1);
#endif
    assert(value == 7);
    return NULL;
}

model_thread(leaver)
{
    pipe_free_ended(&sockets[0]);
    return NULL;
}

static struct view_ref *ref, *next_ref;
static uint64_t views[2];

static void *viewer(void *i)
{
    views[(intptr_t)i] = view_memory;
    view_ref_release(ref);
    return NULL;
}

model_thread(taker)
{
#ifdef CLAIM
    next_ref = view_ref_claim(&pipes[1], 1);
#else
    next_ref = view_ref_block(&pipes[1], 128);
#endif
    assert(next_ref != NULL);
    return NULL;
}

/* ---- cases 7 to 12 ---- */

static struct membership membership = {.gen = 1};
static const struct member next = {.gen = 5, .pipe_offset = OFFSET(record[0])};
#define TOKEN(p) pipe_token(memory[p].header.id, OFFSET(record[0]))

/* The socket is process 1's. */
model_thread(mover)
{
    opens = &remotes[2];
    pipe_gone(&pipes[1], true);
    assert(pipe_meet_peer(&pipes[1], &next, OFFSET(record[0]), 0) == 0);
    return NULL;
}

static void *asks(void *p)
{
    uint64_t tail, first = p == NULL ? 3 : 0;
    if (record_tail(&memory[1].record[0], TOKEN((intptr_t)p), &tail))
        assert(tail == first);
    return NULL;
}

model_thread(says_end)
{
    pipe_leave(&pipes[0]);
    return NULL;
}

model_thread(takes_down)
{
    pipe_gone(&pipes[1], true);
    assert(pipes[1].died || pipes[1].in.end == 3);
    return NULL;
}

int endpoint_accept_read(const struct endpoint *endpoint, uint32_t slot, struct accepted *out)
{
    (void)endpoint, (void)slot;
    out->gen = out->peer_gen = 1;
    out->binder_gen = 5;
    out->verdict = VERDICT_ACCEPTED;
    out->pipe_offset = OFFSET(record[0]);
    out->resume = CASE == 9 && endpoint != &membership.endpoint ? 0 : UINT64_MAX;
    memcpy(out->binder_id, memory[0].header.id, sizeof out->binder_id);
    return 1;
}

int endpoint_binder(const struct endpoint *endpoint, struct member *out)
{
    (void)endpoint;
    out->gen = 5;
    for (unsigned i = 0; i < sizeof out->id / sizeof(MEMBER_ID_UNIT); i++)
        ((MEMBER_ID_UNIT *)(void *)out->id)[i] = i == 0;
    for (unsigned i = 0; i < sizeof out->id_hex; i++)
        out->id_hex[i] = 0;
    out->type = out->pid = 0;
    out->pipe_offset = 0;
    return 1;
}

int endpoint_connector(const struct endpoint *endpoint, uint32_t slot, struct member *out)
{
    (void)endpoint, (void)slot, (void)out;
    return 0;
}

int endpoint_binder_lives(const struct endpoint *endpoint)
{
    (void)endpoint;
    return 0;
}

int endpoint_connector_lives(const struct endpoint *endpoint, uint32_t slot)
{
    (void)endpoint, (void)slot;
    return 1;
}

void segment_id_hex(char hex[2 * SEGMENT_ID_SIZE + 1], const uint8_t id[SEGMENT_ID_SIZE])
{
    (void)hex, (void)id;
}

int segment_is_alive(struct store *store, const char *id_hex)
{
    (void)store, (void)id_hex;
    return 1;
}

void pipe_look_at_tail(struct pipe *pipe)
{
    (void)pipe;
}

void tx_abandon(struct pipe *pipe)
{
    (void)pipe;
}

model_thread(comes)
{
#ifdef REFUSED
    membership_sync_connected(&sockets[1], &membership);
#elif defined(LEAVES)
    assert(files);
    pipe_leave(&pipes[1]);
#else
    assert(pipe_meet_peer(&pipes[1], &next, OFFSET(record[0]), 0) == 0);
    assert(CASE != 12 || ring_memory == 7);
#endif
    return NULL;
}

model_thread(removes)
{
#ifdef TURNED
    if (is_over(&pipes[0]))
        files = 0;
#elif defined(AWAITED)
    if (!is_awaited(&sockets[0]))
        files = 0;
#else
    static struct membership of_2 = {.gen = 6};
    static const struct member connector = {.gen = 1, .pipe_offset = OFFSET(record[0])};
    opens = &former;
    opens_then = &remotes[1];
    if (!has_to_look_first(&sockets[2], &of_2, 0, &connector))
        files = 0; /* its answer takes the name away, and it removes them */
#endif
    return NULL;
}

model_thread(closer)
{
    peer_drop(&peers[1]);
    const struct segment_header *header = sockets[1].hazards.header;
    memory_unref(&sockets[1]);
    assert(header != NULL);
    return NULL;
}

int main(void)
{
    pthread_t a, b;
#if CASE == 7
    *(uint64_t *)(void *)memory[0].header.id = 1; /* the others are 0 */
    memory[1].record[0].connected_to = TOKEN(0);
    memory[1].record[0].tail = 3;
    pipes[1].membership = &membership;
    pipes[1].authenticated = true;
    sockets[1].refs = 3;
    pthread_t c;
    pthread_create(&a, NULL, mover, NULL);
    pthread_create(&b, NULL, asks, (void *)0);
    pthread_create(&c, NULL, asks, (void *)2);
    pthread_join(c, NULL);
#elif CASE == 11
    pipes[0].state = PIPE_LEAVING;
    memory[0].record[0].left = 1;
    memory[0].record[0].end = 3;
    memory[1].record[0].last_connected = 1;
    pipes[1].membership = &membership;
    pipes[1].authenticated = true;
    sockets[1].refs = 3;
    pthread_create(&a, NULL, takes_down, NULL);
    pthread_create(&b, NULL, leaver, NULL);
#elif CASE == 8
    pipes[0].own_ring.head = 3;
    pipes[1].authenticated = true;
    pthread_create(&a, NULL, says_end, NULL);
    pthread_create(&b, NULL, takes_down, NULL);
#elif CASE == 12
    record_block.offset = OFFSET(record[0]); /* the token by which each knows the other */
    pipes[0].state = PIPE_LEAVING;
    memory[1].record[0].connected_to = 0;
    pipes[1].membership = &membership;
    pipes[1].state = PIPE_QUEUED;
    pipes[1].authenticated = true;
    pipes[1].has_in = false;
    pthread_create(&a, NULL, comes, NULL);
    pthread_create(&b, NULL, leaver, NULL);
#elif CASE == 9
    pipes[1].membership = &membership;
    pipes[1].state = PIPE_QUEUED;
    pipes[1].authenticated = true;
    pipes[1].has_in = false;
    membership.pipes = &lists[1];
    pipes[0].state = PIPE_LEAVING;
    pipes[0].own_ring.kind = RING_SPSC;
    pipes[0].own_ring.head = 1;
#ifdef TURNED
    pipes[0].state = PIPE_DRAINING;
    pipes[0].has_in = false;
    pipes[0].own_ring.block = (struct block *)&files;
#endif
    pthread_create(&a, NULL, comes, NULL);
    pthread_create(&b, NULL, removes, NULL);
#elif CASE == 10
    ref = view_ref_block(&pipes[1], 64);
    sockets[1].refs = 2; /* the handle's, the peer's */
    pthread_create(&a, NULL, viewer, (void *)0);
    pthread_create(&b, NULL, closer, NULL);
#endif
#if CASE == 1 || CASE == 2
    memory[0].ring.slots = 0;
    memory[0].record[0].start = CASE == 1 ? UINT64_MAX : 0;
    pthread_create(&a, NULL, maker, NULL);
    pthread_create(&b, NULL, opener, NULL);
#elif CASE == 3 || CASE == 5
    pipes[0].state = PIPE_LEAVING;
    pipes[1].state = PIPE_DRAINING;
    pipes[1].hazard_tag = pipes[0].hazard_tag;
    pipes[0].own_ring.head = 1;
    memory[1].record[0].last_connected = 1;       /* the token of pipe 0 */
    memory[1].record[0].connected_to = CASE == 3; /* the same, or of none */
    if (CASE == 5)
        hazard_set(&sockets[1].hazards, 1, hazard_word(1, 64));
    pthread_create(&a, NULL, reader, NULL);
    pthread_create(&b, NULL, leaver, NULL);
#elif CASE == 6
#ifdef CLAIM
    claims_words[0] = claim_word(0, CLAIM_CLAIMED, 1);
    claims_words[1] = claim_word(1, CLAIM_CLAIMED, 1);
    ref = view_ref_claim(&pipes[1], 0);
#else
    ref = view_ref_block(&pipes[1], 64);
#endif
    pthread_create(&a, NULL, viewer, (void *)0);
    pthread_create(&b, NULL, taker, NULL);
#elif CASE == 4
    ref = view_ref_block(&pipes[1], 64);
    ref->refs = 2;
    pthread_create(&a, NULL, viewer, (void *)0);
    pthread_create(&b, NULL, viewer, (void *)1);
    peer_drop(&peers[1]); /* the pipe's own */
#endif
    pthread_join(a, NULL);
    pthread_join(b, NULL);
#if CASE == 4
    assert(views[0] == 7 && views[1] == 7);
#elif CASE == 9
    assert(found == 7);
#elif defined(CLAIM)
    assert(claims_words[0] == claim_word(0, CLAIM_DONE, 1) && claims_words[1] == claim_word(1, CLAIM_CLAIMED, 1));
#elif CASE == 6
    const shared_u64 *hazards = memory[1].header.hazards;
    assert(load_relaxed(&hazards[next_ref - sockets[1].view_refs]) == hazard_word(pipes[1].hazard_tag, 128));
    assert(next_ref == ref || load_relaxed(&hazards[ref - sockets[1].view_refs]) == 0);
#endif
    return 0;
}
