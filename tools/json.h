/* SPDX-License-Identifier: MIT */
/*
 * JSON (RFC 8259) to standard output. KEY is NULL inside arrays and at the top.
 *
 * A name may hold bytes that are not UTF-8, but JSON cannot: json_name() writes U+FFFD for them and adds
 * KEY_hex, the bytes in hexadecimal.
 */
#ifndef SHMQ_TOOL_JSON_H
#define SHMQ_TOOL_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH 8

struct json {
    unsigned depth;
    char closer[JSON_DEPTH];
    bool has_some[JSON_DEPTH];
};

void json_object(struct json *json, const char *key);
void json_array(struct json *json, const char *key);
void json_end(struct json *json); /* ends the innermost; the outermost with a newline */
void json_name(struct json *json, const char *key, const char *bytes, size_t size);
void json_text(struct json *json, const char *key, const char *text);
void json_number(struct json *json, const char *key, uint64_t number);
void json_bool(struct json *json, const char *key, bool value);
void json_null(struct json *json, const char *key);

#endif
