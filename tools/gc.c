/* SPDX-License-Identifier: MIT */
/*
 * `shmq gc`: removes what dead processes have left, and nothing that a live one may still need.
 *
 * A dead socket's segment is needed as long as a peer may come to read what it had sent. Peers that read
 * already hold a lock in it. Peers that have yet to open it find it through an endpoint: by its member
 * record in a slot (for the binder, which reads the rest), or by its accept record for a slot (for the
 * connector, and for the next binder, which learns where to continue). So the order is:
 *
 *   1  note which sockets are dead
 *   2  remove the endpoints that nobody uses; note which sockets the others name
 *   3  remove the sockets of 1 that 2 did not find named, unless a peer holds a lock
 *   4  remove bells and the like whose segment is gone (a remover died half-way)
 *
 * Only a socket itself writes its name at an endpoint. The dead no longer do, so 2 cannot miss a name of a
 * socket in 1, whatever comes and goes meanwhile. (A socket that another endpoint also names must stay, so
 * no endpoint can decide alone what to remove.)
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json.h"
#include "look.h"
#include "place.h"
#include "table.h"
#include "text.h"
#include "tool.h"
#include "transport/claims.h"
#include "transport/os.h"
#include "transport/reap.h"

static const char *const beside_segment[] = {".bell", ".claims", ".fifo"};

struct id {
    char hex[ID_HEX + 1];
};

struct id_list {
    struct id *ids;
    size_t count, room;
};

struct sweep {
    const struct request *request;
    struct place *place;
    struct id_list dead, named;
    bool is_opaque; /* an endpoint in use cannot be read: it may name any socket */
    struct table table;
    struct json json;
    uint64_t count, bytes;
    int error; /* the first one */
};

static void note_error(struct sweep *sweep, int error)
{
    if (sweep->error == 0)
        sweep->error = error;
}

/* ---- sets of sockets ---- */

static void note_id(struct sweep *sweep, struct id_list *list, const char *hex)
{
    if (list->count == list->room) {
        size_t more = list->room == 0 ? 64 : 2 * list->room;
        struct id *ids = realloc(list->ids, more * sizeof *ids);
        if (ids == NULL) {
            /* A name that could not be noted must count as in use. */
            sweep->is_opaque = true;
            note_error(sweep, -ENOMEM);
            return;
        }
        list->ids = ids;
        list->room = more;
    }
    memcpy(list->ids[list->count++].hex, hex, sizeof list->ids->hex);
}

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct id));
}

static void sort_ids(struct id_list *list)
{
    if (list->count > 0)
        qsort(list->ids, list->count, sizeof *list->ids, compare_ids);
}

static bool has_id(const struct id_list *list, const struct id *id)
{
    return list->count > 0 && bsearch(id, list->ids, list->count, sizeof *id, compare_ids) != NULL;
}

/* ---- output ---- */

static void say(struct sweep *sweep, const char *kind, const char *name, size_t name_size,
                const struct socket_look *socket, uint64_t bytes)
{
    char text[TEXT_ROOM(256)], size[BYTES_ROOM];

    sweep->count++;
    sweep->bytes += bytes;
    if (sweep->request->json) {
        json_object(&sweep->json, NULL);
        json_text(&sweep->json, "kind", kind);
        json_name(&sweep->json, "name", name, name_size);
        if (socket != NULL) {
            json_text(&sweep->json, "type", type_name(socket->type));
            json_number(&sweep->json, "pid", socket->pid);
        }
        json_number(&sweep->json, "bytes", bytes);
        json_end(&sweep->json);
        return;
    }
    text_printable(text, name, name_size);
    text_bytes(size, bytes);
    table_add(&sweep->table, "%s", kind);
    table_add(&sweep->table, "%s", text);
    table_add(&sweep->table, "%s", socket != NULL ? type_name(socket->type) : "");
    if (socket != NULL)
        table_add(&sweep->table, "%u", socket->pid);
    else
        table_add(&sweep->table, "%s", "");
    table_add(&sweep->table, "%s", size);
}

