/* SPDX-License-Identifier: MIT */
/*
 * A socket is handed over (SHM_MEMFD) to a liar, on the real system: the fuzzer chooses the bytes and descriptors
 * that come over the Unix socket, and the words of the liar's memory and of their endpoint. The call ends in time,
 * with success or an errno about a liar; then an honest peer is handed over as well and its message arrives; in the
 * end nothing is open or mapped that was not before. Linked with --wrap=os_random, so that the input chooses the
 * ids, which decide who binds; and with maps.c.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/membership.h"
#include "core/socket.h"
#include "liar.h"
#include "kinds.h"
#include "maps.h"
#include "transport/os.h"
#include "transport/store.h"

#define HELLO_SIZE    32
#define PLACE_SIZE    33
#define READS_ALLOWED (UINT64_C(64) << 20)
#define LATE_NS       UINT64_C(5000000000) /* the machine may be busy */

static const struct {
    int victim, liar;
} pairs[] = {
    {SHM_PAIR, SHM_PAIR}, {SHM_PULL, SHM_PUSH}, {SHM_PUSH, SHM_PULL},   {SHM_PUB, SHM_SUB},       {SHM_SUB, SHM_PUB},
    {SHM_REP, SHM_REQ},   {SHM_REQ, SHM_REP},   {SHM_ROUTER, SHM_DEALER}, {SHM_DEALER, SHM_DEALER}, {SHM_PAIR, SHM_SUB},
};

static shm_socket_t *victim, *liar, *honest;

/* ---- ids: the input says who has the greater one ---- */

static uint8_t next_id, id_count;

int __wrap_os_random(void *buffer, size_t size);
int __wrap_os_random(void *buffer, size_t size)
{
    memset(buffer, next_id, size);
    ((uint8_t *)buffer)[size - 1] = ++id_count;
    return 0;
}

/* ---- whose memory it is ---- */

static ino_t files[4];

static int owner_of(ino_t file)
{
    bool liars = false;
    for (unsigned i = 0; i < 4; i++)
        liars = liars || (files[i] != 0 && files[i] == file);
    return liars;
}

static bool lies_at(const volatile void *p)
{
    return maps_at(p) != NULL;
}

static bool nobody_lies(const volatile void *p)
{
    (void)p;
    return false;
}

/* Half an id. */
static uint64_t word_of(const shm_socket_t *s, unsigned half)
{
    uint64_t word = 0;
    if (s != NULL && s->segment.header != NULL)
        memcpy(&word, s->segment.header->id + 8 * half, sizeof word);
    return word;
}

static uint64_t tempt(unsigned which)
{
    struct pipe *pipe = victim != NULL && victim->pipes.count > 0 ? victim->pipes.list[0] : NULL;
    uint64_t tail = pipe != NULL && pipe->has_in ? pipe->in.tail : 0;
    uint64_t head = pipe != NULL && pipe->out != NULL ? pipe->out->head : 0;
    switch (which & 15) {
    case 0:
    case 1:
        return seq_ready(tail);
    case 2:
        return tail + 1;
    case 3:
        return head + 1;
    case 4:
        return meta_make(SLOT_PAYLOAD, META_PACKED, 1);
    case 5:
        return meta_make(16, META_BLOCK, 1);
    case 6:
        return claim_word(tail, CLAIM_CLAIMED, 5);
    case 7:
        return word_of(liar, which >> 4);
    case 8:
        return word_of(victim, which >> 4);
    case 9:
        return VERDICT_ACCEPTED;
    case 10:
        return victim != NULL && victim->memberships != NULL ? victim->memberships->gen : 1;
    case 11:
        return pipe != NULL && pipe->record_block != NULL ? pipe->record_block->offset : 4096;
    case 12:
        return word_of(honest, which >> 4);
    case 13:
        return honest != NULL && honest->pipes.count > 0 && honest->pipes.list[0]->record_block != NULL
                   ? honest->pipes.list[0]->record_block->offset
                   : 4096;
    default:
        return which & 3;
    }
}

/* ---- messages ---- */

static void put_message(int line, const void *bytes, size_t size, const int *fds, unsigned count)
{
    if (line_send(line, bytes, size, fds, count) < 0)
        CHECK(errno == EPIPE || errno == EAGAIN || errno == EBADF); /* EBADF: O_PATH on older systems */
}

