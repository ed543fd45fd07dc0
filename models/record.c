/* SPDX-License-Identifier: MIT */
/*
 * What the words of link records and segments publish, and when memory goes.
 *
 *   CASE 1  ring_offset, start: one side makes its ring for the other, which opens it and reads where it
 *           begins
 *   CASE 2  a PUSH's ring_offset in its segment's header, under a PULL that comes early (its side: mirrored)
 *   CASE 3  linked_to: a side that left frees its record and ring once the other has let go of them
 *   CASE 4  refs: two views of one message are closed by two threads, the socket being closed meanwhile;
 *           the last of all frees; and the hold is used again
 *   CASE 5  pins: a side that left frees its ring once the other has no view of it
 *   CASE 6  holds: a view is closed by one thread while the socket's thread takes the next
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
 */
#define MODEL_HAS_SOCKET
#define SLOTS 8
#include "shared.h"

static void *model_calloc(size_t n, size_t size);
static void model_free(void *memory);
#define calloc(n, size) model_calloc(n, size)
#define free(p)         model_free(p)
#define memset(p, v, n) ((void)(p)) /* all of it is zero already */

#include "kernel.h"


#include "core/intake.c"
#include "transport/ring_in.c"

#define find find_attach
#include "core/attach.c"
#undef find
#if CASE == 2
#define KIND RING_SHARED
#else
#define KIND RING_EXCLUSIVE
#endif

static uint32_t ring_kind(struct shm_socket *s, int peer_type)
{
    (void)s, (void)peer_type;
    return KIND;
}

static const struct pattern pattern = {.ring_kind = ring_kind};
static struct link *lists[2] = {&links[0], &links[1]};
static struct memory memory[PROCESSES] = {{RECORDS}, {RECORDS}};
static struct peer peers[2 * PROCESSES] = {PEER(0, 1, ), PEER(1, 0, )};
static struct link links[2 * PROCESSES] = {
    LINK(0, 0, 0, 1, 0, .own_ring = OUT(0, KIND, ), .out = &links[0].own_ring),
    LINK(1, 1, 0, 0, 0, .in = IN(0, KIND, ), .has_in = true),
};
static struct shm_socket sockets[PROCESSES] = {
    SOCKET(0, .links = &lists[0], .link_count = 1, .pattern = &pattern, .type = SHM_PUSH),
    SOCKET(1, .links = &lists[1], .link_count = 1, .pattern = &pattern, .type = SHM_PULL),
};

/* ---- what the records speak of ---- */

static uint64_t ring_memory = 7; /* plain: 7 while it is there */

static struct claims claims_made;
static void *model_calloc(size_t n, size_t size)
{
    (void)n, (void)size;
    return &claims_made;
}

static void model_free(void *memory_freed)
{
    (void)memory_freed;
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

int remote_open(struct remote **remote, struct directory *directory, const char *id_hex)
{
    (void)directory, (void)id_hex;
    *remote = &remotes[0];
    return 0;
}

static uint64_t view_memory = 7;
void remote_close(struct remote *remote)
{
    (void)remote;
    if (CASE == 4)
        view_memory = 0; /* unmapped */
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
    if (link_open_in(&links[1], 0) == 1)
        assert(links[1].in.mask == SLOTS - 1 && links[1].in.kind == KIND);
#else
    /* From link_early(), whose copy of a structure the checker does not take. */
    struct segment_header *header = (struct segment_header *)(uintptr_t)remotes[0].header;
    uint64_t offset = load_acquire(&header->ring_offset);
    if (offset != 0)
        assert(ring_in_open(&links[1].in, &remotes[0], offset) == 0 && links[1].in.kind == RING_SHARED);
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

void socket_unref(struct shm_socket *s)
{
    atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel);
}

model_thread(taker)
{
    assert(hold_block(&links[1], 128) != NULL);
    return NULL;
}

int main(void)
{
    pthread_t a, b;
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
    memory[1].record[0].linked_to = CASE == 3; /* the token of link 0, or of none */
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
#endif
    return 0;
}
