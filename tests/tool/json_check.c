/* SPDX-License-Identifier: MIT */
/* A parser by the grammar: each function moves *at past what it is named after. Shares no code with the tool. */
#include "json_check.h"

#include <ctype.h>
#include <string.h>

static bool value(const char **at);

static void space(const char **at)
{
    *at += strspn(*at, " \t\r\n");
}

static bool literal(const char **at, const char *word)
{
    size_t size = strlen(word);
    if (strncmp(*at, word, size) != 0)
        return false;
    *at += size;
    return true;
}

static bool digits(const char **at)
{
    size_t size = strspn(*at, "0123456789");
    *at += size;
    return size > 0;
}

static bool number(const char **at)
{
    if (**at == '-')
        ++*at;
    if (**at == '0')
        ++*at;
    else if (!digits(at))
        return false;
    if (**at == '.' && (++*at, !digits(at)))
        return false;
    if (**at == 'e' || **at == 'E') {
        ++*at;
        if (**at == '+' || **at == '-')
            ++*at;
        return digits(at);
    }
    return true;
}

static bool escape(const char **at)
{
    char c = *(*at)++;
    if (c != 'u')
        return c != '\0' && strchr("\"\\/bfnrt", c) != NULL;
    for (int i = 0; i < 4; i++)
        if (!isxdigit((unsigned char)*(*at)++))
            return false;
    return true;
}

/* One character as it stands: its first byte says how many follow. */
static bool character(const char **at)
{
    unsigned char c = (unsigned char)*(*at)++;
    unsigned more = c < 0x80 ? 0 : c >= 0xc2 && c < 0xe0 ? 1 : (c & 0xf0) == 0xe0 ? 2 : c >= 0xf0 && c < 0xf5 ? 3 : 9;
    if (c < 32 || more == 9)
        return false;
    while (more-- > 0)
        if (((unsigned char)*(*at)++ & 0xc0) != 0x80)
            return false;
    return true;
}

static bool string(const char **at)
{
    if (*(*at)++ != '"')
        return false;
    while (**at != '"') {
        if (**at == '\0')
            return false;
        if (**at == '\\' ? (++*at, !escape(at)) : !character(at))
            return false;
    }
    ++*at;
    return true;
}

static bool list(const char **at, char closer, bool has_keys)
{
    ++*at;
    space(at);
    if (**at == closer)
        return ++*at, true;
    for (;;) {
        space(at);
        if (has_keys) {
            if (!string(at))
                return false;
            space(at);
            if (*(*at)++ != ':')
                return false;
        }
        if (!value(at))
            return false;
        if (**at == closer)
            return ++*at, true;
        if (*(*at)++ != ',')
            return false;
    }
}

static bool value(const char **at)
{
    bool valid;
    space(at);
    if (**at == '{' || **at == '[')
        valid = list(at, **at == '{' ? '}' : ']', **at == '{');
    else if (**at == '"')
        valid = string(at);
    else
        valid = literal(at, "true") || literal(at, "false") || literal(at, "null") || number(at);
    space(at);
    return valid;
}

bool is_json(const char *text)
{
    return value(&text) && *text == '\0';
}
