/* SPDX-License-Identifier: MIT */
/*
 * Endpoints: the records (seqlocks with one writer each), places that are taken over from the dead, and
 * the meeting of who comes and who removes. The kernel's byte locks are in this file.
 *
 *   CASE 1  a connector's record, made, retracted and made again, under its reader
 *   CASE 2  the binder's answer, likewise
 *   CASE 3  connector 1 announces itself and dies anywhere; connector 2 comes; the binder reads and clears
 *   CASE 4  the last one leaves and removes the file, while a newcomer takes a place in it
 *   CASE 5  a connector leaves; who sees that sees what it said last
 *   CASE 6  a connector and a binder come at once
 *   CASE 7  a member leaves and frees its memory; who reads nonsense there sees that it left. BINDER: the binder does
 *
 * Shown: what is read is one record as it was announced, and the memory that it names is ready; a place
 * has one owner at a time; of two who come one sees the other; the record of a dead one is not lost before the binder has seen it; nobody is
 * in a file that has no name any more.
 *
 * run: -DCASE=1                                 a member's record
 * run: -DCASE=2                                 an answer
 * run: -DCASE=3                                 places
 * run: -DCASE=4                                 removal
 * run: -DCASE=5                                 leaving
 * run: -DCASE=6                                 meeting
 * run: -DCASE=7                                 leaving: memory
 * run: -DCASE=7 -DBINDER                        leaving: memory of a binder
 */
#include "shared.h"

#undef strlen
#undef memcmp
#define strlen(s)           ((size_t)0)
#define memcmp(a, b, n)     0
#define memset(p, v, n)     ((void)(p))
#undef close
#define close(fd)           model_close(fd)

static void model_close(int fd);
#undef ENDPOINT_SLOTS
#include "transport/endpoint_layout.h"
#undef ENDPOINT_SLOTS
#define ENDPOINT_SLOTS 2u

#include "transport/endpoint.c"
#include "core/membership.c"

/* ---- the kernel: one file, at most; locks of bytes 0 to 3 and of the remover's ---- */

#define LOCKS 5
#define FDS   32

static pthread_mutex_t kernel = PTHREAD_MUTEX_INITIALIZER;
static int locks[LOCKS]; /* by descriptor */
static bool named, mapped[FDS];
static __thread int opened;
static struct {
    struct endpoint_header header;
    struct endpoint_slot slots[ENDPOINT_SLOTS];
} file = {.header = {.magic = ENDPOINT_MAGIC, .abi = SHMQ_ABI}};

static int lock_at(uint64_t byte)
{
    return byte == ENDPOINT_BYTE_REMOVE ? LOCKS - 1 : (int)byte;
}

/* Whose lock it is; a dead one's is gone. */
static int holder(int i)
{
    return locks[i] > 0 && locks[i] < 3 && model_is_dead(locks[i]) ? 0 : locks[i];
}

int os_lock(int fd, uint64_t byte, uint64_t count, int access)
{
    (void)access;
    int first = lock_at(byte), last = count == 1 ? first : LOCKS - 1, error = 0;
    pthread_mutex_lock(&kernel);
    for (int i = first; i <= last; i++)
        if (holder(i) != 0 && holder(i) != fd)
            error = -EAGAIN;
    for (int i = first; i <= last && error == 0; i++)
        locks[i] = fd;
    pthread_mutex_unlock(&kernel);
    return error;
}

int os_unlock(int fd, uint64_t byte, uint64_t count)
{
    int first = lock_at(byte), last = count == 1 ? first : LOCKS - 1;
    pthread_mutex_lock(&kernel);
    for (int i = first; i <= last; i++)
        if (locks[i] == fd)
            locks[i] = 0;
    pthread_mutex_unlock(&kernel);
    return 0;
}

int os_is_locked(int fd, uint64_t byte, uint64_t count)
{
    (void)count;
    pthread_mutex_lock(&kernel);
    int by = holder(lock_at(byte)), locked = by != 0 && by != fd;
    pthread_mutex_unlock(&kernel);
    return locked;
}

int os_file_open(int dir, const char *name, int access)
{
    (void)dir, (void)name, (void)access;
    pthread_mutex_lock(&kernel);
    bool there = named;
    pthread_mutex_unlock(&kernel);
    return there ? 8 + 4 * model_self + opened++ : -ENOENT;
}

int os_file_new(int dir, size_t size)
{
    (void)dir, (void)size;
    return -EEXIST; /* the newcomer of case 4 finds out that there is no file: that is all */
}

static void model_close(int fd)
{
    pthread_mutex_lock(&kernel);
    for (int i = 0; i < LOCKS && !mapped[fd]; i++)
        if (locks[i] == fd)
            locks[i] = 0;
    pthread_mutex_unlock(&kernel);
}