static uint64_t memory_of(struct store *store, const char *file)
{
    struct stat st;
    return fstatat(store_directory_fd(store), file, &st, AT_SYMLINK_NOFOLLOW) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

/* ---- 1: dead sockets ---- */

static void note_dead(struct sweep *sweep)
{
    char hex[ID_HEX + 1];
    for (size_t i = 0; i < sweep->place->count; i++) {
        const char *file = sweep->place->files[i];
        if (!file_is_of_socket(file, ".seg", hex))
            continue;
        int fd = store_file_open(sweep->place->store, file, OS_READ);
        if (fd < 0)
            continue; /* gone, or not a file of ours */
        if (os_is_locked(fd, SEGMENT_BYTE_OWNER, 1) == 0)
            note_id(sweep, &sweep->dead, hex);
        close(fd);
    }
}

/* ---- 2: endpoints ---- */

static void note_named(struct sweep *sweep, const struct endpoint_look *look)
{
    struct slot_look slot;
    char hex[ID_HEX + 1];

    if (!look->is_read) {
        sweep->is_opaque = true;
        return;
    }
    if (look->has_binder)
        note_id(sweep, &sweep->named, look->binder.id_hex);
    for (uint32_t i = 0; i < look->high; i++) {
        if (!slot_look(look, i, &slot))
            continue;
        note_id(sweep, &sweep->named, slot.member.id_hex);
        if (slot.has_verdict) { /* an accept record for a former member no longer counts */
            segment_id_hex(hex, slot.accept.binder_id);
            note_id(sweep, &sweep->named, hex);
        }
    }
}

/* 1: removed; 0: in use after all. Does what the last socket to leave would do (endpoint_layout.h). */
static int remove_endpoint(struct store *store, const char *file)
{
    const uint32_t tombstone = 1;
    uint64_t size = 0;
    int fd = store_file_open(store, file, OS_WRITE);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    int result = os_lock(fd, 0, ENDPOINT_BYTES, OS_WRITE) == 0 && store_file_same(store, file, fd) == 1;
    if (result == 1 && os_file_size(fd, &size) == 0 && size >= ENDPOINT_HEADER_SIZE &&
        pwrite(fd, &tombstone, sizeof tombstone, offsetof(struct endpoint_header, tombstone)) < 0)
        result = -errno;
    if (result == 1 && unlinkat(store_directory_fd(store), file, 0) != 0)
        result = -errno;
    close(fd);
    return result;
}

static void sweep_endpoint(struct sweep *sweep, const char *file)
{
    struct endpoint_look look;
    struct store *store = sweep->place->store;

    /* Look first: opening a file in use for writing would wake its sockets (look.h). */
    int error = endpoint_look(&look, store, file);
    if (error < 0 || look.fd < 0) {
        if (error < 0 && error != -ENOENT)
            note_error(sweep, error);
        return;
    }
    uint64_t bytes = memory_of(store, file);
    int removed = look.is_used ? 0 : sweep->request->dry_run ? 1 : remove_endpoint(store, file);
    if (removed == 1)
        say(sweep, "endpoint", look.name, look.name_size, NULL, bytes);
    else if (removed < 0)
        note_error(sweep, removed);
    endpoint_look_end(&look);
    if (removed == 1)
        return;
    /* Sockets may have come or gone since that look: read the file as it is now. */
    if (endpoint_look(&look, store, file) == 0) {
        if (look.fd >= 0)
            note_named(sweep, &look);
        endpoint_look_end(&look);
    }
}

/* ---- 3: sockets ---- */

static uint64_t memory_of_socket(struct store *store, const char *hex)
{
    char file[64];
    snprintf(file, sizeof file, "%s.seg", hex);
    uint64_t bytes = memory_of(store, file);
    for (unsigned i = 0; i < sizeof beside_segment / sizeof beside_segment[0]; i++) {
        snprintf(file, sizeof file, "%s%s", hex, beside_segment[i]);
        bytes += memory_of(store, file);
    }
    return bytes;
}

static int is_read_by_somebody(struct store *store, const char *hex)
{
    char file[64];
    snprintf(file, sizeof file, "%s.seg", hex);
    int fd = store_file_open(store, file, OS_READ);
    if (fd < 0)
        return 1;
    int locked = os_is_locked(fd, SEGMENT_BYTE_OWNER, 1) != 0 || os_hold(fd, OS_WRITE) != 0;
    close(fd);
    return locked;
}

static void sweep_socket(struct sweep *sweep, const char *hex)
{
    struct socket_look look;
    struct store *store = sweep->place->store;
    bool sane = socket_look(&look, store, hex) == 0;
    uint64_t bytes = memory_of_socket(store, hex);
    socket_look_end(&look);
    int removed = sweep->request->dry_run ? !is_read_by_somebody(store, hex) : reap_socket(store, hex);
    if (removed == 1)
        say(sweep, "socket", hex, strlen(hex), sane ? &look : NULL, bytes);
}

static void sweep_sockets(struct sweep *sweep)
{
    sort_ids(&sweep->named);
    if (sweep->is_opaque && sweep->dead.count > 0) {
        fputs("shmq: an endpoint in use cannot be read: dead sockets are kept\n", stderr);
        return;
    }
    for (size_t i = 0; i < sweep->dead.count; i++)
        if (!has_id(&sweep->named, &sweep->dead.ids[i]))
            sweep_socket(sweep, sweep->dead.ids[i].hex);
}

/* ---- 4: the rest ---- */

/* A socket makes its segment first and removes it last: without one, nobody needs the other files, except
 * pullers that still hold claims. */
static bool is_orphan(struct store *store, const char *file, const char *hex)
{
    char segment[64];
    struct stat st;

    snprintf(segment, sizeof segment, "%s.seg", hex);
    if (fstatat(store_directory_fd(store), segment, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
        return false;
    if (fstatat(store_directory_fd(store), file, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    if (strcmp(file + ID_HEX, ".fifo") == 0)
        return S_ISFIFO(st.st_mode);
    int fd = store_file_open(store, file, OS_READ);
    if (fd < 0)
        return false;
    bool used = os_is_locked(fd, CLAIMS_BYTE_OWNER, CLAIMS_OWNERS + 1) != 0;
    close(fd);
    return !used;
}

static void sweep_orphan(struct sweep *sweep, const char *file)
{
    char hex[ID_HEX + 1];
    struct store *store = sweep->place->store;
    bool fits = false;

    for (unsigned i = 0; i < sizeof beside_segment / sizeof beside_segment[0]; i++)
        fits = fits || file_is_of_socket(file, beside_segment[i], hex);
    if (!fits || !is_orphan(store, file, hex))
        return;
    uint64_t bytes = memory_of(store, file);
    if (!sweep->request->dry_run && unlinkat(store_directory_fd(store), file, 0) != 0) {
        if (errno != ENOENT)
            note_error(sweep, -errno);
        return;
    }
    say(sweep, "file", file, strlen(file), NULL, bytes);
}

/* ---- the command ---- */

static void sweep_all(struct sweep *sweep)
{
    note_dead(sweep);
    for (size_t i = 0; i < sweep->place->count; i++)
        if (file_is_endpoint(sweep->place->files[i]))
            sweep_endpoint(sweep, sweep->place->files[i]);
    sweep_sockets(sweep);
    for (size_t i = 0; i < sweep->place->count; i++)
        sweep_orphan(sweep, sweep->place->files[i]);
}

static void finish(struct sweep *sweep)
{
    char size[BYTES_ROOM];
    if (sweep->request->json) {
        json_end(&sweep->json);
        json_number(&sweep->json, "bytes", sweep->bytes);
        json_end(&sweep->json);
    }
    int error = table_end(&sweep->table);
    if (error < 0)
        note_error(sweep, error);
    text_bytes(size, sweep->bytes);
    if (!sweep->request->json && sweep->count > 0)
        printf("%s: %llu, %s\n", sweep->request->dry_run ? "would be removed" : "removed",
               (unsigned long long)sweep->count, size);
    free(sweep->dead.ids);
    free(sweep->named.ids);
}

int tool_gc(const struct request *request)
{
    static const struct column columns[] = {
        {"KIND", NULL, 0}, {"NAME", NULL, 0}, {"TYPE", NULL, 0}, {"PID", NULL, 1}, {"MEMORY", NULL, 1}};
    struct place place;
    struct sweep sweep = {.request = request, .place = &place};

    int error = place_open(&place);
    if (error < 0 && error != -ENOENT)
        return tool_fail(place.path, error);
    table_init(&sweep.table, columns, sizeof columns / sizeof columns[0]);
    if (request->json) {
        json_object(&sweep.json, NULL);
        json_bool(&sweep.json, "dry_run", request->dry_run);
        json_array(&sweep.json, "removed");
    }
    if (error == 0)
        sweep_all(&sweep);
    finish(&sweep);
    place_close(&place);
    if (sweep.error < 0)
        return tool_fail(place.path, sweep.error);
    return sweep.count > 0 ? STATUS_FINE : STATUS_NOTHING;
}
