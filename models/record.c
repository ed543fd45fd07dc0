/* SPDX-License-Identifier: MIT */
/*
 * What the words of link records and segments publish, and when memory goes.
 *
 *   CASE 1  ring_offset, start: one side makes its ring for the other, which opens it and reads where it
 *           begins
 *   CASE 2  a PUSH's ring_offset in its segment's header, under a PULL that comes early
 *   CASE 3  linked_to: a side that left frees its record and ring once the other has let go of them
 *   CASE 4  refs: two views of one message are closed by two threads, the socket being closed meanwhile;
 *           the last of all frees; and the hold is used again
 *   CASE 5  pins: a side that left frees its ring once the other has no view of it
 *   CASE 6  holds: a view is closed by one thread while the socket's thread takes the next
 *   CASE 7  linked_to, tail: a connector goes from one binder to the next; both ask how far it has read theirs
 *   CASE 8  left, end: a side leaves, the other takes the link down at any time
 *   CASE 9  last_linked: a connector comes to map a binder that has gone; the next binder removes its files then.
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
 * run: -DCASE=3                       linked_to
 * run: -DCASE=4                       refs
 * run: -DCASE=5                       pins
 * run: -DCASE=6                       holds
 * run: -DCASE=7                       linked_to and tail, between two
 * run: -DCASE=8                       left, end
 * run: -DCASE=9                       last_linked
 * run: -DCASE=9 -DREFUSED               last_linked, refused
 * run: -DCASE=9 -DAWAITED               last_linked, awaited
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


#include "core/intake.c"
#include "transport/ring_in.c"

#define find find_attach
#include "core/attach.c"
#undef find
#include "socket.h"
#if CASE == 2
#define KIND RING_SHARED
#else
#define KIND RING_EXCLUSIVE
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

static const struct pattern pattern = {.ring_kind = ring_kind, .fits = fits};
static struct link *lists[4] = {&links[0], &links[1]};
#if CASE >= 7
#undef RECORDS
#define RECORDS .record = {{.magic = LINK_RECORD_MAGIC, .pin_tag = 1, .linked_to = 1, .ring_offset = OFFSET(ring)}}, \
                .ring = {.magic = RING_MAGIC, .kind = RING_EXCLUSIVE, .slots = SLOTS, .head = 8}
#endif
static struct memory memory[PROCESSES] = {{RECORDS}, {RECORDS}, {RECORDS}};
static struct peer peers[2 * PROCESSES] = {PEER(0, 1, ), PEER(1, 0, )};
static struct link links[2 * PROCESSES] = {
    LINK(0, 0, 0, 1, 0, .own_ring = OUT(0, KIND, ), .out = &links[0].own_ring),
    LINK(1, 1, 0, 0, 0, .in = IN(0, KIND, ), .has_in = true),
};
static struct shm_socket sockets[PROCESSES] = {
    SOCKET(0, .links = &lists[0], .link_count = 1, .pattern = &pattern, .type = SHM_PUSH),
    SOCKET(1, .links = &lists[1], .link_count = 1, .link_capacity = 4, .pattern = &pattern, .type = SHM_PULL),
    SOCKET(2, .pattern = &pattern, .type = SHM_PUSH),
};

/* What the compiler makes of the copy of a struct party: field by field, as they are read. */
#undef memcpy
__attribute__((used)) void *memcpy(void *to, const void *from, size_t n)
{
    struct party *copy = to;
    const struct party *party = from;
    assert(n == sizeof *copy);
    copy->gen = party->gen;
    for (unsigned i = 0; i < sizeof copy->id; i++)
        copy->id[i] = party->id[i];
    copy->type = party->type;
    copy->pid = party->pid;
    copy->link_offset = party->link_offset;
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
    return size == sizeof peer_made ? &peer_made : NULL; /* no rest of a link, then */
}

/* Of a socket: written by its next owner. */
static void model_free(void *memory_freed)
{
    if (memory_freed == &sockets[1])
        sockets[1].pins.header = NULL;
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
    ring_out_open(&links[0].own_ring, NULL, KIND, 8, false);
    sockets[0].has_shared_out = true;
    links[0].out = NULL;
    open_link_out(&links[0], SHM_PULL);
#else
    socket_open_shared_out(&sockets[0], RING_SHARED);
#endif
    return NULL;
}

model_thread(opener)
{
    links[1].has_in = false;
#if CASE == 1
    int opened = link_open_in(&links[1], 0);
    assert(opened == 0 || (opened == 1 && links[1].in.mask == SLOTS - 1 && links[1].in.kind == KIND));
#else
    static const struct party party;
    bool there = load_relaxed(&memory[0].header.ring_offset) != 0;
    if (open_early(&links[1], &peers[1], &party, RING_SHARED))
        assert(links[1].in.mask == SLOTS - 1 && links[1].in.kind == RING_SHARED);
    else
        assert(!there);
#endif
    return NULL;
}

model_thread(reader)
{
    uint64_t value = ring_memory;
#if CASE == 3
    link_free(&links[1]); /* lets go of the peer: linked_to := 0 */
#elif CASE == 5
    pin_clear(&sockets[1].pins, 1);
#endif
    assert(value == 7);
    return NULL;
}

model_thread(leaver)
{
    socket_free_links(&sockets[0]);
    return NULL;
}

static struct hold *hold;
static uint64_t views[2];

static void *viewer(void *i)
{
    views[(intptr_t)i] = view_memory;
    hold_release(hold);
    return NULL;
}

