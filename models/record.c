/* SPDX-License-Identifier: MIT */
/*
 * What the words of pipe records and segments publish, and when memory goes.
 *
 *   CASE 1  ring_offset, start: one side makes its ring for the other, which opens it and reads where it
 *           begins
 *   CASE 2  a PUSH's ring_offset in its segment's header, under a PULL that comes early
 *   CASE 3  connected_to: a side that left frees its record and ring once the other has let go of them
 *   CASE 4  refs: two views of one message are closed by two threads, the socket being closed meanwhile;
 *           the last of all frees; and the hold is used again
 *   CASE 5  hazards: a side that left frees its ring once the other has no view of it
 *   CASE 6  holds: a view is closed by one thread while the socket's thread takes the next
 *   CASE 7  connected_to, tail: a connector goes from one binder to the next; both ask how far it has read theirs
 *   CASE 8  left, end: a side leaves, the other takes the pipe down at any time
 *   CASE 9  last_connected: a connector comes to map a binder that has gone; the next binder removes its files then.
 *           REFUSED: it finds that it cannot be linked to that one. AWAITED: the binder itself removes them.
 *           LEAVES: it has looked, could not be linked for want of something, and leaves; TURNED: as one that the
 *           binder had turned away
 *   CASE 10 a socket's refs: it is closed while another thread closes its last view
 *
 * Shown: no memory is read before it is ready, or freed, or written again, before it was read. (The race
 * detector says so; IMM has none, there the values do.)
 *
 * run: -DCASE=1                       ring_offset
 * run: -DCASE=2                       ring_offset, early
 * run: -DCASE=3                       connected_to
 * run: -DCASE=4                       refs
 * run: -DCASE=5                       hazards
 * run: -DCASE=6                       holds
 * run: -DCASE=7                       connected_to and tail, between two
 * run: -DCASE=8                       left, end
 * run: -DCASE=9                       last_connected
 * run: -DCASE=9 -DREFUSED               last_connected, refused
 * run: -DCASE=9 -DAWAITED               last_connected, awaited
 * run: -DCASE=9 -DAWAITED -DLEAVES      left, by who was awaited
 * run: -DCASE=9 -DAWAITED -DLEAVES -DTURNED  left, by who was turned away
 * run: -DCASE=10                      refs of a socket
 */
#define MODEL_HAS_SOCKET
#define SLOTS 8
#include "shared.h"

static void *model_calloc(size_t n, size_t size);
static void model_free(void *memory);
#define calloc(n, size) model_calloc(n, size)
#define free(p)         model_free(p)
#define memset(p, v, n) ((void)(p)) /* all of it is zero already */
#define memcmp(a, b, n) ((void)sizeof(a), (void)sizeof(b), 0) /* ids are looked at in words */

#include "kernel.h"


#include "core/rx.c"
#include "transport/ring_in.c"

#define find find_membership
#include "core/membership.c"
#undef find
#include "socket.h"
#if CASE == 2
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

static bool fits(int peer_type)
{
    (void)peer_type;
#ifdef REFUSED
    return false;
#else
    return true;
#endif
}

static const struct kind pattern = {.ring_kind = ring_kind, .fits = fits};
static struct pipe *lists[4] = {&pipes[0], &pipes[1]};
#if CASE >= 7
#undef RECORDS
#define RECORDS .record = {{.magic = PIPE_RECORD_MAGIC, .hazard_tag = 1, .connected_to = 1, .ring_offset = OFFSET(ring)}}, \
                .ring = {.magic = RING_MAGIC, .kind = RING_SPSC, .slots = SLOTS, .head = 8}
#endif
static struct memory memory[PROCESSES] = {{RECORDS}, {RECORDS}, {RECORDS}};
static struct peer peers[2 * PROCESSES] = {PEER(0, 1, ), PEER(1, 0, )};
static struct pipe pipes[2 * PROCESSES] = {
    PIPE(0, 0, 0, 1, 0, .own_ring = OUT(0, KIND, ), .out = &pipes[0].own_ring),
    PIPE(1, 1, 0, 0, 0, .in = IN(0, KIND, ), .has_in = true),
};
static struct shm_socket sockets[PROCESSES] = {
    SOCKET(0, .pipes = &lists[0], .pipes.count = 1, .kind = &pattern, .type = SHM_PUSH),
    SOCKET(1, .pipes = &lists[1], .pipes.count = 1, .pipes.capacity = 4, .kind = &pattern, .type = SHM_PULL),
    SOCKET(2, .kind = &pattern, .type = SHM_PUSH),
};

/* What the compiler makes of the copy of a struct member: field by field, as they are read. */
#undef memcpy
__attribute__((used)) void *memcpy(void *to, const void *from, size_t n)
{
    struct member *copy = to;
    const struct member *member = from;
    assert(n == sizeof *copy);
    copy->gen = member->gen;
    for (unsigned i = 0; i < sizeof copy->id; i++)
        copy->id[i] = member->id[i];
    copy->type = member->type;
    copy->pid = member->pid;
    copy->pipe_offset = member->pipe_offset;
    return to;
}
#define memcpy(d, s, n) model_copy(d, s, n)

/* ---- what the records speak of ---- */

static uint64_t ring_memory = 7; /* plain: 7 while it is there */

static struct claims claims_made;
static struct peer peer_made;
static void *model_calloc(size_t n, size_t size)
{
    (void)n;
    if (CASE < 7)
        return &claims_made;
    return size == sizeof peer_made ? &peer_made : NULL; /* no rest of a pipe, then */
}

/* Of a socket: written by its next owner. */
static void model_free(void *memory_freed)
{
    if (memory_freed == &sockets[1])
        sockets[1].hazards.header = NULL;
}

