/* SPDX-License-Identifier: MIT */
/*
 * A socket with two peers, on the real system: one honest, one whose memory lies to every reader, as does its slot
 * at the endpoint (the others' slots cannot be protected). The liar may be dropped; the honest peer's messages all
 * arrive, once and in order, and nothing is left behind. maps.c knows which memory is the liar's.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/membership.h"
#include "core/socket.h"
#include "liar.h"
#include "maps.h"
#include "transport/os.h"

#define ROUNDS 24
#define TRIES  (1 << 18) /* one of the liar's messages may have that many empty parts */
#define READS_ALLOWED (UINT64_C(64) << 20)

/* What the one in the middle is, what its peers are, and how messages go. */
enum way { TO_MIDDLE, FROM_MIDDLE, SHARED_OUT, ASKED };
static const struct scene {
    int middle, peers;
    enum way way;
} scenes[] = {
    {SHM_PULL, SHM_PUSH, TO_MIDDLE},    {SHM_SUB, SHM_PUB, TO_MIDDLE},      {SHM_XSUB, SHM_XPUB, TO_MIDDLE},
    {SHM_DEALER, SHM_DEALER, TO_MIDDLE}, {SHM_PUB, SHM_SUB, FROM_MIDDLE},   {SHM_XPUB, SHM_XSUB, FROM_MIDDLE},
    {SHM_PUSH, SHM_PULL, SHARED_OUT},   {SHM_REP, SHM_REQ, ASKED},          {SHM_ROUTER, SHM_DEALER, ASKED},
};

static shm_socket_t *middle, *honest, *liar;
static char liars_id[2 * SEGMENT_ID_SIZE + 1];

/* ---- whose memory it is ---- */

enum { LIARS = 1, PLACE };
static ino_t files[3];

/* The liar's slot at the endpoint: its own words, and the accept records for it. */
static struct {
    ino_t file;
    uint32_t slot; /* UINT32_MAX: not there yet */
} place;

static int owner_of(ino_t file)
{
    int owner = place.file == file ? PLACE : 0;
    for (int i = 0; i < 3; i++)
        owner = files[i] != 0 && files[i] == file ? LIARS : owner;
    return owner;
}

static bool lies_at(const volatile void *p)
{
    const struct map *map = maps_at(p);
    if (map == NULL || map->owner == LIARS)
        return map != NULL;
    const char *slot = map->from + ENDPOINT_HEADER_SIZE + place.slot * sizeof(struct endpoint_slot);
    const char *at = (const char *)(uintptr_t)p;
    return place.slot != UINT32_MAX && at >= slot && at < slot + sizeof(struct endpoint_slot);
}

static void find_place(void)
{
    struct stat st;
    place.file = 0;
    place.slot = UINT32_MAX;
    if (middle->memberships == NULL || fstat(middle->memberships->endpoint.fd, &st) != 0)
        return;
    place.file = st.st_ino;
    maps_note(middle->memberships->endpoint.header, (size_t)st.st_size, PLACE);
}

static void expose_liar(void)
{
    static const char *const ends[] = {"seg", "bell", "claims"};
    char name[48];
    struct stat st;
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s.%s", liar->segment.id_hex, ends[i]);
        files[i] = fstatat(store_directory_fd(liar->store), name, &st, 0) == 0 ? st.st_ino : 0;
    }
    place.slot = liar->memberships->endpoint.slot;
}

static uint64_t tempt(unsigned which)
{
    struct pipe *pipe = NULL;
    for (uint32_t i = 0; middle != NULL && i < middle->pipes.count; i++)
        if (memcmp(middle->pipes.list[i]->member.id_hex, liars_id, 32) == 0)
            pipe = middle->pipes.list[i];
    uint64_t tail = pipe != NULL && pipe->has_in ? pipe->in.tail : 0;
    uint64_t head = pipe != NULL && pipe->out != NULL ? pipe->out->head : 0;
    switch (which & 15) {
    case 0:
    case 1:
        return seq_ready(tail);
    case 2:
        return tail;
    case 3:
        return head;
    case 4:
        return head + 1;
    case 5:
        return meta_make(16, META_BLOCK, 1);
    case 6:
        return meta_make(SLOT_PAYLOAD, META_PACKED, 1);
    case 7:
        return 4096;
    case 8:
        return claim_word(tail, CLAIM_CLAIMED, 5);
    case 9:
        return seq_ready(tail + 1024);
    case 10:
        return VERDICT_ACCEPTED;
    case 11:
        return middle != NULL && middle->memberships != NULL ? middle->memberships->gen : 1;
    case 12:
        return pipe != NULL ? pipe->member.gen + (which >> 4) : 1;
    case 13:
        return meta_make(0, META_PACKED, 1); /* of no parts */
    default:
        return which & 3;
    }
}

/* ---- talking ---- */

static size_t fill(char *bytes, unsigned number)
{
    static const size_t sizes[] = {8, 40, 112, 200, 3000};
    size_t size = sizes[number % 5];
    memset(bytes, 'h', size);
    memcpy(bytes, "HONEST", 6);
    bytes[6] = (char)(number & 0x7f);
    return size;
}

/* The number of an honest message, or -1. */
static int number_of(const char *bytes, ssize_t size, unsigned wanted)
{
    char want[4096];
    if (size < 8 || memcmp(bytes, "HONEST", 6) != 0)
        return -1;
    return (size_t)size == fill(want, wanted) && memcmp(bytes, want, (size_t)size) == 0 ? (int)wanted : -1;
}