model_thread(taker)
{
    assert(hold_block(&links[1], 128) != NULL);
    return NULL;
}

/* ---- cases 7 to 10 ---- */

static struct attach attach = {.gen = 1};
static const struct party next = {.gen = 5, .link_offset = OFFSET(record[0])};
#define TOKEN(p) link_token(memory[p].header.id, OFFSET(record[0]))

/* The socket is process 1's. */
model_thread(mover)
{
    opens = &remotes[2];
    link_gone(&links[1], true);
    assert(link_up(&links[1], &next, OFFSET(record[0]), 0) == 0);
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
    say_end(&links[0]);
    return NULL;
}

model_thread(takes_down)
{
    link_gone(&links[1], true);
    assert(links[1].died || links[1].in.end == 3);
    return NULL;
}

int endpoint_answer_read(const struct endpoint *endpoint, uint32_t slot, struct answer *out)
{
    (void)endpoint, (void)slot;
    out->gen = out->peer_gen = 1;
    out->binder_gen = 5;
    out->verdict = ANSWER_LINKED;
    out->link_offset = OFFSET(record[0]);
    out->resume = CASE == 9 && endpoint != &attach.endpoint ? 0 : UINT64_MAX;
    memcpy(out->binder_id, memory[0].header.id, sizeof out->binder_id);
    return 1;
}

int endpoint_binder(const struct endpoint *endpoint, struct party *out)
{
    (void)endpoint;
    out->gen = 5;
    for (unsigned i = 0; i < sizeof out->id; i++)
        out->id[i] = i == 0;
    for (unsigned i = 0; i < sizeof out->id_hex; i++)
        out->id_hex[i] = 0;
    out->type = out->pid = 0;
    out->link_offset = 0;
    return 1;
}

int endpoint_connector(const struct endpoint *endpoint, uint32_t slot, struct party *out)
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

void link_look_at_tail(struct link *link)
{
    (void)link;
}

model_thread(comes)
{
#ifdef REFUSED
    sync_connected(&sockets[1], &attach);
#elif defined(LEAVES)
    assert(files);
    say_end(&links[1]);
#else
    assert(link_up(&links[1], &next, OFFSET(record[0]), 0) == 0);
#endif
    return NULL;
}

model_thread(removes)
{
#ifdef TURNED
    if (is_over(&links[0]))
        files = 0;
#elif defined(AWAITED)
    if (!is_awaited(&sockets[0]))
        files = 0;
#else
    static struct attach of_2 = {.gen = 6};
    static const struct party connector = {.gen = 1, .link_offset = OFFSET(record[0])};
    opens = &former;
    opens_then = &remotes[1];
    if (!has_to_look_first(&sockets[2], &of_2, 0, &connector))
        files = 0; /* its answer takes the name away, and it removes them */
#endif
    return NULL;
}

model_thread(closer)
{
    peer_unlink(&peers[1]);
    const struct segment_header *header = sockets[1].pins.header;
    socket_unref(&sockets[1]);
    assert(header != NULL);
    return NULL;
}

int main(void)
{
    pthread_t a, b;
#if CASE == 7
    *(uint64_t *)(void *)memory[0].header.id = 1; /* the others are 0 */
    memory[1].record[0].linked_to = TOKEN(0);
    memory[1].record[0].tail = 3;
    links[1].attach = &attach;
    links[1].trusted = true;
    sockets[1].refs = 3;
    pthread_t c;
    pthread_create(&a, NULL, mover, NULL);
    pthread_create(&b, NULL, asks, (void *)0);
    pthread_create(&c, NULL, asks, (void *)2);
    pthread_join(c, NULL);
#elif CASE == 8
    links[0].own_ring.head = 3;
    links[1].trusted = true;
    pthread_create(&a, NULL, says_end, NULL);
    pthread_create(&b, NULL, takes_down, NULL);
#elif CASE == 9
    links[1].attach = &attach;
    links[1].state = LINK_QUEUED;
    links[1].trusted = true;
    links[1].has_in = false;
    attach.links = &lists[1];
    links[0].state = LINK_LEAVING;
    links[0].own_ring.kind = RING_EXCLUSIVE;
    links[0].own_ring.head = 1;
#ifdef TURNED
    links[0].state = LINK_GONE;
    links[0].has_in = false;
    links[0].own_ring.block = (struct block *)&files;
#endif
    pthread_create(&a, NULL, comes, NULL);
    pthread_create(&b, NULL, removes, NULL);
#elif CASE == 10
    hold = hold_block(&links[1], 64);
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
    links[0].state = LINK_LEAVING;
    links[1].state = LINK_GONE;
    links[1].pin_tag = links[0].pin_tag;
    links[0].own_ring.head = 1;
    memory[1].record[0].last_linked = 1;       /* the token of link 0 */
    memory[1].record[0].linked_to = CASE == 3; /* the same, or of none */
    if (CASE == 5)
        pin_set(&sockets[1].pins, 1, pin_word(1, 64));
    pthread_create(&a, NULL, reader, NULL);
    pthread_create(&b, NULL, leaver, NULL);
#elif CASE == 6
    hold = hold_block(&links[1], 64);
    pthread_create(&a, NULL, viewer, (void *)0);
    pthread_create(&b, NULL, taker, NULL);
#elif CASE == 4
    hold = &sockets[1].holds[1];
    keep_peer(hold, &peers[1]);
    hold->refs = 2;
    pthread_create(&a, NULL, viewer, (void *)0);
    pthread_create(&b, NULL, viewer, (void *)1);
    peer_unlink(&peers[1]); /* the link's own */
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
