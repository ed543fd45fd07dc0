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
 *   CASE 6  a connector and a binder come at once: the binder finds the connector, or is told by it
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
#define memset(p, v, n)     ((void)(p)) /* all of it is zero already */
#define calloc(n, size)     model_room(size)
#define realloc(p, size)    model_room(size)

static void *model_room(size_t size);
#undef ENDPOINT_SLOTS
#include "transport/endpoint_layout.h"
#undef ENDPOINT_SLOTS
#define ENDPOINT_SLOTS 2u

#define RUNS_ENDPOINT
#define RUNS_MEMBERSHIP
#if CASE == 5
#define RUNS_PIPE
#endif
#include "sources.h"
#include "stubs.h"
#include "member.h"

#include "endpoint_kernel.h"

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

static struct segment_header segments[3];
static const struct kind kind = {.fits = UINT32_MAX};
static struct shm_socket sockets[3] = {
    {.segment.header = &segments[0], .kind = &kind},
    {.segment.header = &segments[1], .kind = &kind},
};

/* Case 5: and pipe_gone() of pipe.c, as far as it touches these words. */
static struct pipe_record record;
static struct ring_out ring = {.head = 1};
static struct pipe pipe_of_1 = {.socket = &sockets[1], .record = &record, .out = &ring};

void tx_abandon(struct pipe *pipe)
{
    (void)pipe;
}

model_thread(sayer)
{
    model_self = 1;
    pipe_leave(&pipe_of_1);
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

/* Case 6. */
static bool found, told; /* by the binder; by the connector */

static struct membership memberships[2] = {{.bound = true}, {.bound = false}};
static struct pipe_record record_of_1;
static struct block record_block = {.offset = 64};
static struct pipe pipe_that_comes = {.socket = &sockets[1], .state = PIPE_QUEUED, .record = &record_of_1,
                                      .record_block = &record_block};

static void *model_room(size_t size)
{
    static _Alignas(8) char rooms[3][3][256];
    static __thread int used;
    assert(size <= sizeof rooms[0][0] && used < 3);
    return rooms[model_self][used++];
}

#if CASE == 6
int pipe_new(struct pipe **out, struct shm_socket *s, struct membership *membership, uint32_t slot, int peer_type)
{
    (void)slot, (void)peer_type;
    if (s == &sockets[0]) {
        found = true;
        return -ENOMEM; /* and that is all that is to be seen */
    }
    pipe_that_comes.membership = membership;
    *out = &pipe_that_comes;
    return 0;
}

bool peer_notify(struct shm_socket *s, const char *id_hex)
{
    (void)id_hex;
    if (s == &sockets[1])
        told = true;
    return true;
}

void pipe_pre_accept(struct pipe *pipe, const struct member *member)
{
    (void)pipe, (void)member;
}
#endif

model_thread(connects)
{
    model_self = 1;
    assert(membership_join_connected(&sockets[1], &memberships[1], "") == 0);
    return NULL;
}

model_thread(binds)
{
    model_self = 0;
    assert(membership_join_bound(&sockets[0], &memberships[0], "") == 0);
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
    named = true;
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
    assert(found || told);
#elif CASE == 4
    if (came == 0)
        assert(named && file.header.tombstone == 0);
#endif
    (void)c, (void)left;
    return 0;
}
