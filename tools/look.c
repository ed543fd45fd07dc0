/* SPDX-License-Identifier: MIT */
#include "look.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shmq.h"
#include "base/seqlock.h"
#include "transport/os.h"
#include "transport/segment.h"

#define LOOKS 16 /* at a record that keeps changing; after that it counts as absent */

const char *type_name(uint32_t type)
{
    static const char *const names[] = {"PAIR", "PUB",    "SUB",  "REQ",  "REP", "DEALER",
                                        "ROUTER", "PULL", "PUSH", "XPUB", "XSUB"};
    return type < sizeof names / sizeof names[0] ? names[type] : "?";
}

int read_at(int fd, uint64_t offset, void *out, size_t size)
{
    if (offset > (uint64_t)INT64_MAX - size)
        return -EPROTO;
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(fd, (char *)out + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -EPROTO;
        done += (size_t)n;
    }
    return 0;
}

/* Read until two readings in a row are equal. */
static int read_stable(int fd, uint64_t offset, void *out, size_t size)
{
    char again[sizeof(struct endpoint_slot)];
    if (size > sizeof again)
        return -EPROTO;
    for (int i = 0; i < LOOKS; i++) {
        if (read_at(fd, offset, out, size) < 0)
            return -EPROTO;
        fence_acquire(); /* the second reading comes after the first */
        if (read_at(fd, offset, again, size) < 0)
            return -EPROTO;
        if (memcmp(out, again, size) == 0)
            return 0;
    }
    return -EPROTO;
}

/* ---- endpoints ---- */

static bool copy_member(struct member *out, struct endpoint_member *member)
{
    uint64_t words[2] = {load_relaxed(&member->id[0]), load_relaxed(&member->id[1])};
    out->gen = load_relaxed(&member->gen);
    memcpy(out->id, words, sizeof words);
    segment_id_hex(out->id_hex, out->id);
    out->type = (uint32_t)load_relaxed(&member->type);
    out->pid = (uint32_t)load_relaxed(&member->pid);
    out->pipe_offset = load_relaxed(&member->pipe_offset);
    return out->gen & 1;
}

static bool copy_accept(struct accepted *out, struct accept_record both[2])
{
    int newest = seqlock_newest(load_relaxed(&both[0].gen), load_relaxed(&both[1].gen));
    struct accept_record *record = &both[newest == 1];
    uint64_t words[2] = {load_relaxed(&record->binder_id[0]), load_relaxed(&record->binder_id[1])};
    out->gen = load_relaxed(&record->gen);
    memcpy(out->binder_id, words, sizeof words);
    out->peer_gen = load_relaxed(&record->peer_gen);
    out->binder_gen = load_relaxed(&record->binder_gen);
    out->verdict = load_relaxed(&record->verdict);
    out->pipe_offset = load_relaxed(&record->pipe_offset);
    out->resume = load_relaxed(&record->resume);
    return newest >= 0;
}

static int hex_digit(char c)
{
    const char *digits = "0123456789ABCDEF", *at = c == '\0' ? NULL : strchr(digits, c);
    return at == NULL ? -1 : (int)(at - digits);
}

/* The inverse of endpoint.c's file_name(). */
static void name_from_file(struct endpoint_look *look, const char *file)
{
    size_t size = strlen(file) - 3;
    for (size_t i = 0; i < size && look->name_size < sizeof look->name; i++) {
        bool escaped = file[i] == '%' && i + 2 < size && hex_digit(file[i + 1]) >= 0 && hex_digit(file[i + 2]) >= 0;
        char c = escaped ? (char)(hex_digit(file[i + 1]) << 4 | hex_digit(file[i + 2])) : file[i];
        look->name[look->name_size++] = c;
        i += escaped ? 2 : 0;
    }
}

static bool read_header(struct endpoint_look *look)
{
    struct endpoint_header header;
    struct endpoint_member binder;

    if (read_at(look->fd, 0, &header, sizeof header) < 0 || header.magic != ENDPOINT_MAGIC ||
        header.abi != SHMQ_ABI || header.name_size == 0 || header.name_size > ENDPOINT_NAME_MAX)
        return false;
    look->name_size = header.name_size;
    memcpy(look->name, header.name, header.name_size);
    uint32_t high = load_relaxed(&header.high);
    look->high = high <= ENDPOINT_SLOTS ? high : ENDPOINT_SLOTS;
    look->has_binder = read_stable(look->fd, offsetof(struct endpoint_header, binder), &binder, sizeof binder) == 0 &&
                       copy_member(&look->binder, &binder);
    return true;
}

