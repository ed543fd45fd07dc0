/* SPDX-License-Identifier: MIT */
/*
 * `shmq info NAME`: a line per socket at an endpoint, the binder's first, with its counters.
 *
 * The counters are those of the socket, over all its endpoints; LAG and UNREAD are for this one. The pipe
 * records that they come from are found through the endpoint: a slot names the connector's, its accept
 * record the binder's.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "lag.h"
#include "place.h"
#include "table.h"
#include "text.h"
#include "tool.h"
#include "transport/endpoint.h"

struct number {
    bool is_known;
    uint64_t value;
};

/* What is shown of one socket. */
struct line {
    const char *role, *state;
    bool is_binder;
    uint32_t slot;
    const struct member *member;
    struct socket_look socket;
    struct number lag;    /* sent to it, not yet read by it */
    struct number unread; /* sent by it, not yet read */
    struct number in_hand;
    struct number pipe_received, pipe_lost;
};

/* All that is known about a name. */
struct view {
    struct store *store;
    struct endpoint_look endpoint;
    struct line binder;
    struct table *table;
    struct json *json;
};

/* ---- output ---- */

static const struct column columns[] = {
    {"SOCKET", NULL, 0},      {"STATE", NULL, 0},      {"TYPE", NULL, 0},      {"PID", NULL, 1},
    {"SENT", "msgs", 1},      {"RECEIVED", "msgs", 1}, {"LOST", "msgs", 1},    {"DROPPED", "msgs", 1},
    {"LAG", "msgs", 1},       {"UNREAD", "msgs", 1},   {"OUT", NULL, 1},       {"IN", NULL, 1},
    {"WAKES", "calls", 1},    {"SLEEPS", "times", 1},  {"MEMORY", NULL, 1},    {"PEERS", NULL, 1},
};

static const struct {
    const char *key;
    unsigned stat;
} counters[] = {
    {"sent", STAT_SENT},
    {"received", STAT_RECEIVED},
    {"bytes_sent", STAT_BYTES_SENT},
    {"bytes_received", STAT_BYTES_RECEIVED},
    {"lost", STAT_LOST},
    {"dropped", STAT_DROPPED},
    {"redelivered", STAT_REDELIVERED},
    {"wakes", STAT_WAKES},
    {"sleeps", STAT_SLEEPS},
    {"peers", STAT_PEERS},
    {"memory", STAT_MEMORY},
    {"protocol_errors", STAT_PROTOCOL_ERRORS},
    {"auth_failed", STAT_AUTH_FAILED},
};
_Static_assert(sizeof counters / sizeof counters[0] == STAT_COUNT, "all counters are shown");

static void add_number(struct table *table, bool is_known, uint64_t value)
{
    if (is_known)
        table_add(table, "%llu", (unsigned long long)value);
    else
        table_add(table, "%s", "");
}

static void add_bytes(struct table *table, bool is_known, uint64_t value)
{
    char text[BYTES_ROOM] = "";
    if (is_known)
        text_bytes(text, value);
    table_add(table, "%s", text);
}

static void put_row(struct table *table, const struct line *line)
{
    const struct socket_look *socket = &line->socket;
    bool seen = socket->fd >= 0;

    table_add(table, "%s", line->role);
    table_add(table, "%s", line->state);
    table_add(table, "%s", type_name(seen ? socket->type : line->member->type));
    table_add(table, "%u", line->member->pid);
    add_number(table, seen, socket->stats[STAT_SENT]);
    add_number(table, seen, socket->stats[STAT_RECEIVED]);
    add_number(table, seen, socket->stats[STAT_LOST]);
    add_number(table, seen, socket->stats[STAT_DROPPED]);
    add_number(table, line->lag.is_known, line->lag.value);
    add_number(table, line->unread.is_known, line->unread.value);
    add_bytes(table, seen, socket->stats[STAT_BYTES_SENT]);
    add_bytes(table, seen, socket->stats[STAT_BYTES_RECEIVED]);
    add_number(table, seen, socket->stats[STAT_WAKES]);
    add_number(table, seen, socket->stats[STAT_SLEEPS]);
    add_bytes(table, seen, socket->stats[STAT_MEMORY]);
    add_number(table, seen, socket->stats[STAT_PEERS]);
}