void os_file_unlink(int dir, const char *name)
{
    (void)dir, (void)name;
    pthread_mutex_lock(&kernel);
    named = false;
    pthread_mutex_unlock(&kernel);
}

int os_file_same(int dir, const char *name, int fd)
{
    (void)dir, (void)name, (void)fd;
    pthread_mutex_lock(&kernel);
    bool there = named;
    pthread_mutex_unlock(&kernel);
    return there;
}

int os_file_size(int fd, uint64_t *size)
{
    (void)fd;
    *size = UINT64_MAX;
    return 0;
}

static __thread int mapping; /* this process's last descriptor that was mapped */

void *os_map(int fd, uint64_t offset, size_t size, int access)
{
    (void)offset, (void)size, (void)access;
    mapping = fd;
    mapped[fd] = true;
    return &file;
}

void os_unmap(void *address, size_t size)
{
    (void)size;
    if (address != NULL)
        mapped[mapping] = false;
}

int os_file_allocate(int fd, uint64_t offset, uint64_t size)
{
    (void)fd, (void)offset, (void)size;
    return 0;
}

int os_file_link(int dir, int fd, const char *name, int others)
{
    (void)dir, (void)fd, (void)name;
    return 0;
}

void remote_unnamed(struct directory *directory, const char *file, uint32_t place, const char *id_hex)
{
    (void)directory, (void)file, (void)place, (void)id_hex;
}

void segment_id_hex(char hex[2 * SEGMENT_ID_SIZE + 1], const uint8_t id[SEGMENT_ID_SIZE])
{
    (void)hex, (void)id;
}

