/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool continues(const char *text, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (((unsigned char)text[i] & 0xc0) != 0x80)
            return false;
    return true;
}

size_t utf8_size(const char *text, size_t left)
{
    unsigned char a = (unsigned char)text[0];
    unsigned char b = left > 1 ? (unsigned char)text[1] : 0;
    size_t size = a < 0x80 ? 1 : a >= 0xc2 && a < 0xe0 ? 2 : a >= 0xe0 && a < 0xf0 ? 3 : a >= 0xf0 && a < 0xf5 ? 4 : 0;

    if (size == 0 || size > left || !continues(text, 1, size))
        return 0;
    /* Reject overlong forms, surrogates, and what is beyond U+10FFFF. */
    if ((a == 0xe0 && b < 0xa0) || (a == 0xed && b >= 0xa0) || (a == 0xf0 && b < 0x90) || (a == 0xf4 && b >= 0x90))
        return 0;
    return size;
}

/* False for C0, DEL and C1, which could move the cursor or worse, and for the backslash, which escapes. */
static bool is_plain(const char *text, size_t size)
{
    unsigned char a = (unsigned char)text[0];
    if (size == 1)
        return a >= 32 && a != 127 && a != '\\';
    return !(size == 2 && a == 0xc2 && (unsigned char)text[1] < 0xa0);
}

void text_printable(char *out, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size;) {
        size_t n = utf8_size(bytes + i, size - i);
        if (n > 0 && is_plain(bytes + i, n)) {
            memcpy(out, bytes + i, n);
            out += n;
            i += n;
            continue;
        }
        out += snprintf(out, 5, bytes[i] == '\\' ? "\\\\" : "\\x%02x", (unsigned char)bytes[i]);
        i++;
    }
    *out = '\0';
}

size_t text_width(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

void text_bytes(char out[BYTES_ROOM], uint64_t bytes)
{
    static const char units[] = "KMGTPE";
    double value = (double)bytes;
    int unit = -1;
    while (value >= 1023.95 && unit < 5) { /* more would be rounded to 1024.0 */
        value /= 1024;
        unit++;
    }
    if (unit < 0)
        snprintf(out, BYTES_ROOM, "%u B", (unsigned)bytes);
    else
        snprintf(out, BYTES_ROOM, "%.1f %ciB", value, units[unit]);
}
