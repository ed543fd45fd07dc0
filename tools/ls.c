/* SPDX-License-Identifier: MIT */
/* `shmq ls`: one line per endpoint. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "look.h"
#include "place.h"
#include "table.h"
#include "text.h"
#include "tool.h"

static uint64_t count_peers(const struct endpoint_look *look)
{
    struct slot_look slot;
    uint64_t peers = 0;
    for (uint32_t i = 0; i < look->high; i++)
        peers += slot_look(look, i, &slot) && slot_is_peer(&slot);
    return peers;
}

/* The words are explained in the manual. */
static const char *state_of(const struct endpoint_look *look)
{
    if (look->fd < 0)
        return "foreign";
    if (!look->is_used)
        return "stale";
    return look->binder_lives || !look->is_read ? "alive" : "unbound";
}

static void put_row(struct table *table, const struct endpoint_look *look)
{
    char name[TEXT_ROOM(sizeof look->name)];
    text_printable(name, look->name, look->name_size);
    table_add(table, "%s", name);
    table_add(table, "%s", state_of(look));
    if (look->has_binder) {
        table_add(table, "%s", type_name(look->binder.type));
        table_add(table, "%u", look->binder_uid);
        table_add(table, "%u", look->binder.pid);
    } else {
        for (int i = 0; i < 3; i++)
            table_add(table, "%s", "");
    }
    if (look->is_read)
        table_add(table, "%llu", (unsigned long long)count_peers(look));
    else
        table_add(table, "%s", "");
}

static void put_json(struct json *json, const struct endpoint_look *look)
{
    json_object(json, NULL);
    json_name(json, "name", look->name, look->name_size);
    json_text(json, "state", state_of(look));
    if (look->has_binder) {
        json_object(json, "binder");
        json_text(json, "type", type_name(look->binder.type));
        json_number(json, "uid", look->binder_uid);
        json_number(json, "pid", look->binder.pid);
        json_bool(json, "alive", look->binder_lives);
        json_end(json);
    } else {
        json_null(json, "binder");
    }
    json_number(json, "peers", count_peers(look));
    json_end(json);
}

/* The number of endpoints, or a negative errno. */
static int list(struct place *place, struct table *table, struct json *json)
{
    int count = 0;
    for (size_t i = 0; i < place->count; i++) {
        struct endpoint_look look;
        if (!file_is_endpoint(place->files[i]))
            continue;
        int error = endpoint_look(&look, place->store, place->files[i]);
        if (error == -ENOENT)
            continue; /* its last socket has just closed */
        if (error < 0)
            return error;
        count++;
        if (json != NULL)
            put_json(json, &look);
        else
            put_row(table, &look);
        endpoint_look_end(&look);
    }
    return count;
}

int tool_ls(const struct request *request)
{
    static const struct column columns[] = {{"NAME", NULL, 0}, {"STATE", NULL, 0}, {"TYPE", NULL, 0},
                                            {"UID", NULL, 1},  {"PID", NULL, 1},   {"PEERS", NULL, 1}};
    struct place place;
    struct table table;
    struct json json = {0};

    int result = place_open(&place);
    if (result < 0 && result != -ENOENT)
        return tool_fail(place.path, result);
    table_init(&table, columns, sizeof columns / sizeof columns[0]);
    if (request->json) {
        json_object(&json, NULL);
        json_name(&json, "directory", place.path, strlen(place.path));
        json_array(&json, "endpoints");
    }
    if (result == 0)
        result = list(&place, &table, request->json ? &json : NULL);
    if (request->json) {
        json_end(&json);
        json_end(&json);
    }
    int error = table_end(&table);
    place_close(&place);
    if (error < 0 || (result < 0 && result != -ENOENT))
        return tool_fail(place.path, error < 0 ? error : result);
    return result > 0 ? STATUS_FINE : STATUS_NOTHING;
}
