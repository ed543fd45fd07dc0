/* SPDX-License-Identifier: MIT */
#include "json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

static void begin(struct json *json, const char *key)
{
    if (json->depth > 0) {
        bool *some = &json->has_some[json->depth - 1];
        fputs(*some ? "," : "", stdout);
        *some = true;
    }
    /* One line per list element, for grep and for human readers. */
    if (key == NULL && json->depth > 0)
        fputs("\n ", stdout);
    if (key != NULL)
        printf("\"%s\":", key);
}

static void open(struct json *json, const char *key, char opener, char closer)
{
    begin(json, key);
    putchar(opener);
    json->closer[json->depth] = closer;
    json->has_some[json->depth++] = false;
}

void json_object(struct json *json, const char *key)
{
    open(json, key, '{', '}');
}

void json_array(struct json *json, const char *key)
{
    open(json, key, '[', ']');
}

void json_end(struct json *json)
{
    putchar(json->closer[--json->depth]);
    if (json->depth == 0)
        putchar('\n');
}

/* Returns whether the whole string was UTF-8. */
static bool put_string(const char *bytes, size_t size)
{
    bool whole = true;
    putchar('"');
    for (size_t i = 0; i < size;) {
        size_t n = utf8_size(bytes + i, size - i);
        unsigned char c = (unsigned char)bytes[i];
        if (n == 0)
            fputs("\\ufffd", stdout);
        else if (c < 32 || c == 127)
            printf("\\u%04x", c);
        else
            printf("%s%.*s", c == '"' || c == '\\' ? "\\" : "", (int)n, bytes + i);
        whole = whole && n > 0;
        i += n > 0 ? n : 1;
    }
    putchar('"');
    return whole;
}

void json_name(struct json *json, const char *key, const char *bytes, size_t size)
{
    begin(json, key);
    if (put_string(bytes, size))
        return;
    printf(",\"%s_hex\":\"", key);
    for (size_t i = 0; i < size; i++)
        printf("%02x", (unsigned char)bytes[i]);
    putchar('"');
}

void json_text(struct json *json, const char *key, const char *text)
{
    begin(json, key);
    put_string(text, strlen(text));
}

void json_number(struct json *json, const char *key, uint64_t number)
{
    begin(json, key);
    printf("%" PRIu64, number);
}

void json_bool(struct json *json, const char *key, bool value)
{
    begin(json, key);
    fputs(value ? "true" : "false", stdout);
}

void json_null(struct json *json, const char *key)
{
    begin(json, key);
    fputs("null", stdout);
}