/* In one piece or two, cut or too long, altered or not. */
static void tell(int line, const void *truth, size_t size, const int *fds, unsigned count)
{
    uint8_t bytes[2 * PLACE_SIZE + 64];
    struct set set;
    memcpy(bytes, truth, size);
    memset(bytes + size, 'x', sizeof bytes - size);
    set_choose(&set, fds, count);
    for (unsigned changes = liar_byte(); changes >= 0xc0; changes = liar_byte()) {
        size_t at = liar_byte() % size;
        bytes[at] = liar_byte();
    }
    unsigned how = liar_byte();
    size_t length = how < 0xc0 ? size : how < 0xe0 ? size + how % 64 : how % (size + 1);
    size_t cut = how & 1 ? liar_byte() % (length + 1) : length;
    unsigned first = cut < length ? liar_byte() % (set.count + 1) : set.count;
    if (cut > 0)
        put_message(line, bytes, cut, set.fds, first);
    if (cut < length)
        put_message(line, bytes + cut, length - cut, set.fds + (cut > 0 ? first : 0),
                    set.count - (cut > 0 ? first : 0));
    set_drop(&set);
}

static ssize_t listen_to(int line, size_t size, struct letter *letter)
{
    return line_recv(line, letter, size, MSG_DONTWAIT);
}

/* ---- the hand-over ---- */

static shm_socket_t *open_socket(int type, uint8_t id)
{
    next_id = id;
    return liar_socket(type | SHM_MEMFD);
}

static bool is_about_a_liar(int error)
{
    return error == EPROTO || error == ENOCOMPATPROTO || error == EISCONN || error == EPIPE || error == ECONNRESET ||
           error == EAGAIN;
}

static void note_file(unsigned which, int fd)
{
    struct stat st;
    files[which] = fd >= 0 && fstat(fd, &st) == 0 ? st.st_ino : 0;
}

/* Hand the victim over: the liar has said its part already. */
static int give(int line, int timeout_ms, bool short_of_descriptors)
{
    struct rlimit limit, small;
    uint64_t before = clock_now_ns();
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    small = limit;
    if (short_of_descriptors) {
        int next = dup(line);
        CHECK(next >= 0);
        close(next);
        small.rlim_cur = (rlim_t)next + 1 + liar_choice(8);
        CHECK(setrlimit(RLIMIT_NOFILE, &small) == 0);
    }
    int result = shm_handover(victim, line, timeout_ms), error = errno;
    if (short_of_descriptors)
        CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK(clock_now_ns() - before < (uint64_t)timeout_ms * 1000000 + LATE_NS);
    CHECK(result == 0 || is_about_a_liar(error) || (short_of_descriptors && error == EMFILE));
    return result;
}

/* Take the file that NAME stands for into the liar's store. */
static void take_file(const char *name, int fd, int access)
{
    store_take(liar->store, name, fd, access);
}

/* The victim binds: join at its endpoint, unless not GOES. */
static void follow(int line, bool goes)
{
    struct letter hello, place;
    char name[48];

    listen_to(line, HELLO_SIZE, &hello);
    letter_close(&hello);
    if (listen_to(line, PLACE_SIZE, &place) != PLACE_SIZE || place.count != 1 || !goes) {
        letter_close(&place);
        return;
    }
    note_file(3, place.fds[0]);
    for (unsigned i = 0; i < 2; i++) { /* the victim's files, as its hello had them */
        snprintf(name, sizeof name, "%s%s", victim->segment.id_hex, i == 0 ? ".seg" : ".bell");
        take_file(name, dup(store_lend(victim->store, name, OS_READ)), i == 0 ? OS_READ : OS_WRITE);
    }
    snprintf(name, sizeof name, "%.32s.ep", (char *)place.bytes);
    take_file(name, place.fds[0], OS_WRITE);
    place.bytes[32] = '\0';
    membership_join(liar, (char *)place.bytes, false);
}

/* The liar's side of the hand-over by hand: it says everything before the victim reads any of it. */
static bool hand_over(void)
{
    int line[2], truth[4];
    struct letter hello;
    char place[PLACE_SIZE] = "0123456789abcdef0123456789abcdef", file[48];

    CHECK(line_make(line) == 0);
    CHECK(shm_handover(liar, line[0], 0) < 0 && errno == EAGAIN);
    CHECK(listen_to(line[1], HELLO_SIZE, &hello) == HELLO_SIZE && hello.count >= 3);
    line_drop(line);
    CHECK(line_make(line) == 0);
    for (unsigned i = 0; i < hello.count; i++) {
        truth[i] = hello.fds[i];
        if (i != 2)
            note_file(i == 3 ? 2 : i, truth[i]);
    }
    tell(line[1], hello.bytes, HELLO_SIZE, truth, hello.count);
    bool binds = strcmp(victim->segment.id_hex, liar->segment.id_hex) > 0;
    snprintf(file, sizeof file, "%s.ep", place);
    if (!binds) {
        CHECK(membership_join(liar, place, true) == 0);
        truth[0] = store_lend(liar->store, file, OS_WRITE);
        note_file(3, truth[0]);
        tell(line[1], place, PLACE_SIZE, truth, 1);
    } else {
        tell(line[1], "", 1, truth, liar_choice(2));
    }
    unsigned how = liar_byte();
    if (how & 1)
        shutdown(line[1], SHUT_WR);
    int result = give(line[0], how & 6 ? 0 : 2, how >= 0xe0);
    if (result == 0 && binds)
        follow(line[1], !(how & 8));
    if (how & 16) { /* once more, with the same or others */
        tell(line[1], hello.bytes, HELLO_SIZE, hello.fds, hello.count);
        if (!binds)
            tell(line[1], place, PLACE_SIZE, truth, 1);
        give(line[0], 0, false);
    }
    line_drop(line);
    letter_close(&hello);
    return result == 0;
}