bool directory_is_memfd(const struct directory *directory)
{
    return false;
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

/* ---- the cases ---- */

static struct endpoint connector[3] = {
    {.header = &file.header, .slots = file.slots, .slot = 0},
    {.header = &file.header, .slots = file.slots, .slot = 0, .fd = 1},
    {.header = &file.header, .slots = file.slots, .slot = 0, .fd = 2},
};
static struct endpoint binder = {.header = &file.header, .slots = file.slots, .slot = ENDPOINT_BINDER, .fd = 3};
static const uint64_t ids[3][2] = {{10, 20}, {11, 21}, {12, 22}};
static uint64_t pipe_records[3]; /* in the segments of those who announce them; plain memory */

static void announce(int who)
{
    pipe_records[who] = 100 + (uint64_t)who;
    endpoint_announce(&connector[who], (const uint8_t *)ids[who], 5 + (uint32_t)who, 1 + (uint64_t)who);
}

static int check_member(const struct member *member)
{
    int who = (int)member->pipe_offset - 1;
    uint64_t id[2];
    memcpy(id, member->id, sizeof id);
    assert(who >= 0 && who < 3 && id[0] == ids[who][0] && id[1] == ids[who][1] && member->type == 5 + (uint32_t)who);
    assert(pipe_records[who] == 100 + (uint64_t)who);
    return who;
}

model_thread(announcer)
{
    announce(0);
    announce(1);
    return NULL;
}

model_thread(member_reader)
{
    struct member member;
    if (endpoint_connector(&binder, 0, &member))
        check_member(&member);
    return NULL;
}

static void say(int who)
{
    struct accepted answer = {.peer_gen = 10 + (uint64_t)who, .binder_gen = 20 + (uint64_t)who,
                            .verdict = 30 + (uint64_t)who, .pipe_offset = 1 + (uint64_t)who,
                            .resume = 40 + (uint64_t)who};
    pipe_records[who] = 100 + (uint64_t)who;
    memcpy(answer.binder_id, ids[who], sizeof answer.binder_id);
    endpoint_accept_write(&binder, 0, &answer);
}

model_thread(answerer)
{
    say(0);
    say(1);
    say(2); /* over the first of the two copies */
    return NULL;
}

model_thread(answer_reader)
{
    struct accepted a;
    if (endpoint_accept_read(&connector[0], 0, &a)) {
        uint64_t who = a.pipe_offset - 1, id[2];
        memcpy(id, a.binder_id, sizeof id);
        assert(who < 3 && a.peer_gen == 10 + who && a.binder_gen == 20 + who && a.verdict == 30 + who &&
               a.resume == 40 + who && id[0] == ids[who][0] && id[1] == ids[who][1]);
        assert(pipe_records[who] == 100 + who);
    }
    return NULL;
}

/* Case 3. Slot 0 of one; the newcomer finds it free, taken, or a dead one's. */
static bool seen[3], owns[3];

static void *comer(void *self)
{
    int who = (int)(intptr_t)self;
    if (who == 1)
        model_may_die(who);
    if (connector_place(&connector[who], who) == 0 && connector[who].slot == 0) {
        owns[who] = true;
        announce(who);
    }
    if (who == 1) { /* it dies at the latest here */
        model_steps = 1;
        model_step();
    }
    return NULL;
}

model_thread(binder_looks)
{
    struct member member;
    for (int i = 0; i < 2; i++)
        if (endpoint_connector(&binder, 0, &member)) {
            int who = check_member(&member);
            seen[who] = true;
            if (!endpoint_connector_lives(&binder, 0)) {
                assert(who == 1);
                endpoint_clear(&binder, 0);
            }
        }
    return NULL;
}

/* Case 4. */
static int left, came;

model_thread(leaver)
{
    model_self = 1;
    endpoint_leave(&connector[1], true);
    left = 1;
    return NULL;
}

model_thread(newcomer)
{
    model_self = 2;
    came = meet_once(&connector[2], connector_place);
    return NULL;
}

/* Case 5: and pipe_gone() of pipe.c, as far as it touches these words. */
static struct pipe_record record;
static struct ring_out ring = {.head = 1};
static struct pipe pipe_of_1 = {.record = &record, .out = &ring};

model_thread(sayer)
{
    model_self = 1;
    say_end(&pipe_of_1);
    endpoint_leave(&connector[1], true);
    return NULL;
}

model_thread(hearer)
{
    struct member member;
    if (!endpoint_connector(&binder, 0, &member)) {
        bool has_left = load_acquire(&record.left) == 1;
        assert(has_left && load_relaxed(&record.end) == 1);
    }
    return NULL;
}

/* Case 6: as join_connected() and join_bound() do it. */
static bool connector_saw, binder_saw;

model_thread(connects)
{
    struct member member;
    assert(connector_place(&connector[1], 1) == 0);
    announce(1);
    connector_saw = endpoint_binder(&connector[1], &member) == 1;
    return NULL;
}

model_thread(binds)
{
    struct member member;
    endpoint_announce(&binder, (const uint8_t *)ids[0], 5, 0);
    for (uint32_t slot = 0, high = endpoint_high(&binder); slot < high; slot++)
        if (endpoint_connector(&binder, slot, &member) == 1)
            binder_saw = true;
    return NULL;
}

/* Case 7. */
static struct membership membership = {.endpoint = {.header = &file.header, .slots = file.slots}};
static shared_u64 memory = 7; /* 7 while it is the member's; the next owner's then */

model_thread(frees)
{
#ifdef BINDER
    retract(&file.header.binder.gen);
#else
    retract(&file.slots[0].member.gen);
#endif
    store_relaxed(&memory, 8);
    return NULL;
}

model_thread(stumbles)
{
    uint64_t found = load_relaxed(&memory);
#ifdef BINDER
    bool stays = binder_stays(&membership, 1);
#else
    bool stays = connector_stays(&membership, 0, 1);
#endif
    assert(found == 7 || !stays);
    return NULL;
}

int main(void)
{
    pthread_t a, b, c;
#if CASE == 1
    pthread_create(&a, NULL, announcer, NULL);
    pthread_create(&b, NULL, member_reader, NULL);
#elif CASE == 2
    pthread_create(&a, NULL, answerer, NULL);
    pthread_create(&b, NULL, answer_reader, NULL);
#elif CASE == 3
    pthread_t chooser = model_choose(8);
    pthread_create(&a, NULL, comer, (void *)1);
    pthread_create(&c, NULL, binder_looks, NULL);
    pthread_create(&b, NULL, comer, (void *)2);
    pthread_join(c, NULL);
    pthread_join(chooser, NULL);
#elif CASE == 5
    connector[1].fd = 5;
    announce(1);
    pthread_create(&a, NULL, sayer, NULL);
    pthread_create(&b, NULL, hearer, NULL);
#elif CASE == 6
    pthread_create(&a, NULL, connects, NULL);
    pthread_create(&b, NULL, binds, NULL);
#elif CASE == 7
    store_relaxed(&file.header.binder.gen, 1);
    store_relaxed(&file.slots[0].member.gen, 1);
    pthread_create(&a, NULL, frees, NULL);
    pthread_create(&b, NULL, stumbles, NULL);
#elif CASE == 4
    named = true;
    connector[1].fd = 5;
    mapping = 4;
    mapped[4] = true;
    locks[1] = 5; /* slot 0's byte */
    pthread_create(&a, NULL, leaver, NULL);
    pthread_create(&b, NULL, newcomer, NULL);
#endif
    pthread_join(a, NULL);
    pthread_join(b, NULL);
#if CASE == 3
    struct member member;
    if (owns[1] && owns[2] && connector[1].slot == connector[2].slot) /* after 1 was seen or never announced */
        assert(endpoint_connector(&binder, 0, &member) && check_member(&member) == 2);
#elif CASE == 6
    assert(connector_saw || binder_saw);
#elif CASE == 4
    if (came == 0)
        assert(named && file.header.tombstone == 0);
#endif
    (void)c, (void)left;
    return 0;
}
