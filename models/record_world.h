/* SPDX-License-Identifier: MIT */
/* What record.c has in place of the arena, the ring's making and the transport: memory that is freed is written. */

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

/* Freed memory is another's: written, here and in arena_free(). */
void ring_out_close(struct ring_out *ring)
{
    (void)ring;
    ring_memory = 0;
}

void arena_free(struct arena *arena, struct block *block)
{
    (void)arena;
    if (CASE == 11 && block == &record_block)
        *(uint64_t *)(void *)&memory[0].record[0].end = 0;
}

int claims_new(struct claims *claims, struct store *store, const char *id_hex, uint64_t slots)
{
    (void)claims, (void)store, (void)id_hex, (void)slots;
    return 0;
}

int claims_attach(struct claims *claims, struct store *store, const char *id_hex, uint64_t slots)
{
    (void)claims, (void)store, (void)id_hex, (void)slots;
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

int bell_attach(struct bell *bell, struct store *store, const char *id_hex)
{
    (void)store, (void)id_hex;
    bell->page = &bells[0];
    return 0;
}

unsigned bell_wake(struct bell *bell)
{
    (void)bell;
    return 0;
}

static struct remote former = REMOTE(0); /* process 0, as 2 has it */
static __thread struct remote *opens, *opens_then; /* what this process opens, one after the other */
static uint64_t files = 7, found = 7; /* of process 0: 7 while they are there; as process 1 found them */
int remote_open(struct remote **remote, struct store *store, const char *id_hex)
{
    (void)store, (void)id_hex;
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

void remote_unnamed(struct store *store, const char *file, uint32_t place, const char *id_hex)
{
    (void)store, (void)file, (void)place, (void)id_hex;
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