/* ---- what follows ---- */

static void use(void)
{
    static char bytes[5000];
    for (unsigned i = 0; i < 16 && liar_has_more(); i++) {
        liar_allow("a call after a hand-over", READS_ALLOWED);
        shm_socket_t *s = liar_byte() & 1 ? victim : liar;
        int fd;
        size_t size = sizeof fd;
        switch (liar_choice(6)) {
        case 0:
            shm_send(s, bytes, liar_byte() * UINT64_C(16), SHM_DONTWAIT);
            break;
        case 1:
            shm_recv(s, bytes, sizeof bytes, SHM_DONTWAIT);
            break;
        case 2:
            membership_sync(s);
            break;
        case 3:
            shm_getsockopt(s, SHM_FD, &fd, &size);
            break;
        case 4:
            membership_check(s);
            break;
        default:
            shm_poll(&(shm_pollitem_t){s, -1, SHM_POLLIN | SHM_POLLOUT, 0}, 1, 0);
        }
    }
}

static int honest_line[2];

static void *be_handed_over(void *socket)
{
    return shm_handover(socket, honest_line[1], 10000) == 0 ? socket : NULL;
}

static void join_an_honest_one(int type)
{
    pthread_t thread;
    void *joined;
    liar_lies_at = nobody_lies;
    honest = open_socket(type, 0x50);
    CHECK(line_make(honest_line) == 0);
    CHECK(pthread_create(&thread, NULL, be_handed_over, honest) == 0);
    CHECK(shm_handover(victim, honest_line[0], 10000) == 0);
    CHECK(pthread_join(thread, &joined) == 0 && joined != NULL);
    line_drop(honest_line);
    liar_lies_at = lies_at;
}

/* Whatever the liar does, the honest peer is heard, and nobody is mistaken for it. */
static void hear_the_honest_one(void)
{
    bool comes = victim->type == SHM_PULL || victim->type == SHM_SUB || victim->type == SHM_DEALER;
    char text[64];
    for (uint32_t i = 0; i < victim->pipes.count; i++) {
        const struct pipe *pipe = victim->pipes.list[i];
        CHECK(pipe->state != PIPE_UP || pipe->membership == NULL ||
              strcmp(pipe->membership->handed_to, pipe->member.id_hex) == 0);
    }
    liar_lies_at = nobody_lies;
    for (unsigned tries = 0, sent = 0; comes; tries++) {
        CHECK(tries < 100000);
        if (sent == 0 && shm_send(honest, "HONEST", 6, SHM_DONTWAIT) >= 0 && honest->type != SHM_PUB)
            sent = 1;
        ssize_t n = shm_recv(victim, text, sizeof text, SHM_DONTWAIT);
        if (n == 6 && memcmp(text, "HONEST", 6) == 0)
            break;
    }
    liar_lies_at = lies_at;
}

static unsigned count_open(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;
    CHECK(directory != NULL);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kinds_make();
    liar_begin(data, size);
    liar_tempt = tempt;
    liar_lies_at = lies_at;
    maps_owner = owner_of;
    liar_allow("a hand-over", READS_ALLOWED);
    memset(files, 0, sizeof files);
    unsigned before = count_open();
    unsigned which = liar_choice(sizeof pairs / sizeof pairs[0]);
    bool binds = liar_byte() & 1, liar_first = liar_byte() & 1;
    victim = open_socket(pairs[which].victim, binds ? 0x90 : 0x30);
    liar = open_socket(pairs[which].liar, 0x60);
    unsigned when = victim->type == SHM_PAIR ? 0 : liar_choice(3); /* a PAIR has one peer at a time */
    if (when == 1)
        join_an_honest_one(pairs[which].liar);
    if (hand_over())
        use();
    liar_allow("the rest", READS_ALLOWED);
    if (when == 2)
        join_an_honest_one(pairs[which].liar);
    if (when > 0)
        hear_the_honest_one();
    if (honest != NULL)
        shm_close(honest);
    honest = NULL;
    if (liar_first) {
        shm_close(liar);
        liar = NULL;
    }
    shm_socket_t *was = victim;
    victim = NULL; /* no more temptations: its pipes go one by one */
    shm_close(was);
    if (liar != NULL)
        shm_close(liar);
    liar = NULL;
    CHECK(maps_gone());
    CHECK(count_open() == before);
    return 0;
}
