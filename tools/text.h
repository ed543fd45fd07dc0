/* SPDX-License-Identifier: MIT */
/* Text for people: names that may hold any bytes, and numbers with units. */
#ifndef SHMQ_TOOL_TEXT_H
#define SHMQ_TOOL_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* How many bytes the UTF-8 character at TEXT takes, of LEFT that are there; 0: it is none. */
size_t utf8_size(const char *text, size_t left);

/* Printable: what is not UTF-8, and what a terminal might obey, becomes \xNN. NUL-terminated. */
#define TEXT_ROOM(bytes) (4 * (bytes) + 1)
void text_printable(char *out, const char *bytes, size_t size);

/* Columns that a printable text takes, near enough: its characters. */
size_t text_width(const char *text);

/* "64.0 KiB", "512 B". */
#define BYTES_ROOM 24
void text_bytes(char out[BYTES_ROOM], uint64_t bytes);

#endif