/* The owner of a socket's memory, which in a group's directory may be another user; without memory, ours. */
static uint32_t owner_of(struct store *store, const char *id_hex)
{
    char name[64];
    struct stat st;
    snprintf(name, sizeof name, "%.32s.seg", id_hex);
    return fstatat(store_directory_fd(store), name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_uid : geteuid();
}

int endpoint_look(struct endpoint_look *look, struct store *store, const char *file)
{
    memset(look, 0, sizeof *look);
    look->fd = store_file_open(store, file, OS_READ);
    int error = look->fd;
    if (error < 0 && error != -EPERM && error != -EACCES && error != -ENXIO) {
        look->fd = -1;
        return error;
    }
    if (look->fd >= 0) {
        look->is_used = os_is_locked(look->fd, 0, ENDPOINT_BYTES) != 0;
        look->binder_lives = os_is_locked(look->fd, ENDPOINT_BYTE_BINDER, 1) != 0;
        look->is_read = read_header(look);
        look->binder_uid = owner_of(store, look->binder.id_hex);
    } else {
        look->fd = -1;
    }
    if (!look->is_read)
        name_from_file(look, file);
    return 0;
}

void endpoint_look_end(struct endpoint_look *look)
{
    if (look->fd >= 0)
        close(look->fd);
    look->fd = -1;
}

bool slot_look(const struct endpoint_look *look, uint32_t slot, struct slot_look *out)
{
    struct endpoint_slot words;
    uint64_t offset = ENDPOINT_HEADER_SIZE + (uint64_t)slot * sizeof words;

    memset(out, 0, sizeof *out);
    if (read_stable(look->fd, offset, &words, sizeof words) < 0 || !copy_member(&out->member, &words.member))
        return false;
    out->lives = os_is_locked(look->fd, ENDPOINT_BYTE_SLOT + slot, 1) != 0;
    out->has_verdict = copy_accept(&out->accept, words.accepts) && out->accept.peer_gen == out->member.gen;
    return true;
}

bool slot_is_peer(const struct slot_look *slot)
{
    return slot->lives && !(slot->has_verdict && slot->accept.verdict == VERDICT_REJECTED);
}

/* ---- sockets ---- */

static int read_socket(struct socket_look *look, const char *id_hex)
{
    struct segment_header header;

    if (read_at(look->fd, 0, &header, sizeof header) < 0 || header.magic != SEGMENT_MAGIC || header.abi != SHMQ_ABI)
        return -EPROTO;
    segment_id_hex(look->id_hex, header.id);
    if (strcmp(look->id_hex, id_hex) != 0)
        return -EPROTO;
    memcpy(&look->id_word, header.id, sizeof look->id_word);
    look->type = header.type;
    look->pid = header.pid;
    look->is_closed = load_relaxed(&header.closed) != 0;
    look->ring_offset = load_relaxed(&header.ring_offset);
    look->lives = os_is_locked(look->fd, SEGMENT_BYTE_OWNER, 1) != 0;
    for (unsigned i = 0; i < STAT_COUNT; i++)
        look->stats[i] = load_relaxed(&header.stats[i]);
    return 0;
}

int socket_look(struct socket_look *look, struct store *store, const char *id_hex)
{
    char name[64];
    memset(look, 0, sizeof *look);
    snprintf(name, sizeof name, "%.32s.seg", id_hex);
    look->fd = store_file_open(store, name, OS_READ);
    int error = look->fd < 0 ? look->fd : read_socket(look, id_hex);
    look->uid = owner_of(store, id_hex);
    if (error < 0)
        socket_look_end(look);
    return error;
}

void socket_look_end(struct socket_look *look)
{
    if (look->fd >= 0)
        close(look->fd);
    look->fd = -1;
}

/* Checks as remote_at() does: within one extent, behind the header, aligned as blocks are. read_at() checks
 * the end of the file. */
static int read_record(const struct socket_look *socket, uint64_t offset, void *out, size_t size)
{
    unsigned extent = segment_extent(offset);
    if (socket->fd < 0 || offset < SEGMENT_HEADER_SIZE || offset % 64 != 0 || extent >= SEGMENT_EXTENTS ||
        size > segment_extent_size(extent) - (offset - segment_extent_start(extent)))
        return -EPROTO;
    return read_at(socket->fd, offset, out, size);
}

int pipe_look(const struct socket_look *socket, uint64_t offset, struct pipe_record *out)
{
    int error = read_record(socket, offset, out, sizeof *out);
    return error < 0 ? error : out->magic == PIPE_RECORD_MAGIC ? 0 : -EPROTO;
}

int ring_look(const struct socket_look *socket, uint64_t offset, struct ring_header *out)
{
    int error = read_record(socket, offset, out, sizeof *out);
    if (error < 0)
        return error;
    bool sane = out->magic == RING_MAGIC && out->kind >= RING_BROADCAST && out->kind <= RING_SPMC &&
                out->slots >= 8 && out->slots <= RING_SLOTS_MAX && (out->slots & (out->slots - 1)) == 0;
    return sane ? 0 : -EPROTO;
}