static void json_maybe(struct json *json, const char *key, struct number number)
{
    if (number.is_known)
        json_number(json, key, number.value);
    else
        json_null(json, key);
}

static void put_json(struct json *json, const char *key, const struct line *line)
{
    const struct socket_look *socket = &line->socket;
    bool seen = socket->fd >= 0;

    json_object(json, key);
    if (!line->is_binder)
        json_number(json, "slot", line->slot);
    json_text(json, "state", line->state);
    json_text(json, "type", type_name(seen ? socket->type : line->member->type));
    json_number(json, "uid", seen ? socket->uid : geteuid());
    json_number(json, "pid", line->member->pid);
    json_text(json, "id", line->member->id_hex);
    for (unsigned i = 0; i < STAT_COUNT; i++)
        json_maybe(json, counters[i].key, (struct number){seen, socket->stats[counters[i].stat]});
    json_maybe(json, "lag", line->lag);
    json_maybe(json, "unread", line->unread);
    json_maybe(json, "in_hand", line->in_hand);
    if (!line->is_binder) {
        json_maybe(json, "pipe_received", line->pipe_received);
        json_maybe(json, "pipe_lost", line->pipe_lost);
    }
    json_end(json);
}

static void put_line(struct view *view, const char *key, const struct line *line)
{
    if (view->json != NULL)
        put_json(view->json, key, line);
    else
        put_row(view->table, line);
}

/* ---- gathering ---- */

static struct number unread_of(const struct lag *lag)
{
    return (struct number){lag->is_known, lag->unread};
}

static struct number in_hand_of(const struct lag *lag)
{
    return (struct number){lag->is_known && lag->kind == RING_SPMC, lag->in_hand};
}

static void add_up(struct number *sum, const struct number *one)
{
    sum->is_known |= one->is_known;
    sum->value += one->is_known ? one->value : 0;
}

static const char *peer_state(const struct view *view, const struct slot_look *slot)
{
    if (!slot->lives)
        return "dead";
    if (slot->has_verdict && slot->accept.verdict == VERDICT_REJECTED)
        return "rejected";
    bool connected = slot->has_verdict && slot->accept.verdict == VERDICT_ACCEPTED && view->endpoint.has_binder &&
                     slot->accept.binder_gen == view->endpoint.binder.gen && view->endpoint.binder_lives;
    return connected ? "connected" : "waiting";
}

/* Fill the peer's line, and add what it contributes to the binder's. */
static void look_at_peer(struct view *view, uint32_t slot_number, const struct slot_look *slot, struct line *line)
{
    struct line *binder = &view->binder;
    struct pipe_record here, there;

    *line = (struct line){.role = "peer", .state = peer_state(view, slot), .slot = slot_number, .member = &slot->member};
    if (socket_look(&line->socket, view->store, slot->member.id_hex) < 0 ||
        pipe_look(&line->socket, slot->member.pipe_offset, &here) < 0)
        return;
    line->pipe_received = (struct number){true, load_relaxed(&here.received)};
    line->pipe_lost = (struct number){true, load_relaxed(&here.lost)};
    bool both = binder->socket.fd >= 0 && slot->has_verdict && slot->accept.verdict == VERDICT_ACCEPTED &&
                memcmp(slot->accept.binder_id, binder->member->id, SEGMENT_ID_SIZE) == 0 &&
                pipe_look(&binder->socket, slot->accept.pipe_offset, &there) == 0;
    struct lag from = lag_of_pipe(&line->socket, view->store, &here, both ? &there : NULL);
    line->unread = unread_of(&from);
    line->in_hand = in_hand_of(&from);
    add_up(&binder->lag, &line->unread);
    if (!both)
        return;
    struct lag to = lag_of_pipe(&binder->socket, view->store, &there, &here);
    line->lag = unread_of(&to);
    if (to.kind == RING_SPSC)
        add_up(&binder->unread, &line->lag);
    else if (to.kind == RING_BROADCAST && line->lag.is_known &&
             (!binder->unread.is_known || line->lag.value > binder->unread.value))
        binder->unread = line->lag; /* one ring for all: the slowest reader counts */
}