static void babble(void)
{
    static char bytes[5000];
    memset(bytes, liar_byte(), sizeof bytes);
    switch (liar_choice(4)) {
    case 0:
        shm_send(liar, bytes, 20, SHM_DONTWAIT);
        break;
    case 1:
        shm_send(liar, bytes, 30, SHM_DONTWAIT | SHM_SNDMORE);
        shm_send(liar, bytes, 5000, SHM_DONTWAIT);
        break;
    case 2:
        shm_send(liar, bytes, liar_byte() * UINT64_C(16), SHM_DONTWAIT);
        break;
    default:
        shm_recv(liar, bytes, sizeof bytes, SHM_DONTWAIT);
    }
}

/* One receive; 1 if it was the honest message that comes next. Complaints are about the liar. */
static int hear(shm_socket_t *s, unsigned wanted)
{
    char got[5000];
    size_t size = sizeof(shm_stats_t);
    shm_stats_t stats;
    ssize_t n = shm_recv(s, got, sizeof got, SHM_DONTWAIT);
    if (n < 0 && errno == EPROTO) {
        CHECK(s == middle);
        CHECK(shm_getsockopt(s, SHM_STATS, &stats, &size) == 0 && stats.protocol_errors > 0);
    }
    return n >= 0 && number_of(got, n <= (ssize_t)sizeof got ? n : 0, wanted) == (int)wanted;
}

static void send_until(shm_socket_t *s, unsigned number, int flags)
{
    char bytes[4096];
    size_t size = fill(bytes, number);
    int tries = 0;
    while (shm_send(s, bytes, size, SHM_DONTWAIT | flags) < 0) {
        CHECK(errno == EAGAIN || errno == EPROTO);
        CHECK(++tries < TRIES);
        hear(middle, UINT32_MAX);
    }
}

/* A request and its reply. The liar's requests must be answered too, or the REP stays busy. */
static void ask(unsigned number, bool router)
{
    char got[5000], id[256];
    send_until(honest, number, 0);
    for (int tries = 0;; tries++) {
        CHECK(tries < TRIES);
        ssize_t id_size = 0;
        if (router && (id_size = shm_recv(middle, id, sizeof id, SHM_DONTWAIT)) < 0)
            continue;
        ssize_t n = shm_recv(middle, got, sizeof got, SHM_DONTWAIT);
        if (n < 0 || n > (ssize_t)sizeof got)
            n = n < 0 ? n : 0;
        bool ours = n >= 0 && number_of(got, n, number) == (int)number;
        int more = 0;
        size_t size = sizeof more;
        while (n >= 0 && shm_getsockopt(middle, SHM_RCVMORE, &more, &size) == 0 && more &&
               shm_recv(middle, id + 255, 1, SHM_DONTWAIT) >= 0)
            ;
        if (n < 0)
            continue;
        if (router && id_size >= 0)
            shm_send(middle, id, (size_t)id_size, SHM_DONTWAIT | SHM_SNDMORE);
        shm_send(middle, got, ours ? (size_t)n : 0, SHM_DONTWAIT);
        if (ours)
            break;
    }
    CHECK(hear(honest, number));
}

static void one_round(const struct scene *scene, unsigned number)
{
    char got[5000];
    if (liar_byte() & 1)
        babble();
    if (scene->way == ASKED) {
        ask(number, scene->middle == SHM_ROUTER);
        return;
    }
    send_until(scene->way == TO_MIDDLE ? honest : middle, number, 0);
    for (int tries = 0;; tries++) {
        CHECK(tries < TRIES);
        if (hear(scene->way == TO_MIDDLE ? middle : honest, number))
            return;
        if (scene->way == SHARED_OUT && number_of(got, shm_recv(liar, got, sizeof got, SHM_DONTWAIT), number) >= 0)
            return; /* its turn, and it works */
        if (scene->way != TO_MIDDLE)
            hear(middle, UINT32_MAX);
    }
}

/* Until the middle and the honest one are connected both ways, as far as their kind shows. */
static void meet(void)
{
    CHECK(shm_connect(honest, "it") == 0);
    for (int i = 0; i < 4; i++) {
        membership_sync(middle);
        membership_sync(honest);
    }
}

static void leave_nothing(void)
{
    DIR *directory = opendir(getenv("SHMQ_DIR"));
    struct dirent *entry;
    CHECK(directory != NULL);
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        /* It may have claimed that others need its files: those are for `shmq gc`. */
        CHECK(strncmp(entry->d_name, liars_id, 32) == 0);
        unlinkat(dirfd(directory), entry->d_name, 0);
    }
    closedir(directory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    liar_begin(data, size);
    liar_tempt = tempt;
    liar_lies_at = lies_at;
    maps_owner = owner_of;
    memset(files, 0, sizeof files);
    memset(&place, 0, sizeof place);
    place.slot = UINT32_MAX;
    liar_allow("a session", READS_ALLOWED);
    const struct scene *scene = &scenes[liar_choice(sizeof scenes / sizeof scenes[0])];
    bool liar_first = liar_byte() & 1;
    middle = liar_socket(scene->middle);
    honest = liar_socket(scene->peers);
    liar = liar_socket(scene->peers);
    memcpy(liars_id, liar->segment.id_hex, sizeof liars_id);
    CHECK(shm_bind(middle, "it") == 0);
    find_place();
    if (!liar_first)
        meet();
    CHECK(shm_connect(liar, "it") == 0);
    expose_liar();
    babble();
    if (liar_first) {
        membership_sync(middle);
        membership_sync(liar);
        meet();
    }
    for (unsigned round = 0; round < ROUNDS && (round < 6 || liar_has_more()); round++)
        one_round(scene, round);
    bool first = liar_byte() & 1;
    shm_close(first ? liar : honest);
    shm_socket_t *was = middle;
    middle = NULL; /* no more temptations: its pipes go one by one */
    shm_close(was);
    shm_close(first ? honest : liar);
    CHECK(maps_gone());
    leave_nothing();
    return 0;
}