/* As the real one does, then the name is given. */
int ring_out_open(struct ring_out *ring, struct arena *arena, uint32_t kind, uint64_t limit, bool fill_now)
{
    (void)ring, (void)arena, (void)limit, (void)fill_now;
    memory[0].ring.magic = RING_MAGIC;
    memory[0].ring.kind = kind;
    memory[0].ring.slots = SLOTS;
    return 0;
}

void ring_out_forget(struct ring_out *ring)
{
    (void)ring;
}

void arena_deinit(struct arena *arena)
{
    (void)arena;
}

uint64_t ring_out_offset(const struct ring_out *ring)
{
    (void)ring;
    return OFFSET(ring);
}

void ring_out_reclaim(struct ring_out *ring, uint64_t until)
{
    (void)ring, (void)until;
}

/* Freed memory is another's: written. */
void ring_out_close(struct ring_out *ring)
{
    (void)ring;
    ring_memory = 0;
}

void arena_free(struct arena *arena, struct block *block)
{
    (void)arena, (void)block;
}

int claims_new(struct claims *claims, int dir, const char *id_hex, uint64_t slots)
{
    (void)claims, (void)dir, (void)id_hex, (void)slots;
    return 0;
}

int claims_attach(struct claims *claims, int dir, const char *id_hex, uint64_t slots)
{
    (void)claims, (void)dir, (void)id_hex, (void)slots;
    return 0;
}

void claims_detach(struct claims *claims)
{
    (void)claims;
}

void bell_detach(struct bell *bell)
{
    (void)bell;
}

int bell_attach(struct bell *bell, int dir, const char *id_hex)
{
    (void)dir, (void)id_hex;
    bell->page = &bells[0];
    return 0;
}

unsigned bell_wake(struct bell *bell)
{
    (void)bell;
    return 0;
}

int directory_fd(const struct directory *directory)
{
    (void)directory;
    return 0;
}

void directory_close(struct directory *directory)
{
    (void)directory;
}

struct directory *directory_ref(struct directory *directory)
{
    return directory;
}

static struct remote former = REMOTE(0); /* process 0, as 2 has it */
static __thread struct remote *opens, *opens_then; /* what this process opens, one after the other */
static uint64_t files = 7, found = 7; /* of process 0: 7 while they are there; as process 1 found them */
int remote_open(struct remote **remote, struct directory *directory, const char *id_hex)
{
    (void)directory, (void)id_hex;
    *remote = opens != NULL ? opens : &remotes[0];
    if (CASE == 9 && opens == NULL)
        found = files;
    opens = opens_then;
    return 0;
}

void remote_met_at(struct remote *remote, const char *file, uint32_t place)
{
    (void)remote, (void)file, (void)place;
}

void remote_unnamed(struct directory *directory, const char *file, uint32_t place, const char *id_hex)
{
    (void)directory, (void)file, (void)place, (void)id_hex;
}

void endpoint_done(struct endpoint *endpoint, uint64_t binder_gen)
{
    (void)endpoint, (void)binder_gen;
}

static uint64_t view_memory = 7;
void remote_close(struct remote *remote)
{
    if (CASE == 4)
        view_memory = 0; /* unmapped */
    if (remote == &former && !remote->is_needed)
        files = 0;
}

/* ---- cases ---- */

model_thread(maker)
{
#if CASE == 1
    ring_out_open(&pipes[0].own_ring, NULL, KIND, 8, false);
    sockets[0].tx.has_shared = true;
    pipes[0].out = NULL;
    open_pipe_out(&pipes[0], SHM_PULL);
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
    if (open_pre_accept(&pipes[1], &peers[1], &member, RING_SPMC))
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

static struct view_ref *ref;
static uint64_t views[2];

static void *viewer(void *i)
{
    views[(intptr_t)i] = view_memory;
    view_ref_release(ref);
    return NULL;
}

model_thread(taker)
{
    assert(view_ref_block(&pipes[1], 128) != NULL);
    return NULL;
}

/* ---- cases 7 to 10 ---- */

static struct membership membership = {.gen = 1};
static const struct member next = {.gen = 5, .pipe_offset = OFFSET(record[0])};
#define TOKEN(p) pipe_token(memory[p].header.id, OFFSET(record[0]))

/* The socket is process 1's. */
model_thread(mover)
{
    opens = &remotes[2];
    pipe_gone(&pipes[1], true);
    assert(pipe_up(&pipes[1], &next, OFFSET(record[0]), 0) == 0);
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
    say_end(&pipes[0]);
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
    for (unsigned i = 0; i < sizeof out->id; i++)
        out->id[i] = i == 0;
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

int segment_is_alive(int dir, const char *id_hex)
{
    (void)dir, (void)id_hex;
    return 1;
}

void pipe_look_at_tail(struct pipe *pipe)
{
    (void)pipe;
}

model_thread(comes)
{
#ifdef REFUSED
    sync_connected(&sockets[1], &membership);
#elif defined(LEAVES)
    assert(files);
    say_end(&pipes[1]);
#else
    assert(pipe_up(&pipes[1], &next, OFFSET(record[0]), 0) == 0);
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
#elif CASE == 8
    pipes[0].own_ring.head = 3;
    pipes[1].authenticated = true;
    pthread_create(&a, NULL, says_end, NULL);
    pthread_create(&b, NULL, takes_down, NULL);
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
    ref = view_ref_block(&pipes[1], 64);
    pthread_create(&a, NULL, viewer, (void *)0);
    pthread_create(&b, NULL, taker, NULL);
#elif CASE == 4
    ref = &sockets[1].view_refs[1];
    keep_peer(ref, &peers[1]);
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
#endif
    return 0;
}