static void look_at_binder(struct view *view)
{
    struct line *binder = &view->binder;
    *binder = (struct line){.role = "binder",
                            .state = view->endpoint.binder_lives ? "alive" : "dead",
                            .is_binder = true,
                            .member = &view->endpoint.binder};
    if (socket_look(&binder->socket, view->store, view->endpoint.binder.id_hex) < 0)
        return;
    struct lag lag = lag_of_ring(&binder->socket, view->store, binder->socket.ring_offset);
    if (lag.kind == RING_SPMC) {
        binder->unread = unread_of(&lag);
        binder->in_hand = in_hand_of(&lag);
    }
}

/* The peers are walked twice, since the binder's line, which has their sums, comes first. */
static void walk(struct view *view, bool show)
{
    struct slot_look slot;
    struct line line;
    for (uint32_t i = 0; i < view->endpoint.high; i++) {
        if (!slot_look(&view->endpoint, i, &slot))
            continue;
        look_at_peer(view, i, &slot, &line);
        if (show)
            put_line(view, NULL, &line);
        socket_look_end(&line.socket);
    }
}

static void show_all(struct view *view)
{
    view->binder.socket.fd = -1;
    if (view->endpoint.has_binder) {
        look_at_binder(view);
        walk(view, false);
        put_line(view, "binder", &view->binder);
    } else if (view->json != NULL) {
        json_null(view->json, "binder");
    }
    if (view->json != NULL)
        json_array(view->json, "peers");
    walk(view, true);
    if (view->json != NULL)
        json_end(view->json);
    socket_look_end(&view->binder.socket);
}

/* ---- the command ---- */

static const char *state_of(const struct endpoint_look *look)
{
    return !look->is_used ? "stale" : look->binder_lives ? "alive" : "unbound";
}

static int show(struct view *view, bool as_json)
{
    char name[TEXT_ROOM(sizeof view->endpoint.name)];
    struct table table;
    struct json json = {0};

    table_init(&table, columns, sizeof columns / sizeof columns[0]);
    view->table = &table;
    view->json = as_json ? &json : NULL;
    if (as_json) {
        json_object(&json, NULL);
        json_name(&json, "name", view->endpoint.name, view->endpoint.name_size);
        json_text(&json, "state", state_of(&view->endpoint));
        show_all(view);
        json_end(&json);
    } else {
        text_printable(name, view->endpoint.name, view->endpoint.name_size);
        printf("%s: %s\n", name, state_of(&view->endpoint));
        show_all(view);
    }
    int error = table_end(&table);
    return error < 0 ? tool_fail("info", error) : STATUS_FINE;
}

/* 1: found; 0: there is none; or an error. The name is compared with what the files contain, since a long
 * name's file name ends in a hash. */
static int find(struct view *view, const struct place *place, const char *name)
{
    for (size_t i = 0; i < place->count; i++) {
        if (!file_is_endpoint(place->files[i]))
            continue;
        int error = endpoint_look(&view->endpoint, place->store, place->files[i]);
        if (error < 0 && error != -ENOENT)
            return error;
        if (error == 0 && view->endpoint.is_read && view->endpoint.name_size == strlen(name) &&
            memcmp(view->endpoint.name, name, strlen(name)) == 0)
            return 1;
        endpoint_look_end(&view->endpoint);
    }
    return 0;
}

int tool_info(const struct request *request)
{
    char name[ENDPOINT_NAME_MAX + 1];
    struct view view = {0};
    struct place place;

    int result = endpoint_name(name, request->name);
    if (result < 0) {
        tool_fail("the name", result);
        return STATUS_USAGE;
    }
    result = place_open(&place);
    if (result < 0 && result != -ENOENT)
        return tool_fail(place.path, result);
    if (result == 0)
        result = find(&view, &place, name);
    int status = STATUS_NOTHING;
    if (result == 1) {
        view.store = place.store;
        status = show(&view, request->json);
        endpoint_look_end(&view.endpoint);
    } else if (result < 0 && result != -ENOENT) {
        status = tool_fail(place.path, result);
    } else {
        char text[TEXT_ROOM(sizeof name)];
        text_printable(text, name, strlen(name));
        fprintf(stderr, "shmq: %s: no such name in %s\n", text, place.path);
    }
    place_close(&place);
    return status;
}
