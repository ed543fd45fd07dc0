/* SPDX-License-Identifier: MIT */
/* Text for human readers: names that may hold any bytes, and numbers with units. */
#ifndef SHMQ_TOOL_TEXT_H
#define SHMQ_TOOL_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* The size of the UTF-8 character at TEXT, of which LEFT bytes are there; 0: not UTF-8. */
size_t utf8_size(const char *text, size_t left);

/* Make BYTES printable: what is not UTF-8, or could control a terminal, becomes \xNN. NUL-terminated. */
#define TEXT_ROOM(bytes) (4 * (bytes) + 1)
void text_printable(char *out, const char *bytes, size_t size);

/* About the columns that a printable text takes: its number of characters. */
size_t text_width(const char *text);

/* "64.0 KiB", "512 B". */
#define BYTES_ROOM 24
void text_bytes(char out[BYTES_ROOM], uint64_t bytes);

#endif
